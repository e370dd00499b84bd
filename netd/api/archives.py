"""docker cp: GET, HEAD and PUT /containers/{id}/archive.  Archives go through piece by piece, in both directions."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from typing import Any

import msgspec

from netd.api.core import Core
from netd.api.exchange import Call, Exchange
from netd.api.feeding import feed
from netd.api.handoff import Closed, Handoff
from netd.api.reply import EMPTY, Reply
from netd.api.router import Route
from netd.failure import InvalidParameter
from netd.files.reading import PathStat

_TAR = "application/x-tar"
_STAT = "X-Docker-Container-Path-Stat"
_AHEAD = 1 << 20
"""Bytes that wait for a slow client."""


class Archives:
    """Archives out of containers and into them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.routes = (
            Route("GET", "/containers/{id}/archive", self.get),
            Route("HEAD", "/containers/{id}/archive", self.head),
            Route("PUT", "/containers/{id}/archive", self.put),
        )

    def head(self, call: Call) -> Reply:
        found = self._core.containers.look(call["id"], _path(call))
        return Reply(200, headers=((_STAT, _encoded(found)),))

    async def get(self, exchange: Exchange) -> None:
        call = await exchange.with_body()
        path = _path(call)
        handoff: Handoff[PathStat | bytes] = Handoff(_AHEAD, lambda each: len(each) if isinstance(each, bytes) else 1)

        def work() -> None:
            try:
                self._core.containers.read_archive(call["id"], path, handoff.put, handoff.put)
            except Closed:
                return  # the client has left
            finally:
                handoff.end()

        working = asyncio.ensure_future(self._core.run(work))
        try:
            while given := await handoff.take():
                for each in given:
                    if isinstance(each, bytes):
                        await exchange.send(each)
                    else:
                        await exchange.begin(_TAR, headers=((_STAT, _encoded(each)),))
            await working
            await exchange.end()
        finally:
            handoff.close()
            await asyncio.gather(working, return_exceptions=True)

    async def put(self, exchange: Exchange) -> None:
        """Answers when all of it is unpacked."""
        call, query = exchange.call, exchange.call.query
        path = _path(call)
        keep_kinds, owned = query.flag("noOverwriteDirNonDir"), query.flag("copyUIDGID")
        inside, outside = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(outside, False)
        feeding = asyncio.ensure_future(feed(exchange, outside))

        def work() -> None:
            with os.fdopen(inside, "rb") as stream:
                self._core.containers.write_archive(call["id"], path, stream, keep_kinds, owned)
                while stream.read(1 << 18):  # what follows the archive's end
                    pass

        try:
            await self._core.run(work)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        await exchange.reply(EMPTY)


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path or "\0" in path:
        raise InvalidParameter("bad parameter: path: must be given")
    return path


def _encoded(found: PathStat) -> str:
    """JSON in base64, as docker's clients read it."""
    whole, fraction = divmod(int(found.mtime * 1_000_000_000), 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    shown: dict[str, Any] = {
        "name": found.name,
        "size": found.size,
        "mode": found.mode,
        "mtime": f"{moment}.{fraction:09d}Z",
        "linkTarget": found.link_target,
    }
    return base64.b64encode(msgspec.json.encode(shown)).decode("ascii")
