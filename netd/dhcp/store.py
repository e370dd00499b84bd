"""Leases as files: RUN_DIR/dhcp/<hash of the lease's key>, so that the next daemon goes on with them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from netd.dhcp import client4, client6
from netd.dhcp.attachment import Attachment, Origin
from pycni.record import Record

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Stored(Record):
    """What is known of an attachment whose daemon has ended.  `index` is its interface's."""

    origin: Origin
    sandbox: str
    index: int
    four: client4.Lease | None
    six: client6.Lease | None


class Store:
    """A directory of this daemon's own.  A file is replaced at once, so there is never half a lease; nothing is synced:
    after a crash of the kernel there are no containers either."""

    def __init__(self, directory: str, log: Callable[[str], None]) -> None:
        """OSError."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._directory = directory
        self._log = log
        with open(_BOOT_ID, encoding="ascii") as file:
            self._boot = file.read().strip()

    def put(self, attachment: Attachment) -> None:
        """OSError."""
        path = self._path(attachment.origin)
        body = {
            "boot": self._boot,
            "origin": attachment.origin.__dict__,
            "sandbox": attachment.port.sandbox,
            "index": attachment.port.link.index,
            "four": _lease_out(attachment.four.lease),
            "six": _lease_out(attachment.six.lease),
        }
        draft = f"{path}.new"
        with open(draft, "w", encoding="ascii") as file:
            json.dump(body, file)
        os.rename(draft, path)

    def remove(self, origin: Origin) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(origin))

    def read(self) -> Iterator[Stored]:
        """All of this boot's; others, and what cannot be read, are removed."""
        for name in sorted(os.listdir(self._directory)):
            path = os.path.join(self._directory, name)
            found = None
            try:
                with open(path, encoding="ascii") as file:
                    body = json.load(file)
                if body["boot"] == self._boot:
                    found = Stored(
                        Origin(**body["origin"]),
                        body["sandbox"],
                        body["index"],
                        _lease_in(client4.Lease, body["four"]),
                        _lease_in(client6.Lease, body["six"]),
                    )
                    if path != self._path(found.origin):  # a draft whose writer was killed
                        found = None
            except (ValueError, KeyError, TypeError) as error:
                self._log(f"{path} is no lease: {error}")
            if found is None:
                os.unlink(path)
            else:
                yield found

    def _path(self, origin: Origin) -> str:
        digest = sha256(origin.key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return os.path.join(self._directory, digest)


def _lease_out(lease: client4.Lease | client6.Lease | None) -> dict[str, Any] | None:
    if lease is None:
        return None
    body = {key: value.hex() if isinstance(value, bytes) else value for key, value in lease.__dict__.items()}
    body["options"] = {str(code): value.hex() for code, value in lease.options.items()}
    return body


def _lease_in(kind: type[Any], body: dict[str, Any] | None) -> Any:
    if body is None:
        return None
    values = {
        key: bytes.fromhex(value) if isinstance(value, str) else value
        for key, value in body.items()
        if key != "options"
    }
    return kind(**values, options={int(code): bytes.fromhex(value) for code, value in body["options"].items()})
