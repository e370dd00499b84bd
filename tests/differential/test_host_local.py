"""host-local by itself: every key and source of addresses, sequences of calls on one directory."""

from __future__ import annotations

from typing import Any

from address_strategies import RESOLV_CONF, RESOLV_PATH, asked_addresses, host_local, old_style, range_sets
from case_strategies import cases, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

_operations = st.lists(
    st.builds(
        lambda command, container, more: {"command": command, "id": container, "ifname": more},
        st.sampled_from(("ADD", "ADD", "ADD", "DEL", "CHECK")),
        st.sampled_from(("a", "b", "c", "10.1.2.3")),
        st.sampled_from(("eth0", "eth0", "eth1")),
    ),
    min_size=1,
    max_size=6,
).map(lambda steps: (steps, []))
_files = st.sampled_from(
    (
        {},
        {"/var/lib/cni/networks/net/10.1.2.2": "old"},
        {"/var/lib/cni/networks/net/10.1.2.2": "a\r\neth0", "/var/lib/cni/networks/net/last_reserved_ip.0": "10.1.2.5"},
        {"/var/lib/cni/networks/net/10.1.2.3": "a\n", "/var/lib/cni/networks/net/last_reserved_ip.0": "bad"},
        {
            "/var/lib/cni/networks/net/last_reserved_ip.0": "10.1.2.254",
            "/var/lib/cni/networks/net/sub/10.1.2.9": "a\r\neth0",
        },
    )
).map(lambda files: {"files": {RESOLV_PATH: RESOLV_CONF, **files}})
_config = some(
    {"type": st.just("host-local"), "ipam": host_local(range_sets) | old_style},
    {
        "args": some({}, {"cni": some({}, {"ips": asked_addresses})}),
        "runtimeConfig": some({}, {"ips": asked_addresses, "ipRanges": range_sets}),
        "dns": st.just({"nameservers": ["10.9.9.9"]}),
    },
)


@share(16)
@given(cases(st.lists(spoiled(_config), min_size=1, max_size=1), operations=_operations, extra=_files))
def test_any_calls(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
