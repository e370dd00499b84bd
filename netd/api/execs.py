"""One more process in a running container (contract docker 4.5)."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from netd.api import detach
from netd.api.core import Core
from netd.api.exchange import RAW_STREAM, Call, Exchange
from netd.api.pump import frame
from netd.api.reply import EMPTY, Reply, json_reply
from netd.api.router import Route
from netd.api.streams import carry, content_type
from netd.failure import Conflict, InvalidParameter
from netd.runtime.containers import ExecState
from netd.runtime.model import ExecOptions
from pycni.spec.errors import CniError


class StartBody(Struct, rename="pascal"):
    """`console_size` is height and width."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None


class Execs:
    """Create, start, inspect, resize."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.routes = (
            Route("POST", "/containers/{id}/exec", self.create),
            Route("POST", "/exec/{id}/start", self.start),
            Route("GET", "/exec/{id}/json", self.inspect),
            Route("POST", "/exec/{id}/resize", self.resize),
        )

    def create(self, call: Call) -> Reply:
        options = call.decode(ExecOptions)
        if not options.cmd:
            raise InvalidParameter("No exec command specified")
        detach.parse(options.detach_keys)
        return json_reply({"Id": self._core.containers.exec_create(call["id"], options)}, 201)

    async def start(self, exchange: Exchange) -> None:
        """Detached: an empty answer once it runs.  Else the connection becomes its streams at once, and why it could
        not be started is written into them; its exit code is 126 or 127 then, as with docker."""
        call = await exchange.with_body()
        body = call.decode(StartBody)
        containers = self._core.containers
        state = await self._core.run(containers.exec_inspect, call["id"])
        if state.running or state.exit_code is not None:
            raise Conflict(f"exec {state.id} has already been started")
        if body.detach:
            await self._core.run(containers.exec_start, state.id, attached=False)
            await exchange.reply(EMPTY)
            return
        keys = detach.parse(state.options.detach_keys)
        # before it runs: what a client is sent together with the head may be lost to it, see Wire.taken
        wire, early = await exchange.take_over(_content_type(call, state))
        try:
            stream = await self._core.run(containers.exec_start, state.id, attached=True, size=body.console_size)
        except CniError as error:
            text = error.msg.encode() + b"\r\n"
            await wire.write(text if state.options.tty else frame(2, text))
            return
        assert stream is not None
        try:
            if await carry(stream, wire, early, keys):
                # the client asks for the exit code as soon as it reads the end
                ended = asyncio.wrap_future(containers.exec_ended(state.id))
                await asyncio.wait((ended, wire.closed), return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
        finally:
            stream.close()

    def inspect(self, call: Call) -> Reply:
        return json_reply(view(self._core.containers.exec_inspect(call["id"])))

    def resize(self, call: Call) -> Reply:
        height, width = call.query.number("h"), call.query.number("w")
        if not height or not width:
            raise InvalidParameter("h and w: both must be given, and positive")
        self._core.containers.exec_resize(call["id"], height, width)
        return EMPTY


def _content_type(call: Call, state: ExecState) -> str:
    """Without an upgrade docker says raw though it sends frames, and clients expect no better."""
    return content_type(state.options.tty, call.version) if "upgrade" in call.headers else RAW_STREAM


def view(state: ExecState) -> dict[str, object]:
    """GET /exec/{id}/json."""
    options = state.options
    words = options.cmd or [""]
    return {
        "ID": state.id,
        "ContainerID": state.container_id,
        "Running": state.running,
        "ExitCode": state.exit_code,
        "Pid": state.pid,
        "CanRemove": False,
        "DetachKeys": options.detach_keys,
        "OpenStdin": options.attach_stdin,
        "OpenStdout": options.attach_stdout,
        "OpenStderr": options.attach_stderr,
        "ProcessConfig": {
            "entrypoint": words[0],
            "arguments": words[1:],
            "tty": options.tty,
            "privileged": options.privileged,
            "user": options.user,
        },
    }
