"""Kinds of devices that containers get besides a veth pair's end; for messages, plans and the in-memory kernel."""

from __future__ import annotations

from pycni.record import Record

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
"""By MACVLAN_MODE_* of linux/if_link.h."""

IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
"""By IPVLAN_MODE_* of linux/if_link.h."""


class Macvlan(Record):
    """A device with a hardware address of its own on its parent's wire; `mode` is a key of MACVLAN_MODES, a queue
    length of 0 the kernel's default."""

    mode: str = "bridge"
    bc_queue_len: int = 0


class Ipvlan(Record):
    """A device with its parent's hardware address and IP addresses of its own; `mode` is a key of IPVLAN_MODES."""

    mode: str = "l2"


class Vlan(Record):
    """An 802.1Q VLAN of its parent, 0 to 4094."""

    vid: int


class Dummy(Record):
    """A device that throws everything away; it has no parent."""


class Tap(Record):
    """A TAP device that stays when nobody has it open.  `owner` and `group` are numeric ids, None for anybody's;
    `selinux_context` "" is the caller's own."""

    multi_queue: bool = False
    owner: int | None = None
    group: int | None = None
    selinux_context: str = ""


Kind = Macvlan | Ipvlan | Vlan | Dummy
"""Those that rtnetlink makes."""

KIND_NAMES: dict[type, str] = {Macvlan: "macvlan", Ipvlan: "ipvlan", Vlan: "vlan", Dummy: "dummy"}
"""As the kernel calls them."""
