"""The engine's places with real namespaces: what it keeps open of one is that one's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from errno import EMFILE, EPERM
from pathlib import Path

import pytest
from conftest import PrivateNetns

from netd.engine import sysctls
from netd.engine.connection import examined
from netd.engine.places import Place, Places
from pycni.kernel import libc, procfs
from pycni.kernel.namespace import Namespace

Factory = Callable[[], PrivateNetns]
PATH = "net/ipv6/conf/veth0/accept_ra"


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    made = Places(str(tmp_path))
    yield made
    made.close()


def entered(places: Places, private: PrivateNetns) -> Place:
    found = places.enter(examined(private.fd))
    assert found is not None
    return found[0]


def with_veth(netns: Factory) -> PrivateNetns:
    private = netns()
    host = private.namespace()
    host.create_veth("veth0", "veth1", host)
    return private


def test_a_sysctl_is_that_of_the_namespace_borrowed(places: Places, netns: Factory) -> None:
    one, other = with_veth(netns), with_veth(netns)
    mine, theirs = (places.borrow(entered(places, each)) for each in (one, other))
    assert mine.replace_sysctl(PATH, "2") == "1"
    assert (mine.read_sysctl(PATH), theirs.read_sysctl(PATH)) == ("2", "1")
    theirs.write_sysctl(PATH, "0")
    assert [each.namespace().read_sysctl(PATH) for each in (one, other)] == ["2", "0"]
    mine.write_sysctl("net/ipv4/ip_forward", "1")
    assert [each.namespace().read_sysctl("net/ipv4/ip_forward") for each in (one, other)] == ["1", "0"]


def test_devices_come_and_go_after_the_first_look(places: Places, netns: Factory) -> None:
    private = with_veth(netns)
    host, borrowed = private.namespace(), places.borrow(entered(places, private))
    assert borrowed.read_sysctl(PATH) == "1"
    host.create_veth("late0", "late1", host)
    assert borrowed.replace_sysctl("net/ipv4/conf/late0/arp_notify", "1") == "0"
    link = host.link("veth0")
    assert link is not None
    host.delete_link(link.index)
    with pytest.raises(FileNotFoundError):
        borrowed.read_sysctl(PATH)


def test_other_paths_are_found_too_and_none_leads_out(places: Places, netns: Factory) -> None:
    borrowed = places.borrow(entered(places, netns()))
    borrowed.write_sysctl("net/core/somaxconn", "77")
    assert borrowed.read_sysctl("net/core/somaxconn") == "77"
    assert borrowed.read_sysctl("net/ipv4//ip_forward") == "0"
    with pytest.raises(PermissionError):
        borrowed.read_sysctl("net/ipv4/../../kernel/hostname")
    with pytest.raises(FileNotFoundError):
        borrowed.read_sysctl("net/ipv4//etc/hostname")


def test_a_namespace_left_alone_is_let_go(places: Places, netns: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netd.engine.places.IDLE_SECONDS", 0.0)
    private = with_veth(netns)
    before = os.listdir("/proc/self/fd")
    place = entered(places, private)
    borrowed = places.borrow(place)
    assert (borrowed.read_sysctl(PATH), borrowed.read_sysctl("net/ipv4/ip_forward")) == ("1", "0")
    assert len(os.listdir("/proc/self/fd")) > len(before)
    places.give_back(place, borrowed)
    places.leave(place)
    (idle,) = places.take_idle()
    idle.close()
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture(params=["own", "shared"])
def proc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether containers' sysctls are found in a proc file system of the engine's own; with an old C library, not."""
    if request.param == "shared":
        monkeypatch.setattr(libc, "fsopen", None)
    return str(request.param)


def trees() -> int:
    """How many `sys` directories are open that are mounted nowhere."""
    return [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")].count("/sys")


def test_the_sysctls_of_containers_are_their_own(proc: str, tmp_path: Path, netns: Factory) -> None:
    places = Places(str(tmp_path))
    one, other = with_veth(netns), with_veth(netns)
    mine, theirs = places.visited(examined(one.fd)), places.visited(examined(other.fd))
    assert mine.replace_sysctl("net/core/somaxconn", "77") == "4096"
    assert (mine.read_sysctl("net/core/somaxconn"), theirs.read_sysctl("net/core/somaxconn")) == ("77", "4096")
    theirs.write_sysctl(PATH, "2")
    assert [each.namespace().read_sysctl(PATH) for each in (one, other)] == ["1", "2"]
    assert trees() == (proc == "own")
    for refused in ("net/../kernel/hostname", "/etc/hostname", "kernel/../../../etc/hostname"):
        with pytest.raises((PermissionError, FileNotFoundError)):
            mine.read_sysctl(refused)
    mine.close()
    theirs.close()
    places.close()


def test_a_tree_is_replaced_when_many_used_it_and_ends_with_its_last_user(
    tmp_path: Path, netns: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysctls, "LOOKED_INTO", 2)
    places, private = Places(str(tmp_path)), netns()

    def visit(value: str) -> Namespace:
        visited = places.visited(examined(private.fd))
        visited.write_sysctl("net/core/somaxconn", value)
        return visited

    first = visit("1")
    for value in "2345":
        visit(value).close()
    assert trees() == 2, "the one of the moment, and the first one's"
    assert first.read_sysctl("net/core/somaxconn") == "5"
    first.close()
    assert trees() == 1
    places.close()
    assert trees() == 0


def test_without_descriptors_for_a_tree_the_common_one_serves(
    places: Places, netns: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, results = netns(), [OSError(EMFILE, "too many"), OSError(EPERM, "refused")]
    monkeypatch.setattr(procfs, "open_sysctls", lambda: (_ for _ in ()).throw(results.pop(0)))
    for _ in range(4):
        visited = places.visited(examined(private.fd))
        assert visited.read_sysctl("net/core/somaxconn") == "4096"
        visited.close()
    assert not results, "it is tried again after the first, and no more after the second"
