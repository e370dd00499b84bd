"""dnsname's keys, and what a container is called: pure (contract clients 3.1, docker 2.2)."""

from __future__ import annotations

from pycni.firewall.facts import Owner
from pycni.names import RESOLVER, Attachment, is_domain_name
from pycni.record import Record
from pycni.spec import arguments
from pycni.spec.address import Address
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.result import Dns, Result

AUTO = "auto"
NONE = "none"
ALL = "all"
LISTED = "listed"
CONTAINERD_STATE = "/run/containerd"
_SHORT_ID = 12
_HEX = frozenset("0123456789abcdef")


class Keys(Record):
    """The configuration.  `pod` is K8S_POD_NAME, and `in_cluster` whether a namespace came with it: podman gives the
    first alone."""

    domain: str
    aliases: tuple[str, ...]
    servers: tuple[str, ...]
    redirect: str
    containerd_state: str
    pod: str
    in_cluster: bool


class Known(Record):
    """What the container's engine keeps about it.  `resolv_conf` is its servers, None when nobody knows the file."""

    name: str = ""
    hostname: str = ""
    resolv_conf: tuple[str, ...] | None = None
    ndots: bool = False


def parse(config: Config, cni_args: str) -> Keys:
    """ConfigError names a bad key; CniError malformed CNI_ARGS."""
    section = config.section
    given = arguments.parse(cni_args, ("K8S_POD_NAME", "K8S_POD_NAMESPACE")) if cni_args else {}
    domain = section.string("domainName").strip(".")
    if domain and not is_domain_name(domain):
        raise section.wrong("domainName", f"{domain!r} is no domain name")
    redirect = section.string("redirect", AUTO)
    if redirect not in (AUTO, NONE, ALL):
        raise section.wrong("redirect", f"{redirect!r} is none of {AUTO}, {NONE}, {ALL}")
    servers = tuple(section.strings("remoteServers"))
    for server in servers:
        try:
            Address.parse(server)
        except ValueError as error:
            raise section.wrong("remoteServers", str(error)) from None
    # podman gives the aliases of every network of the container
    aliases = config.runtime.section_or_empty("aliases").strings(config.name)
    for alias in aliases:
        if not is_domain_name(alias):
            raise config.runtime.wrong("aliases", f"{alias!r} is no domain name")
    return Keys(
        domain,
        tuple(aliases),
        servers,
        redirect,
        section.string("containerdState", CONTAINERD_STATE),
        given.get("K8S_POD_NAME", ""),
        bool(given.get("K8S_POD_NAMESPACE")),
    )


def split_id(container_id: str) -> tuple[str, str]:
    """(containerd namespace, id): go-cni joins them with a hyphen.  The namespace is "" for other callers."""
    namespace, _, rest = container_id.partition("-")
    return (namespace, rest) if namespace and rest else ("", container_id)


def names(keys: Keys, known: Known, container_id: str) -> tuple[str, ...]:
    """In the order of contract docker 2.2: name, aliases, short id, host name.  What is no domain name cannot be asked
    for and is left out."""
    own = split_id(container_id)[1]
    is_hash = len(own) == 64 and _HEX.issuperset(own)
    short = own[:_SHORT_ID] if is_hash else own
    found = (keys.pod or known.name, *keys.aliases, short, known.hostname)
    return tuple(dict.fromkeys(name for name in found if is_domain_name(name)))


def redirection(keys: Keys, known: Known) -> str:
    """NONE, LISTED (the servers in the container's resolv.conf) or ALL.

    An engine that gives a name takes the servers from our result or, in a cluster, from elsewhere on purpose."""
    if keys.redirect != AUTO:
        return keys.redirect
    if keys.pod:
        return NONE
    return LISTED if known.resolv_conf is not None else ALL


def attachment(keys: Keys, known: Known, owner: Owner, previous: Result, netns: str) -> Attachment:
    """What the name server is told, sandbox and port still missing."""
    inside = [
        ip
        for ip in previous.ips
        if ip.interface is None
        or (0 <= ip.interface < len(previous.interfaces) and previous.interfaces[ip.interface].name == owner.ifname)
    ]
    external = any(route.destination.length == 0 for route in previous.routes)
    # an internal network's range names a gateway nobody has
    gateways = tuple(ip.gateway for ip in inside if ip.gateway is not None) if external else ()
    servers = keys.servers or known.resolv_conf or previous.dns.nameservers
    return Attachment(
        owner,
        "",
        netns=netns,
        names=names(keys, known, owner.container_id),
        addresses=tuple(ip.address.address for ip in inside),
        gateways=gateways,
        domain=keys.domain,
        external=external,
        servers=tuple(server for server in servers if server != RESOLVER),
        ndots=known.ndots,
    )


def result(keys: Keys, previous: Result) -> Result:
    """The result for a container whose resolv.conf is made of it."""
    search = (keys.domain, *previous.dns.search) if keys.domain else previous.dns.search
    dns = Dns((RESOLVER,), previous.dns.domain, tuple(dict.fromkeys(search)), previous.dns.options)
    return previous.replace(dns=dns)


def require(previous: Result | None) -> Result:
    if previous is None:
        raise CniError("Required prevResult missing")
    return previous
