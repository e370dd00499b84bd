"""What happens to a container between its creation and its removal: start, stop, end, restart."""

from __future__ import annotations

import logging
from collections.abc import Callable

from netd.failure import Conflict, Failure
from netd.runtime.ending import Ending, settle
from netd.runtime.entry import Entry, Run
from netd.runtime.launch import Launcher
from netd.runtime.parts import Parts
from netd.runtime.restart import Backoff
from netd.runtime.signals import parse_signal
from pycni.spec.errors import CniError

DEFAULT_TIMEOUT = 10
"""Seconds that `stop` leaves a process before SIGKILL, unless told otherwise: docker's."""

_KILL_TIMEOUT = 30.0
_SIGKILL = 9

_log = logging.getLogger(__name__)


class Lifecycle:
    """`remove` is called for containers with auto-remove, with their lock held."""

    def __init__(self, parts: Parts, remove: Callable[[Entry], None]) -> None:
        self._parts = parts
        self._remove = remove
        self.ending = Ending(parts, self.launch, remove)
        self._launcher = Launcher(parts, self.ending.ended)

    def start(self, entry: Entry) -> bool:
        """At the user's wish; False when it runs already."""
        with entry.lock:
            container = entry.container
            if entry.removing:
                raise Conflict(f"container {container.name} is marked for removal and cannot be started")
            if container.state.status == "paused":
                raise Conflict("cannot start a paused container, try unpause instead")
            if entry.run is not None:
                return False
            self._cancel_restart(entry)
            entry.backoff = Backoff()
            container.restart_count = 0
            container.stopped_by_user = False
            self.launch(entry)
            return True

    def launch(self, entry: Entry) -> None:
        """Starts it, or removes it where that fails and it is to be removed at its end."""
        try:
            self._launcher.launch(entry)
        except CniError:
            if entry.container.host_config.auto_remove:
                self._remove(entry)
            raise

    def adopt(self, entry: Entry, run: Run) -> None:
        """A new daemon found its process running."""
        self._launcher.watch(entry, run)
        try:
            self._parts.runc.finish_release(entry.container.id, run.pid, run.process)
        except (Failure, OSError) as error:
            # its end, which is seen like any other's
            _log.warning("container %s ended while it was taken over: %s", entry.container.name, error)

    def stop(self, entry: Entry, timeout: int | None, signal: str = "") -> bool:
        """False when it did not run.  `timeout` seconds, -1 for no limit, None for the container's own."""
        config = entry.container.config
        number = parse_signal(signal or config.stop_signal or "SIGTERM")
        with entry.lock:
            run = entry.run
            if run is None:
                return self._stop_restarting(entry)
            entry.container.stopped_by_user = True
            self._parts.store.note(entry.container)
            self._signal(entry, run, number, resume=True)
        seconds = config.stop_timeout if timeout is None else timeout
        self._await_end(entry, run, DEFAULT_TIMEOUT if seconds is None else seconds)
        self._parts.tell(entry.container, "stop")
        return True

    def _stop_restarting(self, entry: Entry) -> bool:
        if entry.timer is None:
            return False
        entry.container.stopped_by_user = True
        self._cancel_restart(entry)
        self._parts.tell(entry.container, "stop")
        return True

    def _cancel_restart(self, entry: Entry) -> None:
        """A container that waits to be restarted has ended now."""
        if entry.timer is None:
            return
        entry.timer.cancel()
        entry.timer = None
        entry.container.state.status = "exited"
        self._parts.store.note(entry.container, durable=True)
        settle(entry)

    def kill(self, entry: Entry, number: int) -> None:
        """Returns when the signal is sent.  SIGKILL and the container's stop signal are the user's wish to end it."""
        with entry.lock:
            run, container = entry.run, entry.container
            if run is None:
                raise Conflict(f"cannot kill container: {container.name}: container {container.id} is not running")
            final = number in (_SIGKILL, parse_signal(container.config.stop_signal or "SIGTERM"))
            if final:
                container.stopped_by_user = True
                self._parts.store.note(container)
            self._signal(entry, run, number, resume=final)

    def end_now(self, entry: Entry) -> None:
        """SIGKILL, and everything that follows."""
        with entry.lock:
            run = entry.run
            if run is None:
                self._cancel_restart(entry)
                return
            self.kill(entry, _SIGKILL)
        self._await_kill(entry, run)

    def restart(self, entry: Entry, timeout: int | None, signal: str) -> None:
        """Stops it if it runs, and starts it; a container with auto-remove survives this."""
        entry.kept_by_restart = True
        try:
            self.stop(entry, timeout, signal)
        finally:
            entry.kept_by_restart = False
        self.start(entry)
        self._parts.tell(entry.container, "restart")

    def pause(self, entry: Entry) -> None:
        with entry.lock:
            self._require_running(entry)
            self._parts.runc.pause(entry.container.id)
            self._set_status(entry, "paused")
        self._parts.tell(entry.container, "pause")

    def unpause(self, entry: Entry) -> None:
        with entry.lock:
            if entry.run is None or entry.container.state.status != "paused":
                raise Conflict(f"Container {entry.container.id} is not paused")
            self._resume(entry)

    def _resume(self, entry: Entry) -> None:
        self._parts.runc.resume(entry.container.id)
        self._set_status(entry, "running")
        self._parts.tell(entry.container, "unpause")

    def _set_status(self, entry: Entry, status: str) -> None:
        entry.container.state.status = status
        self._parts.store.note(entry.container)

    def _require_running(self, entry: Entry) -> None:
        if entry.run is None:
            raise Conflict(f"Container {entry.container.id} is not running")
        if entry.container.state.status == "paused":
            raise Conflict(f"Container {entry.container.id} is already paused")

    def _signal(self, entry: Entry, run: Run, number: int, resume: bool) -> None:
        run.signal(number)
        self._parts.tell(entry.container, "kill", signal=str(number))
        if resume and entry.container.state.status == "paused":
            self._resume(entry)

    def _await_end(self, entry: Entry, run: Run, seconds: float) -> None:
        try:
            run.over.result(None if seconds < 0 else seconds)
            return
        except TimeoutError:
            pass
        with entry.lock:
            if entry.run is run:
                self._signal(entry, run, _SIGKILL, resume=True)
        self._await_kill(entry, run)

    def _await_kill(self, entry: Entry, run: Run) -> None:
        try:
            run.over.result(_KILL_TIMEOUT)
        except TimeoutError:
            raise Failure(f"{entry.container.name} did not end within {_KILL_TIMEOUT:.0f} s of SIGKILL") from None
