"""resolv.conf as a result's `dns` (contract 2.2).  Pure."""

from __future__ import annotations

from pycni.spec.result import Dns


def parse_resolv_conf(text: str) -> Dns:
    """The `nameserver`, `domain`, `search` and `options` lines; several of them add up, except that the last domain
    wins.  Anything else, comments and lines without a value are skipped."""
    nameservers: list[str] = []
    domain = ""
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            nameservers.append(words[1])
        elif words[0] == "domain":
            domain = words[1]
        elif words[0] == "search":
            search += words[1:]
        elif words[0] == "options":
            options += words[1:]
    return Dns(tuple(nameservers), domain, tuple(search), tuple(options))
