"""Which program of the host has a port, for the message to whoever wanted it; read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pycni.spec.address import Address

_TABLES = "/proc/thread-self/net"
_TIME_WAIT = "06"
_LISTEN = "0A"


def program(protocol: str, address: Address, port: int) -> str:
    """ "nginx (pid 12)" of the network namespace the calling thread is in; "" when none is found."""
    inodes = list(_sockets(protocol, address, port))
    return _owner(inodes) if inodes else ""


def _sockets(protocol: str, address: Address, port: int) -> Iterator[str]:
    """The inodes of sockets that may be in the way, listening ones first."""
    found = []
    for suffix in ("", "6"):
        for local, state, inode in _table(f"{_TABLES}/{protocol}{suffix}"):
            there, there_port = _endpoint(local)
            if there_port == port and state != _TIME_WAIT and inode != "0" and _meet(there, address):
                found.append((state != _LISTEN, inode))
    return (inode for _, inode in sorted(found))


def _table(path: str) -> Iterator[tuple[str, str, str]]:
    """(local address, state, inode) of each socket; nothing where the kernel has no such protocol."""
    try:
        with open(path, encoding="ascii") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        words = line.split()
        yield words[1], words[3], words[9]


def _endpoint(text: str) -> tuple[Address, int]:
    """`0100007F:1F90`: 32-bit words in the machine's order."""
    digits, _, port = text.partition(":")
    raw = bytes.fromhex(digits)
    words = [raw[start : start + 4] for start in range(0, len(raw), 4)]
    packed = b"".join(int.from_bytes(word, "big").to_bytes(4, "little") for word in words)
    return Address(packed), int(port, 16)


def _meet(there: Address, wanted: Address) -> bool:
    """Whether a socket there is in the way of one here; one at :: may take both families."""
    if there.family != wanted.family:
        return there.is_unspecified and there.family == 6
    return there == wanted or there.is_unspecified or wanted.is_unspecified


def _owner(inodes: list[str]) -> str:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for link in _links(f"/proc/{pid}/fd"):
            if link in wanted:
                return f"{_name(pid)} (pid {pid})"
    return ""


def _links(folder: str) -> Iterator[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return  # the process ended meanwhile
    for name in names:
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:
            continue


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "a program"
