"""From a created or ended container to one whose process runs; whatever fails, nothing is left of it."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

from netd.failure import Failure
from netd.runtime import conmon, moments
from netd.runtime.cut_off import take_away
from netd.runtime.entry import Entry, Run
from netd.runtime.model import Container, State
from netd.runtime.opened import Opened
from netd.runtime.parts import Parts
from netd.runtime.start_failure import NOT_STARTED, StartFailed, start_failure
from pycni.spec.errors import CniError

LOG = "container.log"
OPENED = "opened.json"

_STUCK = 5.0
"""Seconds that conmon has, after the process has ended, to hand its last output to slow clients."""

_log = logging.getLogger(__name__)


class Launcher:
    """The caller holds the entry's lock; `ended` is called, in another thread, when the process has ended."""

    def __init__(self, parts: Parts, ended: Callable[[Entry, Run], None]) -> None:
        self._parts = parts
        self._ended = ended

    def launch(self, entry: Entry) -> None:
        """The process runs.  On failure the state says why, with docker's exit code, and the error is raised."""
        before = entry.container.state
        try:
            self._launch(entry)
        except Exception as error:
            failure = error if isinstance(error, CniError) else Failure(f"starting {entry.container.name}: {error}")
            self._note_failure(entry, before, failure)
            raise failure from error
        self._parts.tell(entry.container, "start")
        self._parts.store.note(entry.container)

    def _launch(self, entry: Entry) -> None:
        parts, container = self._parts, entry.container
        parts.monitor.submit(parts.runc.grace_period.pass_early)
        with ExitStack() as undo:
            bundle = parts.store.begin(container.id)
            undo.callback(parts.store.end, container.id)
            run = Run(bundle, self._create(container, bundle, undo))
            undo.callback(run.forget)
            container.state = State(
                status="running",
                pid=run.pid,
                started_at=moments.written(time.time_ns()),
                finished_at=container.state.finished_at,
            )
            parts.store.save_live(container)
            self._connect(entry, run)
            self.watch(entry, run)
            parts.runc.release(container.id, run.process)
            undo.pop_all()

    def _create(self, container: Container, bundle: str, undo: ExitStack) -> int:
        """The pid of the process, which waits to be released.  runc sets it up while the network is being set up."""
        parts = self._parts
        image = parts.images.find(container.image_id)
        undo.callback(_quietly, parts.bundle.unmount_rootfs, parts.places, container.id)
        rootfs = parts.bundle.mount_rootfs(parts.places, container, image)
        launch = self._launch_of(container, bundle)
        begun: list[conmon.Creation] = []

        def begin(opened: Opened) -> None:
            spec = parts.bundle.spec(container, image, rootfs, opened, parts.places)
            kept = {name: getattr(opened, name) for name in Opened._fields}
            try:
                _write(f"{bundle}/config.json", spec)
                _write(f"{bundle}/{OPENED}", {"rootfs": rootfs, "opened": kept})
            except OSError as error:
                raise Failure(f"writing runc's configuration of {container.name}: {error}") from None
            undo.callback(_quietly, take_away, parts.runc, container.id, bundle)
            begun.append(conmon.Creation(parts.places, launch))

        undo.callback(_quietly, parts.sandboxes.close, container)
        try:
            parts.sandboxes.open(container, begin)
            return begun[0].pid()
        except conmon.RuncRefused as refused:
            what = "failed to create task for container: OCI runtime create failed"
            raise start_failure(str(refused), what) from None
        finally:
            for creation in begun:
                creation.close()

    def _launch_of(self, container: Container, bundle: str) -> conmon.Launch:
        config = container.config
        return conmon.Launch(
            unit=container.id,
            container_id=container.id,
            bundle=bundle,
            log=f"{self._parts.store.directory(container.id)}/{LOG}",
            terminal=config.tty,
            stdin=config.open_stdin,
            # a terminal never ends its input: docker leaves and comes back to it
            keep_stdin=config.tty or not config.stdin_once,
        )

    def _connect(self, entry: Entry, run: Run) -> None:
        """Clients that came early hear from the first byte on."""
        for stream in entry.attached:
            connection = conmon.connect(run.bundle)
            run.connections.append(connection)
            stream.connected(connection)
        entry.attached.clear()

    def watch(self, entry: Entry, run: Run) -> None:
        """Has `ended` called when conmon ends.  A new daemon does so for containers that it finds."""
        entry.run = run
        fd = conmon.open_process(run.bundle)
        if fd < 0:
            self._parts.monitor.submit(lambda: self._ended(entry, run))
        else:
            self._parts.monitor.watch(fd, lambda: self._ended(entry, run))
        if run.process >= 0:
            self._parts.monitor.watch(os.dup(run.process), lambda: self._relieve(entry, run))

    def _relieve(self, entry: Entry, run: Run) -> None:
        """The process has ended.  conmon ends too, unless it waits for a client that does not read."""

        def cut() -> None:
            with entry.lock:
                if entry.run is run:
                    run.cut_connections()

        if run.connections:
            self._parts.monitor.call_later(_STUCK, cut)

    def _note_failure(self, entry: Entry, before: State, failure: CniError) -> None:
        entry.run = None
        container = entry.container
        container.state = State(
            status="created" if before.status == "created" else "exited",
            exit_code=failure.exit_code if isinstance(failure, StartFailed) else NOT_STARTED,
            error=str(failure),
            started_at=before.started_at,
            finished_at=before.finished_at,
        )
        for stream in entry.attached:
            stream.failed(failure)
        entry.attached.clear()
        self._parts.store.note(container)


def opened_of(bundle: str) -> tuple[str, Opened]:
    """The root file system and the sandbox of a container that runs."""
    with open(f"{bundle}/{OPENED}", encoding="utf-8") as stream:
        kept = json.load(stream)
    opened = kept["opened"]
    return kept["rootfs"], Opened(**{**opened, "environment": tuple(opened["environment"])})


def _write(path: str, value: object) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as stream:
        json.dump(value, stream)


def _quietly(step: Callable[..., None], *arguments: object) -> None:
    """A step of undoing: what fails is logged, the other steps follow."""
    try:
        step(*arguments)
    except Exception:
        _log.exception("undoing a start: %s", step.__name__)
