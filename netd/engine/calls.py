"""Serving one plugin call: whose it is, in which namespace, and the answer."""

from __future__ import annotations

import os
from _socket import socket
from collections.abc import Callable

from netd.engine import protocol
from netd.engine.connection import send
from netd.engine.counters import ABROAD, CRASHED, FAILED, NOT_MINE, SUCCEEDED, Counters
from netd.engine.helper import Helper
from netd.engine.places import Place, Places, is_network_namespace
from netd.engine.protocol import Call, ProtocolError
from netd.engine.reaper import Reaper
from netd.engine.surroundings import Surroundings, depends_on_directory, pidfd_of
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

    def serve(self, body: bytes, descriptors: tuple[int, ...], shared: bool, connection: socket) -> bytes:
        """The frame to answer with, empty when that was or will be done.  ProtocolError when the body is malformed.

        `shared`: whether the caller's namespaces are ours, as `surroundings` says."""
        self._reaper.call_begins()
        call = protocol.decode_call(body)
        if len(descriptors) < 2:
            raise ProtocolError("call without the caller's root directory and network namespace")
        root, netns, *container = descriptors
        if _may_wait_long(call):
            return self._decline(call)
        if not shared or not self.surroundings.is_root(root) or depends_on_directory(call.environment, call.stdin):
            return b"" if self._sent_abroad(call, body, connection, root) else self._decline(call)
        try:
            entered = self._places.enter(netns)
        except OSError as error:  # out of descriptors; nothing was done, so the caller can do it
            self._log(f"keeping a caller's namespace: {error.strerror}")
            entered = None
        if entered is None:
            return self._decline(call)
        place, new = entered
        namespace = self._places.borrow(place)
        try:
            if new:  # an engine that died here may have left retired links
                self._reaper.defer(place, empty_trash)
            answer = self._execute(call, place, namespace, container[0] if container else None)
            # what follows need not keep the caller waiting
            send(connection, protocol.answer_frame(answer.status, answer.stdout, answer.stderr))
        finally:
            self._places.give_back(place, namespace)
            self._places.leave(place)
            if place is not self._places.own:
                self._reaper.look_again()
        return b""

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

    def _execute(self, call: Call, place: Place, namespace: Namespace, container: int | None) -> Answer:
        netns = call.environment.get("CNI_NETNS", "")

        def open_container(path: str) -> Namespace:
            # a path like /proc/self/ns/net means the caller's; what is no namespace gets the contract's error text
            if container is not None and path == netns and is_network_namespace(container):
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
    """Whether this may wait minutes for a DHCP server: a few such calls would hold all workers.  The caller runs it in
    a process of its own instead, as it does some others that only mention dhcp."""
    return b'"dhcp"' in call.stdin and call.environment.get("CNI_COMMAND") == "ADD"
