"""A DHCP server (dnsmasq) and the daemon that asks it, of one side and one case."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SOCKET = "/run/engine/dhcp.sock"
"""Where the daemon listens, on both sides."""

SPACE = "lan"
"""The container that is the server's place; its interface has this name too."""

_DIRECTORY = Path("/run/engine/dhcp-server")
_SECONDS = 20.0
# longer than any machine needs for an answer that comes
_PATIENCE = ("-timeout", "5s", "-resendmax", "2s", "-resendtimeout", "25s")
_WORDS = ("requested options: ", "vendor class: ", "client provides name: ", "user class: ")


class DhcpService:
    """Runs from construction to `stop`; `words` are the daemon's program and first arguments."""

    def __init__(self, words: Sequence[str], options: Sequence[str]) -> None:
        shutil.rmtree(_DIRECTORY, ignore_errors=True)
        _DIRECTORY.mkdir()
        pid = _DIRECTORY / "pid"
        server = [
            *("nsenter", f"--net=/run/netns/{SPACE}", "/usr/sbin/dnsmasq", "--conf-file=/dev/null"),
            *("--keep-in-foreground", "--port=0", "--no-ping", f"--interface={SPACE}", "--bind-interfaces"),
            *("--user=root", "--group=root", "--log-dhcp", "--dhcp-authoritative", "--dhcp-sequential-ip"),
            *(f"--dhcp-leasefile={_DIRECTORY}/leases", f"--log-facility={_DIRECTORY}/log", f"--pid-file={pid}"),
            *options,
        ]
        self._processes = [subprocess.Popen(server, stdin=subprocess.DEVNULL)]
        with (_DIRECTORY / "daemon.log").open("wb") as log:
            daemon = [*words, "-socketpath", SOCKET, *_PATIENCE]
            self._processes.append(subprocess.Popen(daemon, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        self._await(pid.exists)
        self._await(_listens)

    def _await(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while not true():
            ended = [each.args for each in self._processes if each.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"no DHCP service; ended: {ended}; {(_DIRECTORY / 'daemon.log').read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        for each in self._processes:
            each.kill()
            each.wait()
        Path(SOCKET).unlink(missing_ok=True)

    @staticmethod
    def state() -> dict[str, str]:
        """The leases the server gave, and what clients asked for and said of themselves."""
        _digested()
        state = {}
        for line in _lines("leases"):
            words = line.split()
            if words[0] != "duid":
                state[f"dhcp/lease/{words[2]}"] = words[4].replace(":", "")
        heard = {word + line.partition(word)[2] for line in _lines("log") for word in _WORDS if word in line}
        for each in heard:
            state[f"dhcp/heard/{each}"] = "yes"
        return state


def _digested() -> None:
    """The server, if there is one, has done with what it was sent: a release is not answered."""
    pid = _DIRECTORY / "pid"
    status = Path("/proc") / (pid.read_text().strip() if pid.exists() else "none") / "status"
    deadline = time.monotonic() + _SECONDS
    before = ""
    while status.exists() and time.monotonic() < deadline:
        now = status.read_text()
        if now == before and "State:\tS" in now:
            return
        before = now
        time.sleep(0.002)


def _lines(name: str) -> list[str]:
    path = _DIRECTORY / name
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def _listens() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(SOCKET) == 0
