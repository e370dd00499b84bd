"""Talking to the name server: that it takes note of an attachment, and whether it answers at all."""

from __future__ import annotations

import time
from _socket import AF_INET as _INET
from _socket import AF_INET6 as _INET6
from _socket import AF_UNIX, SO_RCVTIMEO, SO_REUSEADDR, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, socket
from errno import ECONNREFUSED
from struct import Struct

from pycni.names import PORT, RESOLVER, RESOLVER6
from pycni.spec import jsontext
from pycni.spec.errors import CniError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.names import Enterable

PATIENCE = 1.0
"""Seconds for a name server that was killed to be started again."""

_TIMEOUT = 5
_PAUSE = 0.02
_TIMEVAL = Struct("@ll")


class NoNameServer(CniError):
    """Nobody listens on the name server's socket."""


def ask(run_dir: str, line: str, patience: float = 0.0) -> str:
    """The error in the answer to one line, "" when there is none; NoNameServer."""
    return str(question(run_dir, line, patience).get("error", ""))


def question(run_dir: str, line: str, patience: float = 0.0) -> dict[str, object]:
    """The answer to one line (netd/dns/control.py says which); NoNameServer."""
    path = f"{run_dir}/dns.sock"
    deadline = time.monotonic() + patience
    while True:
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, _TIMEVAL.pack(_TIMEOUT, 0))
            sock.connect(path)
            sock.send(line.encode() + b"\n")
            answer: dict[str, object] = jsontext.loads(_read_line(sock))
            return answer
        except OSError as error:
            # no socket at all: it was never started, or was stopped on purpose
            if error.errno != ECONNREFUSED or time.monotonic() >= deadline:
                raise NoNameServer(f"no name server at {path}: {(error.strerror or str(error)).lower()}") from None
        finally:
            sock.close()
        time.sleep(_PAUSE)


def _read_line(sock: socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = sock.recv(4096)
        if not part:
            raise OSError(ECONNREFUSED, "it ended")
        received += part
    return received


def choose_port(container: Enterable, ipv6: bool = False) -> int:
    """A port free for UDP and TCP at RESOLVER inside, with `ipv6` at RESOLVER6 too: PORT as a rule; StoreError when
    there is none."""
    places = [(_INET, RESOLVER), (_INET6, RESOLVER6)] if ipv6 else [(_INET, RESOLVER)]
    last = OSError(0, "no port")
    for wanted in (PORT, 0, 0, 0, 0):
        try:
            return _try_port(container, wanted, places)
        except OSError as error:
            last = error
    raise StoreError("choosing a port for the name server", "in the container", last)


def _try_port(container: Enterable, wanted: int, places: list[tuple[int, str]]) -> int:
    probes = []
    try:
        for family, address in places:
            with container.entered():
                udp = socket(family, SOCK_DGRAM | SOCK_CLOEXEC)
                probes.append(udp)
                tcp = socket(family, SOCK_STREAM | SOCK_CLOEXEC)
                probes.append(tcp)
            tcp.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            for each in (udp, tcp):
                each.bind((address, wanted))
                wanted = each.getsockname()[1]
        return wanted
    finally:
        for each in probes:
            each.close()
