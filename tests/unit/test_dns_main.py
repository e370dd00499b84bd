"""The command line of `pynetd dns`, and what its loop and streams do without containers."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from interpreter import run_plain

from netd.daemon import main as daemon
from netd.directory_watch import Watch
from netd.dns.main import Options, UsageError, parse
from netd.dns.streams import MAX_UNSENT, Stream
from netd.loop import Loop


def test_defaults_and_options() -> None:
    assert parse([]) == Options("/run/pynet", 5, "/etc/resolv.conf", False)
    given = parse(["--run-dir", "/r", "--ttl=0", "--resolv-conf", "/x", "--log-queries"])
    assert given == Options("/r", 0, "/x", True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--ttl"], "--ttl needs a value"),
        (["--ttl", "-1"], "--ttl -1: a number from 0 to 86400"),
        (["--ttl=86401"], "a number from 0 to 86400"),
        (["--run-dir", "run"], "--run-dir run: an absolute path"),
        (["--log-queries=yes"], "unknown argument --log-queries"),
        (["engine"], "unknown argument engine"),
    ],
)
def test_what_is_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse(arguments)


def test_pynetd_chooses_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert daemon(["dns", "--help"]) == 0
    assert "usage: pynetd dns" in capsys.readouterr().out
    assert daemon(["--help"]) == 0
    assert "usage: pynetd [PROCESS]" in capsys.readouterr().out
    assert daemon(["dns", "--what"]) == 2
    assert "unknown argument --what" in capsys.readouterr().err


def test_the_name_server_loads_no_engine_and_no_plugin() -> None:
    done = run_plain("import netd.dns.main\nprint(*sorted(sys.modules))\n")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "socket", "threading", "subprocess", "dataclasses", "netd.engine.engine"}
    assert not any(name.startswith("pycni_plugins") for name in loaded)


def test_timers_fire_in_order_and_not_when_cancelled() -> None:
    loop, fired = Loop(), []
    loop.after(0.02, lambda: fired.append("second"))
    loop.after(0.01, lambda: fired.append("first"))
    loop.after(0.0, lambda: fired.append("never")).cancel()
    loop.after(0.03, loop.stop)
    loop.run()
    loop.close()
    assert fired == ["first", "second"]


def test_streams_put_messages_together_and_end_once() -> None:
    loop, seen, ends = Loop(), [], []
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def received(message: bytes) -> None:
        seen.append(message)
        stream.send(message.upper())

    def ended() -> None:
        ends.append(1)
        loop.stop()

    stream = Stream(loop, ours, received, ended)

    def client() -> None:
        for byte in b"\0\3abc\0\0\0\1d\0":
            theirs.sendall(bytes((byte,)))
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=client)
    thread.start()
    loop.run()
    thread.join()
    stream.close()
    stream.send(b"late")
    assert (seen, ends) == ([b"abc", b"", b"d"], [1])
    with theirs, theirs.makefile("rb") as file:
        assert file.read() == b"\0\3ABC\0\0\0\1D"
    loop.close()


def test_a_peer_that_does_not_read_is_let_go() -> None:
    loop, ends = Loop(), []
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = Stream(loop, ours, lambda _: None, lambda: ends.append(1))
    sent = 0
    while not stream.closed:
        stream.send(bytes(60000))
        sent += 60000
        assert sent < 100 * MAX_UNSENT
    assert ends == [1]
    theirs.close()
    loop.close()


def test_a_watch_tells_what_was_written_moved_and_removed(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path))
    assert watch.changed() == set()
    (tmp_path / "a~").write_text("x")
    (tmp_path / "a~").rename(tmp_path / "a")
    (tmp_path / "b").touch()
    assert watch.changed() == {"a~", "a", "b"}
    (tmp_path / "b").unlink()
    assert watch.changed() == {"b"}
    (tmp_path / "a").unlink()
    tmp_path.rmdir()
    assert watch.changed() is None
    watch.close()
    tmp_path.mkdir()
    with pytest.raises(FileNotFoundError):
        Watch(str(tmp_path / "none"))
