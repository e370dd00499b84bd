"""One thread that relays what comes to held host ports and the firewall does not lead on: from ::1, from IPv6 to a
container that has IPv4 only and the reverse, and everything should somebody have flushed the rules.

The container sees the host's address as its client then.  Idle, the thread sleeps.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread

from netd.loop import Loop
from netd.ports.datagrams import IDLE_SECONDS, DatagramListener
from netd.ports.streams import StreamListener, Target
from pycni.kernel.libc import CLONE_NEWNET, setns

Listener = StreamListener | DatagramListener

_STOP_SECONDS = 10.0


class Proxy:
    """Thread-safe.  `netns` is a descriptor, of the namespace that relayed connections start from; it must stay open.
    The thread is started with the first listener."""

    def __init__(self, netns: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._netns = netns
        self._idle_seconds = idle_seconds
        self._loop = Loop()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._calls: deque[Callable[[], None]] = deque()
        self._listeners: set[Listener] = set()
        self._thread: Thread | None = None
        self._lock = Lock()
        self._loop.add(self._wake, self._run_calls)

    def serve(self, wanted: Iterable[tuple[socket.socket, Target]]) -> list[Listener]:
        """Relays from now on what comes to these sockets, stream or datagram, which must stay open until `stop`."""
        wanted = list(wanted)
        listeners: list[Listener] = []

        def begin() -> None:
            try:
                for sock, target in wanted:
                    listeners.append(self._listener(sock, target))
            except BaseException:
                for listener in listeners:
                    listener.stop()
                raise
            self._listeners.update(listeners)

        if wanted:
            self._in_thread(begin)
        return listeners

    def _listener(self, sock: socket.socket, target: Target) -> Listener:
        if sock.type == socket.SOCK_STREAM:
            return StreamListener(self._loop, sock, target)
        return DatagramListener(self._loop, sock, target, self._idle_seconds)

    def retarget(self, changes: Iterable[tuple[Listener, Target]]) -> None:
        """New connections go elsewhere; those there are stay."""
        changes = list(changes)

        def change() -> None:
            for listener, target in changes:
                if listener.target != target:
                    listener.target = target

        if changes:
            self._in_thread(change)

    def stop(self, listeners: Iterable[Listener]) -> None:
        """Their sockets are no longer used, and what was relayed has ended."""
        listeners = list(listeners)

        def end() -> None:
            self._listeners.difference_update(listeners)
            for listener in listeners:
                listener.stop()

        if listeners:
            self._in_thread(end)

    def connections(self, listeners: Iterable[Listener]) -> int:
        """How many connections and clients are being relayed."""
        listeners = list(listeners)
        counted: list[int] = []
        if listeners:
            self._in_thread(lambda: counted.append(sum(each.connections for each in listeners)))
        return sum(counted)

    def close(self) -> None:
        """Ends what is relayed, and the thread."""
        if self._thread is not None:
            self.stop(tuple(self._listeners))
            self._in_thread(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
            self._thread = None
        self._loop.close()
        os.close(self._wake)

    def _in_thread(self, call: Callable[[], None]) -> None:
        """Runs it in the proxy's thread, and returns or raises as it does."""
        done = Event()
        problems: list[BaseException] = []

        def run() -> None:
            try:
                call()
            except BaseException as error:  # handed to the caller
                problems.append(error)
            finally:
                done.set()

        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._main, name="ports-proxy", daemon=True)
                self._thread.start()
            self._calls.append(run)
            os.eventfd_write(self._wake, 1)
            thread = self._thread
        while not done.wait(_STOP_SECONDS):
            if not thread.is_alive():
                raise RuntimeError("the proxy of published ports has ended")
        if problems:
            raise problems[0]

    def _run_calls(self) -> None:
        os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()

    def _main(self) -> None:
        setns(self._netns, CLONE_NEWNET)
        self._loop.run()
