"""`pynetd dns`: runs the name server in the foreground."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NamedTuple

from netd.dns.answers import TTL
from netd.dns.control import Control
from netd.dns.resolvconf import PATH, HostServers
from netd.dns.service import Service
from netd.listener import ListenError, listen, tell_manager
from netd.loop import Loop
from pycni.settings import Settings

USAGE = f"""\
usage: pynetd dns [options]

Runs the name server of the containers, in the foreground, until SIGTERM or SIGINT.

  --run-dir DIR       what dies with the kernel: attachments, sockets (default: {Settings().run_dir})
  --ttl SECONDS       how long clients may keep an answer, 0 to 86400 (default: {TTL})
  --resolv-conf PATH  the host's servers, followed live (default: {PATH})
  --log-queries       log every query; also switched at run time, see RUN_DIR/dns.sock
  --help              print this
"""

_MAX_TTL = 86400


class UsageError(Exception):
    """The command line is not understood."""


class Options(NamedTuple):
    """The command line."""

    run_dir: str = Settings().run_dir
    ttl: int = TTL
    resolv_conf: str = PATH
    log_queries: bool = False


def parse(arguments: list[str]) -> Options:
    """The options, `--option value` or `--option=value`; UsageError."""
    options = Options()
    rest = arguments[:]
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--log-queries" and not equals:
            options = options._replace(log_queries=True)
            continue
        if name not in ("--run-dir", "--ttl", "--resolv-conf"):
            raise UsageError(f"unknown argument {name}")
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        options = _with(options, name, value)
    return options


def _with(options: Options, name: str, value: str) -> Options:
    if name == "--ttl":
        if not (value.isascii() and value.isdigit() and int(value) <= _MAX_TTL):
            raise UsageError(f"--ttl {value}: a number from 0 to {_MAX_TTL} is needed")
        return options._replace(ttl=int(value))
    if not value.startswith("/"):
        raise UsageError(f"{name} {value}: an absolute path is needed")
    return options._replace(run_dir=value) if name == "--run-dir" else options._replace(resolv_conf=value)


def main(arguments: list[str]) -> int:
    """The exit status: 0 after SIGTERM, 1 when it cannot run, 2 for a wrong command line."""
    if "--help" in arguments:
        sys.stdout.write(USAGE)
        return 0
    try:
        options = parse(arguments)
    except UsageError as error:
        sys.stderr.write(f"pynetd dns: {error}\n{USAGE}")
        return 2
    return run(options)


def run(options: Options) -> int:
    """The name server, until a signal ends it."""
    try:
        listener = listen(f"{options.run_dir}/dns.sock", os.environ)
    except ListenError as error:
        _log(str(error))
        return 1
    loop = Loop()
    wake, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(written)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    loop.add(wake, loop.stop)
    try:
        service = Service(loop, options.run_dir, _log, options.ttl, HostServers(options.resolv_conf))
    except OSError as error:
        listener.close()
        _log(f"watching {error.filename}: {(error.strerror or '').lower()}")
        return 1
    service.query_log = options.log_queries
    control = Control(loop, service, listener.socket)
    # everything so far lives as long as we do: later collections need not look at it
    gc.freeze()
    tell_manager("READY=1", os.environ)
    loop.run()
    tell_manager("STOPPING=1", os.environ)
    control.close()
    service.close()
    listener.close()
    loop.close()
    return 0


def _log(text: str) -> None:
    os.write(2, f"pynetd dns: {text}\n".encode(errors="backslashreplace"))
