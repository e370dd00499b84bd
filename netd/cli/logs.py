"""`pynet logs`."""

from __future__ import annotations

import time

from netd.cli import moments
from netd.cli.client import container, query
from netd.cli.frames import STDERR, Frames, Plain
from netd.cli.session import write
from netd.failure import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.context import Context
    from netd.cli.flags import Arguments


def logs(context: Context, arguments: Arguments) -> int:
    """stdout to stdout, stderr to stderr."""
    if arguments.tail != "all" and not (arguments.tail.lstrip("-").isdecimal() and arguments.tail.isascii()):
        raise InvalidParameter(f"--tail {arguments.tail!r}: expected a number of lines, or all")
    now = time.time()
    since = moments.seconds_of("--since", arguments.since, now)
    until = moments.seconds_of("--until", arguments.until, now)
    found = context.daemon.get(container(arguments.container, "/json"))
    wanted = query(
        container(found["Id"], "/logs"),
        stdout=True,
        stderr=True,
        follow=arguments.follow,
        tail=arguments.tail,
        since=since,
        until=until,
        timestamps=arguments.timestamps,
    )
    frames = Plain() if found["Config"]["Tty"] else Frames()
    outputs = {1: context.out.fileno(), STDERR: context.err.fileno()}
    for piece in context.daemon.stream("GET", wanted).pieces():
        for stream, content in frames.feed(piece):
            write(outputs[STDERR if stream == STDERR else 1], content)
    return 0
