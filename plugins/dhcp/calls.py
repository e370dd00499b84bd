"""What plugin and daemon say to each other: Go's net/rpc, which begins as HTTP and goes on as gob.

The names are those of the reference, so that either side may be the reference's.  `METHODS_OF_OURS` are more; the
reference's daemon answers those with "can't find method".
"""

from __future__ import annotations

from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix
from pycni.spec.result import Dns, IpConfig, Result
from pycni_plugins.dhcp.gob import BYTES, INT, STRING, UINT, GobError, Slice, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONNECT = b"CONNECT /_goRPC_ HTTP/1.0\n\n"
CONNECTED = b"HTTP/1.0 200 Connected to Go RPC\n\n"

ALLOCATE, RELEASE = "DHCP.Allocate", "DHCP.Release"
CHECK, COLLECT, STATUS = METHODS_OF_OURS = "DHCP.Check", "DHCP.Collect", "DHCP.Status"
UNKNOWN_METHOD = "rpc: can't find method "

REQUEST = Struct("Request", (("ServiceMethod", STRING), ("Seq", UINT)))
RESPONSE = Struct("Response", (("ServiceMethod", STRING), ("Seq", UINT), ("Error", STRING)))
NOTHING = Struct("", ())

ARGUMENTS = Struct(
    "CmdArgs",
    (
        ("ContainerID", STRING),
        ("Netns", STRING),
        ("IfName", STRING),
        ("Args", STRING),
        ("Path", STRING),
        ("NetnsOverride", STRING),
        ("StdinData", BYTES),
    ),
)
"""The CNI arguments of the call, whichever method it is."""

_NETWORK = Struct("IPNet", (("IP", BYTES), ("Mask", BYTES)))
_IP = Struct("IPConfig", (("Interface", INT), ("Address", _NETWORK), ("Gateway", BYTES)))
_ROUTE = Struct(
    "Route",
    (
        ("Dst", _NETWORK),
        ("GW", BYTES),
        ("MTU", INT),
        ("AdvMSS", INT),
        ("Priority", INT),
        ("Table", INT),
        ("Scope", INT),
    ),
)
_STRINGS = Slice("[]string", STRING)
_DNS = Struct("DNS", (("Nameservers", _STRINGS), ("Domain", STRING), ("Search", _STRINGS), ("Options", _STRINGS)))
RESULT = Struct(
    "Result",
    (
        ("CNIVersion", STRING),
        ("IPs", Slice("[]*types100.IPConfig", _IP)),
        ("Routes", Slice("[]*types.Route", _ROUTE)),
        ("DNS", _DNS),
    ),
)
"""CNI's result 1.0.0 as Go has it, without `Interfaces`, which an address plugin leaves to its caller."""


def to_wire(result: Result) -> dict[str, Any]:
    """A value of type RESULT."""
    ips = [{"Address": _from_prefix(each.address), "Gateway": _packed(each.gateway)} for each in result.ips]
    routes = [
        {
            "Dst": _from_prefix(each.destination),
            "GW": _packed(each.gateway),
            "Priority": each.priority,
            "Scope": each.scope,
        }
        for each in result.routes
    ]
    dns = result.dns
    names = {"Nameservers": dns.nameservers, "Domain": dns.domain, "Search": dns.search, "Options": dns.options}
    return {"IPs": ips, "Routes": routes, "DNS": names}


def from_wire(value: Any) -> Result:
    """The result somebody sent; GobError when it is none."""
    try:
        ips = tuple(
            IpConfig(_to_prefix(each["Address"]), _to_address(each.get("Gateway"))) for each in value.get("IPs", ())
        )
        routes = tuple(_to_route(each) for each in value.get("Routes", ()))
        dns = value.get("DNS", {})
        return Result(
            ips=ips,
            routes=routes,
            dns=Dns(
                tuple(dns.get("Nameservers", ())),
                dns.get("Domain", ""),
                tuple(dns.get("Search", ())),
                tuple(dns.get("Options", ())),
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GobError(f"not a result: {type(error).__name__} {error}") from None


def _to_route(value: dict[str, Any]) -> Route:
    return Route(
        _to_prefix(value["Dst"]),
        _to_address(value.get("GW")),
        value.get("Priority", 0),
        value.get("Table"),
        value.get("Scope"),
        value.get("MTU", 0),
        value.get("AdvMSS", 0),
    )


def _packed(address: Address | None) -> bytes:
    return b"" if address is None else address.packed


def _from_prefix(prefix: Prefix) -> dict[str, bytes]:
    size = prefix.address.bits // 8
    return {"IP": prefix.address.packed, "Mask": prefix.mask.to_bytes(size, "big")}


def _to_prefix(value: dict[str, bytes]) -> Prefix:
    address = _to_address(value["IP"])
    mask = value["Mask"]
    number = int.from_bytes(mask, "big")
    length = number.bit_count()
    if (
        address is None
        or len(mask) * 8 != address.bits
        or number != (1 << len(mask) * 8) - (1 << len(mask) * 8 - length)
    ):
        raise ValueError(f"address {value['IP'].hex()} with mask {mask.hex()}")
    return Prefix(address, length)


def _to_address(packed: bytes | None) -> Address | None:
    """Go writes IPv4 addresses in 4 or in 16 bytes."""
    if not packed:
        return None
    if len(packed) not in (4, 16):
        raise ValueError(f"an address of {len(packed)} bytes")
    return Address(packed[12:] if packed[:12] == bytes(10) + b"\xff\xff" else packed)
