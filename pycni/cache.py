"""libcni's result cache (contract 1.15): what was attached, with which configuration and result.

    <directory>/results/<network>-<container id>-<interface>

The format is libcni's to the byte, so that an attachment made by one runtime can be removed by another.
"""

from __future__ import annotations

import os
from binascii import Error as BadBase64
from binascii import a2b_base64, b2a_base64

from pycni.record import Record
from pycni.spec import jsontext
from pycni.spec.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_DIRECTORY = "/var/lib/cni"
DRAFT = ".new-"
"""How the name of an entry begins while it is being written."""

_KIND = "cniCacheV1"
BEGINNING = b'{"kind":"cniCacheV1",'
"""How every entry begins."""


class Attachment(Record):
    """One interface of one container on one network, as a runtime asks for it.  `capability_args` may hold more than
    the plugins of the network want."""

    container_id: str
    netns: str
    ifname: str
    args: tuple[tuple[str, str], ...] = ()
    capability_args: dict[str, Any] = {}


class CacheEntry(Record):
    """What is cached: `config` is the list's text, `result` the ADD's result object."""

    network: str
    attachment: Attachment
    config: bytes
    result: dict[str, Any]


class ResultCache:
    """The cache below `directory`; each call opens and closes its files."""

    def __init__(self, directory: str = DEFAULT_DIRECTORY) -> None:
        self._directory = os.path.join(directory, "results")

    def _path(self, network: str, attachment: Attachment) -> str:
        return os.path.join(self._directory, f"{network}-{attachment.container_id}-{attachment.ifname}")

    def write(self, entry: CacheEntry) -> None:
        """Make this the attachment's entry; a reader sees the old one or the new one, never half.  StoreError."""
        path = self._path(entry.network, entry.attachment)
        temporary = os.path.join(self._directory, f"{DRAFT}{os.urandom(8).hex()}")
        try:
            os.makedirs(self._directory, 0o700, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(_render(entry))
                os.rename(temporary, path)
            except OSError:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise StoreError("writing cached result", path, error) from None

    def read(self, network: str, attachment: Attachment) -> CacheEntry | None:
        """The entry; None when there is none.  ValueError when the file is not an entry.

        Names may contain the hyphen that joins them, so another attachment's entry can have this file name: that
        counts as none."""
        text = _read(self._path(network, attachment))
        if text is None:
            return None
        entry = _parse(text)
        found = entry.attachment
        same = (entry.network, found.container_id, found.ifname) == (
            network,
            attachment.container_id,
            attachment.ifname,
        )
        return entry if same else None

    def remove(self, network: str, attachment: Attachment) -> None:
        """The attachment has no entry, not even an illegible one; another one's of the same file name stays."""
        path = self._path(network, attachment)
        try:
            if self.read(network, attachment) is None:
                return
        except ValueError:
            pass
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError("removing cached result", path, error) from None

    def entries(self, container_id: str = "") -> list[CacheEntry]:
        """All legible entries, or one container's, in the order of file names."""
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError("reading cached results in", self._directory, error) from None
        found = []
        for name in names:
            if container_id not in name or name.startswith("."):
                continue
            text = _read(os.path.join(self._directory, name))
            try:
                entry = _parse(text) if text is not None else None
            except ValueError:
                continue
            if entry is not None and container_id in ("", entry.attachment.container_id):
                found.append(entry)
        return found


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _render(entry: CacheEntry) -> bytes:
    attachment = entry.attachment
    fields: list[tuple[str, Any]] = [
        ("kind", _KIND),
        ("containerId", attachment.container_id),
        ("config", b2a_base64(entry.config, newline=False).decode()),
        ("ifName", attachment.ifname),
        ("networkName", entry.network),
    ]
    fields += [
        (key, value)
        for key, value in (
            ("netns", attachment.netns),
            ("cniArgs", attachment.args),
            ("capabilityArgs", attachment.capability_args),
            ("result", entry.result),
        )
        if value
    ]
    # Go prints a struct's fields in their order and a map's keys sorted
    inner = ",".join(f"{jsontext.quote(key)}:{jsontext.dumps(value, sort_keys=True)}" for key, value in fields)
    return f"{{{inner}}}".encode("utf-8", "replace")


def _parse(text: bytes) -> CacheEntry:
    body = jsontext.loads(text)
    if not isinstance(body, dict) or body.get("kind") != _KIND:
        raise ValueError("not a cached result of a known kind")
    names = [body.get(key) for key in ("networkName", "containerId", "ifName")]
    network, container_id, ifname = (each if isinstance(each, str) else "" for each in names)
    result, capability_args = (_object(body.get(key)) for key in ("result", "capabilityArgs"))
    if not (network and container_id and ifname):
        raise ValueError("a cached result without the names of its attachment")
    try:
        config = a2b_base64(body.get("config") or "", strict_mode=True)
        args = tuple((str(key), str(value)) for key, value in body.get("cniArgs") or ())
    except (BadBase64, TypeError) as error:
        raise ValueError(f"not a cached result: {error}") from None
    netns = body.get("netns")
    attachment = Attachment(container_id, netns if isinstance(netns, str) else "", ifname, args, capability_args)
    return CacheEntry(network, attachment, config, result)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
