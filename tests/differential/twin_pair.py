"""Both sides, started and asked at the same time."""

from __future__ import annotations

import socket
import subprocess
import sys
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("ours", "reference")


@cache
def reference_directory() -> str:
    """Where scripts/clients built the reference's plugins."""
    script = str(ROOT / "scripts" / "clients")
    found = subprocess.run([script, "--print", "reference"], capture_output=True, text=True, check=False)
    if found.returncode:
        subprocess.run([script, "reference"], check=True, timeout=1200)
        return reference_directory.__wrapped__()
    return found.stdout.strip()


class Pair:
    """The two processes; `both` gives a method's values on our side and on the reference's."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection] = []
        program = str(Path(__file__).with_name("twin_side.py"))
        for kind in SIDES:
            here, there = socket.socketpair()
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, program, str(there.fileno()), kind, reference_directory()],
                    pass_fds=(there.fileno(),),
                    cwd=ROOT,
                )
            )
            there.close()
            self._connections.append(Connection(here.detach()))
        for connection in self._connections:
            self._answer(connection)

    @staticmethod
    def _answer(connection: Connection) -> Any:
        good, value = connection.recv()
        if not good:
            raise RuntimeError(f"a side failed:\n{value}")
        return value

    def both(self, method: str, *arguments: Any) -> tuple[Any, Any]:
        return self.each(method, arguments, arguments)

    def each(self, method: str, ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, Any]:
        """As `both`, with arguments of each side's own."""
        for connection, arguments in zip(self._connections, (ours, theirs), strict=True):
            connection.send((method, arguments))
        first, second = (self._answer_of(each) for each in self._connections)
        for good, value in (first, second):
            if not good:
                raise RuntimeError(f"a side failed:\n{value}")
        return first[1], second[1]

    @staticmethod
    def _answer_of(connection: Connection) -> tuple[bool, Any]:
        answer: tuple[bool, Any] = connection.recv()
        return answer

    def ours(self, method: str, *arguments: Any) -> Any:
        self._connections[0].send((method, arguments))
        return self._answer(self._connections[0])

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.wait(30)
