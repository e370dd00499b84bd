"""Further processes in running containers (`docker exec`), each under a conmon of its own.

What is known of one is in RUN/execs/<id>/, so that it outlives the daemon; it is forgotten some minutes after its end.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from random import Random

import msgspec
from msgspec import Struct

from netd.failure import Conflict, Failure, InvalidParameter, NotFound
from netd.runtime import conmon
from netd.runtime.entry import Entry
from netd.runtime.launch import opened_of
from netd.runtime.model import ExecOptions
from netd.runtime.naming import random_id
from netd.runtime.parts import Parts
from netd.runtime.start_failure import StartFailed, start_failure
from netd.runtime.streams import STDERR, STDOUT, Stream
from netd.structures import from_json

_KEPT = 300.0
"""Seconds that an ended exec can still be asked for its exit code."""

_KILLED = 137


class ExecState(Struct):
    """One exec.  `exit_code` None until it has ended."""

    id: str
    container_id: str
    options: ExecOptions
    running: bool = False
    exit_code: int | None = None
    pid: int = 0


class Execs:
    """`find` gives a container's entry by its id (NotFound)."""

    def __init__(self, parts: Parts, find: Callable[[str], Entry], random: Random) -> None:
        self._parts = parts
        self._find = find
        self._random = random
        self._base = f"{parts.places.run}/execs"
        self._lock = threading.Lock()
        self._states: dict[str, ExecState] = {}
        self._begun: set[str] = set()
        self._waiting: dict[str, list[Future[int]]] = {}

    def create(self, entry: Entry, options: ExecOptions) -> str:
        """The id of an exec that waits to be started; Conflict when the container does not run."""
        if not options.cmd:
            raise InvalidParameter("No exec command specified")
        _require_running(entry)
        state = ExecState(id=random_id(self._random), container_id=entry.container.id, options=options)
        with self._lock:
            self._states[state.id] = state
        self._parts.tell(entry.container, f"exec_create: {' '.join(options.cmd)}", execID=state.id)
        # its start follows at once, and waits for that
        self._parts.monitor.submit(self._parts.runc.grace_period.pass_early)
        return state.id

    def start(self, exec_id: str, attached: bool, size: tuple[int, int] | None) -> Stream | None:
        """The connected Stream, or None when not `attached`.  `size` is (height, width) of the terminal.  StartFailed
        when runc cannot execute it: the exec's exit code is 126 or 127 then."""
        state = self.inspect(exec_id)
        entry = self._find(state.container_id)
        _require_running(entry)
        with self._lock:
            if exec_id in self._begun:
                raise Conflict(f"exec {exec_id} has already been started")
            self._begun.add(exec_id)
        # without the container's lock: its execs start side by side, and runc refuses when it has ended
        return self._start(entry, state, attached, size)

    def _start(self, entry: Entry, state: ExecState, attached: bool, size: tuple[int, int] | None) -> Stream | None:
        bundle = self._bundle(state.id)
        os.makedirs(bundle, 0o700)
        options = state.options
        wanted = frozenset(
            number for number, on in ((STDOUT, options.attach_stdout), (STDERR, options.attach_stderr)) if on
        )
        stream = Stream(options.tty, stdin=options.attach_stdin, wanted=wanted) if attached else None
        launch = conmon.Launch(
            unit=state.id,
            container_id=state.container_id,
            bundle=bundle,
            log="",
            terminal=options.tty,
            stdin=options.attach_stdin and attached,
            keep_stdin=options.tty,
        )
        try:
            self._write_process(entry, state, size)
            state.pid = conmon.execute(
                self._parts.places, launch, f"{bundle}/process.json", stream.connected if stream else None
            )
        except BaseException as error:
            failure = self._note_failure(state, stream, error)
            raise failure from None
        state.running = True
        self._save(state)
        self._parts.tell(entry.container, f"exec_start: {' '.join(options.cmd or [])}", execID=state.id)
        if size is not None and options.tty:
            conmon.resize(bundle, *size)
        self._watch(state)
        return stream

    def _write_process(self, entry: Entry, state: ExecState, size: tuple[int, int] | None) -> None:
        try:
            rootfs, opened = opened_of(self._parts.store.live(state.container_id))
        except FileNotFoundError:
            raise Conflict(f"container {state.container_id} is not running") from None
        image = self._parts.images.find(entry.container.image_id)
        process = self._parts.bundle.process_spec(entry.container, image, state.options, rootfs, opened)
        if size is not None and state.options.tty:
            process["consoleSize"] = {"height": size[0], "width": size[1]}
        with open(f"{self._bundle(state.id)}/process.json", "w", encoding="utf-8") as stream:
            json.dump(process, stream)

    def _note_failure(self, state: ExecState, stream: Stream | None, error: BaseException) -> BaseException:
        if stream is not None:
            stream.close()
        failure: BaseException = error
        if isinstance(error, conmon.RuncRefused):
            failure = start_failure(str(error), "OCI runtime exec failed")
        elif isinstance(error, OSError):
            failure = Failure(f"exec in container {state.container_id}: {error}")
        state.exit_code = failure.exit_code if isinstance(failure, StartFailed) else 126
        conmon.abandon(self._bundle(state.id))
        self._end(state)
        return failure

    def _watch(self, state: ExecState) -> None:
        fd = conmon.open_process(self._bundle(state.id))
        if fd < 0:
            self._ended(state)
        else:
            self._parts.monitor.watch(fd, lambda: self._ended(state))

    def _ended(self, state: ExecState) -> None:
        code = conmon.exit_code(self._bundle(state.id))
        state.exit_code = _KILLED if code is None else code
        state.running = False
        self._end(state)
        try:
            container = self._find(state.container_id).container
        except NotFound:
            return
        self._parts.tell(container, "exec_die", execID=state.id, exitCode=str(state.exit_code))

    def _end(self, state: ExecState) -> None:
        """Its `exit_code` is known."""
        with self._lock:
            waiting = self._waiting.pop(state.id, [])
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(_KILLED if state.exit_code is None else state.exit_code)
        shutil.rmtree(self._bundle(state.id), ignore_errors=True)
        self._parts.monitor.call_later(_KEPT, lambda: self._forget(state.id))

    def _forget(self, exec_id: str) -> None:
        with self._lock:
            self._states.pop(exec_id, None)
            self._begun.discard(exec_id)

    def inspect(self, exec_id: str) -> ExecState:
        with self._lock:
            found = self._states.get(exec_id)
        if found is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def ended(self, exec_id: str) -> Future[int]:
        """Resolves to the exit code, after which `inspect` has it too."""
        state = self.inspect(exec_id)
        future: Future[int] = Future()
        with self._lock:
            if state.exit_code is None:
                self._waiting.setdefault(exec_id, []).append(future)
                return future
        future.set_result(state.exit_code)
        return future

    def resize(self, exec_id: str, height: int, width: int) -> None:
        state = self.inspect(exec_id)
        if not state.running:
            raise Conflict(f"exec {exec_id} is not running")
        conmon.resize(self._bundle(exec_id), height, width)

    def of(self, container_id: str) -> list[str]:
        """Ids of a container's execs that run or wait to be started."""
        with self._lock:
            states = list(self._states.values())
        return [state.id for state in states if state.container_id == container_id and state.exit_code is None]

    def forget_all_of(self, container_id: str) -> None:
        """The container has been removed."""
        with self._lock:
            for state in [state for state in self._states.values() if state.container_id == container_id]:
                del self._states[state.id]
                self._begun.discard(state.id)

    def restore(self) -> None:
        """A new daemon knows the execs that run, and tells the end of those that ended meanwhile."""
        for name in os.listdir(self._base) if os.path.isdir(self._base) else ():
            try:
                with open(f"{self._base}/{name}/exec.json", "rb") as stream:
                    state = from_json(stream.read(), ExecState)
            except (FileNotFoundError, msgspec.DecodeError):
                # its start was cut off
                conmon.abandon(f"{self._base}/{name}")
                shutil.rmtree(f"{self._base}/{name}", ignore_errors=True)
                continue
            with self._lock:
                self._states[state.id] = state
                self._begun.add(state.id)
            self._watch(state)

    def _bundle(self, exec_id: str) -> str:
        return f"{self._base}/{exec_id}"

    def _save(self, state: ExecState) -> None:
        path = f"{self._bundle(state.id)}/exec.json"
        with open(f"{path}.new", "wb") as stream:
            stream.write(msgspec.json.encode(state))
        os.rename(f"{path}.new", path)


def _require_running(entry: Entry) -> None:
    if entry.run is None:
        raise Conflict(f"container {entry.container.id} is not running")
    if entry.container.state.status == "paused":
        raise Conflict(f"Container {entry.container.name} is paused, unpause the container before exec")
