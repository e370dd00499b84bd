"""A daemon's socket: how it comes to be, and who is refused."""

from __future__ import annotations

import _socket
import os
import stat
import subprocess
from pathlib import Path

import pytest
from launchers import PLAIN, ROOT

from netd.listener import ListenError, listen, tell_manager


def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dir" / "sock"
    listener = listen(str(path), {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    listener.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    dead = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    dead.bind(path)
    dead.close()
    listener = listen(path, {})
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    client.connect(path)
    client.close()
    listener.close()


def test_a_live_engine_is_not_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    first = listen(path, {})
    with pytest.raises(ListenError, match="another engine serves there"):
        listen(path, {})
    first.close()
    listen(path, {}).close()


def test_somebody_else_s_live_socket_is_not_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    other = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    other.bind(path)
    other.listen(1)
    with pytest.raises(ListenError, match="another engine serves there"):
        listen(path, {})
    other.close()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    path.write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        listen(str(path), {})
    assert path.read_text() == "precious"


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="107 bytes"):
        listen(str(tmp_path / ("s" * 108)), {})
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match=r"not a directory|file exists"):
        listen(str(tmp_path / "file" / "sock"), {})


def test_a_socket_that_was_removed_meanwhile(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sock"
    listener = listen(str(path), {})
    path.unlink()
    listener.close()
    assert "removed by somebody else" in capfd.readouterr().err


_ACTIVATED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from netd.listener import listen, ListenError
environment = {"LISTEN_PID": str(os.getpid() + int(sys.argv[4])), "LISTEN_FDS": sys.argv[3], "LISTEN_FDNAMES": "x"}
try:
    listener = listen(sys.argv[2], environment)
except ListenError as error:
    sys.exit(str(error))
print(listener.path, listener.owned, os.get_inheritable(listener.socket.fileno()), sorted(environment))
"""


def activated(passed: _socket.socket, path: Path, count: int = 1, other: int = 0) -> subprocess.CompletedProcess[str]:
    """`listen` in a process that got this socket as descriptor 3; `other` is added to the pid it is meant for."""
    script = f'exec 3<&{passed.fileno()}; exec "$@"'
    command = ["/bin/bash", "-c", script, "-", PLAIN, "-c", _ACTIVATED, str(ROOT), str(path), str(count), str(other)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, pass_fds=[passed.fileno()])


def test_systemd_s_socket_is_taken(tmp_path: Path) -> None:
    passed = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    passed.bind(str(tmp_path / "given"))
    passed.listen(1)
    done = activated(passed, tmp_path / "unused")
    assert done.stdout == f"{tmp_path}/given False False []\n", done.stderr
    assert not (tmp_path / "unused").exists()
    elsewhere = activated(passed, tmp_path / "used", other=1)
    assert elsewhere.stdout.startswith(f"{tmp_path}/used True"), "the socket was meant for another process"
    assert "2 sockets" in activated(passed, tmp_path / "unused", count=2).stderr
    passed.close()


def test_a_passed_descriptor_that_does_not_listen_is_refused(tmp_path: Path) -> None:
    passed = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    assert "no listening unix stream socket" in activated(passed, tmp_path / "unused").stderr
    passed.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    manager = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    name = f"pynet-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    manager.bind("\0" + name if abstract else name)
    tell_manager("READY=1", {"NOTIFY_SOCKET": ("@" if abstract else "") + name})
    assert manager.recv(64) == b"READY=1"
    manager.close()


def test_without_a_manager_nothing_happens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tell_manager("READY=1", {})
    assert capfd.readouterr().err == ""
    tell_manager("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert "notifying" in capfd.readouterr().err
