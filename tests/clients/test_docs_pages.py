"""docs/modes/*.md and docs/operations.md are what really happens, on a host with the bundled runtime and an uplink."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_pages import Steady, check

from .containerd import image_archive
from .host import Host, Service, disposable_host
from .ours import API_SOCKET, DNS_SOCKET, SOCKET, command, engine_accepts
from .polling import wait_until

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (*sorted(DOCS.glob("modes/[a-z]*.md")), DOCS / "operations.md")

_VARYING = (
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "2026-01-02T03:04:05Z"),
    (re.compile(r"(Less than a second|About a minute|\d+ seconds?)( ago)?"), r"2 seconds\2"),
    (re.compile(r"\(\d+ s\)"), "(2 s)"),
    (re.compile(r"pid[ =]\d+"), "pid 4711"),
    (re.compile(r"(with: )\S+/pynetd"), r"\1pynetd"),
    (re.compile(r"launcher: (packaged|compiled|python);"), "launcher: compiled;"),
    (re.compile(r"(eth\d|veth[0-9a-f]+)@if\d+"), r"\1@if7"),
    (re.compile(r"^\d+(: pn-)", re.MULTILINE), r"4\1"),
    (re.compile(r"fd(?!00:250)[0-9a-f]{2}(?::[0-9a-f]{1,4}){2}::"), "fd12:3456:789a::"),
    (re.compile(r"fe80::[0-9a-f:]+"), "fe80::1"),
    (re.compile(r"^(kernel: +).*$", re.MULTILINE), r"\g<1>6.1.0"),
    (re.compile(r"^(iptables: +).*$", re.MULTILINE), r"\g<1>1.8.9 (nf_tables)"),
    (re.compile(r"^(nft: +).*$", re.MULTILINE), r"\g<1>1.0.6"),
)
"""What differs between two runs or two machines, and what a page shows instead."""

_SERVES = "pynetd &"
"""The one command of the pages that does not end."""


class Console:
    """What a terminal of the host shows; `neighbour$ ` is a terminal of the machine at the other end of its uplink."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._steady = Steady(_VARYING)
        self.daemon: Service | None = None

    def output(self, prompt: str, line: str) -> str:
        assert prompt in ("", "neighbour"), f"nobody has the prompt {prompt}$"
        if line == _SERVES:
            self.serve()
            return ""
        words = ["bash", "-c", f"{{ {line}\n}} 2>&1; true"]
        return self._steady(self._host.neighbour(*words) if prompt else self._host.run(*words))

    def serve(self) -> None:
        """Starts pynetd, and returns when all of it serves."""
        daemon = self.daemon = self._host.service("pynetd", command("pynetd"))

        def serves() -> bool:
            daemon.alive()
            return all(engine_accepts(self._host, path) for path in (SOCKET, DNS_SOCKET, API_SOCKET))

        wait_until(serves, "pynetd to serve", 30)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """With `pynet` in PATH, and the image `busybox`."""
    with disposable_host() as made:
        made.path.insert(0, str(Path(command("pynet")).parent))
        # the host's /var/lib is an overlay, on which no other can be stacked
        made.run("mkdir", "/var/lib/pynet")
        made.run("mount", "-t", "tmpfs", "tmpfs", "/var/lib/pynet")
        first = Console(made)
        first.serve()
        made.run("pynet", "image", "load", "--input", str(image_archive(made)))
        made.run("pynet", "image", "tag", "local/busybox:test", "busybox")
        made.run("pynet", "image", "rm", "local/busybox:test")
        assert first.daemon is not None
        _end(first.daemon)
        yield made


@pytest.fixture
def console(host: Host) -> Iterator[Console]:
    """Where nothing was done yet; what the page leaves is removed."""
    console = Console(host)
    console.serve()
    yield console
    assert console.daemon is not None
    if not console.daemon.running:
        console.serve()
    for words in ("pynet container rm -f $(pynet ps -aq)", "pynet rm -f $(pynet ls -q)", "pynet uninstall"):
        host.run("bash", "-c", f"{words} || true")
    _end(console.daemon)


def _end(daemon: Service) -> None:
    """As its user would, by SIGTERM; nsenter, which started it, ends with it."""
    (supervisor,) = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    os.kill(int(supervisor), signal.SIGTERM)
    daemon.process.wait(30)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_shows_what_happens(page: Path, console: Console) -> None:
    check(page, console.output)
