"""A listening socket of a daemon of ours, its own or systemd's, and telling systemd that the daemon serves."""

from __future__ import annotations

import fcntl
import os
import stat
from _socket import AF_UNIX, SO_ACCEPTCONN, SO_DOMAIN, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, socket
from collections.abc import Callable, MutableMapping

BACKLOG = 512
"""Calls that may wait for a worker; a launcher that finds the queue full waits in connect(2)."""

_FIRST_PASSED = 3
_PATH_LIMIT = 107


class ListenError(Exception):
    """A daemon cannot listen where it should; the message says why."""


class Listener:
    """A listening stream socket at `path`.  One we made is locked against a second daemon until we end."""

    def __init__(self, sock: socket, path: str, lock: int | None = None) -> None:
        self.socket = sock
        self.path = path
        self._lock = lock

    @property
    def owned(self) -> bool:
        return self._lock is not None

    def close(self) -> None:
        """An own socket disappears, and callers in its queue turn to the in-process path.  systemd's stays, and its
        callers wait for the next engine."""
        if self._lock is not None:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                os.write(2, f"pynetd: {self.path} was removed by somebody else\n".encode())
            os.close(self._lock)
            self._lock = None
        self.socket.close()


def listen(path: str, environment: MutableMapping[str, str], first: Callable[[], None] = lambda: None) -> Listener:
    """systemd's socket when it passed one (sd_listen_fds(3)), else a new one at `path`; ListenError.

    `first` is done when it is certain that nobody else serves there, and before anybody can connect to a new socket."""
    passed = _passed(environment)
    if passed is not None:
        first()
        return passed
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise ListenError(f"listening on {path}: a socket's path has at most {_PATH_LIMIT} bytes")
    try:
        os.makedirs(os.path.dirname(path) or ".", 0o755, exist_ok=True)
        lock = _lock(path)
        _remove_stale(path)
        first()
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        # the mode must be right from the start, not after a moment in which anyone could connect
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as error:
        raise ListenError(f"listening on {path}: {(error.strerror or str(error)).lower()}") from None
    return Listener(sock, path, lock)


def _lock(path: str) -> int:
    """Two engines that start together must not take each other's socket for a stale one."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ListenError(f"listening on {path}: another engine serves there") from None
    return lock


def _passed(environment: MutableMapping[str, str]) -> Listener | None:
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or int(count) == 0:
        return None
    if int(count) != 1:
        raise ListenError(f"{count} sockets were passed, the engine serves one")
    os.set_inheritable(_FIRST_PASSED, False)
    try:
        sock = socket(fileno=_FIRST_PASSED)
        listening = sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
        domain = sock.getsockopt(SOL_SOCKET, SO_DOMAIN)
    except OSError as error:
        raise ListenError(f"the passed descriptor is no socket: {error.strerror}") from None
    if not listening or domain != AF_UNIX or sock.type != SOCK_STREAM:
        raise ListenError("the passed descriptor is no listening unix stream socket")
    os.set_blocking(_FIRST_PASSED, True)
    return Listener(sock, str(sock.getsockname()))


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ListenError(f"listening on {path}: it exists and is no socket")
    except FileNotFoundError:
        return
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        raise ListenError(f"listening on {path}: another engine serves there")
    finally:
        probe.close()


def tell_manager(state: str, environment: MutableMapping[str, str]) -> None:
    """sd_notify(3); nothing without NOTIFY_SOCKET.  A manager that cannot be reached is its own trouble, not ours."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        sock.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        os.write(2, f"pynetd: notifying {address}: {error.strerror}\n".encode())
    finally:
        sock.close()
