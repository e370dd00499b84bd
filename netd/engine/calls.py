"""Serving one plugin call: whose it is, in which namespace, and the answer."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM, socket
from collections.abc import Callable
from threading import BoundedSemaphore, Thread, current_thread
from time import monotonic

from netd.engine import protocol
from netd.engine.connection import Passed, examined, send
from netd.engine.counters import ABROAD, CRASHED, FAILED, NOT_MINE, SUCCEEDED, Counters
from netd.engine.helper import Helper
from netd.engine.places import Place, Places
from netd.engine.protocol import Call, ProtocolError
from netd.engine.reaper import Reaper
from netd.engine.surroundings import Surroundings, depends_on_directory, pidfd_of
from netd.engine.waits import Waits
from pycni.kernel.namespace import Namespace
from pycni.plan.teardown import empty_trash
from pycni.process import crashed
from pycni.remembered import Memory
from pycni.settings import Settings
from pycni.skeleton import Answer, Host
from pycni_plugins.execution import execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.skeleton import Loader


MOST_APART = 64
"""Calls that may wait long and are served at a time; the others' callers run them in-process."""


class Calls:
    """Everything calls share.  `load` finds plugins by name; tests bring their own."""

    def __init__(
        self,
        settings: Settings,
        places: Places,
        reaper: Reaper,
        log: Callable[[str], None],
        load: Loader,
        helper: Helper,
    ) -> None:
        self.counters = Counters()
        self.helper = helper
        self._settings = settings
        self._places = places
        self._reaper = reaper
        self._log = log
        self._load = load
        self.surroundings = Surroundings()
        self._memory = Memory()
        self._waiting = BoundedSemaphore(MOST_APART)
        self._waits = Waits()
        self._threads: set[Thread] = set()

    def serve(
        self, call: Call, body: bytes, descriptors: tuple[Passed, ...], shared: bool, connection: socket
    ) -> bytes:
        """The frame to answer with, empty when that was or will be done.  ProtocolError when descriptors are missing.

        `body` is what `call` was decoded from; `shared`: whether its users are ours, as `surroundings` says."""
        self._reaper.call_begins()
        if len(descriptors) < 2:
            raise ProtocolError("call without the caller's root directory and network namespace")
        root, netns, *container = descriptors
        if not shared or not self.surroundings.is_root(root) or depends_on_directory(call.environment, call.stdin):
            return b"" if self._sent_abroad(call, body, connection, root.fd) else self._decline(call)
        try:
            entered = self._places.enter(netns)
        except OSError as error:  # out of descriptors; nothing was done, so the caller can do it
            self._log(f"keeping a caller's namespace: {error.strerror}")
            entered = None
        if entered is None:
            return self._decline(call)
        place, new = entered
        if new:  # an engine that died here may have left retired links
            self._reaper.defer(place, empty_trash)
        if not _may_wait_long(call):
            self._finish(call, place, container[0] if container else None, connection)
            return b""
        if self._apart(call, place, container[0] if container else None, connection):
            return b""
        self._leave(place)
        return self._decline(call)

    def interrupt(self) -> None:
        """Calls that wait long are undone, and their callers told to do it themselves."""
        self._waits.interrupt()

    def finish(self, seconds: float) -> None:
        """Returns when the threads of such calls have ended, or after that time."""
        deadline = monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - monotonic()))
        if left := len(self._threads):
            self._log(f"{left} calls were not over {seconds:.0f} seconds after the end began")

    def _leave(self, place: Place) -> None:
        self._places.leave(place)
        if place is not self._places.own:
            self._reaper.look_again()

    def _finish(self, call: Call, place: Place, container: Passed | None, connection: socket) -> None:
        namespace = self._places.borrow(place)
        try:
            answer = self._execute(call, place, namespace, container)
            if answer.status and self._waits.over and _may_wait_long(call):
                # interrupted, perhaps; and if not, it fails there as it did here
                self._log(answer.stderr.decode("utf-8", "replace"))
                send(connection, self._decline(call))
                return
            # what follows need not keep the caller waiting
            send(connection, protocol.answer_frame(answer.status, answer.stdout, answer.stderr))
        finally:
            self._places.give_back(place, namespace)
            self._leave(place)

    def _apart(self, call: Call, place: Place, container: Passed | None, connection: socket) -> bool:
        """Has a thread of its own finish the call; False when there are too many already, or no descriptors."""
        if not self._waiting.acquire(blocking=False):
            return False
        kept: list[int] = []
        try:
            kept += [os.dup(connection.fileno())]
            kept += [os.dup(container.fd)] if container is not None else []
            thread = Thread(target=self._finish_apart, args=(call, place, kept), daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:
                self._threads.discard(thread)
                raise
        except (OSError, RuntimeError) as error:
            self._log(f"a thread for a call that may wait: {error}")
            for fd in kept:
                os.close(fd)
            self._waiting.release()
            return False
        return True

    def _finish_apart(self, call: Call, place: Place, kept: list[int]) -> None:
        connection = socket(AF_UNIX, SOCK_STREAM, 0, kept[0])
        try:
            self._finish(call, place, examined(kept[1]) if len(kept) > 1 else None, connection)
        except OSError as error:
            self._log(f"lost a caller: {error.strerror}")
        finally:
            connection.close()
            for fd in kept[1:]:
                os.close(fd)
            self._waiting.release()
            self._threads.discard(current_thread())

    def _sent_abroad(self, call: Call, body: bytes, connection: socket, root: int) -> bool:
        pidfd = pidfd_of(connection)
        if pidfd is None:
            return False
        try:
            taken = self.helper.take(body, connection, pidfd, root)
        finally:
            os.close(pidfd)
        if taken:
            self.counters.count(call.plugin, call.environment.get("CNI_COMMAND", ""), ABROAD)
        return taken

    def _decline(self, call: Call) -> bytes:
        self.counters.count(call.plugin, call.environment.get("CNI_COMMAND", ""), NOT_MINE)
        return protocol.frame(protocol.NOT_MINE)

    def _execute(self, call: Call, place: Place, namespace: Namespace, container: Passed | None) -> Answer:
        netns = call.environment.get("CNI_NETNS", "")

        def open_container(path: str) -> Namespace:
            # a path like /proc/self/ns/net means the caller's; what is no namespace gets the contract's error text
            if container is not None and path == netns and container.is_netns:
                return self._places.visited(container)
            return Namespace.open(path)

        outcome = CRASHED
        try:
            host = Host(
                namespace,
                place.firewall,
                open_container,
                self._settings,
                self._load,
                lambda work: self._reaper.defer(place, work),
                self._memory,
                self._waits,
            )
            answer = execute(call.plugin, call.environment, lambda: call.stdin, host)
            outcome = FAILED if answer.status else SUCCEEDED
        except Exception as error:  # a defect in one plugin must not take the others' worker
            answer = crashed(call.plugin, error)
            self._log(answer.stderr.decode())
            answer = answer.replace(stderr=b"")
        finally:
            self.counters.count(call.plugin, call.environment.get("CNI_COMMAND", ""), outcome)
        return answer


def _may_wait_long(call: Call) -> bool:
    """Whether this may wait minutes for a DHCP server: a few such calls would hold all workers.  Some only mention
    dhcp, and lose nothing."""
    return b'"dhcp"' in call.stdin and call.environment.get("CNI_COMMAND") == "ADD"
