"""docs/pynet.md is what really happens: its commands are run in order, and its text must be their output."""

from __future__ import annotations

import re

from console_pages import check, replaced
from pynet_sandbox import ROOT, Sandbox

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
    return replaced(host.run(f"{{ {command}; }} 2>&1").stdout, _VARYING)


def test_the_page_shows_what_happens() -> None:
    with Sandbox() as host:
        check(ROOT / "docs" / "pynet.md", lambda _, command: output(host, command))
