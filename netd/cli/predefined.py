"""The networks `bridge`, `host` and `none`: the daemon's own, of which other engines see no list."""

from __future__ import annotations

from netd.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netd.cli.context import Context

NAMES = ("bridge", "host", "none")
_DEVICE, _MTU = "com.docker.network.bridge.name", "com.docker.network.driver.mtu"
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"


def predefined(context: Context) -> list[dict[str, Any]]:
    """As the API inspects them; none when no daemon answers."""
    found = []
    for name in NAMES:
        try:
            found.append(context.daemon.get(f"/networks/{name}"))
        except Failure as error:
            if error.status != 404:  # the default network lacks where no subnet was left for it
                break
    return found


def row(shown: dict[str, Any]) -> dict[str, Any]:
    """The fields that `ls` has of every network."""
    more = details(shown)
    return {
        "ID": shown["Id"],
        "Name": shown["Name"],
        "Driver": shown["Driver"],
        "Subnet": more["Subnet"],
        "Containers": len(shown["Containers"]),
        "Owner": more["Owner"],
        "Scope": shown["Scope"],
        "Subnets": _of(shown, "Subnet"),
        "Gateway": more["Gateway"],
        "Bridge": more["Bridge"],
        "Parent": more["Parent"],
        "MTU": more["MTU"],
        "Internal": shown["Internal"],
        "Isolation": more["Isolation"],
        "Firewall": more["Firewall"],
        "IPv4": shown["EnableIPv4"],
        "IPv6": shown["EnableIPv6"],
        "Labels": shown["Labels"],
        "CreatedAt": shown["Created"],
        "File": more["File"],
    }


def details(shown: dict[str, Any]) -> dict[str, Any]:
    """The object of `inspect`: docker's keys, then those that it has of every network."""
    options = shown["Options"]
    return {
        **shown,
        "Subnet": ", ".join(_of(shown, "Subnet")),
        "Gateway": ", ".join(_of(shown, "Gateway")),
        "Bridge": options.get(_DEVICE, ""),
        "Parent": "",
        "Mode": "",
        "HostAccess": "",
        "MTU": int(options.get(_MTU, 0)),
        "Vlan": 0,
        "Isolation": "same-bridge" if _DEVICE in options else "",
        "Masquerade": options.get(_MASQUERADE) == "true",
        "Firewall": "auto" if _DEVICE in options else "",
        "Owner": "pynet",
        "File": "",
        "CniVersion": "",
        "Plugins": [],
        "Stale": [],
    }


def matches(fields: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    """As `view.matches` has it; none of them is ever dangling."""
    tests: dict[str, Callable[[str], bool]] = {
        "name": lambda value: value in fields["Name"],
        "id": lambda value: fields["ID"].startswith(value),
        "driver": lambda value: value == fields["Driver"],
        "owner": lambda value: value == fields["Owner"],
        "dangling": lambda value: value not in ("true", "1"),
        "label": lambda _: False,
    }
    return all(any(tests[key](value) for value in values) for key, values in filters.items())


def _of(shown: dict[str, Any], key: str) -> list[str]:
    return [config[key] for config in shown["IPAM"]["Config"] or ()]
