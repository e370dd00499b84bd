"""The daemon's HTTP API from the command line: docker's wire format over a unix socket (contract docker 4.1, 4.5).

Plain sockets, no HTTP library: `http.client` costs 20 ms to import and h11 11 ms, and what has to be understood is one
daemon's HTTP/1.1: a status line, header lines, and a body by length, in chunks, or up to the end of the connection.
"""

from __future__ import annotations

from _socket import AF_UNIX, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, socket

from netd.failure import Failure
from pycni.spec.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

VERSION_PREFIX = "/v1.50"
_PIECE = 65536
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


class NoDaemon(Failure):
    """Nobody serves the socket; the message says how to start it."""

    status = 503


class ApiError(Failure):
    """The daemon's own error text; `status` is the one it answered with."""

    def __init__(self, status: int, msg: str) -> None:
        super().__init__(msg)
        self.status = status


class Response:
    """Status, headers (names in lower case), and a body still to be read; with `alone` the connection is closed when it
    was."""

    def __init__(self, connection: Connection, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.alone = False
        self._connection = connection

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes; Failure when the daemon breaks off in the middle."""
        try:
            yield from self._pieces()
        finally:
            if self.alone:
                self._connection.close()

    def _pieces(self) -> Iterator[bytes]:
        if self._connection.asked_for_head:
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._connection.chunks()
        elif "content-length" in self.headers:
            yield from self._connection.exactly(int(self.headers["content-length"]))
        elif self.status not in (204, 304):
            yield from self._connection.until_closed()

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces())

    def json(self) -> Any:
        """The body as a JSON value; Failure where it is none."""
        return self.value(self.body())

    def value(self, content: bytes) -> Any:
        """What the whole body says: a JSON value, or ApiError with the daemon's text where the status tells of one."""
        try:
            found = loads(content) if content else None
        except ValueError as error:
            if self.status < 400:
                raise Failure(f"pynetd sent no JSON: {error}") from None
            found = None
        if self.status < 400:
            return found
        if isinstance(found, dict) and found.get("message"):
            raise ApiError(self.status, str(found["message"]))
        text = content.decode("utf-8", "replace").strip()
        raise ApiError(self.status, text or f"pynetd answered {self.status} without a reason")

    def lines(self) -> Iterator[Any]:
        """JSON objects, one a line, as they come."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (loads(line) for line in whole if line.strip())
        if rest.strip():
            yield loads(rest)


class Connection:
    """One connection to the daemon; requests one after the other.  `socket` and `left` (bytes received beyond the
    response's head) become the caller's when the connection is hijacked."""

    def __init__(self, path: str) -> None:
        self.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        self.left = b""
        self.asked_for_head = False
        """A response to HEAD has no body, whatever its headers say."""
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise _absent(path, error) from None

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def send(self, method: str, path: str, body: Any = None, headers: Iterable[str] = ()) -> None:
        """Sends a request whose body is a JSON value, or none."""
        content = b"" if body is None else dumps(body).encode()
        self.asked_for_head = method == "HEAD"
        lines = [f"{method} {VERSION_PREFIX}{path} HTTP/1.1", "Host: pynet", "User-Agent: pynet", *headers]
        if content:
            lines.append("Content-Type: application/json")
        if content or method == "POST":
            lines.append(f"Content-Length: {len(content)}")
        self._sendall("\r\n".join([*lines, "", ""]).encode() + content)

    def upload(self, path: str, pieces: Iterable[bytes], method: str = "POST") -> None:
        """Sends a request whose body is produced piece by piece.  A daemon that refuses early stops it: its response
        says why."""
        head = f"{method} {VERSION_PREFIX}{path} HTTP/1.1\r\nHost: pynet\r\nUser-Agent: pynet\r\n"
        self._sendall(f"{head}Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for piece in pieces:
                if piece:
                    self.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.socket.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return

    def finish_sending(self) -> None:
        """Half-close: the daemon reads the end of the stream."""
        self.socket.shutdown(SHUT_WR)

    def response(self) -> Response:
        """The head of the next response; Failure when the daemon goes away before it."""
        while b"\r\n\r\n" not in self.left:
            self._more()
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise Failure(f"pynetd sent no HTTP response: {first[:80]!r}")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return Response(self, int(words[1]), headers)

    def exactly(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes."""
        while size:
            if not self.left:
                self._more()
            piece, self.left = self.left[:size], self.left[size:]
            size -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        """The content of a chunked body (RFC 9112, 7.1); extensions and trailers are read over."""
        while size := int(self._line().partition(b";")[0], 16):
            yield from self.exactly(size)
            self._line()
        while self._line():
            pass

    def until_closed(self) -> Iterator[bytes]:
        """Everything up to the end of the connection."""
        if self.left:
            yield self.left
            self.left = b""
        while piece := self.socket.recv(_PIECE):
            yield piece

    def _line(self) -> bytes:
        while b"\r\n" not in self.left:
            self._more()
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def _more(self) -> None:
        try:
            piece = self.socket.recv(_PIECE)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Failure("pynetd ended in the middle of its answer; running containers are not affected")
        self.left += piece

    def _sendall(self, content: bytes) -> None:
        try:
            self.socket.sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            raise Failure("pynetd ended before it took the request") from None


class Daemon:
    """The API at a socket.  One connection is kept for ordinary requests; streams and waits get one each."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._kept: Connection | None = None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request and its JSON answer (None without one); ApiError, NoDaemon, Failure."""
        if self._kept is None:
            self._kept = Connection(self.path)
        connection, self._kept = self._kept, None
        try:
            connection.send(method, path, body)
            response = connection.response()
            content = response.body()
        except BaseException:
            connection.close()
            raise
        if response.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._kept = connection
        return response.value(content)

    def close(self) -> None:
        """The kept connection; streams close their own."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def stream(self, method: str, path: str, body: Any = None) -> Response:
        """A response whose body comes in its own time, on a connection of its own; its head has come."""
        return self._alone(lambda connection: connection.send(method, path, body))[1]

    def waiting(self, path: str) -> tuple[Connection, Response]:
        """The same of a POST, with the connection to wait on (`fileno`)."""
        return self._alone(lambda connection: connection.send("POST", path))

    def upload(self, path: str, pieces: Iterable[bytes], method: str = "POST") -> Response:
        """A request with a tar archive as its body."""
        return self._alone(lambda connection: connection.upload(path, pieces, method))[1]

    def hijack(self, path: str, body: Any = None) -> Connection:
        """The raw connection after an upgrade: frames, or plain bytes where there is a terminal (contract 4.5)."""
        upgrade = ("Connection: Upgrade", "Upgrade: tcp")
        return self._alone(lambda connection: connection.send("POST", path, body, upgrade))[0]

    def _alone(self, ask: Callable[[Connection], None]) -> tuple[Connection, Response]:
        """A request on a connection of its own, which is closed when it fails, or when the answer was read."""
        connection = Connection(self.path)
        try:
            ask(connection)
            response = connection.response()
            if response.status >= 400:
                response.value(response.body())
        except BaseException:
            connection.close()
            raise
        response.alone = True
        return connection, response


def _absent(path: str, error: OSError) -> NoDaemon:
    import os

    from netd import systemd

    reason = {2: "there is no {}", 111: "nobody serves {}", 13: "{}: not allowed, try as root"}
    why = reason.get(error.errno or 0, f"{{}}: {(error.strerror or str(error)).lower()}").format(path)
    if error.errno == 13:
        return NoDaemon(f"pynetd cannot be reached: {why}")
    unit = os.path.exists("/etc/systemd/system/pynetd-api.service") and systemd.is_running()
    start = "systemctl start pynetd-api" if unit else "pynetd &"
    return NoDaemon(f"pynetd does not run ({why}); start it with: {start}")


def escaped(text: str) -> str:
    """A name or value inside a path or query."""
    octets = text.encode("utf-8", "surrogateescape")
    return "".join(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in octets)


def query(path: str, /, **values: object) -> str:
    """A path with the values that say something: True as 1, None, False and "" left out."""
    parts = [
        f"{name}={escaped('1' if value is True else str(value))}"
        for name, value in values.items()
        if value is not None and value is not False and value != ""
    ]
    return f"{path}?{'&'.join(parts)}" if parts else path


def container(ref: str, rest: str = "") -> str:
    """The path of a container's resource."""
    return f"/containers/{escaped(ref)}{rest}"
