"""One of our plugins run by the process that was executed, without the engine."""

from __future__ import annotations

import os

from pycni import process
from pycni.settings import Settings
from pycni_plugins import find
from pycni_plugins.execution import execute


def main(arguments: list[str]) -> int:
    """`[--run-dir D] PLUGIN`; the exit status.  `dhcp daemon …` becomes that daemon."""
    run_dir = None
    if arguments[:1] == ["--run-dir"] and len(arguments) > 1:
        run_dir, arguments = arguments[1], arguments[2:]
    if arguments[:2] == ["dhcp", "daemon"]:
        _become_daemon(arguments[2:], run_dir)
    if len(arguments) != 1:
        os.write(2, b"usage: oneshot.py [--run-dir DIRECTORY] PLUGIN\n")
        return 1
    return run(arguments[0], None, run_dir)


def _become_daemon(arguments: list[str], run_dir: str | None) -> None:
    """Executes the daemon, which is none of the plugins' modules and needs the collector that is off here."""
    import sys

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    program = os.path.join(root, "netd", "dhcp", "program.py")
    words = [sys.executable, "-I", "-S", program, *([] if run_dir is None else ["-run-dir", run_dir]), *arguments]
    try:
        os.execv(words[0], words)
    except OSError as error:
        os.write(2, f"dhcp daemon: {program}: {error.strerror}\n".encode())
        os._exit(1)


def run(name: str, stdin: bytes | None, run_dir: str | None) -> int:
    """Runs a plugin with this process's environment and prints its answer; the exit status.

    `stdin` None: the process's own, read when the environment turned out well."""
    settings = Settings() if run_dir is None else Settings(run_dir=run_dir)
    return process.run(name, lambda read, host: execute(name, os.environ, read, host), find, stdin, settings)
