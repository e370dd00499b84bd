"""The example in each plugin's README is what really happens: its configuration is a network of a small host of its
own, its console commands are run there in order, and the text below each must be their output.

The section `## Example` ends a README.  Each of its json blocks is a network list, kept as
`/etc/cni/net.d/NAME.conflist` by its `name`; each of its console blocks is a transcript.  On the host all our plugins
are in `/opt/cni/bin` (without an engine), and there are iproute2, nftables, `cnitool`, `pynet`, `pynetd`, and busybox's
`ping`, `nc`, `wget` and `httpd`.  A command that ends in `&` is left running until the end.  A command that fails is a
failure of the test.

PYNET_WRITE_DOCS=1 writes the transcripts instead of comparing them.  Examples of the plugins in GUEST run in the
virtual machine, whose writes are thrown away but for those below /job, so there it names a directory:

    mkdir -p /tmp/job && scripts/vm run --job /tmp/job env PYNET_WRITE_DOCS=/job .venv/bin/python -m pytest -q \\
        tests/vm/test_plugin_examples.py -k vlan && cp /tmp/job/vlan.md plugins/vlan/README.md
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import launchers
from console_pages import WRITE, Pattern, check, replaced

from pycni_plugins import NAMES

ROOT = Path(__file__).resolve().parents[1]

GUEST = ("dummy", "ipvlan", "vlan", "vrf")
"""Plugins whose drivers the usual kernel of a test machine lacks: their examples run in tests/vm."""

WITHOUT: tuple[str, ...] = ()
"""Plugins whose README has no example yet."""

_SECTION = re.compile(r"^## Example\n", re.MULTILINE)
_JSON = re.compile(r"^```json\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MAC = re.compile(r"(?<![0-9a-f:])(?!ff:ff|00:00:00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])")
_VARYING: tuple[Pattern, ...] = (
    (re.compile(r"fe80::[0-9a-f]{1,4}(:[0-9a-f]{1,4})+"), "fe80::8c00:ff:fe00:1"),
    (re.compile(r"time=[0-9.]+ ms"), "time=0.1 ms"),
    (re.compile(r"^round-trip .*$", re.MULTILINE), "round-trip min/avg/max = 0.1/0.1/0.1 ms"),
    (re.compile(r"@if\d+"), "@if2"),
)
"""What differs between two runs or two machines, and what the page shows instead."""

_SETUP = """
set -e
mount -t tmpfs none /opt
mkdir -p /opt/cni
cp -a "$4" /opt/cni/bin
mount -t tmpfs none /run
mkdir -p /run/netns /run/bin /run/etc /run/work
mount -t overlay none -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
rm -rf /etc/cni /etc/resolv.conf
mkdir -p /etc/cni/net.d
echo 'nameserver 192.0.2.53' >/etc/resolv.conf
mount -t tmpfs none /var/lib
ip link set lo up
for name in pynet:netd.cli.main pynetd:netd.daemon; do
    printf '#!/bin/sh\\nPYTHONPATH="%s" exec "%s" -m %s "$@"\\n' "$1" "$2" "${name#*:}" >/run/bin/${name%:*}
    chmod 755 /run/bin/${name%:*}
done
for name in ping nc wget httpd; do ln -s "$(command -v busybox)" /run/bin/$name; done
ln -s "$3" /run/bin/cnitool
echo ready
exec sleep infinity
"""


def readme(name: str) -> Path:
    """The README of the plugin called `name`."""
    return ROOT / "plugins" / name / "README.md"


def has_example(name: str) -> bool:
    """Whether the README has a section with a transcript that the test below runs."""
    page = readme(name).read_text() if readme(name).exists() else ""
    section = _SECTION.search(page)
    return section is not None and "```console\n" in page[section.end() :]


def names(guest: bool) -> list[str]:
    """The plugins whose examples run in the guest, or here."""
    return [name for name in NAMES if (name in GUEST) == guest and name not in WITHOUT]


def check_example(name: str) -> None:
    """Runs the example of the plugin called `name`; AssertionError with the differences."""
    page = readme(name)
    text = page.read_text()
    section = _SECTION.search(text)
    assert section is not None, f"{page}: no section `## Example`"
    configurations = [found[1] for found in _JSON.finditer(text, section.end())]
    macs = MacAddresses(text)
    # compiling takes an emulated machine longer than all the rest
    with ExampleHost(configurations, "twin" if name in GUEST else "c") as host:
        try:
            check(page, lambda _, command: macs(replaced(host.output(command), _VARYING)))
        finally:
            if os.path.isdir(place := os.environ.get(WRITE, "")):
                shutil.copy(page, f"{place}/{name}.md")


class MacAddresses:
    """Random hardware addresses become others, numbered in the order of their appearance; those that the
    configurations of a page set stay."""

    def __init__(self, page: str) -> None:
        configured = {mac for block in _JSON.finditer(page) for mac in _MAC.findall(block[1])}
        self._known = {mac: mac for mac in configured}

    def __call__(self, text: str) -> str:
        return _MAC.sub(self._steady, text)

    def _steady(self, found: re.Match[str]) -> str:
        return self._known.setdefault(found[0], f"8e:00:00:00:00:{len(self._known) + 1:02x}")


@cache
def _cnitool() -> str:
    script = str(ROOT / "scripts/clients")
    command = [script, "--print", "cnitool"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        subprocess.run([script, "cnitool"], check=True, capture_output=True, timeout=1200)
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    return told.stdout.strip()


class ExampleHost:
    """Namespaces of its own (net, mount, pid) with empty default paths, these networks and all our plugins; nothing of
    it, running commands included, outlives the context manager."""

    def __init__(self, configurations: list[str], launcher: str) -> None:
        """`launcher` is one of `launchers.KINDS`."""
        self._launcher = launcher
        self._lists = {json.loads(each)["name"]: each for each in configurations}
        self._holder: subprocess.Popen[str] | None = None
        self._enter: list[str] = []

    def __enter__(self) -> ExampleHost:
        unshare = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        with tempfile.TemporaryDirectory() as directory:
            plugins = launchers.install(self._launcher, Path(directory) / "bin", {"entry": str(launchers.ENTRY)}, NAMES)
            parameters = [str(ROOT), sys.executable, _cnitool(), str(plugins)]
            self._holder = subprocess.Popen(
                [*unshare, "--mount-proc", "bash", "-c", _SETUP, "bash", *parameters],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert self._holder.stdout is not None and self._holder.stderr is not None
            ready = self._holder.stdout.readline() == "ready\n"
        pid = self._holder.pid
        self._enter = ["nsenter", f"--target={pid}", "--net", "--mount", f"--pid=/proc/{pid}/ns/pid_for_children", "--"]
        if not ready:
            problem = self._holder.stderr.read()
            self.close()
            raise RuntimeError(f"setting up the example's host: {problem}")
        for name, text in self._lists.items():
            self._run(f"cat >/etc/cni/net.d/{name}.conflist", text)
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None

    def output(self, command: str) -> str:
        """What a terminal shows for a bash command line, standard error included."""
        if command.endswith("&"):
            self._run(f"{{ {command} }} >/dev/null 2>&1")
            return ""
        return self._run(f"{{ {command}; }} 2>&1")

    def _run(self, command: str, stdin: str = "") -> str:
        path = f"/run/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        environment = {"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", "CNI_PATH": "/opt/cni/bin"}
        words = [*self._enter, "bash", "-c", command]
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=120, check=False, cwd="/", env=environment
        )
        assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout
