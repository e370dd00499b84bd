"""Asking a running engine: its status, and to finish what it deferred.  For `pynet` and tests."""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket
from typing import Any

from netd.engine import protocol
from netd.engine.connection import receive
from netd.engine.protocol import ProtocolError
from pycni.spec import jsontext

SECONDS = 40
"""Longer than the engine waits for its reaper."""


class NoEngine(Exception):
    """No engine answers there; the message names the socket and why."""


def status(path: str) -> dict[str, Any]:
    """The engine's account of itself (docs/launcher-protocol.md); NoEngine."""
    found: dict[str, Any] = jsontext.loads(_ask(path, protocol.STATUS))
    return found


def sync(path: str) -> None:
    """Returns when everything the engine had deferred is done; NoEngine."""
    _ask(path, protocol.SYNC)


def _ask(path: str, kind: int) -> bytes:
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.connect(path)
        connection.sendall(protocol.frame(kind))
        answer = receive(connection, SECONDS)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise NoEngine(f"no engine at {path}: {reason}") from None
    except ProtocolError as error:
        raise NoEngine(f"no engine at {path}: {error}") from None
    finally:
        connection.close()
    if answer is None or answer.header.kind != kind:
        raise NoEngine(f"no engine at {path}: it declined")
    return answer.body
