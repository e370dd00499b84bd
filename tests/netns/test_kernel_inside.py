"""Being inside a namespace, and coming back from it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from conftest import PrivateNetns

from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import THREAD_NETNS, Inside, NamespaceMissing, identity, open_netns

Factory = Callable[[], PrivateNetns]


def here() -> int:
    return os.stat(THREAD_NETNS).st_ino


def test_the_block_runs_inside_and_comes_back(netns: Factory) -> None:
    private = netns()
    home = here()
    before = os.listdir("/proc/self/fd")
    with Inside(private.fd):
        assert here() == os.stat(private.path).st_ino != home
    assert here() == home
    with pytest.raises(KeyError), Inside(private.fd):
        raise KeyError
    assert here() == home
    assert os.listdir("/proc/self/fd") == before


def test_blocks_nest(netns: Factory) -> None:
    first, second = netns(), netns()
    with Inside(first.fd):
        with Inside(second.fd):
            assert here() == os.stat(second.path).st_ino
        assert here() == os.stat(first.path).st_ino


def test_only_the_calling_thread_moves(netns: Factory) -> None:
    private = netns()
    home = here()
    inside, done = threading.Event(), threading.Event()

    def visit() -> None:
        with Inside(private.fd):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        assert inside.wait(10)
        assert here() == home
    finally:
        done.set()
        thread.join(10)


def test_a_thread_that_cannot_return_ends_the_process(netns: Factory) -> None:
    private = netns()
    program = f"""
import os, sys
from pycni.kernel.netns import Inside
try:
    with Inside(os.open({private.path!r}, os.O_RDONLY)) as _:
        os.closerange(4, 32)
finally:
    os.write(1, b"went on")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert done.returncode == 70
    assert done.stdout == b""
    assert done.stderr == b"cannot return from a network namespace; ending the process\n"


def test_descriptors_of_one_namespace_are_identical(netns: Factory) -> None:
    first, second = netns(), netns()
    fd = open_netns(first.path)
    try:
        assert identity(fd) == identity(first.fd) != identity(second.fd)
    finally:
        os.close(fd)
    path = first.path
    first.close()
    with pytest.raises(NamespaceMissing):
        open_netns(path)


def test_a_socket_stays_where_it_was_opened(netns: Factory) -> None:
    private = netns()
    namespace = private.namespace()
    namespace.create_bridge("br0")
    with Namespace.current() as home:
        assert home.link("br0") is None
        with home.entered():
            assert namespace.link("br0") is not None
    private.run(["/usr/sbin/ip", "link", "show", "br0"])


def test_a_borrowed_descriptor_stays_open(netns: Factory) -> None:
    private = netns()
    with Namespace(private.fd) as borrowed:
        assert borrowed.identity == identity(private.fd)
        assert borrowed.link("lo") is not None
    os.fstat(private.fd)
    owned = Namespace.open(private.path)
    owned.close()
    owned.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(owned.fd)


def test_a_namespace_from_another_thread_serves_its_own(netns: Factory) -> None:
    """`current()` means the thread that asked, also when another thread uses the object first."""
    private = netns()
    with private.inside():
        namespace = Namespace.current()
    with namespace:
        namespace.create_bridge("br0")
        assert [link.name for link in namespace.links()] == ["lo", "br0"]
    listing = private.run(["/usr/sbin/ip", "-brief", "link"]).stdout
    assert [line.split()[0] for line in listing.splitlines()] == ["lo", "br0"]


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        ("net/core/somaxconn", "99", "4096", "99"),
        ("net/core/somaxconn", "4096", "4096", "4096"),
        ("net/ipv4/ip_local_port_range", "2000\t3000", "32768\t60999", "2000\t3000"),
        ("net/ipv4/route/flush", "1", None, None),  # mode 0200
        ("net/ipv6/conf/lo/stable_secret", "fd00::1", None, "fd00:0000:0000:0000:0000:0000:0000:0001"),  # not set yet
        ("net/netfilter/nf_log/0", "NONE", "NONE", "NONE"),
    ],
)
def test_a_sysctl_is_replaced(netns: Factory, path: str, value: str, before: str | None, after: str | None) -> None:
    with Namespace.open(netns().path) as namespace:
        descriptors = os.listdir("/proc/self/fd")
        assert namespace.replace_sysctl(path, value) == before
        assert os.listdir("/proc/self/fd") == descriptors
        if after is not None:
            assert namespace.read_sysctl(path) == after


def test_a_sysctl_that_can_only_be_read_may_have_the_value_already(netns: Factory) -> None:
    with Namespace.open(netns().path) as namespace:
        path = "net/netfilter/nf_conntrack_count"
        assert namespace.replace_sysctl(path, "0") == "0"
        with pytest.raises(PermissionError):
            namespace.replace_sysctl(path, "1")
        with pytest.raises(FileNotFoundError):
            namespace.replace_sysctl("net/core/none", "1")
        with pytest.raises(OSError, match="Invalid argument"):
            namespace.replace_sysctl("net/core/somaxconn", "many")
        assert namespace.read_sysctl("net/core/somaxconn") == "4096"
