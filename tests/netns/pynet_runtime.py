"""The small host of `pynet_sandbox` with the whole daemon on it: name server, API and the bundled runtime.

Containers' cgroups are the machine's, so everything that was started is removed before the host is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from cli_process import Terminal
from pynet_sandbox import ROOT, Sandbox

IMAGE = "local/busybox:test"
LIMIT = 30.0
"""Seconds that nothing on the small host takes."""

_SOCKETS = {"dns": "/run/pynet/dns.sock", "api": "/run/pynet/api.sock"}


class RuntimeSandbox(Sandbox):
    """`pynetd dns` and `pynetd api` run, and the image of busybox is here."""

    def __init__(self) -> None:
        super().__init__()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> RuntimeSandbox:
        super().__enter__()
        try:
            self.ok(f"{sys.executable} {ROOT}/tests/clients/image.py /run/busybox.tar")
            for name in _SOCKETS:
                self.start(name)
            self.ok("pynet image load -i /run/busybox.tar")
        except BaseException:
            self.close()
            raise
        return self

    def start(self, name: str) -> None:
        """One process of the daemon; returns when it serves."""
        words = self._words(f"exec {sys.executable} -m netd.daemon {name} >>/run/{name}.log 2>&1")
        self._daemons[name] = subprocess.Popen(words, env=self._environment(), cwd="/", start_new_session=True)
        self.until(f"{sys.executable} -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{_SOCKETS[name]}\")'")

    def kill(self, name: str, signal: int = 9) -> None:
        """Ends one process of the daemon; containers go on."""
        daemon = self._daemons.pop(name)
        os.kill(daemon.pid, signal)
        daemon.wait(LIMIT)

    def until(self, command: str) -> str:
        """Repeats a command until it succeeds; its output."""
        deadline = time.monotonic() + LIMIT
        while (done := self.run(command)).returncode:
            assert time.monotonic() < deadline, f"{command}: {done.stderr}{self.run('tail /run/*.log').stdout}"
        return done.stdout

    def process(self, command: str) -> subprocess.Popen[bytes]:
        """A command with pipes, one process from beginning to end."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._words(f"exec {command}"), env=self._environment(), cwd="/", stdin=pipe, stdout=pipe, stderr=pipe
        )

    def terminal(self, command: str) -> Terminal:
        """A command on a terminal."""
        return Terminal(self._words(f"exec {command}"), env=self._environment())

    def close(self) -> None:
        if "api" in self._daemons:
            self.run("pynet container rm -f $(pynet ps -aq)")
        for name in tuple(self._daemons):
            self.kill(name, 15)
        super().close()


@pytest.fixture(scope="module")
def machine() -> Iterator[RuntimeSandbox]:
    with RuntimeSandbox() as sandbox:
        sandbox.ok("pynet create mynet --subnet 10.71.0.0/24")
        yield sandbox


@pytest.fixture
def host(machine: RuntimeSandbox) -> Iterator[RuntimeSandbox]:
    """Without containers before and after."""
    yield machine
    machine.run("pynet container rm -f $(pynet ps -aq)")
    assert machine.ok("pynet ps -aq") == ""


def state(host: RuntimeSandbox, name: str, field: str) -> str:
    return host.ok(f"pynet container inspect -f '{{{{.{field}}}}}' {name}").strip()
