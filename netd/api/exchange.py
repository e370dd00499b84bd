"""One request and its answer, as handlers see them.

Plain handlers get a `Call` in a thread and return a `Reply`.  Handlers that stream get the `Exchange`: they take the
body piece by piece, answer piece by piece, or take the connection over altogether.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import h11
import msgspec

from netd.api.decode import decode
from netd.api.query import Query
from netd.api.reply import COMMON, Reply
from netd.api.wire import Wire
from netd.failure import InvalidParameter
from pycni.record import Record

T = TypeVar("T")

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a JSON body; a container with a thousand ports and variables has a tenth of it."""

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"


class Call(Record):
    """A request whose body has been read.  `variables` are those of the route's path; `version` the API's."""

    method: str
    path: str
    variables: dict[str, str]
    query: Query
    version: tuple[int, int]
    headers: dict[str, str]
    body: bytes = b""

    def __getitem__(self, name: str) -> str:
        """A variable of the path."""
        return self.variables[name]

    def decode(self, kind: type[T]) -> T:
        """The body as `kind`, whose defaults an empty body means; InvalidParameter with the path of what is wrong."""
        if not self.body.strip():
            return kind()
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise InvalidParameter(f"unsupported Content-Type header ({media}): must be 'application/json'")
        try:
            return decode(self.body, kind)
        except msgspec.ValidationError as error:
            raise InvalidParameter(f"invalid request body: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidParameter(f"invalid JSON: {error}") from None


class TooLarge(Exception):
    """The body is longer than the handler takes."""


class Exchange:
    """Answers exactly once: with `reply`, with `begin`, `send`… and `end`, or by `take_over`."""

    def __init__(self, wire: Wire, http: h11.Connection, request: h11.Request, call: Call) -> None:
        self._wire = wire
        self._http = http
        self._request = request
        self.call = call
        self.begun = False
        """An answer is under way: it is too late for another status."""
        self.taken = False
        """The connection no longer speaks HTTP."""

    @property
    def gone(self) -> asyncio.Future[None]:
        """Done when the client went away, or sends nothing more."""
        return self._wire.gone

    async def until_closed(self) -> None:
        """The client is gone, both ways: nobody reads the answer."""
        await self._wire.until_closed()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come; ends early, with ConnectionError, when the client goes away."""
        while True:
            event = await next_event(self._wire, self._http)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise ConnectionResetError("the client closed the connection in the middle of its request")

    async def body(self, limit: int = MAX_BODY) -> bytes:
        """The whole body; TooLarge beyond `limit` bytes."""
        taken = bytearray()
        async for piece in self.chunks():
            taken += piece
            if len(taken) > limit:
                raise TooLarge
        return bytes(taken)

    async def with_body(self) -> Call:
        """The call, its body read."""
        self.call = self.call.replace(body=await self.body())
        return self.call

    async def reply(self, reply: Reply) -> None:
        """The whole answer."""
        headers = [*reply.headers]
        if reply.content_type:
            headers.append(("Content-Type", reply.content_type))
        if reply.status not in (204, 304):
            headers.append(("Content-Length", str(len(reply.body))))
        body = b"" if self.call.method == "HEAD" else reply.body
        self.begun = True
        sent = self._head(reply.status, headers)
        if body:
            sent += self._out(h11.Data(data=body))
        await self._wire.write(sent + self._out(h11.EndOfMessage()))

    async def begin(self, content_type: str, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> None:
        """The answer's head, sent at once; its body follows in chunks."""
        self.begun = True
        await self._wire.write(self._head(status, [*headers, ("Content-Type", content_type)]))

    async def send(self, data: bytes) -> None:
        """A piece of the body; ConnectionError when the client is gone."""
        if data:
            await self._wire.write(self._out(h11.Data(data=data)))

    async def end(self) -> None:
        """The end of the body."""
        await self._wire.write(self._out(h11.EndOfMessage()))

    async def take_over(self, content_type: str) -> tuple[Wire, bytes]:
        """The connection for raw bytes both ways, and what the client has sent already behind its request.

        The request's body must have been read.  A client that asked for an upgrade is answered 101, else 200 with the
        rest of the connection as the body (contract docker 4.5)."""
        early, _ = self._http.trailing_data
        self.begun = self.taken = True
        upgraded = "upgrade" in self.call.headers
        head = [f"HTTP/1.1 {'101 UPGRADED' if upgraded else '200 OK'}", f"Content-Type: {content_type}"]
        if upgraded:
            head += ["Connection: Upgrade", "Upgrade: tcp"]
        head += [f"{name}: {value}" for name, value in COMMON]
        await self._wire.write("\r\n".join([*head, "", ""]).encode())
        return self._wire, early

    def _head(self, status: int, headers: Sequence[tuple[str, str]]) -> bytes:
        return self._out(h11.Response(status_code=status, headers=[*COMMON, *headers], reason=_reason(status)))

    def _out(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""


def _reason(status: int) -> bytes:
    return _REASONS.get(status, b"")


_REASONS = {
    200: b"OK",
    201: b"Created",
    204: b"No Content",
    304: b"Not Modified",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    409: b"Conflict",
    413: b"Request Entity Too Large",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}
"""Some clients print the words."""


async def next_event(wire: Wire, http: h11.Connection) -> Any:
    """The next h11 event, reading as needed; h11.RemoteProtocolError for what is no HTTP."""
    while True:
        event = http.next_event()
        if event is not h11.NEED_DATA:
            return event
        if http.they_are_waiting_for_100_continue:
            await wire.write(
                http.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")) or b""
            )
        http.receive_data(await wire.read())
