"""VLANs of bridge ports as bytes."""

from __future__ import annotations

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from pycni.kernel import netlink, port_vlans
from pycni.kernel.model import PortVlan

vlans = st.lists(
    st.builds(PortVlan, st.integers(1, 4094), st.booleans(), st.booleans()),
    max_size=12,
    unique_by=lambda each: each.vid,
)
runs = st.builds(
    lambda start, length, untagged: [PortVlan(vid, False, untagged) for vid in range(start, start + length)],
    st.integers(1, 4000),
    st.integers(1, 90),
    st.booleans(),
)


@given(st.one_of(vlans, runs))
def test_what_is_told_is_what_is_read(told: list[PortVlan]) -> None:
    kind, flags, payload = port_vlans.add_port_vlans(7, told)
    assert (kind, flags, payload[0]) == (19, 0, 7)
    assert port_vlans.parse_port_vlans(payload) == (7, told)
    assert port_vlans.remove_port_vlans(7, told)[0] == 17


@given(runs)
def test_a_run_takes_two_attributes(run: list[PortVlan]) -> None:
    payload = port_vlans.add_port_vlans(7, run)[2]
    spec = netlink.attributes(payload, 16)[26]
    assert len(netlink.attribute_list(spec)) == min(len(run), 2)


def test_a_pvid_is_never_part_of_a_run() -> None:
    told = [PortVlan(vid, vid == 6, True) for vid in (5, 6, 7, 8)]
    spec = netlink.attributes(port_vlans.add_port_vlans(1, told)[2], 16)[26]
    assert [value for _, value in netlink.attribute_list(spec)] == [
        pack("=HH", flags, vid) for flags, vid in ((4, 5), (6, 6), (12, 7), (20, 8))
    ]


def test_other_attributes_of_a_port_are_left_out() -> None:
    head = pack("=BxHiII", 7, 0, 3, 0, 0)
    assert port_vlans.parse_port_vlans(head) == (3, [])
    assert port_vlans.parse_port_vlans(head + netlink.nested(26, netlink.attribute_u16(0, 1))) == (3, [])


def test_filtering_is_read_from_a_bridges_data() -> None:
    head = pack("=BxHiII", 0, 0, 3, 0, 0)

    def link(*data: bytes) -> bytes:
        return head + netlink.nested(18, netlink.attribute_text(1, "bridge"), netlink.nested(2, *data))

    assert port_vlans.parse_filtering(link(netlink.attribute_u8(7, 1))) is True
    assert port_vlans.parse_filtering(link(netlink.attribute_u8(7, 0))) is False
    assert port_vlans.parse_filtering(link(netlink.attribute_u32(1, 1500))) is None
    assert port_vlans.parse_filtering(head) is None
