"""`pynet gc`: what it shows, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli_networks import Shell

from netd.networks import gc_run
from netd.networks.host import LiveHost
from netd.networks.leftovers import Leftovers
from netd.networks.places import from_environment
from pycni import cache

GONE, LIVES, STOPPED, UNKNOWN = (letter * 64 for letter in "abcd")
LEFT = Leftovers(("link veth1, number 7 (unfinished)", "lease of 10.9.0.9 that names nobody"), asked=("theirs",))


@pytest.fixture
def pynet(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.environ["PYNET_ROOT"] = str(tmp_path / "root")
    made.ok("create --subnet 10.9.0.0/24 mynet")
    for container_id, address in ((GONE, 2), (LIVES, 3), (STOPPED, 4), (UNKNOWN, 5)):
        path = tmp_path / f"leases/mynet/10.9.0.{address}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{container_id}\r\neth0".encode())
    for container_id in (GONE, LIVES):
        attachment = cache.Attachment(container_id, "/run/netns/never-was", "eth0")
        cache.ResultCache(str(tmp_path / "cni")).write(cache.CacheEntry("mynet", attachment, b"{}", {}))
    (tmp_path / f"run/containers/{LIVES}").mkdir(parents=True)
    for container_id, name in ((LIVES, "web"), (STOPPED, "db")):
        config = tmp_path / f"root/containers/{container_id}/config.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"Name": name}))
    return made


def test_it_shows_what_would_go_and_changes_nothing(pynet: Shell) -> None:
    lines = pynet.ok("gc").splitlines()
    assert lines[0].split() == ["NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "WHY"]
    assert [line.split(None, 4)[2:] for line in lines[1:3]] == [
        ["eth0", "10.9.0.2", "its namespace /run/netns/never-was does not exist"],
        ["eth0", "10.9.0.4", "container db of pynet does not run"],
    ]
    assert lines[3:] == ["Nothing was changed; pynet gc --force gives these back."]
    assert pynet.host.given_back == {}


def test_it_says_why_the_others_stay(pynet: Shell) -> None:
    shown = {
        each["Container"]: (each["Free"], each["Reason"]) for each in json.loads(pynet.ok("gc --all --json mynet"))
    }
    assert shown[LIVES] == (False, "container web of pynet runs")
    assert shown[UNKNOWN] == (False, "no engine here knows whose it is")


def test_force_gives_back_what_was_shown(pynet: Shell) -> None:
    pynet.ok("gc --force")
    assert pynet.host.given_back == {"mynet": [(GONE, "eth0"), (STOPPED, "eth0")]}


def test_what_could_not_be_given_back_is_told(pynet: Shell) -> None:
    pynet.host.failures = ["bridge: no such thing"]
    status, _, err = pynet.run("gc --force")
    assert (status, err) == (1, "pynet: network mynet: bridge: no such thing\n")


def test_a_list_may_forbid_it(pynet: Shell, tmp_path: Path) -> None:
    path = tmp_path / "net.d/mynet.conflist"
    path.write_text(json.dumps({**json.loads(path.read_text()), "disableGC": True}))
    status, out, err = pynet.run("gc --force")
    assert (status, out) == (0, "There is nothing to give back.\n")
    assert "disableGC" in err and pynet.host.given_back == {}


def test_an_unknown_network_is_named(pynet: Shell) -> None:
    status, _, err = pynet.run("gc nosuch")
    assert status == 1 and "nosuch" in err


def test_a_list_that_cannot_be_read_is_named(pynet: Shell, tmp_path: Path) -> None:
    (tmp_path / "net.d/bad.conflist").write_text("{")
    status, out, err = pynet.run("gc")
    assert (status, len(out.splitlines())) == (0, 4)
    assert err.startswith(f"pynet: warning: {tmp_path}/net.d/bad.conflist: ")
    assert pynet.run("gc mynet")[2] == ""
    assert "bad.conflist" in pynet.run("gc bad")[2]


def test_one_list_that_nobody_could_run_does_not_keep_the_others_from_being_cleared(
    pynet: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"cniVersion": 1, "name": "broken", "plugins": [{"type": "bridge"}]}
    (tmp_path / "net.d/broken.conflist").write_text(json.dumps(broken))
    monkeypatch.setattr(pynet.host, "leftovers", LiveHost(from_environment(pynet.environ)).leftovers)
    status, out, err = pynet.run("gc broken")
    text = "pynet: network broken: invalid configuration: key 'cniVersion': expected a string, got an integer\n"
    assert (status, out, err) == (1, "There is nothing to give back.\n", text)
    monkeypatch.undo()
    pynet.host.unrunnable = {"broken"}
    status, out, err = pynet.run("gc --force")
    assert (status, pynet.host.given_back) == (1, {"mynet": [(GONE, "eth0"), (STOPPED, "eth0")]})
    assert err == "pynet: network broken: this list cannot be run\n"


def test_a_list_that_nobody_could_run_can_be_removed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.conflist"
    path.write_text(json.dumps({"cniVersion": 1, "name": "broken", "plugins": [{"type": "bridge"}]}))
    assert LiveHost(from_environment({"PYNET_CACHE_DIR": str(tmp_path)})).collect(str(path)) == []
    assert capfd.readouterr().err == (
        f"pynet: {path}: invalid configuration: key 'cniVersion': expected a string, got an integer; "
        "nothing is collected through this list\n"
    )


def test_what_belongs_to_no_attachment_is_shown_and_freed(pynet: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_run, "SETTLED", 0.0)
    pynet.host.left["mynet"] = LEFT
    lines = pynet.ok("gc").splitlines()
    assert [line.split(None, 4) for line in lines[3:5]] == [
        ["mynet", "-", "-", "-", f"of no attachment: {what}"] for what in LEFT.things
    ]
    assert lines[5:] == [
        "Network mynet: --force has the plugin theirs free what else is left over.",
        "Nothing was changed; pynet gc --force gives these back.",
    ]
    everybody = {(each, "eth0") for each in (GONE, LIVES, STOPPED, UNKNOWN)}
    assert pynet.host.attached == {"mynet": everybody}
    told = json.loads(pynet.ok("gc --force --json"))
    assert [each["Reason"] for each in told if not each["Container"]] == [
        f"of no attachment: {it}" for it in LEFT.things
    ]
    assert pynet.host.freed == {"mynet": LEFT.things}
    assert pynet.host.kept == {"mynet": {(LIVES, "eth0"), (UNKNOWN, "eth0")}}


def test_whoever_attaches_again_meanwhile_keeps_what_he_has(pynet: Shell, tmp_path: Path) -> None:
    """His lease is another one."""
    path = tmp_path / "leases/mynet/10.9.0.4"

    def start_again() -> None:
        path.unlink()
        (path.parent / "10.9.0.6").write_bytes(f"{STOPPED}\r\neth0".encode())

    pynet.host.meanwhile = start_again
    pynet.ok("gc --force")
    assert pynet.host.given_back == {"mynet": [(GONE, "eth0")]}
    assert (STOPPED, "eth0") in pynet.host.kept["mynet"]


def test_whoever_runs_by_then_keeps_what_he_has(pynet: Shell, tmp_path: Path) -> None:
    networks = gc_run.collector(
        from_environment(pynet.environ), str(tmp_path / "root"), {"PATH": "/nowhere"}, pynet.host
    )
    (found,) = networks.survey()
    (tmp_path / f"run/containers/{STOPPED}").mkdir()
    assert networks.free(found) == []
    assert pynet.host.given_back == {"mynet": [(GONE, "eth0")]}


def test_plugins_that_cannot_be_asked_are_named(pynet: Shell) -> None:
    pynet.host.left["mynet"] = Leftovers(unasked=("theirs", "another"))
    assert "theirs" not in pynet.ok("gc")
    assert "Network mynet: the plugins theirs, another cannot be asked while others attach." in pynet.ok("gc --all")


def test_what_could_not_be_looked_at_is_told(pynet: Shell) -> None:
    pynet.host.left["mynet"] = Leftovers(failures=("bridge: no such key",))
    status, _, err = pynet.run("gc")
    assert (status, err) == (1, "pynet: network mynet: bridge: no such key\n")
