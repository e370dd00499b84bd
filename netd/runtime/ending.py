"""What follows the end of a container's process: cleaning up, telling, and perhaps another start."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from netd.runtime import conmon, moments
from netd.runtime.cut_off import control_group
from netd.runtime.entry import Entry, Run
from netd.runtime.model import NEVER, Container, State
from netd.runtime.parts import Parts
from netd.runtime.restart import restarts_after_exit
from pycni.spec.errors import CniError

_KILLED = 137
"""The exit code of a process whose conmon did not live to see its end, which therefore was killed."""

_log = logging.getLogger(__name__)


class Ending:
    """`launch` starts a container again, `remove` is for those with auto-remove; both with the entry's lock held."""

    def __init__(self, parts: Parts, launch: Callable[[Entry], None], remove: Callable[[Entry], None]) -> None:
        self._parts = parts
        self._launch = launch
        self._remove = remove

    def ended(self, entry: Entry, run: Run) -> None:
        """conmon is gone, and the process with it, or without it."""
        with entry.lock:
            if entry.run is not run:
                return
            container = entry.container
            seconds = time.monotonic() - run.began
            moment = conmon.exit_moment(run.bundle)
            code = conmon.exit_code(run.bundle)
            out_of_memory = conmon.killed_for_memory(run.bundle)
            self.clean_up(container)
            self.note_end(container, _KILLED if code is None else code, out_of_memory, moment)
            entry.run = None
            run.forget()
            self._follow_up(entry, seconds)
            self._parts.store.end(container.id)
            run.over.set_result(container.state.exit_code)
            if container.host_config.auto_remove and not entry.kept_by_restart:
                self._remove(entry)

    def clean_up(self, container: Container) -> None:
        """Nothing of the process, its control groups, network or mounts is left.  What fails is logged, and done again
        before the next start or at the removal."""
        parts, id_ = self._parts, container.id
        group = control_group(parts.store.live(id_))
        _try("runc delete", container, lambda: parts.runc.forget(id_, group))
        _try("closing the sandbox", container, lambda: parts.sandboxes.close(container))
        _try("unmounting", container, lambda: parts.bundle.unmount_rootfs(parts.places, id_))

    def note_end(self, container: Container, code: int, out_of_memory: bool, moment: int) -> None:
        """The model says so, and who listens hears it.  `moment` of the end in ns since the epoch."""
        state = container.state
        began = moments.parsed(state.started_at)
        # files' times are of a coarser clock, which is up to 10 ms behind
        moment = max(moment, began + 1)
        container.state = State(
            status="exited",
            exit_code=code,
            oom_killed=out_of_memory,
            started_at=state.started_at,
            finished_at=moments.written(moment),
        )
        if out_of_memory:
            self._parts.tell(container, "oom")
        seconds = (moment - began) // moments.NANOSECONDS
        self._parts.tell(container, "die", exitCode=str(code), execDuration=str(seconds))

    def _follow_up(self, entry: Entry, seconds: float) -> None:
        container = entry.container
        policy = container.host_config.restart_policy
        again = not entry.kept_by_restart and restarts_after_exit(
            policy, container.state.exit_code, container.restart_count, container.stopped_by_user
        )
        if again:
            container.state.status = "restarting"
            container.restart_count += 1
            entry.backoff = entry.backoff.after_run(seconds)
        self._parts.store.note(container, durable=container.stopped_by_user)
        if again:
            entry.timer = self._parts.monitor.call_later(entry.backoff.delay, lambda: self._restart(entry))
        else:
            settle(entry)

    def _restart(self, entry: Entry) -> None:
        with entry.lock:
            if entry.timer is None or entry.timer.cancelled:
                return
            entry.timer = None
            self.start_again(entry)

    def start_again(self, entry: Entry) -> None:
        """A start that nobody asks for in person: what prevents it is in the container's state and in the log."""
        try:
            self._launch(entry)
        except CniError as error:
            _log.warning("container %s is not restarted: %s", entry.container.name, error)
            settle(entry)


def settle(entry: Entry) -> None:
    """It has ended, and is not restarted: who waits for that, or reads its log, hears it."""
    code = entry.container.state.exit_code
    for finish in tuple(entry.log_readers):
        finish()
    entry.waits.exited(code)


def has_started(container: Container) -> bool:
    """Whether its process ever ran."""
    return container.state.started_at != NEVER


def _try(step: str, container: Container, done: Callable[[], None]) -> None:
    try:
        done()
    except Exception:  # whatever it is, the other steps must follow
        _log.exception("container %s: %s", container.name, step)
