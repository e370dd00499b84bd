"""The daemon's command line, as the reference's `dhcp daemon` has it (contract 2.4), and `--run-dir`."""

from __future__ import annotations

import re

from netd.dhcp.timing import Timing
from pycni.record import Record
from pycni.settings import Settings
from pycni_plugins.dhcp.config import default_socket

_SOCKET = default_socket(Settings().run_dir)

USAGE = f"""\
usage: pynetd dhcp [options]

Holds the leases of the dhcp plugin's containers, in the foreground, until SIGTERM or SIGINT.

  -socketpath PATH         where the plugin connects (default: {_SOCKET}; a socket passed by systemd comes first)
  -pidfile PATH            file to write the process's number to
  -hostprefix PATH         stands before the socket's path and those of namespaces
  -broadcast               ask servers to answer by broadcast
  -timeout DURATION        how long a server that offered an address may be silent then (default: 10s)
  -resendmax DURATION      longest pause between two messages (default: 1m2s)
  -resendtimeout DURATION  how long an ADD looks for a lease (default: 3m28s)
  -run-dir DIR             the leases are in DIR/dhcp (default: {Settings().run_dir})
  -help                    print this

One dash or two; -name value or -name=value.
"""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_TEXTS = ("socketpath", "pidfile", "hostprefix", "run-dir")
_DURATIONS = {"timeout": "timeout", "resendmax": "resend_max", "resendtimeout": "resend_timeout"}


class UsageError(Exception):
    """The command line is not understood."""


class Options(Record):
    """The command line; paths as they were given."""

    socketpath: str = ""
    pidfile: str = ""
    hostprefix: str = ""
    run_dir: str = Settings().run_dir
    broadcast: bool = False
    timing: Timing = Timing()


def parse(arguments: list[str]) -> Options:
    """UsageError."""
    options = Options()
    rest = arguments[:]
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not word.startswith("-") or name not in (*_TEXTS, *_DURATIONS, "broadcast"):
            raise UsageError(f"unknown argument {word}")
        if name == "broadcast":
            if equals and value not in _TRUTH:
                raise UsageError(f"-broadcast={value}: true or false is needed")
            options = options.replace(broadcast=_TRUTH[value] if equals else True)
            continue
        if not equals:
            if not rest:
                raise UsageError(f"-{name} needs a value")
            value = rest.pop(0)
        options = _with(options, name, value)
    return options if options.socketpath else options.replace(socketpath=default_socket(options.run_dir))


def _with(options: Options, name: str, value: str) -> Options:
    if name in _DURATIONS:
        try:
            return options.replace(timing=options.timing.replace(**{_DURATIONS[name]: duration(value)}))
        except ValueError as error:
            raise UsageError(f"-{name} {value}: {error}") from None
    if name == "pidfile" and value and not value.startswith("/"):
        raise UsageError(f'Error writing pidfile "{value}": path not absolute')
    if name == "run-dir" and not value.startswith("/"):
        raise UsageError(f"-run-dir {value}: an absolute path is needed")
    return options.replace(**{name.replace("-", "_"): value})


def duration(text: str) -> float:
    """Seconds of a duration in Go's form (`1m30s`, `500ms`); ValueError, for what is not positive too."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration such as 10s or 1m30s is needed")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError("a duration longer than nothing is needed")
    return seconds
