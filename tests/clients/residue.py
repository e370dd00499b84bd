"""What a plugin could leave behind, as text that can be compared before and after."""

import json
import re
from collections.abc import Iterator
from typing import Any

from .host import Host
from .polling import wait_until

__all__ = ["assert_nothing_left", "left_behind", "traces"]

# iptables-save's counters move with every packet, and its comments carry the time.
VOLATILE = re.compile(r"\[\d+:\d+\]|^#.*$", re.MULTILINE)

# Tables through which iptables itself works; iptables-save shows them better.
IPTABLES = {(family, table) for family in ("ip", "ip6") for table in ("filter", "nat", "mangle", "raw", "security")}

# The reference's bridge finds its masquerade chain by the container's addresses, which it no longer knows when DEL
# comes with an empty netns, as containerd's clients send it; nerdctl removes the IPv4 part of it by itself.
REFERENCE_LEAK = re.compile(r"CNI-[0-9a-f]{24}")


def traces(host: Host) -> set[str]:
    """Every link, route, firewall rule, lease and cached result of the host, one string each."""
    found = {f"link {line.split()[1].partition('@')[0]}" for line in host.run("ip", "-o", "link").splitlines()}
    # A route that is only waiting for a carrier is the same route.
    for family in ("-4", "-6"):
        routes = host.run("ip", family, "route").replace(" linkdown", "").splitlines()
        found |= {f"route {line.strip()}" for line in routes if "fe80::" not in line}
    for command in ("iptables-save", "ip6tables-save"):
        found |= set(_iptables(host, command))
    found |= set(_nftables(host))
    found |= {f"file {path}" for path in host.run("find", "/var/lib/cni", "-type", "f").splitlines() if _matters(path)}
    return found


def assert_nothing_left(host: Host, before: set[str], plugin_set: str) -> None:
    """Fail with what is left, once the kernel has had time to take down what a namespace's end leaves to it."""
    left: list[str] = []

    def gone() -> bool:
        left[:] = left_behind(host, before, plugin_set)
        return not left

    try:
        wait_until(gone, "nothing to be left", 5)
    except AssertionError:
        raise AssertionError("left behind:\n" + "\n".join(left)) from None


def left_behind(host: Host, before: set[str], plugin_set: str) -> list[str]:
    """What is there now and was not there before, less what the reference is known to leave."""
    left = sorted(traces(host) - before)
    if plugin_set == "reference":
        left = [line for line in left if not REFERENCE_LEAK.search(line)]
    return left


def _iptables(host: Host, command: str) -> Iterator[str]:
    table = ""
    for line in VOLATILE.sub("", host.run(command)).splitlines():
        line = line.strip()
        if line.startswith("*"):
            table = line[1:]
        elif line and line != "COMMIT":
            yield f"{command} {table} {line}"


def _nftables(host: Host) -> Iterator[str]:
    """Each chain, rule, set and element, without the handle it happens to have and what it has counted."""
    for entry in json.loads(host.run("nft", "--json", "list", "ruleset"))["nftables"]:
        ((kind, body),) = entry.items()
        name = body["name"] if kind == "table" else body.get("table")
        if kind == "metainfo" or (body["family"], name) in IPTABLES:
            continue
        elements = body.pop("elem", [])
        body.pop("handle")
        # Our table's comment may count its generations.
        body.pop("comment", None)
        yield f"nft {kind} {json.dumps(_uncounted(body), sort_keys=True)}"
        for element in elements:
            text = json.dumps(_uncounted(element), sort_keys=True)
            yield f"nft element of {body['family']} {name} {body['name']}: {text}"


def _uncounted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _uncounted(inner) for key, inner in value.items() if key != "counter"}
    if isinstance(value, list):
        return [_uncounted(inner) for inner in value]
    return value


def _matters(path: str) -> bool:
    """A network's lock and the mark where its next search starts are no leases."""
    name = path.rpartition("/")[2]
    return name != "lock" and not name.startswith("last_reserved_ip.")
