"""What a plugin could leave behind, as text that can be compared before and after."""

import re

from .host import Host

__all__ = ["left_behind", "traces"]

# Counters move with every packet, and the dump's own comments carry its time.
VOLATILE = re.compile(r"counter packets \d+ bytes \d+ ?|\[\d+:\d+\]|^#.*$", re.MULTILINE)


def traces(host: Host) -> set[str]:
    """Every link, route, firewall rule, lease and cached result of the host, one string each."""
    found = {f"link {line.split()[1].partition('@')[0]}" for line in host.run("ip", "-o", "link").splitlines()}
    # A route that is only waiting for a carrier is the same route.
    for family in ("-4", "-6"):
        routes = host.run("ip", family, "route").replace(" linkdown", "").splitlines()
        found |= {f"route {line.strip()}" for line in routes if "fe80::" not in line}
    for command in ("iptables-save", "ip6tables-save"):
        found |= {f"{command} {line}" for line in _rules(host, command)}
    found |= {f"nft {line}" for line in _rules(host, "nft", "list", "ruleset")}
    found |= {f"file {path}" for path in host.run("find", "/var/lib/cni", "-type", "f").splitlines() if _matters(path)}
    return found


def left_behind(host: Host, before: set[str]) -> list[str]:
    """What is there now and was not there before."""
    return sorted(traces(host) - before)


def _rules(host: Host, *command: str) -> list[str]:
    lines = (line.strip() for line in VOLATILE.sub("", host.run(*command)).splitlines())
    # The framing of a table or chain says nothing by itself.
    return [line for line in lines if line not in ("", "}", "COMMIT")]


def _matters(path: str) -> bool:
    """A network's lock and the mark where its next search starts are no leases."""
    name = path.rpartition("/")[2]
    return name != "lock" and not name.startswith("last_reserved_ip.")
