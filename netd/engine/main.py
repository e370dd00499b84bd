"""`pynetd`: runs the engine in the foreground."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NamedTuple

from netd import VERSION
from netd.engine.engine import WORKERS, Engine, log
from netd.engine.helper import command
from netd.listener import ListenError, listen, tell_manager
from netd.rule_events import call_us
from netd.whole import import_all
from pycni.settings import REFERENCE_VERSION, Settings
from pycni_plugins import NAMES, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.skeleton import Loader

USAGE = f"""\
usage: pynetd [engine] [options]

Runs the engine that serves CNI plugin calls, in the foreground, until SIGTERM or SIGINT.

  --socket PATH    where launchers connect (default: RUN_DIR/cni.sock; a socket passed by systemd comes first)
  --run-dir DIR    what dies with the kernel: ledger, locks, socket (default: {Settings().run_dir})
  --workers N      calls served at a time, 1 to 64 (default: {WORKERS})
  --no-restore     leave firewall rules that somebody else removes removed
  --version        print the version and the reference release whose behaviour is matched
  --help           print this
"""

_MAX_WORKERS = 64


class UsageError(Exception):
    """The command line is not understood."""


class Options(NamedTuple):
    """The command line."""

    run_dir: str = Settings().run_dir
    socket: str = ""
    workers: int = WORKERS
    restore: bool = True


def parse(arguments: list[str]) -> Options:
    """The options, `--option value` or `--option=value`; UsageError."""
    options = Options()
    rest = arguments[1:] if arguments[:1] == ["engine"] else arguments[:]
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--no-restore" and not equals:
            options = options._replace(restore=False)
            continue
        if name not in ("--socket", "--run-dir", "--workers"):
            raise UsageError(f"unknown argument {name}")
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        options = _with(options, name, value)
    return options if options.socket else options._replace(socket=f"{options.run_dir}/cni.sock")


def _with(options: Options, name: str, value: str) -> Options:
    if name == "--workers":
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= _MAX_WORKERS):
            raise UsageError(f"--workers {value}: a number from 1 to {_MAX_WORKERS} is needed")
        return options._replace(workers=int(value))
    if not value.startswith("/"):
        raise UsageError(f"{name} {value}: an absolute path is needed")
    return options._replace(socket=value) if name == "--socket" else options._replace(run_dir=value)


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after SIGTERM, 1 when the engine cannot run, 2 for a wrong command line."""
    given = sys.argv[1:] if arguments is None else arguments
    if "--help" in given or "--version" in given:
        sys.stdout.write(USAGE if "--help" in given else f"pynetd {VERSION} (CNI plugins {REFERENCE_VERSION})\n")
        return 0
    try:
        options = parse(given)
    except UsageError as error:
        sys.stderr.write(f"pynetd: {error}\n{USAGE}")
        return 2
    return run(options)


def run(options: Options, load: Loader = find) -> int:
    """The engine, until a signal ends it."""
    wake = _signals()
    call_us()
    # now, and not in the middle of a call: by then the files may be another version's
    import_all("pycni", "pycni_plugins")
    for name in NAMES:
        load(name)
    try:
        listener = listen(options.socket, os.environ)
    except ListenError as error:
        log(str(error))
        return 1
    # everything so far lives as long as we do: later collections need not look at it
    gc.freeze()
    settings = Settings(run_dir=options.run_dir)
    # the helper knows our plugins, not those of another loader
    helper = command(options.run_dir) if load is find else ()
    engine = Engine(listener, settings, options.workers, load, helper, options.restore)
    tell_manager("READY=1", os.environ)
    os.read(wake, 1)
    tell_manager("STOPPING=1", os.environ)
    engine.stop()
    return 0


def _signals() -> int:
    """A descriptor that becomes readable on SIGTERM or SIGINT.

    Blocking the signals and waiting with sigwait would hand the blocked mask down to every program we start."""
    wake, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(wake, True)
    signal.set_wakeup_fd(written)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return wake


if __name__ == "__main__":
    sys.exit(main())
