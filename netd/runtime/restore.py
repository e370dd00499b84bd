"""What a new daemon makes of what it finds: containers that run, ended, or were cut off half-way through a step."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from concurrent.futures import wait
from functools import partial

from netd.runtime import conmon
from netd.runtime.conmon import runc_root
from netd.runtime.cut_off import take_away
from netd.runtime.ending import has_started
from netd.runtime.entry import Entry, Run
from netd.runtime.lifecycle import Lifecycle
from netd.runtime.model import Container
from netd.runtime.parts import Parts
from netd.runtime.restart import restarts_with_daemon
from netd.runtime.start_order import waves
from pycni.spec.errors import CniError

_UNKNOWN = 255
"""The exit code of a process whose end nobody saw, docker's."""

_log = logging.getLogger(__name__)


class Restorer:
    """Nobody else uses the containers yet."""

    def __init__(self, parts: Parts, lifecycle: Lifecycle) -> None:
        self._parts = parts
        self._lifecycle = lifecycle

    def load(self) -> list[Container]:
        """All containers as they are on disk; after a reboot without what was only true before it."""
        store = self._parts.store
        if not store.is_same_boot():
            for container_id in store.started():
                store.end(container_id)
            for path in (runc_root(self._parts.places), f"{self._parts.places.run}/execs"):
                shutil.rmtree(path, ignore_errors=True)
        containers, problems = store.load()
        for problem in problems:
            _log.error("%s", problem)
        return containers

    def settle(self, entries: list[Entry]) -> None:
        """Adopts what runs; cleans up after everything else, and says so in its state."""
        parts = self._parts
        started = parts.store.started()
        running: list[tuple[Entry, Run]] = []
        interrupted: list[Entry] = []
        for entry in entries:
            container = entry.container
            run = self._run_of(container) if container.id in started else None
            if run is not None:
                running.append((entry, run))
            elif container.id in started or container.state.running:
                interrupted.append(entry)
        for entry in interrupted:
            self._mark_ended(entry.container)
        parts.sandboxes.restore([entry.container for entry in entries])
        for entry, run in running:
            self._lifecycle.adopt(entry, run)
        for entry in interrupted:
            self._clean_up(entry.container)
        self._delete_strangers({entry.container.id for entry in entries}, {entry.container.id for entry, _ in running})
        parts.store.note_boot()

    def _run_of(self, container: Container) -> Run | None:
        """What runs for it, if its start was completed and conmon lives."""
        bundle = self._parts.store.live(container.id)
        if not (self._parts.store.is_live(container.id) and container.state.running):
            return None
        conmon_process = conmon.open_process(bundle)
        if conmon_process < 0:
            return None
        os.close(conmon_process)
        return Run(bundle, container.state.pid)

    def _mark_ended(self, container: Container) -> None:
        """Before anything is cleaned up, so that the sandboxes know who lives."""
        bundle = self._parts.store.live(container.id)
        if container.state.status == "restarting" or not container.state.running:
            # between two lives, or a start was cut off
            container.state.status = "exited" if has_started(container) else "created"
            container.state.pid = 0
            return
        code = conmon.exit_code(bundle)
        self._lifecycle.ending.note_end(
            container, _UNKNOWN if code is None else code, conmon.killed_for_memory(bundle), conmon.exit_moment(bundle)
        )

    def _clean_up(self, container: Container) -> None:
        self._take_away(container.id)
        self._lifecycle.ending.clean_up(container)
        self._parts.store.note(container, durable=True)
        self._parts.store.end(container.id)

    def _take_away(self, container_id: str) -> None:
        try:
            take_away(self._parts.runc, container_id, self._parts.store.live(container_id))
        except (CniError, OSError, ValueError) as error:
            _log.error("container %s, which was cut off: %s", container_id, error)

    def _delete_strangers(self, known: set[str], running: set[str]) -> None:
        """What belongs to no container, or to none that runs."""
        parts = self._parts
        for container_id in parts.store.started() - known:
            self._take_away(container_id)
            parts.store.end(container_id)
        for container_id in set(parts.runc.known()) - running:
            try:
                parts.runc.delete(container_id)
            except CniError as error:
                _log.error("container %s, which nobody knows: %s", container_id, error)

    def apply_policies(self, entries: list[Entry], remove: Callable[[Entry], None]) -> None:
        """Removes what is to be removed at its end, starts what is to run, and what others need before them."""
        ended = [entry for entry in entries if entry.run is None]
        for entry in ended:
            if entry.container.host_config.auto_remove:
                with entry.lock:
                    remove(entry)
        wanted = {entry.container.id: entry for entry in ended if _is_wanted(entry.container)}
        for wave in waves(entry.container for entry in wanted.values()):
            wait([self._parts.monitor.submit(partial(self._start, wanted[each.id])) for each in wave])

    def _start(self, entry: Entry) -> None:
        with entry.lock:
            if entry.run is None and not entry.removing:
                self._lifecycle.ending.start_again(entry)


def _is_wanted(container: Container) -> bool:
    host = container.host_config
    return (
        not host.auto_remove
        and has_started(container)
        and restarts_with_daemon(
            host.restart_policy, container.state.exit_code, container.restart_count, container.stopped_by_user
        )
    )
