"""Commands on containers that exist.  Each goes on to the next container when one fails, and tells of every failure."""

from __future__ import annotations

from netd.cli.client import ApiError, container, query
from netd.failure import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from netd.cli.context import Context
    from netd.cli.flags import Arguments

NOT_FOUND = 404


def inspect(context: Context, arguments: Arguments) -> int:
    """An array of those that exist."""
    found = []

    def look(ref: str) -> None:
        found.append(context.daemon.get(container(ref, "/json")))

    failed = _each(context, arguments.containers, look)
    show_objects(context, arguments.format, found)
    return failed


def show_objects(context: Context, template: str | None, found: list[dict[str, object]]) -> None:
    """What `inspect` prints: an array, or what --format makes of each."""
    from netd.cli import output

    context.out.write(output.formatted(template, found, {}) if template else output.json_text(found))


def rm(context: Context, arguments: Arguments) -> int:
    """Prints what was removed; with --force what is absent is fine."""

    def remove(ref: str) -> None:
        try:
            wishes = {"force": arguments.force, "v": arguments.volumes, "link": arguments.link}
            context.daemon.call("DELETE", query(container(ref), **wishes))
        except ApiError as error:
            if not (arguments.force and error.status == NOT_FOUND):
                raise
            return
        context.out.write(f"{ref}\n")

    return _each(context, arguments.containers, remove)


def start(context: Context, arguments: Arguments) -> int:
    """Prints what was started; with --attach ends as the container does."""
    if arguments.attach or arguments.interactive:
        if len(arguments.containers) > 1:
            raise InvalidParameter("--attach: one container at a time")
        from netd.cli import attach

        return attach.start(context, arguments)
    return _told(context, arguments.containers, "/start")


def stop(context: Context, arguments: Arguments) -> int:
    return _told(context, arguments.containers, query("/stop", t=arguments.time, signal=arguments.signal))


def restart(context: Context, arguments: Arguments) -> int:
    return _told(context, arguments.containers, query("/restart", t=arguments.time, signal=arguments.signal))


def kill(context: Context, arguments: Arguments) -> int:
    return _told(context, arguments.containers, query("/kill", signal=arguments.signal))


def pause(context: Context, arguments: Arguments) -> int:
    return _told(context, arguments.containers, "/pause")


def unpause(context: Context, arguments: Arguments) -> int:
    return _told(context, arguments.containers, "/unpause")


def rename(context: Context, arguments: Arguments) -> int:
    context.daemon.post(query(container(arguments.container, "/rename"), name=arguments.name))
    return 0


def wait(context: Context, arguments: Arguments) -> int:
    """Prints an exit status a line, in the order given."""

    def end(ref: str) -> None:
        answer = context.daemon.stream("POST", container(ref, "/wait")).json()
        context.out.write(f"{answer['StatusCode']}\n")
        context.out.flush()

    return _each(context, arguments.containers, end)


def top(context: Context, arguments: Arguments) -> int:
    """ps(1)'s table."""
    from netd.cli import output

    answer = context.daemon.get(query(container(arguments.container, "/top"), ps_args=" ".join(arguments.words)))
    context.out.write(output.table(answer["Titles"], answer["Processes"] or []))
    return 0


def update(context: Context, arguments: Arguments) -> int:
    """Prints what was updated."""
    from netd.cli.run_request import limits_of

    body = limits_of(arguments)
    if not body:
        raise InvalidParameter("container update: you must provide one or more flags")

    def change(ref: str) -> None:
        for warning in context.daemon.post(container(ref, "/update"), body)["Warnings"] or ():
            context.err.write(f"pynet: warning: {warning}\n")
        context.out.write(f"{ref}\n")

    return _each(context, arguments.containers, change)


def prune(context: Context, arguments: Arguments) -> int:
    """Removes containers that do not run, after asking."""
    from netd.cli.filters import as_query

    if not arguments.force:
        context.out.write("WARNING! This will remove all stopped containers.\nAre you sure? [y/N] ")
        context.out.flush()
        if context.input.readline().strip().lower() not in ("y", "yes"):
            return 0
    answer = context.daemon.post(query("/containers/prune", filters=as_query(arguments.filter)))
    removed = answer.get("ContainersDeleted") or []
    if removed:
        context.out.write("Deleted Containers:\n" + "".join(f"{each}\n" for each in removed))
    return 0


def _told(context: Context, refs: Iterable[str], action: str) -> int:
    """POSTs one action to each, and prints each that took it."""

    def tell(ref: str) -> None:
        context.daemon.post(container(ref, action))
        context.out.write(f"{ref}\n")
        context.out.flush()

    return _each(context, refs, tell)


def _each(context: Context, refs: Iterable[str], act: Callable[[str], None]) -> int:
    """1 when one of them failed."""
    failed = 0
    for ref in refs:
        try:
            act(ref)
        except ApiError as error:
            context.complain(str(error))
            failed = 1
    return failed
