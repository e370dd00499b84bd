"""The packet filter of the calling process's namespace, as its own programs print it."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable

from nft_meaning import TABLES, meaning
from rtnetlink_dump import Dumper

_NFNL_NFTABLES = 10 << 8
_GETTABLE, _GETGEN = _NFNL_NFTABLES | 1, _NFNL_NFTABLES | 16
_NFGENMSG = struct.pack("=BBH", 0, 0, 0)
# those that the programs of iptables print
_XTABLES = re.compile(r"table (ip6?) (filter|nat|mangle|raw|security) \{")


class FirewallReader:
    """Runs the programs only where there are rules, and again only when these changed."""

    def __init__(self, dumper: Dumper) -> None:
        self._dumper = dumper
        self._known: tuple[bytes, dict[str, str]] = (b"", {})

    def read(self, text: Callable[[str], str]) -> dict[str, str]:
        """`text` replaces random names."""
        generation = dict(self._dumper.one(_GETGEN, _NFGENMSG, netfilter=True).attributes)[1]
        if generation != self._known[0]:
            state: dict[str, str] = {}
            if self._dumper.dump(_GETTABLE, _NFGENMSG, netfilter=True):
                for program in ("iptables", "ip6tables"):
                    state |= _saved(program, text(_printed(f"{program}-save")))
                state |= _ruleset(text(_printed("nft", "-s", "list", "ruleset")))
            self._known = (generation, state)
        return self._known[1]


def _printed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def _saved(program: str, printed: str) -> dict[str, str]:
    """A chain is a key, its policy and rules in order the value."""
    state: dict[str, str] = {}
    table = ""
    for line in printed.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            state[f"host/{program}/{table}/{chain}"] = policy
        elif line.startswith("-A"):
            state[f"host/{program}/{table}/{line.split()[1]}"] += "\n" + line
    return state


def _ruleset(printed: str) -> dict[str, str]:
    """A table is a key, or its facts are; those of iptables are left out."""
    state: dict[str, str] = {}
    for block in re.split(r"^(?=table )", printed, flags=re.M):
        head = block.partition("\n")[0]
        if block.startswith("table ") and not _XTABLES.match(head):
            name = head.removeprefix("table ").removesuffix(" {")
            state |= meaning(name, block) if name in TABLES else {f"host/nft/{name}": _sorted_sets(block)}
    return state


def _sorted_sets(block: str) -> str:
    """Elements of sets have no order."""
    return re.sub(
        r"elements = \{(.*?)\}",
        lambda found: "elements = { " + ", ".join(sorted(each.strip() for each in found[1].split(","))) + " }",
        block,
        flags=re.S,
    )
