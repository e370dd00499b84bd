"""Which keys a run has drawn, and which it should have: every one that the reference's plugins know.

    contract_keys.py DIRECTORY

adds up the `keys-*.json` of a run's processes; exit status 1 names what is missing.  It also says how many pairs of
keys met in an ADD that came to a result, which is what tells whether combinations of keys are compared at all."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

_ROUTES = tuple(f"routes.{key}" for key in ("dst", "gw", "mtu", "advmss", "priority", "table", "scope"))
_DNS = tuple(f"dns.{key}" for key in ("nameservers", "domain", "search", "options"))
_RANGE = ("subnet", "rangeStart", "rangeEnd", "gateway")
_TUNING = ("sysctl", "mac", "promisc", "mtu", "txQLen", "allmulti")
_LIMITS = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_PORT = tuple(f"runtimeConfig.portMappings.{key}" for key in ("hostPort", "containerPort", "protocol", "hostIP"))
_ARGS_MAC = ("CNI_ARGS.MAC", "CNI_ARGS.IgnoreUnknown")
_MASQUERADE = ("ipMasq", "ipMasqBackend=iptables", "ipMasqBackend=nftables")

KEYS: dict[str, tuple[str, ...]] = {
    "bridge": (
        *("bridge", "isGateway", "isDefaultGateway", "forceAddress", *_MASQUERADE, "mtu", "hairpinMode"),
        *("promiscMode", "vlan", "vlanTrunk.id", "vlanTrunk.minID", "vlanTrunk.maxID", "preserveDefaultVlan"),
        *("macspoofchk", "enabledad", "disableContainerInterface", "portIsolation", "ipam", *_DNS),
        *("runtimeConfig.mac", "args.cni.mac", *_ARGS_MAC),
    ),
    "host-local": (
        *(*_RANGE, *(f"ranges.{key}" for key in _RANGE), *_ROUTES, "dataDir", "resolvConf"),
        *(*(f"runtimeConfig.ipRanges.{key}" for key in _RANGE), "runtimeConfig.ips", "args.cni.ips"),
        *("CNI_ARGS.IP", "CNI_ARGS.IgnoreUnknown"),
    ),
    "static": (
        *("addresses.address", "addresses.gateway", *_ROUTES, *_DNS, "runtimeConfig.ips", "args.cni.ips"),
        *("CNI_ARGS.IP", "CNI_ARGS.GATEWAY", "CNI_ARGS.IgnoreUnknown"),
    ),
    "dhcp": (
        *("daemonSocketPath", "request.option", "request.skipDefault", "provide.option", "provide.value"),
        *("provide.fromArg", "priority", "CNI_ARGS.CLASS"),
    ),
    "loopback": ("prevResult",),
    "portmap": (
        *("backend=iptables", "backend=nftables", "snat", "masqAll", "markMasqBit", "externalSetMarkChain"),
        *("conditionsV4", "conditionsV6", *_PORT, "prevResult"),
    ),
    "firewall": (
        *("backend=iptables", "iptablesAdminChainName", "firewalldZone", "ingressPolicy=open"),
        *("ingressPolicy=same-bridge", "ingressPolicy=isolated", "prevResult"),
    ),
    "tuning": (
        *(*_TUNING, *(f"args.cni.{key}" for key in _TUNING), "dataDir", "runtimeConfig.mac", "prevResult", *_ARGS_MAC),
    ),
    "bandwidth": (*_LIMITS, *(f"runtimeConfig.bandwidth.{key}" for key in _LIMITS), "prevResult"),
    "ptp": (*_MASQUERADE, "mtu", "ipam", *_DNS),
    "macvlan": (
        *("master", "mtu", "mac", "linkInContainer", "bcqueuelen", "ipam", *_DNS, "runtimeConfig.mac", *_ARGS_MAC),
        *(f"mode={mode}" for mode in ("bridge", "private", "vepa", "passthru")),
    ),
    "ipvlan": ("master", "mode=l2", "mode=l3", "mode=l3s", "mtu", "linkInContainer", "ipam", *_DNS, "prevResult"),
    "vlan": ("master", "vlanId", "mtu", "linkInContainer", "ipam", *_DNS),
    "host-device": (
        *("device", "hwaddr", "kernelpath", "pciBusID", "DPDKMode", "runtimeConfig.deviceID", "ipam", *_DNS),
    ),
    "dummy": ("ipam",),
    "sbr": ("table", "gateways", "addSourceHints", "prevResult"),
    "vrf": ("vrfname", "table"),
    "tap": (
        *("multiQueue", "mtu", "mac", "owner", "group", "selinuxContext", "bridge", "ipam", *_DNS),
        *("runtimeConfig.mac", *_ARGS_MAC),
    ),
    "any": (
        *("capabilities", "cni.dev/valid-attachments", "runtimeConfig.dns", "runtimeConfig.aliases"),
        *("runtimeConfig.infinibandGUID", "runtimeConfig.cgroupPath"),
        *(f"{each} of {version}" for each in ("ADD", "DEL") for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1")),
        *(
            f"{each} of {version}"
            for version in ("0.4.0", "1.0.0", "1.1.0")
            for each in ("ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION")
        ),
    ),
}
"""By plugin; a key in a list of objects is named after the list's, `=` stands before a value that has to be among those
drawn."""

_SHARED = ("runtimeConfig", "args", "CNI_ARGS")


def drawn(case: dict[str, Any]) -> Iterator[str]:
    """`plugin:key` of everything in a completed case."""
    for step in case["steps"]:
        yield f"any:{step['command']} of {case['version']}"
        if "valid" in step:
            yield "any:cni.dev/valid-attachments"
    arguments = [pair.partition("=")[0] for pair in str(case["args"]).split(";") if "=" in pair]
    for plugin in case["plugins"]:
        kind = str(plugin.get("type"))
        section = plugin.get("ipam") if isinstance(plugin.get("ipam"), dict) else {}
        delegate = str(section.get("type", "")) if kind != section.get("type") else ""
        own = {f"CNI_ARGS.{key}" for key in arguments} | set(_paths(plugin))
        if case["prevResult"] is not None or plugin is not case["plugins"][0]:
            own.add("prevResult")
        yield from (f"{kind}:{path.removeprefix('ipam.') if not delegate else path}" for path in own)
        yield from (f"any:{path}" for path in own)
        if delegate:
            yield from (f"{delegate}:{path}" for path in _paths(section))
            yield from (f"{delegate}:{path}" for path in own if path.startswith(_SHARED))


def _paths(value: Any, before: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            path = f"{before}.{key}" if before else str(key)
            yield path
            yield from _paths(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, before)
    elif isinstance(value, str):
        yield f"{before}={value}"


_TABLE = frozenset(f"{kind}:{key}" for kind, keys in KEYS.items() for key in keys if kind != "any")
RESULT = "an ADD came to a result"


def met(found: Iterable[str]) -> Iterator[str]:
    """What an ADD that came to a result counts for: itself, and each two of the table's keys in its case."""
    yield RESULT
    yield from (" + ".join(pair) for pair in combinations(sorted(_TABLE.intersection(found)), 2))


def missing(found: Counter[str]) -> list[str]:
    return [f"{kind}: {key}" for kind, keys in KEYS.items() for key in keys if not found[f"{kind}:{key}"]]


def main(directory: str) -> int:
    found: Counter[str] = Counter()
    for path in Path(directory).glob("keys-*.json"):
        found.update(json.loads(path.read_text()))
    absent = missing(found)
    rarest = min(((found[f"{kind}:{key}"], f"{kind}: {key}") for kind, keys in KEYS.items() for key in keys))
    total = sum(map(len, KEYS.values()))
    print(f"differential: {total - len(absent)} of {total} keys drawn, the rarest {rarest[0]} times ({rarest[1]})")
    together = sum(" + " in each for each in found)
    print(f"differential: an ADD came to a result in {found[RESULT]} cases, in which {together} pairs of keys met")
    for each in absent:
        print(f"differential: never drawn: {each}")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
