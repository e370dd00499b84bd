"""Calling the dhcp daemon: one connection and one method a call (contract 2.4)."""

from __future__ import annotations

import os
from _socket import AF_UNIX, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_STREAM, socket

from pycni.kernel.failure import errno_text
from pycni.spec.errors import CniError
from pycni_plugins.dhcp import calls
from pycni_plugins.dhcp.gob import GobError, Reader, Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycni.skeleton import Waits
    from pycni.spec.request import Request

_CHUNK = 65536
_PATH_LIMIT = 107


class NoDaemon(CniError):
    """Nobody listens on the daemon's socket."""


class NoSuchMethod(CniError):
    """The daemon is the reference's."""


def call(path: str, method: str, request: Request, stdin: bytes, waits: Waits | None = None) -> dict[str, Any]:
    """The daemon's answer; NoDaemon, NoSuchMethod, CniError with the daemon's words.

    Waits as long as the daemon takes, which is `-resendtimeout` at most, or until `waits` interrupts it."""
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        _dial(connection, path)
        try:
            if waits is None:
                return _converse(connection, method, _arguments(request, stdin))
            waits.begin(connection)
            try:
                return _converse(connection, method, _arguments(request, stdin))
            finally:
                waits.end(connection)
        except GobError as error:
            raise CniError(f"error calling {method}: {error}") from None
        except OSError as error:
            raise CniError(f"error calling {method}: {errno_text(error.errno or 0)}") from None
    finally:
        connection.close()


def _dial(connection: socket, path: str) -> None:
    try:
        if len(os.fsencode(path)) > _PATH_LIMIT:
            raise NoDaemon(f"error dialing DHCP daemon: dial unix {path}: connect: invalid argument")
        connection.connect(path)
        connection.sendall(calls.CONNECT, MSG_NOSIGNAL)
        _greeting(connection)
    except OSError as error:
        reason = errno_text(error.errno or 0)
        raise NoDaemon(f"error dialing DHCP daemon: dial unix {path}: connect: {reason}") from None


def _greeting(connection: socket) -> None:
    """Byte by byte: what follows is gob's."""
    head = b""
    while not head.endswith((b"\n\n", b"\n\r\n")):
        part = connection.recv(1)
        if not part or len(head) > 1024:
            raise NoDaemon("error dialing DHCP daemon: unexpected EOF")
        head += part
    if b" 200 Connected to Go RPC" not in head.partition(b"\n")[0]:
        raise NoDaemon(f"error dialing DHCP daemon: unexpected HTTP response: {head.decode(errors='replace').strip()}")


def _arguments(request: Request, stdin: bytes) -> dict[str, Any]:
    return {
        "ContainerID": request.container_id,
        # the daemon has a working directory of its own; as in the reference, "" becomes ours
        "Netns": os.path.abspath(request.netns),
        "IfName": request.ifname,
        "Args": request.arguments,
        "Path": ":".join(request.path),
        "NetnsOverride": request.environment.get("CNI_NETNS_OVERRIDE", ""),
        "StdinData": stdin,
    }


def _converse(connection: socket, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    writer, reader = Writer(), Reader()
    head = writer.write(calls.REQUEST, {"ServiceMethod": method})
    connection.sendall(head + writer.write(calls.ARGUMENTS, arguments), MSG_NOSIGNAL)
    response = _next(connection, reader)
    body = _next(connection, reader)
    if not isinstance(response, dict) or not isinstance(body, dict):
        raise GobError("the answer is no response")
    error = response.get("Error", "")
    if error.startswith(calls.UNKNOWN_METHOD):
        raise NoSuchMethod(f"error calling {method}: {error}")
    if error:
        raise CniError(f"error calling {method}: {error}")
    return body


def _next(connection: socket, reader: Reader) -> Any:
    while (found := reader.read()) is None:
        data = connection.recv(_CHUNK)
        if not data:
            raise GobError("unexpected EOF")
        reader.feed(data)
    return found[0]
