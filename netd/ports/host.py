"""The host's network namespace, as threads of this process use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from pycni.firewall.firewall import Firewall
from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import open_current


class Host:
    """The namespace of the thread that makes it; other threads may be elsewhere.  Its sockets stay open: closing one
    waits for the kernel, 7 to 20 ms."""

    def __init__(self, run_dir: str) -> None:
        self.fd = open_current()
        self._own = Namespace(self.fd)
        self.firewall = Firewall(self._own, run_dir)
        self._spare: list[Namespace] = []
        self._lock = Lock()

    @contextmanager
    def namespace(self) -> Iterator[Namespace]:
        """For the calling thread alone."""
        with self._lock:
            namespace = self._spare.pop() if self._spare else Namespace(self.fd)
        try:
            yield namespace
        finally:
            with self._lock:
                self._spare.append(namespace)

    def close(self) -> None:
        """Only when no thread uses it any more."""
        self.firewall.close()
        for each in (self._own, *self._spare):
            each.close()
        os.close(self.fd)
