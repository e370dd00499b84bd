"""`pynet run -it` against a scripted daemon: raw modes, sizes, detach keys, and a terminal that is put back however it
ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from api_script import LIMIT, Request, Script
from cli_process import piped, pynet_terminal, raw
from scripted_container import AT, Cat


def test_a_terminal_needs_one(said: Script, tmp_path: Path) -> None:
    done = piped(tmp_path, "run", "-it", "busybox")
    assert done.returncode == 125 and b"-t: standard input is no terminal" in done.stderr
    assert said.asked == []


def test_a_terminal(said: Script, tmp_path: Path) -> None:
    cat = Cat(said, tty=True, status=4)
    with pynet_terminal(tmp_path, "run", "-it", "busybox") as terminal:
        assert cat.sized.wait(LIMIT) and cat.sizes == [("24", "80")]
        assert raw(terminal.modes)
        terminal.type(b"\x03\r\x1a")
        terminal.until(rb"\x03\r\x1a")
        cat.sized.clear()
        terminal.resize(40, 132)
        assert cat.sized.wait(LIMIT) and cat.sizes[1:] == [("40", "132")]
        assert cat.stream is not None
        cat.stream.connection.shutdown(0)
        terminal.until(rb"end\n")
        assert terminal.end() == 4
        assert terminal.modes == terminal.before
    assert cat.signals == []
    assert said.body("POST /containers/create")["HostConfig"]["ConsoleSize"] == [24, 80]


@pytest.mark.parametrize(("keys", "typed"), [((), b"\x10\x11"), (("--detach-keys", "ctrl-x,y"), b"\x18y")])
def test_detach_keys_leave_the_container_running(
    said: Script, tmp_path: Path, keys: tuple[str, ...], typed: bytes
) -> None:
    cat = Cat(said, tty=True)
    with pynet_terminal(tmp_path, "run", "-it", *keys, "busybox") as terminal:
        assert cat.sized.wait(LIMIT)
        terminal.type(typed[:1] + b"a")
        terminal.until(re_escape(typed[:1] + b"a"))
        terminal.type(typed[:1])
        terminal.type(typed[1:])
        assert terminal.end() == 0
        assert terminal.modes == terminal.before
    assert f"POST {AT}/kill" not in said.asked


def re_escape(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % octet for octet in text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_back_when_we_are_ended(said: Script, tmp_path: Path, number: signal.Signals) -> None:
    cat = Cat(said, tty=True)
    with pynet_terminal(tmp_path, "run", "-it", "busybox") as terminal:
        assert cat.sized.wait(LIMIT) and raw(terminal.modes)
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert terminal.modes == terminal.before


def test_the_terminal_is_put_back_when_the_daemon_dies(said: Script, tmp_path: Path) -> None:
    cat = Cat(said, tty=True)

    def die(request: Request) -> None:
        request.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert cat.ended.wait(LIMIT)
        request.connection.shutdown(2)

    said.on(f"POST {AT}/wait", die)
    with pynet_terminal(tmp_path, "run", "-it", "busybox") as terminal:
        assert cat.sized.wait(LIMIT) and cat.stream is not None
        cat.stream.connection.shutdown(2)
        assert terminal.end() == 125
        assert b"running containers are not affected" in terminal.seen
        assert terminal.modes == terminal.before
