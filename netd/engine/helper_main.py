"""The helper's own process: `python3 -I -S helper_main.py RUN_DIR SECONDS`, its socket to the engine as standard input.

It imports all that a plugin may need, and then only forks: files of a caller's are never taken for ours.  See
`netd.engine.helper` for who says what to whom.
"""

import gc
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import pkgutil
import select
import signal
from _frozen_importlib import BuiltinImporter, FrozenImporter
from _socket import AF_UNIX, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, socket
from struct import Struct

import pycni
import pycni_plugins
from netd.engine import likeness, protocol
from netd.engine.helper import GO, LENGTH, READY, UNLIKE
from pycni.process import answer_of
from pycni.settings import Settings
from pycni.skeleton import Answer
from pycni_plugins import find
from pycni_plugins.execution import execute

_FDS = Struct("@4i")
_STANDARD = 3


def main(run_dir: str, seconds: float) -> int:
    """Serves until the engine closes its end, or has sent nothing for so many seconds."""
    for package in (pycni, pycni_plugins):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("oneshot"):
                __import__(module.name)
    for name in ("re", "traceback", "linecache", "tokenize", "json.decoder", "encodings.ascii", "encodings.latin_1"):
        __import__(name)
    settings = Settings(run_dir=run_dir)
    control = socket(AF_UNIX, SOCK_SEQPACKET, 0, os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # who stops the engine closes the socket
    os.chdir("/")
    gc.collect()
    gc.freeze()
    waiting = select.poll()
    waiting.register(control.fileno(), select.POLLIN)
    while waiting.poll(seconds * 1000):
        data, messages, _flags, _address = control.recvmsg(16, 64, MSG_CMSG_CLOEXEC)
        if not data:
            return 0
        fds = _FDS.unpack(next(each for level, kind, each in messages if (level, kind) == (SOL_SOCKET, SCM_RIGHTS)))
        if os.fork() == 0:
            control.close()
            _child(fds, settings)
        for fd in fds:
            os.close(fd)
    return 0


def _child(fds: tuple[int, ...], settings: Settings) -> None:
    """Ends the process, whatever happens."""
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in range(_STANDARD):
            os.dup2(null, fd, inheritable=True)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        engine = socket(AF_UNIX, SOCK_STREAM, 0, fds[0])
        body = _exactly(engine, LENGTH.unpack(_exactly(engine, LENGTH.size))[0])
        _serve(engine, socket(AF_UNIX, SOCK_STREAM, 0, fds[1]), protocol.decode_call(body), fds[2], fds[3], settings)
    finally:
        os._exit(0)


def _serve(engine: socket, connection: socket, call: protocol.Call, pidfd: int, root: int, settings: Settings) -> None:
    try:
        outside = likeness.become(pidfd, likeness.caller(pidfd), root)
    except Exception as error:  # whatever it is: nothing was executed, and the engine is to know why
        said = str(error) if isinstance(error, likeness.Unlike) else f"{type(error).__name__}: {error}"
        engine.sendall(UNLIKE + said.encode("utf-8", "replace"))
        return
    os.close(pidfd)
    os.close(root)
    if outside and os.fork():
        engine.close()
        connection.close()
        os.wait()
        return
    # what is not loaded by now could only be a file of the caller's
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter]
    os.environ.clear()
    os.environ.update(call.environment)
    engine.sendall(READY)
    if engine.recv(1) != GO:
        return
    engine.close()
    answer = _answer(call, settings)
    connection.sendall(protocol.answer_frame(answer.status, answer.stdout, answer.stderr))


def _answer(call: protocol.Call, settings: Settings) -> Answer:
    return answer_of(
        call.plugin, lambda read, host: execute(call.plugin, os.environ, read, host), lambda: call.stdin, find, settings
    )


def _exactly(engine: socket, length: int) -> bytes:
    parts = []
    while length:
        part = engine.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
