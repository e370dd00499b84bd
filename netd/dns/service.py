"""The name server as a whole: the attachments' files on one side, the containers' resolvers on the other.

All it knows it reads from files: killed and started again it reads them again.  A container that ended without being
detached loses its names at once when its path names a process, else within SWEEP_SECONDS.
"""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Callable, Iterable

from netd.directory_watch import Watch
from netd.dns import answers, wire
from netd.dns.answers import Local
from netd.dns.resolvconf import HostServers
from netd.dns.sandbox import Gone, Sandbox
from netd.dns.upstream import Health, Server, servers_for
from netd.dns.zone import View, Zone
from netd.loop import Loop
from pycni.names import Attachment, Attachments

SWEEP_SECONDS = 2.0


class Service:
    """Runs on `loop`; `log` takes lines for the operator."""

    def __init__(
        self,
        loop: Loop,
        run_dir: str,
        log: Callable[[str], None],
        ttl: int = answers.TTL,
        host_servers: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        """OSError when the directory cannot be made or watched."""
        self._loop = loop
        self._log = log
        self._ttl = ttl
        self._host_servers = host_servers or HostServers()
        self._store = Attachments(run_dir)
        self._zone = Zone()
        self._health = Health()
        self._known: dict[str, Attachment] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._gone: dict[str, str] = {}
        self._views: dict[str, View] = {}
        self.generation = 0
        self.query_log = False
        self.counters: Counter[str] = Counter()
        _allow_many_files()
        self._watch = self._begin_watch()
        self._update(self._store.names())
        loop.after(SWEEP_SECONDS, self._sweep)

    # files

    def _begin_watch(self) -> Watch:
        os.makedirs(self._store.directory, 0o700, exist_ok=True)
        watch = Watch(self._store.directory)
        self._loop.add(watch.fd, self.refresh)
        return watch

    def _unwatch(self) -> None:
        self._loop.remove(self._watch.fd)
        self._watch.close()

    def refresh(self) -> None:
        """Everything written so far is in force."""
        names = self._watch.changed()
        if names is None:
            # the directory itself may be another one now
            self._unwatch()
            self._watch = self._begin_watch()
            names = {*self._store.names(), *self._known}
        self._update(name for name in names if not name.startswith(".") and not name.endswith("~"))

    def _update(self, keys: Iterable[str]) -> None:
        touched = set()
        for key in keys:
            old, new = self._known.pop(key, None), self._store.read(key)
            if new is not None:
                self._known[key] = new
            if old != new:
                touched |= {each.sandbox for each in (old, new) if each is not None}
                self._zone.remove(key)
        for sandbox in touched:
            self._settle(sandbox)
        if touched:
            self._views.clear()
            self.generation += 1

    def _settle(self, sandbox: str) -> None:
        """The sandbox's resolver and names are as its files say."""
        mine = {key: each for key, each in self._known.items() if each.sandbox == sandbox}
        self._gone.pop(sandbox, None)
        wanted = next((each for each in mine.values() if each.netns), None)
        if wanted is not None:
            wanted = wanted.replace(ipv6=any(each.ipv6 for each in mine.values()))
        open_one = self._sandboxes.get(sandbox)
        if open_one is not None and (wanted is None or (open_one.port, open_one.ipv6) != (wanted.port, wanted.ipv6)):
            self._close(sandbox)
        if wanted is not None and sandbox not in self._sandboxes and not self._open(sandbox, wanted):
            for key in mine:
                self._zone.remove(key)
            return
        for key, each in mine.items():
            self._zone.put(key, each)

    # resolvers

    def _open(self, sandbox: str, wanted: Attachment) -> bool:
        """Whether its names count: not when the container has ended."""
        try:
            made = Sandbox(self._loop, self, self._health, sandbox, wanted.netns, wanted.port, wanted.ipv6)
        except Gone as gone:
            self._gone[sandbox] = str(gone)
            return False
        except OSError as error:
            # others still find it
            self._gone[sandbox] = f"port {wanted.port} inside: {error.strerror}"
            self._log(f"no resolver in {wanted.netns}: {self._gone[sandbox]}")
            return True
        self._sandboxes[sandbox] = made
        if made.place.pidfd >= 0:
            self._loop.add(made.place.pidfd, lambda: self._ended(sandbox))
        return True

    def _close(self, sandbox: str) -> None:
        closed = self._sandboxes.pop(sandbox)
        self._loop.remove(closed.place.pidfd)
        closed.close()

    def _ended(self, sandbox: str) -> None:
        self._close(sandbox)
        self._gone[sandbox] = "the container has ended"
        for key in [key for key, each in self._known.items() if each.sandbox == sandbox]:
            self._zone.remove(key)
        self._views.clear()
        self.generation += 1

    def _sweep(self) -> None:
        for name, sandbox in list(self._sandboxes.items()):
            if not sandbox.place.is_alive():
                self._ended(name)
        self._loop.after(SWEEP_SECONDS, self._sweep)

    # questions

    @property
    def remembers(self) -> bool:
        """Answers may be cached: not while each is to be logged."""
        return not self.query_log

    def decide(self, sandbox: str, message: bytes, question: wire.Question, udp: bool) -> Local | tuple[Server, ...]:
        """A local answer, or the servers to ask."""
        view = self._views.get(sandbox)
        if view is None:
            view = self._views[sandbox] = self._zone.view(sandbox)
        action = answers.decide(self._zone, view, message, question, udp, self._ttl)
        if isinstance(action, Local):
            return action
        return servers_for(view, sandbox, self._host_servers())

    def note(self, sandbox: str, question: wire.Question | None, outcome: str, count: int = 1) -> None:
        self.counters[outcome] += count
        if self.query_log:
            asked = f"{question.name} type {question.kind}" if question is not None else "-"
            self._log(f"query {sandbox} {asked} {outcome}")

    # the operator

    def switch_query_log(self, on: bool) -> None:
        self.query_log = on
        self.generation += 1

    def problem(self, key: str) -> str:
        """Why the attachment's resolver does not answer, "" when it does."""
        attachment = self._known.get(key)
        if attachment is None:
            return "no such attachment"
        return self._gone.get(attachment.sandbox, "")

    def describe(self) -> dict[str, object]:
        """For the control socket."""
        return {
            "attachments": len(self._known),
            "sandboxes": len(self._sandboxes),
            "names": len(self._zone),
            "query_log": self.query_log,
            "counters": dict(sorted(self.counters.items())),
        }

    def close(self) -> None:
        for name in list(self._sandboxes):
            self._close(name)
        self._unwatch()


def _allow_many_files() -> None:
    """Four descriptors a container; the usual soft limit of 1024 is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
