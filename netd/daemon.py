"""`pynetd`: which of its processes to be.  Each is imported only where it runs: the name server is to stay small."""

from __future__ import annotations

import faulthandler
import sys
from importlib import import_module

from netd import VERSION
from pycni.settings import REFERENCE_VERSION, Settings

_PROCESSES = {"engine": "netd.engine.main", "dns": "netd.dns.main", "api": "netd.api.main", "dhcp": "netd.dhcp.main"}

USAGE = f"""\
usage: pynetd [PROCESS] [options]

Without a process's name, starts them in the foreground, `dhcp` when it is called, and starts again what dies, until
SIGTERM or SIGINT.

  engine           serves the CNI plugins' calls
  dns              answers the containers' names
  api              runs containers, and serves the HTTP API that `pynet run` and docker's clients use
  dhcp             holds the leases of the dhcp plugin's containers

  --run-dir DIR    what dies with the kernel: ledger, locks, sockets (default: {Settings().run_dir})
  --root DIR       what outlives a reboot: images, containers (default: /var/lib/pynet)
  --version        print the version and the reference release whose behaviour is matched
  --help           print this; `pynetd PROCESS --help` the options of one
"""


def main(arguments: list[str] | None = None) -> int:
    """The process's exit status; 2 for a wrong command line."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in _PROCESSES:
        # of a process that dies inside C code nothing else would tell where
        faulthandler.enable(2)
        status: int = import_module(_PROCESSES[given[0]]).main(given[1:])
        return status
    if "--help" in given or "--version" in given:
        sys.stdout.write(USAGE if "--help" in given else f"pynetd {VERSION} (CNI plugins {REFERENCE_VERSION})\n")
        return 0
    return _supervise(given)


def _supervise(given: list[str]) -> int:
    found = {"--run-dir": Settings().run_dir, "--root": ""}
    rest = given[:]
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in found and not equals:
            value = rest.pop(0) if rest else ""
        if name not in found or not value.startswith("/"):
            wrong = f"{name} needs an absolute path" if name in found else f"unknown argument {name}"
            sys.stderr.write(f"pynetd: {wrong}\n{USAGE}")
            return 2
        found[name] = value
    from netd.supervise import supervise

    return supervise(found["--run-dir"], {"api": ["--root", found["--root"]] if found["--root"] else []})


if __name__ == "__main__":
    sys.exit(main())
