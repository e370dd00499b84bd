"""`pynet`: parse, run one command, turn errors into one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from netd.cli.arguments import USAGE_ERROR, build_parser
from pycni.spec.errors import CniError

if TYPE_CHECKING:
    import argparse

    from netd.cli.context import Context
    from netd.networks.manage import Host
    from netd.networks.places import Places

FAILED = 1
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 and the signal's number, as a shell reports both."""

Command = Callable[["Context", "argparse.Namespace"], int]

_COMMANDS = {
    "create": ("create", "create"),
    "ls": ("show", "ls"),
    "list": ("show", "ls"),
    "inspect": ("show", "inspect"),
    "rm": ("remove", "rm"),
    "remove": ("remove", "rm"),
    "prune": ("remove", "prune"),
    "connect": ("connect", "connect"),
    "disconnect": ("connect", "disconnect"),
    "install": ("install", "install"),
    "uninstall": ("install", "uninstall"),
    "status": ("status", "status"),
    "completion": ("completion", "completion"),
}
"""Module below netd.cli, and function in it."""


def main(
    argv: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
    stdin: TextIO | None = None,
    host: Host | None = None,
) -> int:
    """Runs one command and returns its exit status (0, 1, 2 for wrong usage, 3 for `status` without an engine)."""
    out, err = out or sys.stdout, err or sys.stderr
    parser = build_parser()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            arguments = parser.parse_args(argv)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE_ERROR
    if arguments.version:
        from netd.cli.version import version_text

        out.write(version_text() + "\n")
        return 0
    if arguments.command is None:
        out.write(parser.format_help())
        return USAGE_ERROR
    try:
        context = _context(arguments, os.environ if environ is None else environ, out, err, stdin or sys.stdin, host)
        return _run(context, arguments)
    except BrokenPipeError:
        # whoever read our output has seen enough; the interpreter must not try to flush the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED


def _context(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    stdin: TextIO,
    host: Host | None,
) -> Context:
    from netd.cli.context import Context, places_of

    places = places_of(arguments, environ)
    return Context(places, host or _live_host(places), out, err, stdin, environ)


def _live_host(places: Places) -> Host:
    from netd.networks.host import LiveHost

    return LiveHost(places)


def _run(context: Context, arguments: argparse.Namespace) -> int:
    try:
        status = _command(arguments.command)(context, arguments)
        context.out.flush()
        return status
    except CniError as error:
        context.complain(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        what = f"{error.filename}: " if error.filename else ""
        context.complain(f"{arguments.command}: {what}{(error.strerror or str(error)).lower()}")
    return FAILED


def _command(name: str) -> Command:
    """Imports no more than the command needs: start-up is most of what `pynet ls` costs."""
    module, function = _COMMANDS[name]
    found: Command = getattr(import_module(f"netd.cli.{module}"), function)
    return found


if __name__ == "__main__":
    sys.exit(main())
