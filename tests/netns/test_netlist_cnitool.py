"""Our runtime side against libcni's, through cnitool: what plugins are told, the cache's bytes, and each cleaning up
what the other attached.  The plugins are scripts that write down how they were called."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pycni.cache import Attachment, ResultCache
from pycni.invoke import Invoker
from pycni.netlist import find_list
from pycni.runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]
NETNS = "/run/netns/nobody-looks"
CONTAINER = f"cnitool-{hashlib.sha512(NETNS.encode()).digest()[:10].hex()}"
ARGS = (("IgnoreUnknown", "1"), ("K8S_POD_NAME", "pod"))
CAPABILITIES = {"ips": ["10.0.0.9/24"], "portMappings": [{"hostPort": 80, "x": "<&>"}], "unknown": {"b": 1, "a": 2}}

RECORDER = """#!/bin/bash
place={log}/$(ls {log} | wc -l)-$CNI_COMMAND-$(basename "$0")
cat >"$place.stdin"
env | grep ^CNI_ | sort >"$place.env"
if [ "$CNI_COMMAND" = ADD ]; then cat {results}/$(basename "$0"); fi
exit $(cat {results}/$(basename "$0").$CNI_COMMAND 2>/dev/null || echo 0)
"""
DRESSED = {
    "cniVersion": "{version}",
    "interfaces": [{"name": "br<0>", "mac": "aa:bb:cc:dd:ee:ff"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"interface": 1, "address": "10.0.0.9/24", "gateway": "10.0.0.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["192.0.2.1"]},
}


@cache
def cnitool() -> str:
    """Built by scripts/clients, now if it is not there."""
    script = str(ROOT / "scripts/clients")
    told = subprocess.run([script, "--print", "cnitool"], capture_output=True, text=True, check=False)
    if told.returncode:
        subprocess.run([script, "cnitool"], check=True, capture_output=True, timeout=1200)
        told = subprocess.run([script, "--print", "cnitool"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


class Side:
    """A directory with plugins, networks and a cache of its own; both runtimes can work on it."""

    def __init__(self, root: Path, version: str) -> None:
        self.root = root
        self.version = version
        self.cache = root / "lib" / "cni"
        for name in ("bin", "net.d", "log", "results", "lib"):
            (root / name).mkdir(parents=True)
        for name in ("one", "two", "three"):
            path = root / "bin" / name
            path.write_text(RECORDER.format(log=root / "log", results=root / "results"))
            path.chmod(0o755)
            body = {**DRESSED, "cniVersion": version}
            if version.startswith("0."):
                body["ips"] = [{"version": "4", **DRESSED["ips"][0]}]  # type: ignore[index,dict-item]
            (root / "results" / name).write_text(json.dumps(body))
        listed = [
            {"type": "one", "z": 1.5, "a": ["<", {"y": 1, "x": None}], "capabilities": {"ips": True}},
            {"type": "two", "name": "second", "capabilities": {"portMappings": True, "ips": False, "unknown": True}},
            {"type": "three", "big": 9007199254740991},
        ]
        text = json.dumps({"plugins": listed, "name": "net", "cniVersion": version}, indent=2)
        (root / "net.d" / "10.conflist").write_text(text)

    def cnitool(self, command: str) -> str:
        """Its error output; runs with our cache in place of the machine's."""
        environment = {
            "PATH": os.environ["PATH"],
            "NETCONFPATH": str(self.root / "net.d"),
            "CNI_PATH": f"/nowhere:{self.root}/bin",
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in ARGS),
            "CAP_ARGS": json.dumps(CAPABILITIES),
        }
        mounted = f'mount --bind {self.root}/lib /var/lib && exec "$@"'
        call = ["unshare", "--mount", "sh", "-c", mounted, "sh", cnitool(), command, "net", NETNS]
        return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=60, check=False).stderr

    def ours(self, command: str) -> str:
        runtime = Runtime(
            ["/nowhere", str(self.root / "bin")],
            Invoker(lambda _: None),
            {"PATH": os.environ["PATH"]},
            ResultCache(str(self.cache)),
        )
        network = find_list(str(self.root / "net.d"), "net")
        attachment = Attachment(CONTAINER, NETNS, "eth0", ARGS, CAPABILITIES)
        work: dict[str, Callable[[], object]] = {
            "add": lambda: runtime.add(network, attachment),
            "check": lambda: runtime.check(network, attachment),
            "del": lambda: runtime.delete(network, attachment),
            "gc": lambda: runtime.gc(network, []),
            "status": lambda: runtime.status(network),
        }
        try:
            work[command]()
        except Exception as error:  # its text is what is compared
            return f"{error}\n"
        return ""

    def log(self) -> dict[str, Any]:
        """Every call's input, decoded, and CNI variables; and forget them."""
        found: dict[str, Any] = {}
        for path in sorted((self.root / "log").iterdir()):
            text = path.read_text().replace(str(self.root), "ROOT")
            found[path.name] = json.loads(text) if path.suffix == ".stdin" else text.splitlines()
            path.unlink()
        return found

    def cached(self) -> dict[str, str]:
        directory = self.cache / "results"
        return {each.name: each.read_text() for each in directory.iterdir()} if directory.exists() else {}

    def fail(self, plugin: str, command: str) -> None:
        (self.root / "results" / f"{plugin}.{command}").write_text("1")
        (self.root / "results" / plugin).write_text('{"code": 11, "msg": "busy", "details": "later"}')


VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]


@pytest.fixture(params=VERSIONS)
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Side, Side]:
    return Side(tmp_path / "libcni", request.param), Side(tmp_path / "ours", request.param)


def test_plugins_are_told_the_same(sides: tuple[Side, Side]) -> None:
    theirs, ours = sides
    for command in ("add", "check", "status", "del", "del"):
        assert ours.ours(command) == theirs.cnitool(command)
        assert ours.log() == theirs.log(), command
        assert ours.cached() == theirs.cached(), command


def test_gc_is_the_same_but_for_the_list_of_attachments(sides: tuple[Side, Side]) -> None:
    """cnitool names none, not even an empty list; a runtime that knows its attachments does."""
    theirs, ours = sides
    for each in sides:
        assert each.ours("add") == ""
        each.log()
    assert ours.ours("gc") == theirs.cnitool("gc") == ""
    seen = ours.log()
    for name, config in seen.items():
        if "-GC-" in name and name.endswith(".stdin"):
            assert config.pop("cni.dev/valid-attachments") == []
            assert config.pop("cni.dev/attachments") == []
    assert seen == theirs.log()
    assert ours.cached() == theirs.cached() == {}


def test_a_failing_add_reads_the_same(sides: tuple[Side, Side]) -> None:
    theirs, ours = sides
    for each in sides:
        each.fail("two", "ADD")
    assert ours.ours("add") == theirs.cnitool("add") == 'plugin type="two" name="second" failed (add): busy; later\n'
    assert ours.log() == theirs.log()
    assert ours.cached() == theirs.cached() == {}


@pytest.mark.parametrize("missing", ["one", "three"])
def test_a_missing_plugin_reads_the_same(tmp_path: Path, missing: str) -> None:
    side = Side(tmp_path / "side", "1.0.0")
    (side.root / "bin" / missing).unlink()
    assert side.ours("add") == side.cnitool("add") != ""


def test_each_removes_what_the_other_attached(sides: tuple[Side, Side]) -> None:
    one, two = sides
    assert one.ours("add") == two.cnitool("add") == ""
    assert one.cached().keys() == two.cached().keys() == {f"net-{CONTAINER}-eth0"}
    for each in sides:
        each.log()
    assert one.cnitool("check") == two.ours("check")
    assert one.cnitool("del") == two.ours("del") == ""
    assert one.log() == two.log()
    assert one.cached() == two.cached() == {}


@pytest.mark.parametrize(
    ("exit_text", "expected"),
    [
        ("echo 'to \"stderr\"' >&2; exit 3", 'netplugin failed: "to \\"stderr\\"\\n"'),
        ("exit 3", "netplugin failed with no error message: exit status 3"),
        ("kill -KILL $$", "netplugin failed with no error message: signal: killed"),
        ('echo \'{"code": 7, "MSG": "folded"}\'; exit 1', "folded"),
        ("printf 'caf\\xc3\\xa9\\x01\\xff' >&2; exit 1", 'netplugin failed: "café\\x01\\xff"'),
    ],
)
def test_what_a_dying_plugin_says_reads_the_same(tmp_path: Path, exit_text: str, expected: str) -> None:
    side = Side(tmp_path / "side", "1.0.0")
    (side.root / "bin" / "one").write_text(f"#!/bin/bash\n{exit_text}\n")
    assert side.ours("add") == side.cnitool("add") == f'plugin type="one" failed (add): {expected}\n'
