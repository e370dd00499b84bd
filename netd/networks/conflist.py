"""A network list as JSON values: building ours, and reading anybody's.  Pure.

Our lists are spelled as nerdctl spells its own (contracts, clients 1.2), cniVersion 1.0.0, which every client in use
accepts; podman 4.3's library refuses 1.1.0.  They carry no `nerdctlID`: with one, `nerdctl network prune` would delete
networks that only pods or podman use, because nerdctl asks nobody but its own containers.  Without it nerdctl lists,
inspects and uses the network, and leaves its removal to us.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from netd.networks.names import is_name, network_id
from netd.networks.request import OPEN, Request, range_ends, usable
from pycni.firewall.facts import ISOLATED
from pycni.record import Record
from pycni.spec.address import Address, Prefix

CNI_VERSION = "1.0.0"

PYNET, NERDCTL, PODMAN, OTHER = "pynet", "nerdctl", "podman", "other"


class Subnet(Record):
    """One range of a network.  `gateway` None where the list leaves it to the plugin."""

    prefix: Prefix
    gateway: Address | None = None
    start: Address | None = None
    end: Address | None = None
    ip_range: Prefix | None = None


class Network(Record):
    """What a list says, whoever wrote it.  `owner` is PYNET, NERDCTL, PODMAN or OTHER; `created` RFC 3339 or empty;
    `parent` is the host's device that containers are on top of, `host_access` the one by which it reaches them;
    `keeps_bridge` when the bridge existed before the network and is to outlive it."""

    name: str
    file: str
    owner: str
    cni_version: str
    plugins: tuple[str, ...]
    subnets: tuple[Subnet, ...] = ()
    bridge: str = ""
    mtu: int = 0
    vlan: int = 0
    internal: bool = False
    isolation: str = OPEN
    firewall: str = "auto"
    masquerade: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    created: str = ""
    data_dir: str = ""
    keeps_bridge: bool = False
    parent: str = ""
    mode: str = ""
    host_access: str = ""

    @property
    def id(self) -> str:
        return network_id(self.name)

    @property
    def driver(self) -> str:
        return self.plugins[0] if self.plugins else ""

    def has_family(self, family: int) -> bool:
        return any(subnet.prefix.family == family for subnet in self.subnets)


def build(
    request: Request,
    subnets: Sequence[Subnet],
    *,
    bridge: str,
    keeps_bridge: bool,
    created: str,
    data_dir: str = "",
) -> dict[str, Any]:
    """The list for a request whose open choices have been made.  `data_dir` empty: host-local's default."""
    plugins = [_bridge(request, subnets, bridge, data_dir)]
    if not request.internal:
        # without a way in or out there is nothing to publish; nerdctl leaves it out as well
        plugins.append({"type": "portmap", **backend("backend", request), "capabilities": {"portMappings": True}})
    confined = {"internal": True} if request.internal else {}
    plugins.append({"type": "firewall", **backend("backend", request), "ingressPolicy": request.isolation, **confined})
    plugins.append({"type": "tuning"})
    if request.dns:
        # podman's spelling of how other names of the container arrive
        plugins.append({"type": "dnsname", "capabilities": {"aliases": True}})
    result: dict[str, Any] = {"cniVersion": CNI_VERSION, "name": request.name}
    return {**result, **own_part(request, created, keeps_bridge), "plugins": plugins}


def own_part(request: Request, created: str, keeps_bridge: bool) -> dict[str, Any]:
    """What a list of ours says besides CNI's keys."""
    labels = dict(request.labels)
    part: dict[str, Any] = {"nerdctlLabels": labels, "args": {"podman_labels": labels}} if labels else {}
    part["pynet"] = {
        "id": network_id(request.name),
        "created": created,
        "keepsBridge": keeps_bridge,
        "labels": labels,
        "options": dict(request.options),
    }
    return part


def backend(key: str, request: Request) -> dict[str, str]:
    return {} if request.firewall == "auto" else {key: request.firewall}


def _bridge(request: Request, subnets: Sequence[Subnet], bridge: str, data_dir: str) -> dict[str, Any]:
    plugin: dict[str, Any] = {"type": "bridge", "bridge": bridge}
    # of an internal network too: docker's containers reach their host there (contract docker 1.5)
    plugin["isGateway"] = True
    if request.masquerade and not request.internal:
        plugin.update(ipMasq=True, **backend("ipMasqBackend", request))
    plugin["hairpinMode"] = True
    if request.mtu:
        plugin["mtu"] = request.mtu
    if request.vlan:
        plugin["vlan"] = request.vlan
    if request.isolation == ISOLATED:
        # iptables sees traffic between two ports of a bridge only with br_netfilter loaded; the bridge itself always
        plugin["portIsolation"] = True
    ipam: dict[str, Any] = {"type": "host-local", "ranges": [[range_of(subnet)] for subnet in subnets]}
    if not request.internal:
        families = sorted({subnet.prefix.family for subnet in subnets})
        ipam["routes"] = [{"dst": "0.0.0.0/0" if family == 4 else "::/0"} for family in families]
    if data_dir:
        ipam["dataDir"] = data_dir
    plugin["ipam"] = ipam
    # nerdctl's --ip6 and podman's second static address arrive as this capability
    plugin["capabilities"] = {"ips": True}
    return plugin


def range_of(subnet: Subnet) -> dict[str, str]:
    entry = {"subnet": str(subnet.prefix), "gateway": str(subnet.gateway or usable(subnet.prefix)[0])}
    if subnet.ip_range is not None:
        start, end = range_ends(subnet.prefix, subnet.ip_range)
        entry.update(rangeStart=str(start), rangeEnd=str(end), ipRange=str(subnet.ip_range))
    return entry


class Malformed(Exception):
    """A file in the configuration directory is no network list; the message says why, without the file's name."""


def read(value: object, file: str) -> Network:
    """A parsed `.conflist` (with `plugins`), or `.conf`/`.json` of a single plugin.  Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    name = get(value, "name")
    if not isinstance(name, str) or not is_name(name):
        # libcni refuses it as well; to us it would be a path
        raise Malformed("has no name" if not name else f"{name!r} is no network name")
    plugins = get(value, "plugins") if file.endswith(".conflist") else [value]
    if not isinstance(plugins, list) or not plugins or not all(isinstance(item, dict) for item in plugins):
        raise Malformed("has no plugins")
    first = plugins[0]
    policy, backends = _firewall(plugins)
    is_gateway = bool(get(first, "isGateway") or get(first, "isDefaultGateway"))
    own = _dict(get(value, "pynet"))
    return Network(
        name=name,
        file=file,
        owner=_owner(value, first),
        cni_version=_text(get(value, "cniVersion")),
        plugins=tuple(_text(get(item, "type")) for item in plugins),
        subnets=_merged(subnet for item in plugins for subnet in _subnets(_dict(get(item, "ipam")))),
        bridge=_text(get(first, "bridge")) or "cni0" if get(first, "type") == "bridge" else "",
        mtu=_int(get(first, "mtu")),
        vlan=_int(get(first, "vlan")) or _int(get(first, "vlanId")),
        internal=get(first, "type") == "bridge" and (not is_gateway or _is_confined(plugins)),
        isolation=policy or OPEN,
        firewall=backends or "auto",
        masquerade=bool(get(first, "ipMasq")),
        labels=_labels(value, own),
        options=_pairs(get(own, "options") or get(_dict(get(value, "args")), "podman_options")),
        created=_text(get(own, "created")),
        data_dir=_text(get(_dict(get(first, "ipam")), "dataDir")),
        keeps_bridge=bool(get(own, "keepsBridge")),
        parent=_text(get(first, "master")),
        mode=_text(get(first, "mode")),
        host_access=_text(get(_dict(get(first, "hostAccess")), "device")),
    )


def get(value: Mapping[str, Any], key: str) -> Any:
    """A key's value, matched as Go's decoder does: exactly, else without regard to case (contract 1.4)."""
    if key in value:
        return value[key]
    folded = key.casefold()
    for name, item in value.items():
        if name.casefold() == folded:
            return item
    return None


def _owner(value: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    if isinstance(get(value, "pynet"), dict):
        return PYNET
    if get(value, "nerdctlID"):
        return NERDCTL
    args = _dict(get(value, "args"))
    if "podman_labels" in args or "podman_options" in args or _text(get(first, "bridge")).startswith("cni-podman"):
        return PODMAN
    return OTHER


def _subnets(ipam: Mapping[str, Any]) -> Iterator[Subnet]:
    """host-local's ranges, old and new spelling, and static's addresses; entries that do not parse are the
    plugin's to refuse, not ours."""
    entries = [ipam] if get(ipam, "subnet") else []
    for item in _list(get(ipam, "ranges")):
        entries.extend(entry for entry in _list(item) if isinstance(entry, dict))
    for item in _list(get(ipam, "addresses")):
        if isinstance(item, dict):
            entries.append({"subnet": get(item, "address"), "gateway": get(item, "gateway")})
    for entry in entries:
        try:
            prefix = Prefix.parse(_text(get(entry, "subnet"))).network
        except ValueError:
            continue
        yield Subnet(
            prefix,
            _address(get(entry, "gateway")),
            _address(get(entry, "rangeStart")),
            _address(get(entry, "rangeEnd")),
            _prefix(get(entry, "ipRange")),
        )


def _merged(subnets: Iterable[Subnet]) -> tuple[Subnet, ...]:
    """One for each subnet: the ranges around an address that is not to be given out are still one network."""
    found: dict[Prefix, Subnet] = {}
    for subnet in subnets:
        first = found.get(subnet.prefix)
        found[subnet.prefix] = subnet if first is None else first.replace(end=subnet.end)
    return tuple(found.values())


def _firewall(plugins: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The ingress policy, and the first backend that any plugin names."""
    policy = backend = ""
    for item in plugins:
        if get(item, "type") == "firewall":
            policy = policy or _text(get(item, "ingressPolicy"))
        if get(item, "type") in ("firewall", "portmap"):
            backend = backend or _text(get(item, "backend"))
        backend = backend or _text(get(item, "ipMasqBackend"))
    return policy, backend


def _is_confined(plugins: Sequence[Mapping[str, Any]]) -> bool:
    """Whether our firewall plugin keeps everything in, as `build` has it."""
    return any(get(item, "type") == "firewall" and get(item, "internal") is True for item in plugins)


def _labels(value: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    podman = get(_dict(get(value, "args")), "podman_labels")
    return _pairs(get(own, "labels") or get(value, "nerdctlLabels") or podman)


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), str(item)) for key, item in _dict(value).items())


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _address(value: object) -> Address | None:
    try:
        return Address.parse(_text(value)) if value else None
    except ValueError:
        return None


def _prefix(value: object) -> Prefix | None:
    try:
        return Prefix.parse(_text(value)) if value else None
    except ValueError:
        return None
