"""A connection to a D-Bus message bus over a unix socket: authentication EXTERNAL, calls that wait for their answer.

One thread at a time uses it.  Failures are BusError.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from pycni.firewall import dbus_message as wire
from pycni.kernel.failure import errno_text
from pycni.spec.errors import FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_SECONDS = 25.0
"""How long an answer may take; libdbus' own limit."""

_LINE_LIMIT = 4096

_BUS = "org.freedesktop.DBus"
_HELLO = wire.Method(_BUS, "/org/freedesktop/DBus", _BUS, "Hello")
_OWNER = wire.Method(_BUS, "/org/freedesktop/DBus", _BUS, "GetNameOwner")


class BusError(FirewallError):
    """The bus cannot be reached, or answered with an error: `name` is the D-Bus error's, "" without an answer."""

    def __init__(self, msg: str, name: str = "") -> None:
        super().__init__(msg)
        self.name = name


class Bus:
    """The bus at this D-Bus address; use as a context manager."""

    def __init__(self, address: str) -> None:
        self._serial = 0
        self._buffer = b""
        self._socket = _connected(address)
        try:
            self._authenticate()
            self._ask(_HELLO)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def has_owner(self, name: str) -> bool:
        """Whether somebody serves this name."""
        try:
            self._ask(_OWNER, name)
        except BusError as error:
            if not error.name:
                raise
            return False
        return True

    def call(self, method: wire.Method, *arguments: str) -> str | bool | None:
        """The first value of the method's answer."""
        return self._ask(method, *arguments)

    def _authenticate(self) -> None:
        identity = str(os.geteuid()).encode().hex()
        self._send(f"\0AUTH EXTERNAL {identity}\r\n".encode())
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _LINE_LIMIT:
                raise BusError("dbus: authentication protocol error")
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        if not line.startswith(b"OK"):
            raise BusError("dbus: authentication failed")
        self._send(b"BEGIN\r\n")

    def _ask(self, method: wire.Method, *arguments: str) -> str | bool | None:
        self._serial += 1
        self._send(wire.call(self._serial, method, *arguments))
        while True:
            reply = self._next()
            if reply.serial != self._serial or reply.kind not in (wire.RETURN, wire.ERROR):
                continue
            if reply.kind == wire.ERROR:
                text = reply.value if isinstance(reply.value, str) else reply.error
                raise BusError(text, reply.error)
            return reply.value

    def _next(self) -> wire.Reply:
        try:
            while len(self._buffer) < wire.HEAD:
                self._receive()
            size = wire.size(self._buffer[: wire.HEAD])
            while len(self._buffer) < size:
                self._receive()
            message, self._buffer = self._buffer[:size], self._buffer[size:]
            return wire.parse(message)
        except ValueError as error:
            raise BusError(f"reading from the message bus: {error}") from None

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise BusError(f"writing to the message bus: {_reason(error)}") from None

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise BusError(f"reading from the message bus: {_reason(error)}") from None
        if not data:
            raise BusError("the message bus closed the connection")
        self._buffer += data


def _connected(address: str) -> socket:
    """A connection to the first of the address's sockets that takes one; BusError about the last that does not."""
    try:
        paths = wire.socket_addresses(address)
    except ValueError as error:
        raise BusError(str(error)) from None
    problem = ""
    for path in paths:
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            connection.settimeout(_SECONDS)
            connection.connect(path)
        except OSError as error:
            connection.close()
            problem = f"dial unix {path.replace(chr(0), '@')}: connect: {_reason(error)}"
        else:
            return connection
    raise BusError(problem)


def _reason(error: OSError) -> str:
    return errno_text(error.errno) if error.errno else str(error)
