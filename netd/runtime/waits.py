"""Those who wait for a container: for its end, its next end, or its removal (contract docker 4.5)."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from netd.failure import InvalidParameter

NOT_RUNNING = "not-running"
NEXT_EXIT = "next-exit"
REMOVED = "removed"


def check_condition(condition: str) -> str:
    """The condition; "" is docker's oldest clients' not-running.  InvalidParameter."""
    if condition not in ("", NOT_RUNNING, NEXT_EXIT, REMOVED):
        raise InvalidParameter(f'invalid condition: "{condition}"')
    return condition or NOT_RUNNING


class Waits:
    """Futures of one container; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._for_exit: list[Future[int]] = []
        self._for_removal: list[Future[int]] = []

    def add(self, condition: str) -> Future[int]:
        """Not-running and next-exit are the same here: whoever adds has looked whether it runs."""
        future: Future[int] = Future()
        with self._lock:
            (self._for_removal if condition == REMOVED else self._for_exit).append(future)
        return future

    def exited(self, code: int) -> None:
        with self._lock:
            done, self._for_exit = self._for_exit, []
        _resolve(done, code)

    def removed(self, code: int) -> None:
        """Also for those who wait for an end: there will be none."""
        with self._lock:
            done, self._for_exit, self._for_removal = self._for_exit + self._for_removal, [], []
        _resolve(done, code)


def _resolve(futures: list[Future[int]], code: int) -> None:
    for future in futures:
        # False when the client has given up
        if future.set_running_or_notify_cancel():
            future.set_result(code)
