"""The engine: worker threads that accept launchers' calls on one socket, and a reaper.

Workers block in accept(2) and everybody else on a lock, so an idle engine never wakes up.  Each connection is one
request and its answer.
"""

from __future__ import annotations

import os
import time
from _socket import SHUT_RDWR, socket
from collections.abc import Sequence
from threading import Lock, Thread, stack_size

from netd import VERSION
from netd.engine import front, protocol
from netd.engine.calls import Calls
from netd.engine.connection import REQUEST_SECONDS, First, Passed, Request, close_all, examined, receive, send
from netd.engine.front import Caller, Front
from netd.engine.helper import Helper
from netd.engine.places import Places
from netd.engine.protocol import Call, ProtocolError
from netd.engine.reaper import Reaper
from netd.listener import Listener
from netd.rule_watch import RuleWatch
from pycni.plan.teardown import empty_trash
from pycni.settings import REFERENCE_VERSION, Settings
from pycni.spec import jsontext
from pycni_plugins import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.skeleton import Loader

WORKERS = 4
"""4 to 8 serve best; with 20 they mostly wait for the interpreter's and the kernel's big locks."""

SYNC_SECONDS = 30.0
APART_SECONDS = 10.0
"""For calls that were interrupted to undo what they did: half of what the supervisor grants (netd/supervise.py)."""

_STACK = 1 << 20
_NO_DESCRIPTORS_SECONDS = 0.1


def log(text: str) -> None:
    """A line, or several, to whoever keeps our standard error."""
    os.write(2, "".join(f"pynetd: {line}\n" for line in text.splitlines()).encode("utf-8", "replace"))


class Engine:
    """One engine on one listening socket.  `load` finds plugins by name; `helper` is how to start the helper, nothing
    for none; `restore`: firewall rules that somebody else removes come back."""

    def __init__(
        self,
        listener: Listener,
        settings: Settings,
        workers: int = WORKERS,
        load: Loader = find,
        helper: Sequence[str] = (),
        restore: bool = True,
    ) -> None:
        self._listener = listener
        self._places = Places(settings.run_dir)
        self._reaper = Reaper(self._places, log)
        here = self._places.visited(examined(self._places.own.fd))
        self._watch = RuleWatch(here, self._mend, log) if restore else None
        self._helper = Helper(helper, log)
        self._calls = Calls(settings, self._places, self._reaper, log, load, self._helper)
        self._library = front.load()
        self._since = time.time()
        self._stopping = False
        self._uids = {0, os.geteuid()}
        # one for each worker, which holds it while it serves
        self._serving = [Lock() for _ in range(workers)]
        before = stack_size(_STACK)
        self._workers = [
            Thread(target=self._work, args=(lock,), name=f"worker-{n}", daemon=True)
            for n, lock in enumerate(self._serving)
        ]
        self._start()
        stack_size(before)

    def _start(self) -> None:
        self._reaper.start()
        # what the last engine retired and did not live to delete
        self._reaper.defer(self._places.own, empty_trash)
        if self._watch is not None:
            self._watch.start()
        for worker in self._workers:
            worker.start()

    def _mend(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        restored = self._places.own.firewall.restore()
        return restored.lost, restored.problems

    def stop(self) -> None:
        """Finishes the calls that run, and what they deferred; callers that wait turn to the in-process path, or to
        the next engine when the socket is systemd's."""
        self._stopping = True
        self._calls.interrupt()
        for lock in self._serving:
            with lock:
                pass  # this worker has finished, and sees that it must not begin again
        if self._listener.owned:
            self._listener.socket.shutdown(SHUT_RDWR)  # ends accept(2) in the workers
            for worker in self._workers:
                worker.join()
        # systemd's socket must stay usable, so workers in accept(2) on it end with the process
        self._calls.finish(APART_SECONDS)
        self._helper.close()
        if self._watch is not None:
            self._watch.close()
        self._reaper.stop()
        self._listener.close()

    def status(self) -> dict[str, object]:
        """What `pynet status` shows; times are unix seconds."""
        return {
            "version": VERSION,
            "reference": REFERENCE_VERSION,
            "protocol": protocol.VERSION,
            "pid": os.getpid(),
            "since": self._since,
            "backend": self._places.own.firewall.choose("portmap", ""),
            "sockets": [self._listener.path],
            "front": "plain" if self._library is None else "compiled",
            "workers": len(self._workers),
            "busy": sum(lock.locked() for lock in self._serving) - 1,  # without the worker that asks
            "deferred": self._reaper.pending,
            "foreign_namespaces": self._places.foreign,
            "calls": self._calls.counters.listed(),
        }

    def _work(self, serving: Lock) -> None:
        entrance = front.best(self._library)
        while True:
            try:
                caller = entrance.accept(self._listener.socket)
            except OSError as error:
                if self._stopping:
                    return
                log(f"accepting a call: {error.strerror}")
                time.sleep(_NO_DESCRIPTORS_SECONDS)  # out of descriptors: others have to finish first
                continue
            try:
                with serving:
                    if self._stopping:
                        return
                    self._converse(entrance, caller)
            except Exception as error:  # whatever one caller provokes, the worker goes on for the others
                self._report(error)
            finally:
                caller.connection.close()

    def _converse(self, entrance: Front, caller: Caller) -> None:
        connection, pid, uid, users = caller
        if uid not in self._uids:
            log(f"refused a caller with uid {uid}")
            return
        ours = self._calls.surroundings
        # now, while the launcher still prepares its request
        shared = users == ours.users if users else ours.shares_users(connection, pid)
        try:
            data, descriptors = begun = entrance.first(connection, REQUEST_SECONDS)
            call = protocol.whole_call(data, len(descriptors))
            if call is not None:  # nearly always
                try:
                    answer = self._serve(call, data[protocol.HEADER_SIZE :], descriptors, shared, connection)
                finally:
                    close_all(descriptors)
            else:
                answer = self._converse_at_length(begun, shared, connection)
        except ProtocolError as error:
            log(f"refused a request of process {pid}: {error}")
            answer = protocol.frame(protocol.NOT_MINE)
        if answer:
            send(connection, answer)

    def _converse_at_length(self, begun: First, shared: bool, connection: socket) -> bytes:
        """The same for what did not come at once, or is no call."""
        request = receive(connection, begun=begun)
        if request is None:
            return b""
        try:
            return self._answer(request, shared, connection)
        finally:
            close_all(request.descriptors)

    def _serve(
        self, call: Call, body: bytes, descriptors: tuple[Passed, ...], shared: bool, connection: socket
    ) -> bytes:
        try:
            return self._calls.serve(call, body, descriptors, shared, connection)
        finally:
            if self._watch is not None:
                self._watch.call_ended()

    def _answer(self, request: Request, shared: bool, connection: socket) -> bytes:
        if request.header.version != protocol.VERSION:
            return protocol.frame(protocol.NOT_MINE)
        kind = request.header.kind
        if kind == protocol.CALL:
            call = protocol.decode_call(request.body)
            return self._serve(call, request.body, request.descriptors, shared, connection)
        if kind == protocol.STATUS:
            return protocol.frame(kind, jsontext.dumps(self.status()).encode())
        if kind == protocol.SYNC:
            if not self._reaper.wait(SYNC_SECONDS):
                log(f"deferred work took longer than {SYNC_SECONDS:.0f} seconds")
            return protocol.frame(kind)
        raise ProtocolError(f"request of kind {kind}")

    def _report(self, error: Exception) -> None:
        if isinstance(error, OSError):
            log(f"lost a caller: {error.strerror}")
            return
        from traceback import format_exception

        log("".join(format_exception(error)))
