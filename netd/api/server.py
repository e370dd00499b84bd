"""HTTP/1.1 on a unix socket: connections, their requests one after the other, and how all of it ends.

Every connection is a task of its own, so a client that is slow, stopped or dead keeps nobody else waiting.  Plain
handlers run in threads, as many as there are requests up to a limit; streaming handlers run in the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor

import h11

from netd.api.exchange import Call, Exchange, TooLarge, next_event
from netd.api.query import Query
from netd.api.reply import PAGE_NOT_FOUND, TEXT, Reply, error_reply
from netd.api.router import Match, Router, TooOld
from netd.api.wire import Hangups, Wire
from netd.failure import NotFound
from pycni.spec.errors import CniError

MAX_CONNECTIONS = 1024
"""Clients at a time; attached clients and those that wait for a container's end keep one each."""
_MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers: docker's clients send filters in the first."""
_IDLE = 600.0
"""Seconds between two requests of one connection."""
_SLOW = 30.0
"""Seconds for the head of a request once it has begun, and for what a client still sends after an early answer."""
_PATIENCE = 10.0
"""Seconds that requests under way have when the server ends."""
_ACCEPTED = 0.02
"""Seconds in which the loop makes a wire of a connection that it has accepted."""
_FIRST = 1.0
"""Seconds for the first request of a client that connected just before the end: where systemd keeps the socket, a
restart refuses nobody."""


class Server:
    """Serves a listening socket until `stop`."""

    def __init__(self, router: Router, threads: ThreadPoolExecutor, max_connections: int = MAX_CONNECTIONS) -> None:
        self._router = router
        self._threads = threads
        self._max_connections = max_connections
        self._wires: set[Wire] = set()
        self._busy: set[Wire] = set()
        self._new: set[Wire] = set()
        self._listening: asyncio.Server | None = None
        self._hangups: Hangups | None = None
        self._stopping = False

    async def start(self, listening: socket.socket) -> None:
        """Takes connections from now on."""
        hangups = self._hangups = Hangups()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_unix_server(lambda: Wire(self._serve, hangups), sock=listening, backlog=512)

    async def stop(self) -> None:
        """Takes no more connections, lets requests that run in threads finish for a while, and closes all."""
        self._stopping = True
        if self._listening is not None:
            self._listening.close()
        await asyncio.sleep(_ACCEPTED)
        _cancel(self._wires - self._busy - self._new)
        await self._others_end(_FIRST)
        _cancel(self._wires - self._busy)
        await self._others_end(_PATIENCE)
        _cancel(self._wires)
        if self._hangups is not None:
            self._hangups.close()

    async def _others_end(self, seconds: float) -> None:
        tasks = {wire.task for wire in self._wires if wire.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _serve(self, wire: Wire) -> None:
        """A connection's life."""
        self._wires.add(wire)
        self._new.add(wire)
        try:
            if len(self._wires) > self._max_connections:
                await _refuse(wire, 503, "too many connections")
                return
            http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
            while await self._exchange(wire, http) and not self._stopping:
                http.start_next_cycle()
        except (ConnectionError, TimeoutError):
            wire.abort()
        except h11.RemoteProtocolError as error:
            with contextlib.suppress(ConnectionError):
                await _refuse(wire, error.error_status_hint, str(error))
        except asyncio.CancelledError:
            wire.abort()
            raise
        finally:
            self._wires.discard(wire)
            self._new.discard(wire)
            wire.close()

    async def _exchange(self, wire: Wire, http: h11.Connection) -> bool:
        """One request; whether another may follow."""
        request = await _next_request(wire, http)
        if request is None:
            return False
        exchange = Exchange(wire, http, request, _call(request))
        await self._answer(exchange, wire)
        self._new.discard(wire)
        if exchange.taken:
            return False
        if http.their_state is h11.SEND_BODY:
            await _drain(exchange)
        return bool(http.our_state is h11.DONE and http.their_state is h11.DONE)

    async def _answer(self, exchange: Exchange, wire: Wire) -> None:
        """Runs the handler, and turns what it raises into an answer."""
        try:
            match = self._router.find(exchange.call.method, exchange.call.path)
            exchange.call = exchange.call.replace(variables=match.variables, version=match.version)
            await self._handle(match, exchange, wire)
            return
        except (ConnectionError, h11.RemoteProtocolError):
            raise
        except NotFound as error:
            reply = PAGE_NOT_FOUND if error.msg == "page not found" else error_reply(404, error.msg)
        except TooOld as error:
            reply = Reply(status_of(error), f"{error.msg}\n".encode(), TEXT)
        except CniError as error:
            reply = error_reply(status_of(error), error.msg)
        except TooLarge:
            reply = error_reply(413, "the request's body is too large")
        except OSError as error:
            reply = error_reply(500, str(error))
        except Exception as error:
            # a mistake of ours: the client hears of it, the operator gets the place, and the others go on
            log(f"{exchange.call.method} {exchange.call.path}: {''.join(traceback.format_exception(error))}")
            reply = error_reply(500, f"{type(error).__name__}: {error}")
        if exchange.begun:
            raise ConnectionAbortedError("the answer had begun")
        await exchange.reply(reply)

    async def _handle(self, match: Match, exchange: Exchange, wire: Wire) -> None:
        if inspect.iscoroutinefunction(match.route.handler):
            self._new.discard(wire)
            await match.route.handler(exchange)
            return
        call = await exchange.with_body()
        self._busy.add(wire)
        try:
            loop = asyncio.get_running_loop()
            reply: Reply = await loop.run_in_executor(self._threads, match.route.handler, call)
            await exchange.reply(reply)
        finally:
            self._busy.discard(wire)


def _cancel(wires: set[Wire]) -> None:
    for wire in wires:
        if wire.task is not None:
            wire.task.cancel()


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 unless its class knows better."""
    status = getattr(error, "status", 500)
    return status if isinstance(status, int) else 500


async def _next_request(wire: Wire, http: h11.Connection) -> h11.Request | None:
    """The head of the next request; None at the client's end.  TimeoutError when a client begins one and stops."""
    event = http.next_event()
    if event is h11.NEED_DATA:
        async with asyncio.timeout(_IDLE):
            http.receive_data(await wire.read())
        async with asyncio.timeout(_SLOW):
            event = await next_event(wire, http)
    return event if isinstance(event, h11.Request) else None


def _call(request: h11.Request) -> Call:
    target = request.target.decode("latin-1")
    path, _, query = target.partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    return Call(request.method.decode(), path, {}, Query(query), (0, 0), headers)


async def _drain(exchange: Exchange) -> None:
    """Takes what a client still sends after an early answer: closed in the middle of sending, it might miss it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SLOW):
            async for _ in exchange.chunks():
                pass


async def _refuse(wire: Wire, status: int, message: str) -> None:
    """An answer to what is no request."""
    reply = error_reply(status, message)
    head = f"HTTP/1.1 {status} \r\nContent-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
    await wire.write(f"{head}Connection: close\r\n\r\n".encode() + reply.body)


def log(text: str) -> None:
    os.write(2, f"pynetd: {text}\n".encode(errors="backslashreplace"))
