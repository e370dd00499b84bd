"""What a lease file says: whose address it is (contract 3.6).

    <container id>\\r\\n<interface>        host-local 0.7 and later
    <container id>                       before

Nobody synchronises these files to the disk, so after a power cut one may be there with nothing in it, with zeros, or
with the beginning of what was written.
"""

from __future__ import annotations

from pycni.spec.errors import InvalidEnvironment
from pycni.spec.request import check_container_id, check_ifname

_BREAK = b"\r\n"
_BLANK = b" \t\r\n\x0b\x0c\0"


def content_of(container_id: str, ifname: str) -> bytes:
    """The contents of this owner's files."""
    return container_id.strip().encode() + _BREAK + ifname.encode()


def trimmed(content: bytes) -> bytes:
    """What owners are compared by; empty where nothing is written."""
    return content.strip(_BLANK)


def owner_of(content: bytes) -> tuple[str, str] | None:
    """(container id, interface, "" where none is named); None where no attachment can be called what is written, so
    that nobody will ever give the address back."""
    first, _, second = trimmed(content).decode("utf-8", "replace").partition("\n")
    container_id, ifname = first.strip(), second.strip()
    try:
        check_container_id(container_id)
        if ifname:
            check_ifname(ifname)
    except InvalidEnvironment:
        return None
    return container_id, ifname
