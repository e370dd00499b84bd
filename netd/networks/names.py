"""Names of networks and of their bridge devices.  Pure."""

from __future__ import annotations

from collections.abc import Container
from hashlib import sha256
from string import ascii_letters, digits

from netd.networks.errors import InvalidRequest, Reserved

RESERVED = frozenset(("bridge", "host", "none", "default", "container", "ns", "private", "pod", "slirp4netns", "pasta"))
"""Words that docker, nerdctl and podman read as a mode where a network's name is expected."""

NAME_LIMIT = 128
"""libcni caches a result as `<network>-<container id>-<ifname>` in one file name of at most 255 bytes, and nerdctl's
container ids are a namespace and 64 digits."""

DEVICE_LIMIT = 15
"""IFNAMSIZ less the final zero."""

_FIRST = frozenset(ascii_letters + digits)
_REST = _FIRST | frozenset("_.-")


def is_name(name: str) -> bool:
    """Whether CNI allows the name (contract 1.3)."""
    return bool(name) and name[0] in _FIRST and _REST.issuperset(name)


def check_name(name: str) -> str:
    """The name itself when a network may be called so (contract 1.3); raises InvalidRequest or Reserved."""
    if not name:
        raise InvalidRequest("network name is empty")
    if not is_name(name):
        raise InvalidRequest(
            f"network name {name!r}: use letters, digits, '_', '.' and '-', with a letter or digit first"
        )
    if len(name) > NAME_LIMIT:
        raise InvalidRequest(f"network name {name[:20]}…: longer than {NAME_LIMIT} characters")
    if name in RESERVED:
        raise Reserved(f"network name {name!r} is reserved: container engines read it as a network mode")
    return name


def network_id(name: str) -> str:
    """64 hexadecimal digits; nerdctl and podman derive a network's id the same way, so all three agree."""
    return sha256(name.encode()).hexdigest()


def check_device(name: str, what: str = "bridge name") -> str:
    """The name itself when a device may be called so (contract 1.3, and what the kernel refuses); raises
    InvalidRequest."""
    size = len(name.encode())
    if not name or size > DEVICE_LIMIT:
        raise InvalidRequest(f"{what} {name!r}: must have 1 to {DEVICE_LIMIT} bytes, has {size}")
    if name in (".", "..") or any(c in "/:" or c.isspace() or not c.isprintable() for c in name):
        raise InvalidRequest(f"{what} {name!r}: '/', ':', blanks and control characters are not allowed")
    if name in ("all", "default"):
        raise InvalidRequest(f"{what} {name!r}: is what the kernel calls its settings for all devices")
    if "%" in name:
        raise InvalidRequest(f"{what} {name!r}: the kernel allows no '%' in names")
    return name


def bridge_name(network: str, taken: Container[str]) -> str:
    """A device name for this network that is not `taken`: `pn-<network>` where that fits, so that `ip link` reads
    well, else `pn-` and digits of the network's hash."""
    plain = f"pn-{network}"
    if len(plain) <= DEVICE_LIMIT and plain not in taken:
        return plain
    attempt = 0
    while True:
        seed = network if attempt == 0 else f"{network}#{attempt}"
        candidate = f"pn-{network_id(seed)[:12]}"
        if candidate not in taken:
            return candidate
        attempt += 1
