"""`scripts/quickstart` as a new user runs it, on a host where nothing of ours is, twice, and then `--down`."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .components import component
from .host import Host, disposable_host

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "scripts" / "quickstart")
FOREIGN_PLUGIN = "#!/bin/sh\necho somebody else\n"
PIP = """#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd -P)
printf '#!%s/python3\\nimport sys\\nprint(sys.prefix, *sys.argv[1:])\\n' "$here" >"$here/pynet"
chmod 755 "$here/pynet"
"""
FOREIGN_CHAIN = "-N CNI-OTHERS", '-A CNI-OTHERS -m comment --comment "made by others" -j RETURN'


@pytest.fixture(scope="module")
def fresh_host() -> Iterator[Host]:
    """A host on which somebody has put a plugin called bridge before."""
    with disposable_host() as host:
        host.write("/opt/cni/bin/bridge", FOREIGN_PLUGIN)
        # the host's /var/lib is an overlay, on which no other can be stacked
        host.run("mkdir", "/var/lib/pynet")
        host.run("mount", "-t", "tmpfs", "tmpfs", "/var/lib/pynet")
        for rule in FOREIGN_CHAIN:
            host.run("iptables", *shlex.split(rule))
        yield host


def _links(host: Host) -> list[str]:
    return sorted(line.split()[1].partition("@")[0] for line in host.run("ip", "-o", "link").splitlines())


def _chains(host: Host) -> list[str]:
    """Chains that are not the kernel's own, of every table, with their rules and what leads to them."""
    tables = [host.run(tool, "-t", table, "-S") for tool in ("iptables", "ip6tables") for table in ("filter", "nat")]
    return [line for table in tables for line in table.splitlines() if not line.startswith("-P ")]


def test_quickstart_shows_what_it_promises_again_and_goes_without_a_trace(fresh_host: Host) -> None:
    before = _links(fresh_host)
    for _ in range(2):
        shown = fresh_host.run(QUICKSTART, limit=180)
        for promise in (
            "mynet: subnet 10.",
            "web has 10.",
            "client -> web: hello from web",
            "and the gateway answers",
            "packets leave masqueraded behind eth0",
            "host -> 127.0.0.1:8080 -> web: hello from web",
            "What to try next:",
        ):
            assert promise in shown
    assert "mynet" in fresh_host.run(str(ROOT / ".venv/bin/pynet"), "ls")

    assert "Done." in fresh_host.run(QUICKSTART, "--down", limit=60)
    assert _links(fresh_host) == before
    assert fresh_host.file("/opt/cni/bin/bridge").read_text() == FOREIGN_PLUGIN
    assert sorted(each.name for each in fresh_host.file("/opt/cni/bin").iterdir()) == ["bridge"]
    assert not fresh_host.file("/etc/cni/net.d/mynet.conflist").exists()
    assert tuple(_chains(fresh_host)) == FOREIGN_CHAIN
    assert "pynet" not in fresh_host.run("nft", "list", "ruleset")
    assert not fresh_host.file("/run/pynet").exists()
    assert "pynetd" not in fresh_host.run("ps", "-e", "-o", "args")
    assert "conmon" not in fresh_host.run("ps", "-e", "-o", "comm")
    assert list(fresh_host.file("/var/lib/pynet").iterdir()) == []
    assert "Done." in fresh_host.run(QUICKSTART, "--down", limit=60)


def test_what_was_there_before_stays(fresh_host: Host) -> None:
    pynet = str(ROOT / ".venv/bin/pynet")
    fresh_host.run(pynet, "install")
    fresh_host.run(pynet, "create", "mynet", "--subnet", "10.77.0.0/24")
    plugins = fresh_host.run("ls", "-i", "/opt/cni/bin")
    assert "web has 10.77.0.2" in fresh_host.run(QUICKSTART, limit=180)
    assert "Done." in fresh_host.run(QUICKSTART, "--down", limit=60)
    assert fresh_host.run("ls", "-i", "/opt/cni/bin") == plugins
    assert fresh_host.run(pynet, "ls", "--format", "{{.Name}}") == "mynet\n"
    fresh_host.run(pynet, "rm", "mynet")
    fresh_host.run(pynet, "uninstall")


def test_setup_where_the_folder_s_name_has_a_blank(tmp_path: Path) -> None:
    """pip, here a stand-in, names such an interpreter in the first line of a script that is a file of ours."""
    folder = tmp_path / "a checkout"
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "launcher", folder / "launcher")
    (folder / ".venv" / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {folder}/.venv\n"
    )
    for name in ("python", "python3"):
        (programs / name).symlink_to("/usr/bin/python3")
    (programs / "pip").write_text(PIP)
    (programs / "pip").chmod(0o755)
    for _ in range(2):
        done = subprocess.run([folder / "scripts" / "setup"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said = subprocess.run([programs / "pynet", "a b", "c"], capture_output=True, text=True, timeout=60, check=True)
        assert said.stdout == f"{folder}/.venv a b c\n"


def test_with_nerdctl_the_containers_of_both_engines_find_each_other(fresh_host: Host) -> None:
    fresh_host.path.insert(0, str(component("nerdctl").parent))
    try:
        for _ in range(2):
            shown = fresh_host.run(QUICKSTART, limit=180)
            assert "guest (nerdctl) -> web: hello from web" in shown
            assert "client -> guest: 10." in shown
        before = _links(fresh_host)
        assert "Done." in fresh_host.run(QUICKSTART, "--down", limit=60)
        assert len(_links(fresh_host)) < len(before)
        assert "containerd" not in fresh_host.run("ps", "-e", "-o", "comm")
        assert "quickstart" not in fresh_host.run("cat", "/proc/mounts")
    finally:
        fresh_host.path.pop(0)
        fresh_host.run(QUICKSTART, "--down", limit=60)


def test_quickstart_stops_at_the_first_failure_and_says_what_to_do(fresh_host: Host) -> None:
    fresh_host.run(QUICKSTART, limit=180)
    try:
        failed = fresh_host.run("sh", "-c", f"PYNET_QUICKSTART_PORT=none {QUICKSTART} 2>&1; echo status $?", limit=60)
        assert "quickstart failed at: container web" in failed
        assert "is host port none free?" in failed
        assert "status 1" in failed
        # somebody is attached to a network of another engine's
        fresh_host.write("/var/lib/cni/results/net-c1-eth0", "{}")
    finally:
        fresh_host.run(QUICKSTART, "--down", limit=60)
    assert "-N CNI-FORWARD" in _chains(fresh_host)
