"""`pynet`: find the command, read its flags, run it, turn errors into one line and an exit status."""

from __future__ import annotations

import os
import sys

from netd.cli.commands import GROUPS, PATHS, command, find
from netd.cli.flags import HelpAsked, UsageError, parse
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn, TextIO

    from netd.cli.context import Context
    from netd.cli.flags import Arguments, Command
    from netd.networks.manage import Host
else:
    import _signal  # without what `signal` imports

USAGE_ERROR = 2
FAILED = 1
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 and the signal's number, as a shell reports both."""

_DEST = {name: flag.dest for flag in PATHS for name in flag.names}


def main(
    argv: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
    stdin: TextIO | None = None,
    host: Host | None = None,
) -> int:
    """Runs one command and returns its exit status (0, 1, 2 for wrong usage, 3 for `status` without an engine; `run`
    and `exec` have docker's)."""
    from netd.cli.context import Context

    out, err = out or sys.stdout, err or sys.stderr
    paths: dict[str, str] = {}
    try:
        words = _leading(list(sys.argv[1:] if argv is None else argv), paths)
        if words[:1] == ["help"] and words[1:]:
            words = [*words[1:], "--help"]
        if words[:1] in ([], ["--help"], ["-h"], ["help"], ["--version"]):
            raise HelpAsked
        name, rest = find(words)
    except HelpAsked:
        return _about(words, out)
    except UsageError as error:
        err.write(f"pynet: {error} (see pynet --help)\n")
        return USAGE_ERROR
    chosen = command(name)
    try:
        arguments = parse(chosen.replace(flags=chosen.flags + PATHS), rest)
    except HelpAsked:
        from netd.cli.help import of_command

        out.write(of_command(name, chosen))
        return 0
    except UsageError as error:
        err.write(f"pynet: {name}: {error} (see pynet {name} --help)\n")
        return chosen.usage_status
    paths.update({dest: getattr(arguments, dest) for flag, dest in _DEST.items() if flag in arguments.given})
    context = Context(paths, os.environ if environ is None else environ, out, err, stdin or sys.stdin, host)
    return _guarded(context, chosen, name, arguments)


def _leading(words: list[str], paths: dict[str, str]) -> list[str]:
    """Takes the flags before the command out."""
    while words and (name := words[0].partition("=")[0]) in _DEST:
        _, equals, value = words.pop(0).partition("=")
        if not equals:
            if not words:
                raise UsageError(f"{name}: a value is missing")
            value = words.pop(0)
        paths[_DEST[name]] = value
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        raise UsageError(f"unknown flag {words[0].partition('=')[0]}")
    return words


def _about(words: Sequence[str], out: TextIO) -> int:
    if words[:1] == ["--version"]:
        from netd.cli.version import version_text

        out.write(version_text() + "\n")
        return 0
    from netd.cli.help import of_group, overview

    out.write(of_group(words[0]) if words and words[0] in GROUPS else overview())
    return 0 if words and words[-1] not in GROUPS else USAGE_ERROR


def _guarded(context: Context, chosen: Command, name: str, arguments: Arguments) -> int:
    try:
        return _run(context, chosen, name, arguments)
    except BrokenPipeError:
        # whoever read our output has seen enough; the interpreter must not try to flush the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        context.close()


def _run(context: Context, chosen: Command, name: str, arguments: Arguments) -> int:
    module, _, function = chosen.function.partition(":")
    try:
        run: Callable[[Context, Arguments], int] = getattr(
            __import__(f"netd.cli.{module}", fromlist=[function]), function
        )
        status = run(context, arguments)
        context.out.flush()
        return status
    except CniError as error:
        context.complain(str(error))
        return chosen.failed_status
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        what = f"{error.filename}: " if error.filename else ""
        context.complain(f"{name}: {what}{(error.strerror or str(error)).lower()}")
        return chosen.failed_status


def entry() -> NoReturn:
    """The program: as `main`, but ends at once, which saves the 3 ms that taking an interpreter apart costs."""
    try:
        if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = status or FAILED
    os._exit(status)


if __name__ == "__main__":
    entry()
