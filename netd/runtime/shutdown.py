"""The machine goes down: containers are asked to end, while they still have their network and their disks.

Otherwise they meet what an init system does last: SIGTERM, which the first process of a pid namespace does not get
where it has no handler for it, then all of the init system's patience (systemd: 90 s), and SIGKILL."""

from __future__ import annotations

import logging
import select
import subprocess
import time
from collections.abc import Iterable

from netd import systemd
from netd.runtime.entry import Run
from netd.runtime.lifecycle import DEFAULT_TIMEOUT
from netd.runtime.model import Container
from netd.runtime.runc import Runc
from netd.runtime.signals import parse_signal
from pycni.spec.errors import CniError

LIMIT = 60.0
"""Seconds that no container's own timeout exceeds here: systemd kills a service that takes 90 to stop."""

_KILL_TIMEOUT = 5.0
_SIGKILL = 9
_QUESTION = ("systemctl", "is-system-running")

_log = logging.getLogger(__name__)

Running = tuple[Container, Run]


def is_going_down() -> bool:
    """Whether systemd stops everything; False without systemd, and when it does not answer."""
    if not systemd.is_running():
        return False
    try:
        asked = subprocess.run(_QUESTION, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("whether the machine goes down: %s", error)
        return False
    return asked.stdout.strip() == b"stopping"


def end(running: Iterable[Running], runc: Runc) -> None:
    """Sends each its stop signal, and SIGKILL after its timeout; returns when all have ended.  Nothing is noted: at the
    next boot they are those that ran when the machine went down."""
    left = [(container, run) for container, run in running if run.process >= 0]
    for container, run in left:
        run.signal(parse_signal(container.config.stop_signal or "SIGTERM"))
        if container.state.status == "paused":
            try:
                runc.resume(container.id)
            except CniError as error:
                _log.warning("%s stays paused: %s", container.name, error)
    began = time.monotonic()
    for seconds in sorted({_timeout(container) for container, _ in left}):
        left = _await(left, began + seconds)
        for container, run in left:
            if _timeout(container) <= seconds:
                run.signal(_SIGKILL)
    for container, _ in _await(left, time.monotonic() + _KILL_TIMEOUT):
        _log.error("%s did not end within %.0f s of SIGKILL", container.name, _KILL_TIMEOUT)


def _timeout(container: Container) -> float:
    seconds = container.config.stop_timeout
    return DEFAULT_TIMEOUT if seconds is None else LIMIT if seconds < 0 else min(seconds, LIMIT)


def _await(running: list[Running], deadline: float) -> list[Running]:
    """Those that have not ended by the deadline (monotonic seconds)."""
    left = {run.process: (container, run) for container, run in running}
    # not select(2): a daemon with many containers has descriptors beyond its 1024
    poller = select.poll()
    for process in left:
        poller.register(process, select.POLLIN)
    while left:
        ended = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        for process, _ in ended:
            poller.unregister(process)
            del left[process]
        if not ended:
            break
    return list(left.values())
