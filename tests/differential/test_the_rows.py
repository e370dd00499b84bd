"""Rows of what is meant explain no more than they say; the table of keys; what rules of nftables mean."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from comparison import Comparison, completed
from contract_keys import KEYS, RESULT, drawn, met, missing
from difference_forms import Difference, Step
from nft_meaning import MASQUERADE, OURS, meaning

_LEGACY = {"cniVersion": "0.1.0", "ip4": {"ip": "fd00:1::2/64", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}
_SORTED = {"cniVersion": "0.1.0", "ip6": {"ip": "fd00:1::2/64", "routes": [{"dst": "::/0"}]}}


def _step(case: dict[str, Any], ours: str, theirs: str, **states: Any) -> Step:
    full = completed(case)
    kind = full["plugins"][-1]["type"]
    states = {"start": {}, "before": {}, "now": {}, "there": {}, "history": [], **states}
    return Step(full, full["steps"][0], [(kind, 0, ours)], [(kind, 0, theirs)], **states)


def _explained(step: Step, seen: Difference) -> bool:
    return Comparison._explained(step, seen, [])


@pytest.mark.parametrize(
    ("result", "meant"),
    [
        (_SORTED, True),
        ({"cniVersion": "0.1.0"}, False),
        ({**_SORTED, "dns": {"domain": "x"}}, False),
        ({"cniVersion": "0.1.0", "ip6": {"ip": "fd00:1::3/64", "routes": [{"dst": "::/0"}]}}, False),
        ({"cniVersion": "0.1.0", "ip6": {"ip": "fd00:1::2/64"}}, False),
    ],
)
def test_an_old_result_is_in_the_form_it_should_have(result: dict[str, Any], meant: bool) -> None:
    case = {"version": "0.1.0", "prevResult": _LEGACY, "plugins": [{"type": "portmap"}], "steps": ["ADD"]}
    texts = json.dumps(result), json.dumps(_LEGACY)
    assert _explained(_step(case, *texts), Difference("call/0/portmap/output", *texts)) is meant


def test_an_old_result_that_was_well_is_printed_as_it_was() -> None:
    previous = {"cniVersion": "0.1.0", "ip4": {"ip": "10.1.2.2/24"}}
    case = {"version": "0.1.0", "prevResult": previous, "plugins": [{"type": "portmap"}], "steps": ["ADD"]}
    texts = json.dumps({"cniVersion": "0.1.0", "ip4": {"ip": "10.1.2.3/24"}}), json.dumps(previous)
    assert not _explained(_step(case, *texts), Difference("call/0/portmap/output", *texts))


_NET = "file/var/lib/cni/networks/net"


@pytest.mark.parametrize(
    ("now", "there", "meant"),
    [
        ({f"{_NET}/10.1.2.4": "100600 'b\\r\\neth0'"}, {f"{_NET}/10.1.2.2": "100600 'b\\r\\neth0'"}, True),
        ({f"{_NET}/10.1.2.4": "100600 'b\\r\\neth0'"}, {}, False),
        ({f"{_NET}/10.1.2.4": "100600 'b\\r\\neth0'"}, {f"{_NET}/10.1.2.2": "100644 'b\\r\\neth0'"}, False),
    ],
)
def test_after_the_last_address_was_forgotten_leases_may_be_others_but_are_as_many(
    now: dict[str, str], there: dict[str, str], meant: bool
) -> None:
    case = {
        "plugins": [{"type": "host-local"}],
        "steps": [{"command": "DEL", "id": "10.1.2.3"}, {"command": "ADD", "id": "b"}],
    }
    full = completed(case)
    forgot = {f"{_NET}/last_reserved_ip.0": "100600 '10.1.2.3'"}
    first = Step(full, full["steps"][0], [("host-local", 0, "")], [("host-local", 0, "")], {}, forgot, {}, {}, [])
    calls = [("host-local", 0, '{"ips": [{"address": "10.1.2.4/24"}]}')], [("host-local", 0, "{}")]
    second = Step(full, full["steps"][1], *calls, {}, {}, now, there, [first])
    assert _explained(second, Difference(f"{_NET}/10.1.2.4", now.get(f"{_NET}/10.1.2.4"), None)) is meant
    other = '{"ips": [{"address": "10.1.2.2/24"}]}'
    assert _explained(second, Difference("call/0/host-local/output", calls[0][0][2], other))
    assert not _explained(second, Difference("call/0/host-local/output", calls[0][0][2], '{"ips": []}'))
    assert not _explained(second, Difference("call/0/host-local/status", "0", "1"))


_MAIN = "c1/route/main/fe80::/64/unicast v6"


@pytest.mark.parametrize(
    ("ours", "meant"),
    [
        ("proto 2 dev up0 metric 256", True),
        ("proto 2 dev up0 metric 256 | proto 2 dev up1 metric 256", True),
        ("proto 2 dev up1 metric 256", False),
        ("proto 2 dev eth0 metric 256 | proto 2 dev up0 metric 256", False),
        (None, False),
    ],
)
def test_after_a_failed_add_links_of_before_may_have_got_the_kernels_routes(ours: str | None, meant: bool) -> None:
    failed = [("macvlan", 1, '{"code": 999, "msg": "x"}')]
    before = {_MAIN: "proto 2 dev up0 metric 256", "c1/link/up0/kind": "veth", "c1/link/up1/kind": "veth"}
    full = completed({"plugins": [{"type": "macvlan"}]})
    step = Step(full, full["steps"][0], failed, failed, before, before, before, before, [])
    theirs = "proto 2 dev eth0 metric 256 | proto 2 dev up0 metric 256 | proto 2 dev up1 metric 256"
    assert _explained(step, Difference(_MAIN, ours, theirs)) is meant


def test_a_key_that_was_never_drawn_is_named() -> None:
    every = Counter({f"{kind}:{key}": 1 for kind, keys in KEYS.items() for key in keys})
    assert missing(every) == []
    del every["sbr:addSourceHints"]
    assert missing(every) == ["sbr: addSourceHints"]


def test_keys_of_an_ipam_plugin_and_of_the_runtime_are_theirs() -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}]]}
    case = {"args": "IP=10.1.2.9", "plugins": [{"type": "bridge", "ipam": ipam, "runtimeConfig": {"ips": []}}]}
    found = set(drawn(completed(case)))
    assert {"host-local:ranges.subnet", "host-local:runtimeConfig.ips", "host-local:CNI_ARGS.IP"} <= found
    assert {"bridge:ipam", "any:ADD of 1.0.0"} <= found and "bridge:ranges" not in found


def test_keys_of_the_table_meet_in_pairs_once() -> None:
    found = ["bridge:mtu", "bridge:type", "host-local:dataDir", "any:ADD of 1.0.0", "bridge:bridge"]
    assert list(met(found)) == [
        RESULT,
        "bridge:bridge + bridge:mtu",
        "bridge:bridge + host-local:dataDir",
        "bridge:mtu + host-local:dataDir",
    ]


def _table(*lines: str) -> str:
    return "table x {\n" + "\n".join(f"\t{line}" for line in lines) + "\n}\n"


def test_a_rule_of_nftables_that_is_not_understood_is_a_difference() -> None:
    known = 'ip saddr 10.1.2.2 ip daddr != 10.1.2.0/24 masquerade comment "h, id: c1"'
    facts = meaning(MASQUERADE, _table("chain masq_checks {", f"\t{known}", "\tip saddr 10.1.2.9 accept", "}"))
    assert facts == {
        "host/nft/masquerade/10.1.2.2": "outside 10.1.2.0/24, h, id: c1",
        "host/nft/not understood/ip saddr 10.1.2.9 accept": "",
    }
    facts = meaning(OURS, _table("chain p_forward {", "\tdrop", "}"))
    assert facts == {"host/nft/not understood/p_forward": "drop"}


_NFT_CASE: dict[str, Any] = {
    "plugins": [
        {
            "type": "bridge",
            "ipMasq": True,
            "ipMasqBackend": "nftables",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}]]},
        },
        {
            "type": "portmap",
            "backend": "nftables",
            "runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]},
        },
    ],
    "steps": ["ADD", "DEL"],
}
_NFT_ALTERATIONS = {
    "nft flush map inet pynet p_masq4": r"host/nft/masquerade/10\.1\.2\.2",
    "nft flush map inet pynet p_hairpin4": r"host/nft/hairpin/10\.1\.2\.2",
    "nft flush map inet pynet p_ports4": r"host/nft/port/ip/tcp 80 at any",
    "nft flush chain inet pynet p_from_10.1.2.0/24": r"host/nft/hairpin/10\.1\.2\.2",
    "nft flush chain inet pynet p_postrouting": r"host/nft/not understood/p_postrouting",
    "nft add rule inet pynet p_operator drop": r"host/nft/not understood/p_operator",
}


@pytest.mark.parametrize("line", _NFT_ALTERATIONS)
def test_an_altered_rule_of_nftables_is_found(
    comparison: Comparison, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comparison.SETTLING_SECONDS", 0.1)
    findings = comparison.run(_NFT_CASE, alter=(0, line))
    assert findings, "not noticed"
    assert any(re.fullmatch(_NFT_ALTERATIONS[line], each.where) for each in findings[0].differences), findings
