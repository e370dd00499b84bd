"""SCTP in namespaces: a server that tells each client which address it sees, and its clients (one-to-one sockets)."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

from pycni.kernel.netns import Inside

PATIENCE = 5.0
"""Seconds for an association; the first INIT may be lost to address resolution, and the next comes after a second."""

SILENCE = 0.4
"""Seconds to listen for what must not come."""

MODULES = ("sctp",)


def load_modules() -> None:
    """SCTP is not loaded on demand for who has no capability in the first namespace; here once for all."""
    subprocess.run(["modprobe", "-a", *MODULES], check=True, capture_output=True)


def sctp_socket(space: Any, family: int) -> socket.socket:
    """One of the namespace that `space.fd` is."""
    with Inside(space.fd):
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


@contextlib.contextmanager
def serving(space: Any, port: int, family: int = socket.AF_INET6) -> Iterator[None]:
    """A server there; AF_INET6 serves both families."""
    with sctp_socket(space, family) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("", port))
        server.listen()
        woken, wake = os.pipe()
        thread = threading.Thread(target=_answer, args=(server, woken), daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.write(wake, b"x")
            thread.join()
            os.close(wake)
            os.close(woken)


def _answer(server: socket.socket, woken: int) -> None:
    """Until `woken` is readable: shutdown(2) wakes nobody who waits for an association."""
    while woken not in select.select([server, woken], [], [])[0]:
        connection, peer = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(peer[0].removeprefix("::ffff:").encode())


def ask(space: Any, address: str, port: int, wait: float = PATIENCE) -> str:
    """What a client there is told; otherwise why not, as in "ECONNREFUSED", and "silence" for no answer at all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with sctp_socket(space, family) as client:
        client.settimeout(wait)
        try:
            client.connect((address, port))
            return client.recv(100).decode() or "closed"
        except TimeoutError:
            return "silence"
        except OSError as error:
            return errno.errorcode[error.errno or 0]


def bind(space: Any, address: str, port: int, shared: bool = False) -> str:
    """What another program is told that wants the port: "" for success, else as in "EADDRINUSE"."""
    with sctp_socket(space, socket.AF_INET6 if ":" in address else socket.AF_INET) as other:
        if ":" in address:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind((address, port))
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return ""
