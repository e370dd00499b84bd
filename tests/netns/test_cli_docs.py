"""docs/pynet.md is what really happens: its commands are run in order, and its text must be their output."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pynet_sandbox import ROOT, Sandbox

PAGE = ROOT / "docs" / "pynet.md"
WRITE = "PYNET_WRITE_DOCS"

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)

_VARYING = (
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "2026-01-02T03:04:05Z"),
    (re.compile(r"pid \d+"), "pid 4711"),
    (re.compile(r"\(\d+ s\)"), "(2 s)"),
    (re.compile(r"^(kernel: +).*$", re.MULTILINE), r"\g<1>6.1.0"),
    (re.compile(r"^(iptables: +).*$", re.MULTILINE), r"\g<1>1.8.9 (nf_tables)"),
    (re.compile(r"^(nft: +).*$", re.MULTILINE), r"\g<1>1.0.6"),
    (re.compile(r"^(eth0@if)\d+", re.MULTILINE), r"\g<1>7"),
    (re.compile(r"launcher: (packaged|compiled|python);"), "launcher: compiled;"),
    (re.compile(r"and API with: .*"), "and API with: pynetd"),
)
"""What differs between two runs or two machines, and what the page shows instead."""


def output(host: Sandbox, command: str) -> str:
    """What a terminal shows for a command, standard error included."""
    if command == "pynetd &":
        host.start_engine()
        return ""
    done = host.run(f"{{ {command}; }} 2>&1")
    text = done.stdout
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def rendered(page: str, host: Sandbox) -> str:
    """The page with the output of every command below it."""

    def block(match: re.Match[str]) -> str:
        commands = [line[2:] for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"$ {each}\n{output(host, each)}" for each in commands) + "```"

    return _BLOCK.sub(block, page)


def test_the_page_shows_what_happens() -> None:
    page = PAGE.read_text()
    with Sandbox() as host:
        seen = rendered(page, host)
    if os.environ.get(WRITE):
        PAGE.write_text(seen)
    assert seen.splitlines() == Path(PAGE).read_text().splitlines()
