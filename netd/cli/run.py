"""`pynet run` and `pynet container create`; the calls are those of docker's own command (contract 6.2)."""

from __future__ import annotations

import os

from netd.cli import detach_keys
from netd.cli.client import ApiError, container, query
from netd.cli.run_request import STREAMS, create_body
from netd.cli.signals import Deferred, Interrupted
from netd.failure import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netd.cli.client import Connection, Response
    from netd.cli.context import Context
    from netd.cli.flags import Arguments
    from netd.cli.session import Session

    Begin = Callable[[], tuple[Connection, Response] | None]

_DAEMON_ERROR, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127


def create(context: Context, arguments: Arguments) -> int:
    """Prints the container's id."""
    body = create_body(arguments, context.environ, ())
    with Deferred() as deferred:
        context.out.write(_make(context, arguments, body, deferred) + "\n")
    return 0


def run(context: Context, arguments: Arguments) -> int:
    """Docker's exit statuses: the container's own, 125 when the daemon failed, 126 and 127 for what cannot be run.
    What ends the command before the container starts ends the container of --rm as well."""
    keys = detach_keys.parse(arguments.detach_keys)
    streams = _streams(arguments)
    if arguments.tty and "stdin" in streams and not os.isatty(context.input.fileno()):
        raise InvalidParameter("-t: standard input is no terminal; use -i alone to pipe into a container")
    body = create_body(arguments, context.environ, streams)
    if arguments.tty:
        _console(context, body)
    try:
        return _run(context, arguments, body, streams, keys)
    except Interrupted as error:
        return 128 + error.number


def _run(context: Context, arguments: Arguments, body: dict[str, object], streams: tuple[str, ...], keys: bytes) -> int:
    session: Session | None = None
    with Deferred() as deferred:
        made = _make(context, arguments, body, deferred)
        try:
            if not arguments.detach and not deferred.came:
                session = _attached(context, arguments, made, streams, keys)
            if deferred.came:
                _give_up(context, arguments, made)
                raise Interrupted(deferred.came)
            if session is None:
                context.daemon.post(container(made, "/start"))
        except ApiError as error:
            if arguments.detach:
                context.out.write(made + "\n")  # docker's: the container is there, whatever became of it
            context.complain(str(error))
            return status_of(str(error))
    if session is None:
        context.out.write(made + "\n")
        return 0
    try:
        return finish(context, session, lambda: _begin(context, made, arguments.rm))
    except ApiError as error:
        context.complain(str(error))
        return status_of(str(error))


def _give_up(context: Context, arguments: Arguments, made: str) -> None:
    if arguments.rm:
        context.daemon.call("DELETE", container(made, "?force=1"))
    else:
        context.complain(f"container {made[:12]} was made, and not started")


def _streams(arguments: Arguments) -> tuple[str, ...]:
    """Which streams to attach."""
    for name in arguments.attach:
        if name.lower() not in STREAMS:
            raise InvalidParameter(f"--attach {name!r}: one of {', '.join(STREAMS)}")
    if arguments.detach:
        if arguments.attach:
            raise InvalidParameter("--attach and --detach exclude each other")
        return ()
    if arguments.attach:
        return tuple(name.lower() for name in arguments.attach)
    return STREAMS if arguments.interactive else STREAMS[1:]


def _console(context: Context, body: dict[str, object]) -> None:
    from netd.cli.terminal import size

    config = body["HostConfig"]
    assert isinstance(config, dict)
    if found := size(context.out.fileno()):
        config["ConsoleSize"] = list(found)


def _make(context: Context, arguments: Arguments, body: dict[str, object], deferred: Deferred) -> str:
    """Creates the container, pulling its image where that is wanted; its id.  Signals are held from then on."""
    if arguments.cidfile and os.path.exists(arguments.cidfile):
        raise InvalidParameter(f"--cidfile {arguments.cidfile}: the file exists; is that container still in use?")
    path = query("/containers/create", name=arguments.name)
    if arguments.pull == "always":
        _pull(context, arguments)
    try:
        answer = _ask(context, path, body, deferred)
    except ApiError as error:
        if error.status != 404 or not str(error).startswith("No such image") or arguments.pull != "missing":
            raise
        if not arguments.quiet:
            context.err.write(f"image {arguments.image} is not here yet: pulling it\n")
        _pull(context, arguments)
        answer = _ask(context, path, body, deferred)
    for warning in answer.get("Warnings") or ():
        context.err.write(f"pynet: warning: {warning}\n")
    context.err.flush()
    made = str(answer["Id"])
    if arguments.cidfile:
        with open(arguments.cidfile, "x", encoding="ascii") as stream:
            stream.write(made)
    return made


def _ask(context: Context, path: str, body: dict[str, object], deferred: Deferred) -> dict[str, list[str]]:
    """Held while it lasts: a request that is broken off is done all the same."""
    deferred.hold()
    try:
        answer = context.daemon.post(path, body)
    except BaseException:
        deferred.release()
        if deferred.came:
            raise Interrupted(deferred.came) from None
        raise
    assert isinstance(answer, dict)
    return answer


def _pull(context: Context, arguments: Arguments) -> None:
    from netd.cli.image_get import fetch

    fetch(context, arguments.image, None if arguments.quiet else context.err)


def _attached(context: Context, arguments: Arguments, made: str, streams: tuple[str, ...], keys: bytes) -> Session:
    from netd.cli.session import Process, Session

    daemon = context.daemon
    stdin = context.input.fileno() if "stdin" in streams else -1
    process = Process(daemon, container(made), tty=arguments.tty, stdin=stdin, keys=keys, proxy=arguments.sig_proxy)
    chosen = {name: name in streams for name in STREAMS}
    where = query(container(made, "/attach"), stream=True, detachKeys=arguments.detach_keys, **chosen)
    return Session(context, process, daemon.hijack(where) if streams else None)


def _begin(context: Context, made: str, removed: bool) -> tuple[Connection, Response]:
    condition = "removed" if removed else "next-exit"
    waiting = context.daemon.waiting(container(made, f"/wait?condition={condition}"))
    context.daemon.post(container(made, "/start"))
    return waiting


def finish(context: Context, session: Session, begin: Begin) -> int:
    """Runs a session to its end; the exit status."""
    context.out.flush()
    try:
        session.run(begin)
    except Interrupted as error:
        return 128 + error.number
    if session.detached or session.answer is None:
        return 0
    problem = session.answer.get("Error")
    if isinstance(problem, dict) and problem.get("Message"):
        context.complain(str(problem["Message"]))
    status = session.answer["StatusCode"]
    assert isinstance(status, int)
    return status


def status_of(message: str) -> int:
    """The exit status docker gives to a failure to start, from its text."""
    text = message.lower()
    if "executable file not found" in text or "no such file or directory" in text:
        return _NOT_FOUND
    if "permission denied" in text or "is a directory" in text:
        return _NOT_EXECUTABLE
    return _DAEMON_ERROR
