"""A plugin as a process: the caller's environment and streams, this thread's namespace, and an exit status."""

from __future__ import annotations

import os

from pycni.kernel.namespace import Namespace
from pycni.settings import Settings
from pycni.skeleton import Answer, Host, error_text, serve
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pycni.firewall.firewall import Firewall
    from pycni.skeleton import Loader, Plugin

    Serve = Callable[[Callable[[], bytes], Host], Answer]

_CHUNK = 65536
_POLLIN = 1
_POLLOUT = 4


class _FirewallOnDemand:
    """Stands for a Firewall until a plugin uses it: importing the backends takes a quarter of an in-process call, and
    half of the plugins need none of them."""

    def __init__(self, namespace: Namespace, run_dir: str) -> None:
        self._make = namespace, run_dir
        self._real: Firewall | None = None

    def __getattr__(self, name: str) -> object:
        if self._real is None:
            from pycni.firewall.firewall import Firewall

            self._real = Firewall(*self._make, keep_listing=True)
        return getattr(self._real, name)


def main(plugin: Plugin) -> int:
    """Runs a plugin of your own with this process's environment and streams; the exit status for `sys.exit`.

    Plugins it delegates to are executed from CNI_PATH."""
    return run(plugin.name, lambda read, host: serve(plugin, os.environ, read, host))


def run(
    name: str,
    execute: Serve,
    load: Loader | None = None,
    stdin: bytes | None = None,
    settings: Settings | None = None,
) -> int:
    """Has `execute` answer and prints the answer; the exit status.

    `load` finds plugins for calls in place.  `stdin` None: the process's own, read when it is asked for."""
    _keep_standard_streams()
    read = _read_stdin if stdin is None else lambda: stdin
    answer = answer_of(name, execute, read, load, settings or Settings())
    written = _write(2, answer.stderr) and _write(1, answer.stdout)
    return answer.status if written else 1


def answer_of(
    name: str, execute: Serve, read_stdin: Callable[[], bytes], load: Loader | None, settings: Settings
) -> Answer:
    """What `execute` answers on the machine as this process sees it.  A defect is an answer too."""
    with Namespace.current() as namespace:
        firewall: Firewall = _FirewallOnDemand(namespace, settings.run_dir)  # type: ignore[assignment]
        host = Host(namespace, firewall, Namespace.open, settings, load)
        try:
            return execute(read_stdin, host)
        except Exception as error:  # a defect must look like a CNI error to the runtime
            return crashed(name, error)


def crashed(name: str, error: Exception) -> Answer:
    """What a defect in a plugin looks like to a runtime: an error object with code 999, the traceback on stderr."""
    from traceback import format_exception

    summary = CniError(f"{name} failed unexpectedly: {type(error).__name__}: {error}")
    trace = "".join(format_exception(error))
    return Answer(1, error_text(summary).encode("utf-8", "surrogateescape"), trace.encode("utf-8", "replace"))


def _keep_standard_streams() -> None:
    """A closed standard stream must not become a netlink socket; reading a closed stdin must go on failing."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR if fd else os.O_WRONLY)


def _read_stdin() -> bytes:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(0, _CHUNK)
        except BlockingIOError:
            _await_ready(0, _POLLIN)
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)


def _write(fd: int, data: bytes) -> bool:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            _await_ready(fd, _POLLOUT)
        except OSError:
            return False
    return True


def _await_ready(fd: int, events: int) -> None:
    """A caller may hand down non-blocking streams; the mode is shared with it and not ours to change."""
    from select import poll

    waiting = poll()
    waiting.register(fd, events)
    waiting.poll()
