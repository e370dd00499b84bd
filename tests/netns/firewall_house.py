"""A firewall in a namespace of its own, and containers that want all kinds of rules of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firewall_spaces import Space

from pycni import program_path
from pycni.firewall.facts import Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix

BOTH = pytest.mark.parametrize("backend", [IPTABLES, NFTABLES])


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as space:
        yield space


@pytest.fixture
def reopen(space: Space, tmp_path: Path) -> Iterator[Callable[[], Firewall]]:
    """A firewall of the same namespace as another process would see it: it remembers nothing."""
    made: list[tuple[Firewall, Namespace]] = []

    def make() -> Firewall:
        namespace = Namespace.open(space.path)
        made.append((Firewall(namespace, str(tmp_path / "run")), namespace))
        return made[-1][0]

    yield make
    for firewall, namespace in made:
        firewall.close()
        namespace.close()


@pytest.fixture
def firewall(reopen: Callable[[], Firewall]) -> Firewall:
    return reopen()


def address(number: int) -> Prefix:
    return Prefix.parse(f"10.1.2.{number}/24")


def everything(number: int, port: int = 8080) -> dict[str, tuple[Fact, ...]]:
    """All kinds of facts of a container, dual stack."""
    four, six = address(number), Prefix.parse(f"fd00:2::{number}/64")
    mappings = (Mapping("tcp", port, 80), Mapping("udp", port, 81, Prefix.parse("10.1.2.1/32").address))
    return {
        "masquerade": (Masquerade((four, six)),),
        "portmap": (Publish(four, mappings), Publish(six, mappings)),
        "firewall": (
            Admit((four.address, six.address)),
            Isolate("br0", "isolated", 4),
            Isolate("br0", "isolated", 6),
        ),
    }


def install(firewall: Firewall, owner: Owner, facts: dict[str, tuple[Fact, ...]], backend: str) -> None:
    for kind, each in facts.items():
        firewall.install(owner, kind, backend, each)


def state(space: Space) -> list[str]:
    """All that is in the namespace, without counters and handles."""
    saved = [line for lines in space.saved().values() for line in lines]
    ours = space.run("nft", "list", "table", "inet", "pynet", check=False).stdout.split("\n")
    return sorted(saved) + sorted(line.strip() for line in ours)


def owned(space: Space) -> list[str]:
    """The lines that are there because of a container."""
    marks = ("10.1.2.", "fd00:2", "br0", "p_leave", "p_from", "p_if_", "CNI-DN-", ", id: ", 'id: \\"')
    return [line for line in state(space) if any(mark in line for mark in marks)]


ONE, TWO = Owner("net", "one", "eth0"), Owner("net", "two", "eth0")


@pytest.fixture
def legacy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's iptables is the legacy variant."""
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            target = program_path.find(f"{family}-legacy{suffix}")
            (tmp_path / f"{family}{suffix}").symlink_to(target)
    monkeypatch.setattr(program_path, "_found", {})
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
