"""docs/containers.md is what really happens, as docs/pynet.md is."""

from __future__ import annotations

import os
import re

from pynet_runtime import RuntimeSandbox
from pynet_sandbox import ROOT
from test_cli_docs import WRITE, rendered

from netd.cli.output import table

PAGE = ROOT / "docs" / "containers.md"

_ID = re.compile(r"(?<![0-9a-f:])[0-9a-f]{64}(?![0-9a-f])|(?<![0-9a-f:])[0-9a-f]{12}(?![0-9a-f])")
_VARYING = (
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:…"),
    (re.compile(r"(Less than a second|About a minute|\d+ seconds?)( ago)?"), r"2 seconds\2"),
    (re.compile(r"eth(\d)@if\d+"), r"eth\1@if7"),
    (re.compile(r"\b\d\.\d+MB"), "1.98MB"),
)


class Steady:
    """The small host, with what differs between two runs replaced: ids by others, in the order of their appearance."""

    def __init__(self, host: RuntimeSandbox) -> None:
        self._host = host
        self._ids: dict[str, str] = {}

    def run(self, command: str) -> object:
        done = self._host.run(f"cd /run; {command}")
        lines = done.stdout.splitlines()
        if len(lines) > 1 and lines[0].startswith("CONTAINER ID   "):
            done.stdout = _table([[self._steady(cell) for cell in row] for row in _cells(lines)])
        else:
            done.stdout = self._steady(done.stdout)
        return done

    def _steady(self, text: str) -> str:
        for pattern, replacement in _VARYING:
            text = pattern.sub(replacement, text)
        return _ID.sub(self._known, text)

    def _known(self, match: re.Match[str]) -> str:
        short = match[0][:12]
        number = self._ids.setdefault(short, f"{len(self._ids) + 1:x}")
        return f"{number}c0ffee{'0' * 64}"[: len(match[0])]


def _cells(lines: list[str]) -> list[list[str]]:
    """A table by the columns of its heading; they are as wide as what they hold in this run."""
    starts = [match.start() for match in re.finditer(r"(?:^|(?<= {3}))\S", lines[0])]
    ends = [*starts[1:], None]
    return [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines]


def _table(rows: list[list[str]]) -> str:
    return table(rows[0], rows[1:])


def test_the_page_shows_what_happens() -> None:
    page = PAGE.read_text()
    with RuntimeSandbox() as host:
        host.ok("pynet install --no-systemd")
        host.ok("mkdir -p /run/rootfs/bin && cp /bin/busybox /run/rootfs/bin/sh")
        seen = rendered(page, Steady(host))
    if os.environ.get(WRITE):
        PAGE.write_text(seen)
    assert seen.splitlines() == PAGE.read_text().splitlines()
