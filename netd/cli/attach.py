"""`pynet attach`, and `pynet start --attach`."""

from __future__ import annotations

from netd.cli import detach_keys
from netd.cli.client import container, query
from netd.cli.run import finish
from netd.failure import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.client import Connection, Response
    from netd.cli.context import Context
    from netd.cli.flags import Arguments
    from netd.cli.session import Session


def attach(context: Context, arguments: Arguments) -> int:
    """The container's exit status, or 0 after the detach keys."""
    daemon = context.daemon
    found = daemon.get(container(arguments.container, "/json"))
    state = found["State"]
    for word, flag in (("paused", "Paused"), ("restarting", "Restarting")):
        if state.get(flag):
            raise Conflict(f"container {arguments.container} is {word}: it cannot be attached to")
    if not state["Running"]:
        raise Conflict(f"container {arguments.container} does not run: pynet start -ai {arguments.container} does both")
    waiting = daemon.waiting(container(found["Id"], "/wait?condition=not-running"))
    session = joined(context, arguments, found, not arguments.no_stdin and bool(found["Config"]["OpenStdin"]))

    def begin() -> tuple[Connection, Response]:
        _redraw(context, found)
        return waiting

    return finish(context, session, begin)


def start(context: Context, arguments: Arguments) -> int:
    """Starts one container and stays with it."""
    daemon = context.daemon
    found = daemon.get(container(arguments.containers[0], "/json"))
    with_input = arguments.interactive and bool(found["Config"]["OpenStdin"])
    session = joined(context, arguments, found, with_input)

    def begin() -> tuple[Connection, Response]:
        condition = "removed" if found["HostConfig"].get("AutoRemove") else "next-exit"
        waiting = daemon.waiting(container(found["Id"], f"/wait?condition={condition}"))
        daemon.post(container(found["Id"], "/start"))
        return waiting

    return finish(context, session, begin)


def joined(context: Context, arguments: Arguments, found: dict[str, dict[str, object]], with_input: bool) -> Session:
    """A session on an existing container."""
    from netd.cli.session import Process, Session

    keys = detach_keys.parse(arguments.detach_keys)
    path = container(str(found["Id"]))
    process = Process(
        context.daemon,
        path,
        tty=bool(found["Config"]["Tty"]),
        stdin=context.input.fileno() if with_input else -1,
        keys=keys,
        proxy=arguments.sig_proxy,
    )
    where = query(
        f"{path}/attach",
        stream=True,
        stdin=with_input,
        stdout=True,
        stderr=True,
        detachKeys=arguments.detach_keys,
    )
    return Session(context, process, context.daemon.hijack(where))


def _redraw(context: Context, found: dict[str, dict[str, object]]) -> None:
    """A shell that waits at its prompt shows it again when its window changes."""
    from netd.cli.terminal import size
    from netd.failure import Failure

    window = size(context.out.fileno())
    if found["Config"]["Tty"] and window is not None:
        path = container(str(found["Id"]), f"/resize?h={window[0] + 1}&w={window[1] + 1}")
        try:
            context.daemon.post(path)
        except Failure:
            return  # it has ended; the wait tells
