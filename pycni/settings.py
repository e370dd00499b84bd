"""Where things are on this machine.  Every path is a setting, so that tests run many engines side by side."""

from __future__ import annotations

from pycni.record import Record

REFERENCE_VERSION = "v1.9.1"
"""The reference release whose behaviour we match.  nerdctl reads it from firewall's about text, and takes
`ingressPolicy: isolated` only from 1.7.1 on (contracts/clients 1.5)."""


class Settings(Record):
    """`run_dir` holds what dies with the kernel (ledger, locks, sockets); `system_bus` is D-Bus' socket where the
    caller's environment does not name another."""

    run_dir: str = "/run/pynet"
    tuning_allowlist: str = "/etc/cni/tuning/allowlist.conf"
    system_bus: str = "/var/run/dbus/system_bus_socket"
    build_version: str = REFERENCE_VERSION
