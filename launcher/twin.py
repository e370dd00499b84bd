#!/usr/bin/python3 -IS
# The launcher in Python, for machines without a compiler: launcher.c says what it does, docs/launcher-protocol.md why.
# It is compiled anew at every start and costs more than the engine's work, so it is short and imports next to nothing.
from __future__ import annotations

import posix
import sys
from posix import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

CONFIG = """PYCNI-LAUNCHER-CONFIG
version=v1.9.1
socket=/run/pynet/cni.sock
"""
REQUEST_LIMIT = 16 << 20
ANSWER_LIMIT = 64 << 20
SINCE_0_4 = ("0.4.0", "1.0.0", "1.1.0")
SINCE_0_3_1 = ("0.3.1", *SINCE_0_4)
SINCE_0_3 = ("0.3.0", *SINCE_0_3_1)
SINCE_0_1 = ("0.1.0", "0.2.0", *SINCE_0_3)
PLUGINS: dict[str, tuple[str, ...]] = dict.fromkeys(
    (
        *("bridge", "host-local", "loopback", "portmap", "tuning", "static", "dhcp", "sbr", "ptp", "dnsname"),
        *("macvlan", "dummy", "tap", "ipvlan", "vlan", "host-device"),
    ),
    SINCE_0_1,
)
PLUGINS["firewall"] = SINCE_0_4
PLUGINS["bandwidth"] = SINCE_0_3
PLUGINS["vrf"] = SINCE_0_3_1
LOST = "lost"
NOT_RUN = "not run"

settings = dict(line.split("=", 1) for line in CONFIG.splitlines() if "=" in line)


def keep_standard_streams() -> None:
    for fd in (0, 1, 2):
        try:
            posix.fstat(fd)
        except OSError:
            posix.open("/dev/null", posix.O_RDWR if fd else posix.O_WRONLY)


def put(fd: int, data: bytes) -> int:
    from errno import EAGAIN

    while data:
        try:
            data = data[posix.write(fd, data) :]
        except OSError as error:
            if error.errno != EAGAIN:
                return 1
            await_ready(fd, 4)
    return 0


def await_ready(fd: int, events: int) -> None:
    from select import poll

    waiting = poll()
    waiting.register(fd, events)
    waiting.poll()


def fail(code: int, text: str) -> int:
    put(1, f'{{\n    "code": {code},\n    "msg": "{text}"\n}}'.encode())
    return 1


def plugin_name() -> str:
    name = sys.argv[0].rpartition("/")[2]
    return name or posix.readlink("/proc/self/exe").rpartition("/")[2]


def read_stdin() -> bytes:
    parts: list[bytes] = []
    while True:
        try:
            part = posix.read(0, 65536)
        except BlockingIOError:
            await_ready(0, 1)
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)


def run_in_process(name: str, stdin: bytes | None = None) -> int:
    entry = settings.get("entry")
    if not entry:
        return fail(999, "no engine answers and no interpreter is configured; run pynet install")
    if sys.argv[1:2] == ["daemon"] and name == "dhcp":
        run_dir = ["--run-dir", settings["run-dir"]] if "run-dir" in settings else []
        posix.execv(sys.executable, [sys.executable, "-I", "-S", entry, *run_dir, name, *sys.argv[1:]])
    sys.path.insert(0, entry.rpartition("/")[0].rpartition("/")[0] or "/")
    from pycni_plugins.inprocess import run

    return run(name, stdin, settings.get("run-dir"))


def describe(name: str, about: bool) -> int:
    if name not in PLUGINS:
        return run_in_process(name)
    if about:
        listed = ", ".join(PLUGINS[name])
        version = settings.get("version", "version unknown")
        return put(2, f"CNI {name} plugin {version}\nCNI protocol versions supported: {listed}\n".encode())
    quoted = '","'.join(PLUGINS[name])
    return put(1, f'{{"cniVersion":"1.1.0","supportedVersions":["{quoted}"]}}\n'.encode())


def receive(engine: _socket.socket, length: int) -> bytes | None:
    parts = []
    while length:
        part = engine.recv(length)
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def ask(plugin: str, stdin: bytes) -> tuple[int, bytes, bytes] | str:
    import _socket

    path = settings.get("socket")
    variables = b"".join([key + b"=" + value + b"\0" for key, value in environ.items()])
    name = plugin.encode("utf-8", "surrogateescape")
    body = b"".join([len(part).to_bytes(4, "big") for part in (name, variables, stdin)] + [name, variables, stdin])
    if not path or len(body) > REQUEST_LIMIT:
        return NOT_RUN
    engine = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        engine.connect(path)
        descriptors = [posix.open("/", posix.O_PATH), posix.open("/proc/self/ns/net", posix.O_RDONLY)]
    except OSError:
        return NOT_RUN
    try:
        descriptors.append(posix.open(environ.get(b"CNI_NETNS", b""), posix.O_NONBLOCK | posix.O_NOCTTY))
    except OSError:
        descriptors = descriptors[:2]  # the plugin finds out why, and what it means for its command
    call = b"PYNT\2\1" + len(descriptors).to_bytes(2, "big") + len(body).to_bytes(4, "big") + body
    rights = b"".join([fd.to_bytes(4, sys.byteorder) for fd in descriptors])
    try:
        sent = engine.sendmsg([call], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)], _socket.MSG_NOSIGNAL)
        if sent < len(call):
            engine.sendall(call[sent:], _socket.MSG_NOSIGNAL)
    except OSError:
        return NOT_RUN
    try:
        return answer_from(engine)
    except ConnectionResetError:
        return NOT_RUN
    except OSError:
        return LOST


def answer_from(engine: _socket.socket) -> tuple[int, bytes, bytes] | str:
    head = receive(engine, 12)
    if not head or head[:4] != b"PYNT":
        return LOST
    length = int.from_bytes(head[8:], "big")
    if length > ANSWER_LIMIT:
        return LOST
    if head[4:6] != b"\2\2":
        return NOT_RUN
    body = receive(engine, length)
    if not body or length < 12 or 12 + sum([int.from_bytes(body[at : at + 4], "big") for at in (4, 8)]) != length:
        return LOST
    end = 12 + int.from_bytes(body[4:8], "big")
    return body[3], body[12:end], body[end:]


def main() -> int:
    keep_standard_streams()
    name = plugin_name()
    if sys.argv[1:2] == ["daemon"] and name == "dhcp":
        return run_in_process(name)
    command = environ.get(b"CNI_COMMAND", b"")
    if command in (b"", b"VERSION"):
        return describe(name, not command)
    if posix.isatty(0):
        return run_in_process(name)
    try:
        stdin = read_stdin()
    except OSError:
        return run_in_process(name)
    answer = ask(name, stdin)
    if answer == LOST and command == b"ADD":
        return fail(11, "the engine stopped in the middle of ADD; delete the attachment, then add it again")
    if isinstance(answer, str):
        return run_in_process(name, stdin)
    status, printed, warned = answer
    return put(2, warned) | put(1, printed) or status


posix._exit(main())
