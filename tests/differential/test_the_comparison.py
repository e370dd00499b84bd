"""The comparison itself: it finds what differs, and every difference that it lets pass is written down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from comparison import Comparison
from difference_forms import ALLOWED, Difference
from hypothesis import given
from hypothesis import strategies as st

_ROOT = Path(__file__).resolve().parents[2]
_BRIDGE = {
    "type": "bridge",
    "isGateway": True,
    "ipMasq": True,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]},
}
_CASE: dict[str, Any] = {
    "plugins": [
        _BRIDGE,
        {
            "type": "portmap",
            "runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]},
        },
        {"type": "tuning", "mtu": 1400},
    ],
    "sysctls": ["net/core/somaxconn"],
    "steps": ["ADD", "DEL"],
}

# what is done to our side alone after the ADD, and where it shows
ALTERATIONS = {
    "@c1 ip link set eth0 mtu 1399": r"c1/link/eth0/mtu",
    "@c1 ip link set eth0 promisc on": r"c1/link/eth0/flags",
    "@c1 ip link set eth0 address 0a:00:00:00:00:99": r"call/2/tuning/output|c1/link/eth0/.*",
    "@c1 ip link set lo up": r"c1/link/lo/flags",
    "@c1 ip link add other type veth peer name another": r"c1/link/other/kind",
    "@c1 ip addr add 10.1.2.99/24 dev eth0": r"c1/addr/eth0/10\.1\.2\.99/24",
    "@c1 ip addr del 10.1.2.2/24 dev eth0": r"c1/addr/eth0/10\.1\.2\.2/24",
    "@c1 ip route add 10.7.0.0/16 dev eth0": r"c1/route/main/10\.7\.0\.0/16/unicast",
    "@c1 ip route add 10.7.0.0/16 dev eth0 table 77": r"c1/route/77/10\.7\.0\.0/16/unicast",
    "@c1 ip route change 10.1.2.0/24 dev eth0 src 10.1.2.2 mtu 1300": r"c1/route/main/10\.1\.2\.0/24/unicast",
    "@c1 ip rule add from 10.1.2.2 table 77": r"c1/rules/inet",
    "@c1 ip neigh add 10.1.2.5 lladdr 0a:00:00:00:00:05 dev eth0 nud permanent": r"c1/neighbour/eth0/10\.1\.2\.5",
    "@c1 sysctl -qw net.ipv4.conf.eth0.arp_ignore=1": r"c1/link/eth0/ipv4/arp_ignore",
    "@c1 sysctl -qw net.ipv6.conf.eth0.accept_dad=1": r"c1/link/eth0/ipv6/accept_dad",
    "@c1 sysctl -qw net.core.somaxconn=77": r"c1/sysctl/net/core/somaxconn",
    "@c1 tc qdisc add dev eth0 root tbf rate 1mbit burst 10kb latency 25ms": r"c1/qdisc/eth0/.*",
    "sysctl -qw net.ipv4.ip_forward=0": r"host/sysctl/net/ipv4/ip_forward",
    "ip link set cni0 type bridge ageing_time 100": r"host/link/cni0/data/bridge/4",
    "ip link set cni0 alias x": r"host/link/cni0/alias",
    "ip link add cni1 type bridge": r"host/link/cni1/kind",
    "ip -6 addr add fd00:9::1/64 dev cni0": r"host/addr/cni0/fd00:9::1/64",
    "iptables -t nat -A PREROUTING -j ACCEPT": r"host/iptables/nat/PREROUTING",
    "ip6tables -t nat -D POSTROUTING 1": r"host/ip6tables/nat/POSTROUTING",
    "nft add table inet odd": r"host/nft/inet odd",
    "touch /run/odd": r"file/run/odd",
    "rm /var/lib/cni/networks/net/10.1.2.2": r"file/var/lib/cni/networks/net/10\.1\.2\.2",
    "chmod 644 /run/cni/tuning/c1_eth0.json": r"file/run/cni/tuning/c1_eth0\.json",
    "cp /etc/hostname /var/lib/cni/networks/net/10.1.2.2": r"file/var/lib/cni/networks/net/10\.1\.2\.2",
}


@pytest.mark.parametrize("line", ALTERATIONS)
def test_an_altered_side_is_found(comparison: Comparison, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comparison.SETTLING_SECONDS", 0.1)
    findings = comparison.run(_CASE, alter=(0, line))
    assert findings, "not noticed"
    assert any(re.fullmatch(ALTERATIONS[line], each.where) for each in findings[0].differences), findings


def test_the_unaltered_case_is_equal(comparison: Comparison) -> None:
    assert comparison.run(_CASE) == []


@pytest.mark.parametrize("field", ["status", "output"])
def test_another_answer_is_found(comparison: Comparison, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comparison.SETTLING_SECONDS", 0.1)
    seen = comparison.pair.each

    def altered(method: str, ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> Any:
        first, second = seen(method, ours, theirs)
        if method == "look" and first[0]:
            plugin, status, output = first[0][0]
            first[0][0] = (
                (plugin, 3, output) if field == "status" else (plugin, status, output.replace("10.1.2.1", "10.1.2.3"))
            )
        return first, second

    monkeypatch.setattr(comparison.pair, "each", altered)
    findings = comparison.run(_CASE)
    called = [each.where for each in findings[0].differences if each.where.startswith("call/")]
    assert called == [f"call/0/bridge/{field}"]


def test_what_stays_behind_on_both_sides_is_found(comparison: Comparison) -> None:
    case = {
        "plugins": [{"type": "loopback"}],
        "steps": ["ADD", {"command": "DEL", "setup": ["ip link add odd type veth peer name odder", "touch /run/odd"]}],
    }
    findings = comparison.run(case)
    assert findings[0].step == "at the end, against the beginning"
    assert {"file/run/odd", "host/link/odd/kind"} <= {each.where for each in findings[0].differences}


def _rows() -> list[list[str]]:
    text = (_ROOT / "docs" / "differences.md").read_text()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("row", sorted({each.row for each in ALLOWED}))
def test_every_allowed_difference_is_a_row_of_the_documentation(row: tuple[str, str]) -> None:
    where, begin = row
    assert not where or any(cells[0] == where and cells[1].startswith(begin) for cells in _rows())


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_difference_tells_both_values(ours: str, theirs: str) -> None:
    text = str(Difference("host/link/x", ours, theirs))
    assert ours.split("\n")[0] in text and theirs.split("\n")[0] in text
