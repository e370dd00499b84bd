"""Published ports as `ps` and `port` show them; pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def summary(ports: Sequence[Mapping[str, Any]]) -> str:
    """`0.0.0.0:8000-8002->80-82/tcp, [::]:8000-8002->80-82/tcp, 9000/tcp`: ranges where both sides go up together."""
    runs: list[list[tuple[int, int]]] = []
    keys: list[tuple[str, str, bool]] = []
    for port in sorted(ports, key=_order):
        inside, outside = int(port["PrivatePort"]), int(port.get("PublicPort") or 0)
        key = (str(port.get("IP") or ""), str(port["Type"]), bool(outside))
        last = runs[-1][-1] if runs and keys[-1] == key else None
        if last is not None and inside == last[0] + 1 and (not outside or outside == last[1] + 1):
            runs[-1].append((inside, outside))
        elif last != (inside, outside):
            runs.append([(inside, outside)])
            keys.append(key)
    return ", ".join(_shown(run, key) for run, key in zip(runs, keys, strict=True))


def _order(port: Mapping[str, Any]) -> tuple[bool, str, bool, str, int, int]:
    ip = str(port.get("IP") or "")
    outside = int(port.get("PublicPort") or 0)
    return not outside, str(port["Type"]), ":" in ip, ip, int(port["PrivatePort"]), outside


def _shown(run: Sequence[tuple[int, int]], key: tuple[str, str, bool]) -> str:
    ip, protocol, published = key
    inside = _range([pair[0] for pair in run])
    return (
        f"{host(ip)}{_range([pair[1] for pair in run])}->{inside}/{protocol}" if published else f"{inside}/{protocol}"
    )


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def host(ip: str) -> str:
    """`0.0.0.0:`, `[::]:`."""
    return f"[{ip}]:" if ":" in ip else f"{ip}:" if ip else ""


def lines(ports: Mapping[str, Any], wanted: str = "") -> list[str]:
    """The lines of `pynet port`: `80/tcp -> 0.0.0.0:8080`, or only `0.0.0.0:8080` for one port that was asked for."""
    found = []
    for port in sorted(ports, key=lambda text: (int(text.partition("/")[0]), text)):
        for binding in ports[port] or ():
            where = f"{host(binding['HostIp'])}{binding['HostPort']}"
            if not wanted:
                found.append(f"{port} -> {where}")
            elif port == wanted:
                found.append(where)
    return found
