"""What may be asked of a container's endpoint on a network (contract docker 1.2, 1.3, 1.6).  Pure.

Docker collects everything that is wrong with an endpoint into one answer, and so do we.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netd.failure import InvalidParameter
from netd.networks.conflist import Network
from netd.runtime.model import Endpoint, EndpointAddresses
from netd.sandbox import sysctls
from pycni.kernel.model import parse_mac
from pycni.names import is_domain_name
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import InvalidEnvironment
from pycni.spec.request import check_ifname

IFNAME = "com.docker.network.endpoint.ifname"
_LINK_LOCAL_LENGTH = {4: 16, 6: 64}

ALIASES_NEED_A_NETWORK = "network-scoped aliases are only supported for user-defined networks (--network-alias)"
ADDRESSES_NEED_A_NETWORK = "user specified IP address is supported on user defined networks only (--ip, --ip6)"
LINKS_NEED_A_NETWORK = "endpoint links are only supported for user-defined networks (--link)"


def check(name: str, endpoint: Endpoint, user_defined: bool, network: Network | None = None) -> None:
    """InvalidParameter with everything that is wrong; `network` None when nobody knows it yet."""
    problems = list(_problems(endpoint, user_defined))
    if not problems and network is not None:
        problems = list(_outside(endpoint, network))
    if problems:
        raise InvalidParameter(f"invalid config for network {name}: invalid endpoint settings:\n" + "\n".join(problems))


def _problems(endpoint: Endpoint, user_defined: bool) -> Iterator[str]:
    wanted = endpoint.ipam_config or EndpointAddresses()
    if not user_defined:
        if endpoint.aliases:
            yield ALIASES_NEED_A_NETWORK
        if wanted.ipv4_address or wanted.ipv6_address:
            yield ADDRESSES_NEED_A_NETWORK
        if endpoint.links:
            yield LINKS_NEED_A_NETWORK
    for flag, text, family in (("--ip", wanted.ipv4_address, 4), ("--ip6", wanted.ipv6_address, 6)):
        if text and not _is_host(text, family):
            yield f"invalid IPv{family} address: {text} ({flag})"
    for text in wanted.link_local_ips or ():
        if not _is_link_local(text):
            yield f"invalid link-local IP address: {text} (--link-local-ip)"
    for alias in endpoint.aliases or ():
        if not is_domain_name(alias):
            yield f"invalid alias: {alias!r} is no domain name (--network-alias)"
    for link in endpoint.links or ():
        if not link.partition(":")[0] or link.endswith(":"):
            yield f"invalid link: {link!r}, expected CONTAINER[:ALIAS] (--link)"
    if endpoint.mac_address:
        yield from _mac_problems(endpoint.mac_address)
    yield from _option_problems(endpoint.driver_opts or {})


def _option_problems(options: dict[str, str]) -> Iterator[str]:
    if IFNAME in options:
        try:
            check_ifname(options[IFNAME])
        except InvalidEnvironment as error:
            yield f"{IFNAME} {options[IFNAME]!r}: {error.details or error.msg}"
        else:
            if options[IFNAME] == "lo":
                yield f"{IFNAME} lo: is the loopback interface"
    try:
        sysctls.of_endpoint(options.get(sysctls.OPTION, ""), "eth0")
    except InvalidParameter as error:
        yield str(error)


def _mac_problems(text: str) -> Iterator[str]:
    try:
        mac = parse_mac(text)
    except ValueError:
        mac = b""
    if len(mac) != 6:
        yield f"invalid MAC address: {text} (--mac-address)"
    elif mac[0] & 1:
        yield f"invalid MAC address: {text} is a multicast address (--mac-address)"


def _is_host(text: str, family: int) -> bool:
    try:
        address = Address.parse(text)
    except ValueError:
        return False
    return address.family == family and not address.is_unspecified and not address.is_loopback


def _is_link_local(text: str) -> bool:
    try:
        return Address.parse(text).is_link_local
    except ValueError:
        return False


def _outside(endpoint: Endpoint, network: Network) -> Iterator[str]:
    """Wanted addresses that the network's subnets cannot give.  A list without subnets leaves that to its plugin."""
    if not network.subnets:
        return
    for address in wanted_addresses(endpoint):
        home = next((each for each in network.subnets if each.prefix.contains(address)), None)
        if home is None:
            yield f"no configured subnet contains IP address {address}"
        elif address == (home.gateway or home.prefix.network.address + 1):
            yield f"IP address {address} is the gateway of {home.prefix}"
        elif home.prefix.length < address.bits - 1 and (
            address == home.prefix.network.address or (address.family == 4 and address == home.prefix.last)
        ):
            yield f"IP address {address} is the network or broadcast address of {home.prefix}"


def wanted_addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """The static ones, IPv4 first."""
    wanted = endpoint.ipam_config or EndpointAddresses()
    return tuple(Address.parse(text) for text in (wanted.ipv4_address, wanted.ipv6_address) if text)


def link_local(endpoint: Endpoint) -> tuple[Prefix, ...]:
    """The additional ones, with the length of the link-local subnet."""
    wanted = endpoint.ipam_config or EndpointAddresses()
    found = [Address.parse(text) for text in wanted.link_local_ips or ()]
    return tuple(Prefix(address, _LINK_LOCAL_LENGTH[address.family]) for address in found)


def ifname(endpoint: Endpoint, taken: Sequence[str]) -> str:
    """The one asked for, else eth with the lowest number nobody has; InvalidParameter when it is taken."""
    wanted = (endpoint.driver_opts or {}).get(IFNAME, "")
    if not wanted:
        return next(name for name in (f"eth{number}" for number in range(len(taken) + 1)) if name not in taken)
    if wanted in taken:
        raise InvalidParameter(f"{IFNAME} {wanted}: the container has an interface of this name")
    return wanted


def clear(endpoint: Endpoint) -> None:
    """What was asked stays; what was got is gone."""
    fresh = Endpoint()
    for name in ("endpoint_id", "gateway", "ip_address", "ip_prefix_len", "ipv6_gateway"):
        setattr(endpoint, name, getattr(fresh, name))
    endpoint.global_ipv6_address = ""
    endpoint.global_ipv6_prefix_len = 0
