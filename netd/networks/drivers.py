"""What there is besides bridge networks, and which flags and options belong to which.  Pure."""

from __future__ import annotations

from netd.networks.errors import InvalidRequest
from pycni.kernel.kinds import IPVLAN_MODES, MACVLAN_MODES

BRIDGE, MACVLAN, IPVLAN, VLAN, PTP = "bridge", "macvlan", "ipvlan", "vlan", "ptp"
DRIVERS = (BRIDGE, MACVLAN, IPVLAN, VLAN, PTP)
ON_A_DEVICE = frozenset((MACVLAN, IPVLAN, VLAN))
"""Those whose containers are on the wire of one of the host's devices, past its firewall."""

MODES: dict[str, tuple[str, ...]] = {MACVLAN: tuple(MACVLAN_MODES), IPVLAN: tuple(IPVLAN_MODES)}

HOST_LOCAL, DHCP = "host-local", "dhcp"
IPAM_DRIVERS = (HOST_LOCAL, DHCP)

_FLAGS = {
    "--bridge": {BRIDGE},
    "--internal": {BRIDGE},
    "--isolation": {BRIDGE},
    "--firewall": {BRIDGE, PTP},
    "--host-access": {MACVLAN},
    "--ipam-driver dhcp": {MACVLAN, VLAN},
}


def check_driver(driver: str) -> None:
    """InvalidRequest for one there is not."""
    if driver not in DRIVERS:
        raise InvalidRequest(f"--driver {driver!r}: must be one of {', '.join(DRIVERS)}")


def refuse_flags(driver: str, given: dict[str, bool]) -> None:
    """`given` says which flags were; InvalidRequest names one that means nothing for the driver."""
    for flag, drivers in _FLAGS.items():
        if given.get(flag) and driver not in drivers:
            raise InvalidRequest(
                f"{flag}: only networks of driver {' and '.join(sorted(drivers))} have it, not {driver}"
            )


def refuse_with_dhcp(given: dict[str, bool]) -> None:
    """InvalidRequest names a flag that says what is not ours to say."""
    for flag, is_given in given.items():
        if is_given:
            raise InvalidRequest(f"{flag}: with --ipam-driver dhcp the addresses are the DHCP server's to choose")


def check_mode(driver: str, mode: str, host_access: bool) -> None:
    """InvalidRequest for a mode the driver has not, or in which nobody would be reached."""
    if mode and mode not in MODES[driver]:
        raise InvalidRequest(f"option mode: {mode!r} must be one of {', '.join(MODES[driver])}")
    if host_access and mode not in ("", "bridge"):
        raise InvalidRequest(f"--host-access: in mode {mode} no device on the same parent is reached, only in bridge")
