"""Images: pull, load, import, list, inspect, tag, remove (contract docker 6.2).  Archives go through a pipe, so that no
more of them than a pipe holds is ever in memory."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import IO, Any

import msgspec

from netd.api.absent import check_platform
from netd.api.containers import until_ns
from netd.api.core import Core
from netd.api.exchange import Call, Exchange
from netd.api.feeding import feed
from netd.api.filters import Filters, parse
from netd.api.handoff import Closed, Handoff
from netd.api.image_view import inspect, item, past, reference_matches
from netd.api.query import rfc3339
from netd.api.reply import JSON, Reply, json_reply
from netd.api.router import Route
from netd.api.server import status_of
from netd.failure import InvalidParameter
from netd.runtime.images.interest import Interest
from netd.runtime.images.model import Image, Progress
from pycni.spec.errors import CniError

LIST_FILTERS = ("before", "dangling", "label", "label!", "reference", "since", "until")
PRUNE_FILTERS = ("dangling", "label", "label!", "until")


class ImageGroup:
    """Endpoints below /images."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._images = core.images
        self.routes = (
            Route("GET", "/images/json", self.listed),
            Route("POST", "/images/create", self.create),
            Route("POST", "/images/load", self.load),
            Route("POST", "/images/prune", self.prune),
            Route("GET", "/images/{name*}/json", self.inspect),
            Route("GET", "/images/{name*}/history", self.history),
            Route("POST", "/images/{name*}/tag", self.tag),
            Route("DELETE", "/images/{name*}", self.remove),
        )

    async def create(self, exchange: Exchange) -> None:
        """`fromImage`: pulls; `fromSrc=-`: imports the body, a tar of a root file system."""
        query = exchange.call.query
        check_platform(query.text("platform"))
        if query.text("fromImage"):
            await exchange.with_body()
            await self._pull(exchange)
        elif query.text("fromSrc") == "-":
            await self._import(exchange)
        else:
            raise InvalidParameter("fromImage or fromSrc=-: one of them must be given")

    async def _pull(self, exchange: Exchange) -> None:
        reference = _reference(exchange.call.query.text("fromImage"), exchange.call.query.text("tag"))
        auth = _auth(exchange.call.headers.get("x-registry-auth", ""))
        await _report(
            exchange, self._core, lambda progress, interest: self._images.pull(reference, progress, auth, interest)
        )

    async def _import(self, exchange: Exchange) -> None:
        query = exchange.call.query
        reference = _reference(query.text("repo"), query.text("tag")) if query.text("repo") else ""
        changes, message = query.all_of("changes"), query.text("message")

        def work(stream: IO[bytes], progress: Progress, interest: Interest) -> None:
            self._images.import_rootfs(stream, reference, changes, message, progress, interest)

        await _upload(exchange, self._core, work)

    async def load(self, exchange: Exchange) -> None:
        """The body is an archive; `quiet` leaves out all but what was loaded."""
        quiet = exchange.call.query.flag("quiet")
        check_platform(exchange.call.query.text("platform"))

        def work(stream: IO[bytes], progress: Progress, interest: Interest) -> None:
            heard = (lambda told: progress(told) if "stream" in told else None) if quiet else progress
            self._images.load(stream, heard, interest)

        await _upload(exchange, self._core, work)

    def listed(self, call: Call) -> Reply:
        filters = parse(call.query.text("filters"), LIST_FILTERS)
        dangling = filters.boolean("dangling")
        before = [_created(self._images.find(ref)) for ref in filters.get("before")]
        since = [_created(self._images.find(ref)) for ref in filters.get("since")]
        until = until_ns(filters)
        chosen = [
            item(each)
            for each in self._images.list()
            if (dangling is None or dangling == (not each.repo_tags))
            and _labelled(each, filters)
            and all(_created(each) < limit for limit in before)
            and all(_created(each) > limit for limit in since)
            and (until is None or _created(each) < until)
            and ("reference" not in filters or reference_matches(each, filters.get("reference")))
        ]
        return json_reply(chosen)

    def inspect(self, call: Call) -> Reply:
        return json_reply(inspect(self._images.find(call["name"])))

    def history(self, call: Call) -> Reply:
        image = self._images.find(call["name"])
        return json_reply(past(image, self._images.history(image.id)))

    def tag(self, call: Call) -> Reply:
        repository = call.query.text("repo")
        if not repository:
            raise InvalidParameter("repo: must be given")
        self._images.tag(call["name"], _reference(repository, call.query.text("tag")))
        return Reply(201)

    def remove(self, call: Call) -> Reply:
        return json_reply(self._remove(call["name"], call.query.flag("force")))

    def _remove(self, reference: str, force: bool) -> list[dict[str, str]]:
        return self._images.remove(reference, force, self._used_by(False), self._used_by(True))

    def _used_by(self, running: bool) -> Callable[[str], Any]:
        def ids(image_id: str) -> Any:
            return [
                each.id
                for each in self._core.containers.list()
                if each.image_id == image_id and (each.state.running or not running)
            ]

        return ids

    def prune(self, call: Call) -> Reply:
        """Images without a name, with `dangling=false` all that no container is made from."""
        filters = parse(call.query.text("filters"), PRUNE_FILTERS)
        everything = filters.boolean("dangling") is False
        until = until_ns(filters)
        records: Any = []
        space = 0
        used = {each.image_id for each in self._core.containers.list()}
        for image in self._images.list():
            if image.id in used or (image.repo_tags and not everything) or not _labelled(image, filters):
                continue
            if until is not None and _created(image) >= until:
                continue
            try:
                records += self._remove(image.id, force=True)
                space += image.size
            except CniError:
                continue  # a container of it has come meanwhile
        return json_reply({"ImagesDeleted": records or None, "SpaceReclaimed": space})


def _created(image: Image) -> int:
    return rfc3339(image.created) or 0


def _labelled(image: Image, filters: Filters) -> bool:
    labels = image.config.labels
    return filters.labels(labels) and filters.labels(labels, "label!")


def _reference(name: str, tag: str) -> str:
    """The tag of a query may be a digest; a name that has its own keeps it."""
    if not tag:
        return name
    return f"{name}@{tag}" if ":" in tag else f"{name}:{tag}"


def _auth(header: str) -> dict[str, str] | None:
    """X-Registry-Auth: JSON in base64 for URLs; None without credentials.  InvalidParameter."""
    if not header:
        return None
    try:
        text = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        given = msgspec.json.decode(text, type=dict[str, Any] | None) or {}
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidParameter(f"X-Registry-Auth: {error}") from None
    return {key: value for key, value in given.items() if isinstance(value, str) and value} or None


async def _report(exchange: Exchange, core: Core, work: Callable[[Progress, Interest], object]) -> None:
    """Runs `work` in a thread and sends its progress, one JSON object a line.  What fails before anything was sent has
    a status of its own; later it is the last line.  What nobody waits for any more is
    stopped: the work's interest is lost with the client."""
    handoff: Handoff[dict[str, Any]] = Handoff()
    interest = Interest()

    def progress(told: dict[str, Any]) -> None:
        try:
            handoff.put(told)
        except Closed:
            return

    def run() -> None:
        try:
            work(progress, interest)
        finally:
            handoff.end()

    working = asyncio.ensure_future(core.run(run))
    leaving = asyncio.ensure_future(_leaving(exchange, interest))
    try:
        while told := await handoff.take():
            if not exchange.begun:
                await exchange.begin(JSON)
            await exchange.send(b"".join(msgspec.json.encode(each) + b"\r\n" for each in told))
        await _finish(exchange, working)
    finally:
        leaving.cancel()
        interest.lose()
        handoff.close()


async def _leaving(exchange: Exchange, interest: Interest) -> None:
    await exchange.until_closed()
    interest.lose()


async def _finish(exchange: Exchange, working: asyncio.Future[None]) -> None:
    try:
        await working
    except (CniError, OSError) as error:
        if not exchange.begun:
            raise
        text = error.msg if isinstance(error, CniError) else str(error)
        told = {"errorDetail": {"code": status_of(error), "message": text}, "error": text}
        await exchange.send(msgspec.json.encode(told) + b"\r\n")
    if not exchange.begun:
        await exchange.begin(JSON)
    await exchange.end()


async def _upload(exchange: Exchange, core: Core, work: Callable[[IO[bytes], Progress, Interest], object]) -> None:
    """`_report` for work that reads the request's body from a pipe."""
    inside, outside = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(outside, False)
    feeding = asyncio.ensure_future(feed(exchange, outside))

    def read(progress: Progress, interest: Interest) -> None:
        with os.fdopen(inside, "rb") as stream:
            work(stream, progress, interest)

    try:
        await _report(exchange, core, read)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
