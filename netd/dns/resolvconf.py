"""The host's resolv.conf, followed live: looked at again whenever it is needed, and read when it has changed."""

from __future__ import annotations

import os

from pycni.spec.address import Address

PATH = "/etc/resolv.conf"


def nameservers(text: str) -> tuple[str, ...]:
    """The addresses on `nameserver` lines, without repetition; what is no address is left out (resolv.conf(5)).
    An IPv6 address may have a zone, `fe80::1%eth0`."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        address, percent, zone = words[1].partition("%")
        try:
            found.append(str(Address.parse(address)) + percent + zone)
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


class HostServers:
    """The servers in a file.  A file that is missing or unreadable has none."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        try:
            status = os.stat(self._path)
        except OSError:
            self._seen, self._servers = None, ()
            return ()
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._servers = self._read()
            self._seen = seen
        return self._servers

    def _read(self) -> tuple[str, ...]:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                return nameservers(file.read())
        except OSError:
            return ()
