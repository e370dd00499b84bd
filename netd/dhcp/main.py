"""`pynetd dhcp`, and `dhcp daemon` of the plugin's directory: runs the daemon in the foreground."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys

from netd.dhcp.flags import USAGE, Options, UsageError, parse
from netd.dhcp.server import Server
from netd.dhcp.service import Service
from netd.dhcp.store import Store
from netd.listener import Listener, ListenError, listen, tell_manager
from netd.loop import Loop

IDLE_SECONDS = 30.0
"""A daemon without leases whose socket somebody else keeps ends after so long: the next call starts another one."""


def main(arguments: list[str]) -> int:
    """The exit status: 0 after SIGTERM, 1 when it cannot run, 2 for a wrong command line."""
    if {"-help", "--help", "-h"} & set(arguments):
        sys.stdout.write(USAGE)
        return 0
    try:
        options = parse(arguments)
    except UsageError as error:
        sys.stderr.write(f"pynetd dhcp: {error}\n{USAGE}")
        return 2
    return run(options)


def run(options: Options) -> int:
    """The daemon, until a signal ends it or nobody needs it."""
    path = options.hostprefix + options.socketpath
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        # whoever can connect finds the file, as with the reference
        listener = listen(path, os.environ, lambda: _write_pid(options.pidfile))
    except (ListenError, OSError) as error:
        _log(f"Error getting listener: {error}")
        return 1
    try:
        return _serve(options, listener)
    except OSError as error:
        _log(f"{error.filename}: {(error.strerror or '').lower()}")
        return 1
    finally:
        if options.pidfile:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(options.pidfile)
        listener.close()


def _serve(options: Options, listener: Listener) -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # three descriptors a container
    loop = Loop()
    wake, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(written)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    loop.add(wake, loop.stop)
    store = Store(f"{options.run_dir}/dhcp", _log)
    service = Service(loop, store, _log, options.timing, options.broadcast, options.hostprefix)

    def quiet() -> None:
        if not listener.owned and service.is_idle:
            loop.after(IDLE_SECONDS, end_if_idle)

    def end_if_idle() -> None:
        if service.is_idle and server.is_idle:
            loop.stop()

    server = Server(loop, listener.socket, service, quiet)
    quiet()
    # everything so far lives as long as we do: later collections need not look at it
    gc.freeze()
    tell_manager("READY=1", os.environ)
    loop.run()
    tell_manager("STOPPING=1", os.environ)
    server.close()
    service.close()
    loop.close()
    return 0


def _write_pid(path: str) -> None:
    if not path:
        return
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    except OSError as error:
        raise ListenError(f'writing pidfile "{path}": {(error.strerror or "").lower()}') from None


def _log(text: str) -> None:
    os.write(2, "".join(f"pynetd dhcp: {line}\n" for line in text.splitlines()).encode(errors="backslashreplace"))
