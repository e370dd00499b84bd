"""A plugin run by the process that was executed, without the engine."""

from __future__ import annotations

import os

from pycni.firewall.firewall import Firewall
from pycni.kernel.namespace import Namespace
from pycni.settings import Settings
from pycni.skeleton import Host
from pycni_plugins import find
from pycni_plugins.execution import crashed, execute

_CHUNK = 65536
_POLLIN = 1
_POLLOUT = 4


def main(arguments: list[str]) -> int:
    """`[--run-dir D] PLUGIN`; the exit status."""
    run_dir = None
    if arguments[:1] == ["--run-dir"] and len(arguments) > 1:
        run_dir, arguments = arguments[1], arguments[2:]
    if len(arguments) != 1:
        os.write(2, b"usage: oneshot.py [--run-dir DIRECTORY] PLUGIN\n")
        return 1
    return run(arguments[0], None, run_dir)


def run(name: str, stdin: bytes | None, run_dir: str | None) -> int:
    """Runs a plugin with this process's environment and prints its answer; the exit status.

    `stdin` None: the process's own, read when the environment turned out well."""
    _keep_standard_streams()
    settings = Settings() if run_dir is None else Settings(run_dir=run_dir)
    with Namespace.current() as namespace:
        host = Host(namespace, Firewall(namespace, settings.run_dir), Namespace.open, settings, find)
        try:
            answer = execute(name, os.environ, _read_stdin if stdin is None else lambda: stdin, host)
        except Exception as error:  # a defect must look like a CNI error to the runtime
            answer = crashed(name, error)
    written = _write(2, answer.stderr) and _write(1, answer.stdout)
    return answer.status if written else 1


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
