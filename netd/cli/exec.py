"""`pynet exec`."""

from __future__ import annotations

import os

from netd.cli import detach_keys
from netd.cli.client import ApiError, container
from netd.cli.run import status_of
from netd.cli.run_request import environment
from netd.cli.terminal import size
from netd.failure import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.context import Context
    from netd.cli.flags import Arguments

_NOT_EXECUTABLE = (126, 127)


def execute(context: Context, arguments: Arguments) -> int:
    """The command's own exit status; 126 and 127 where it cannot be run; 0 for --detach."""
    keys = detach_keys.parse(arguments.detach_keys)
    with_input = arguments.interactive and not arguments.detach
    if arguments.tty and with_input and not os.isatty(context.input.fileno()):
        raise InvalidParameter("-t: standard input is no terminal; use -i alone to pipe into a container")
    daemon = context.daemon
    window = size(context.out.fileno()) if arguments.tty else None
    request = {
        "AttachStdin": with_input,
        "AttachStdout": not arguments.detach,
        "AttachStderr": not arguments.detach,
        "Tty": arguments.tty,
        "Cmd": list(arguments.words),
        "Env": environment(arguments, context.environ),
        "User": arguments.user,
        "WorkingDir": arguments.workdir,
        "Privileged": arguments.privileged,
        "DetachKeys": arguments.detach_keys,
        **({"ConsoleSize": list(window)} if window else {}),
    }
    made = f"/exec/{daemon.post(container(arguments.container, '/exec'), request)['Id']}"
    try:
        if arguments.detach:
            daemon.post(f"{made}/start", {"Detach": True, "Tty": arguments.tty})
            return 0
        return _attached(context, arguments, made, keys, with_input)
    except ApiError as error:
        context.complain(str(error))
        status = status_of(str(error))
        return status if status in _NOT_EXECUTABLE else 1


def _attached(context: Context, arguments: Arguments, made: str, keys: bytes, with_input: bool) -> int:
    from netd.cli.session import Process, Session
    from netd.cli.signals import Interrupted

    daemon = context.daemon
    stdin = context.input.fileno() if with_input else -1
    window = size(context.out.fileno()) if arguments.tty else None
    start = {"Detach": False, "Tty": arguments.tty, **({"ConsoleSize": list(window)} if window else {})}
    process = Process(daemon, made, tty=arguments.tty, stdin=stdin, keys=keys, proxy=False)
    session = Session(context, process, daemon.hijack(f"{made}/start", start))
    context.out.flush()
    try:
        session.run(lambda: None)
    except Interrupted as error:
        return 128 + error.number
    if session.detached:
        return 0
    status = daemon.get(f"{made}/json")["ExitCode"]
    return status if isinstance(status, int) else 0
