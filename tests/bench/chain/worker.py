"""Process 1 of a private host: prepares it, then executes plugins one request at a time and times them.

Run as a lone file by `python3 -I -S`; it imports little, so that starting children from it stays cheap (posix_spawn is
vfork). Requests are JSON lines on standard input, answers JSON lines on standard output; it ends with its input.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import sys
from time import perf_counter, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
RTM_SETLINK = 19
NLM_F_REQUEST, NLM_F_ACK = 1, 4
IFLA_IFNAME, IFLA_NET_NS_FD = 3, 28
IFF_UP = 1
NETNS = "/run/netns"
SERVICE_LIMIT = 60.0
"""Seconds; a daemon in an emulated guest takes many of them."""
REACH_LIMIT = 3.0

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mounting {target}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def prepare(scratch: str) -> None:
    """Give this mount and network namespace files of its own, on the scratch directory's file system."""
    for part in ("etc", "work", "lib"):
        os.mkdir(f"{scratch}/{part}")
    _mount("overlay", "/etc", "overlay", 0, f"lowerdir=/etc,upperdir={scratch}/etc,workdir={scratch}/work")
    _mount(f"{scratch}/lib", "/var/lib", None, MS_BIND)
    _mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
    for directory in (NETNS, "/run/lock"):
        os.mkdir(directory)
    for path in ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"):
        _write(path, "1")
    _loopback_up()


def _loopback_up() -> None:
    pid = os.posix_spawnp("ip", ["ip", "link", "set", "lo", "up"], os.environ)
    _check(os.waitpid(pid, 0)[1], "setting lo up")


class Run:
    """One execution on its way: started by the constructor, ended by `finish`."""

    def __init__(self, argv: list[str], environment: dict[str, str], stdin: bytes, stderr: int) -> None:
        given, feed = os.pipe()
        os.write(feed, stdin)
        os.close(feed)
        self.output, printed = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate((given, printed, stderr))]
        self.began = perf_counter()
        self.pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions)
        os.close(given)
        os.close(printed)

    def finish(self) -> tuple[float, bytes]:
        """Seconds from start to end, and what it printed. Call after its exit status has been fetched."""
        parts = []
        while part := os.read(self.output, 65536):
            parts.append(part)
        ended = perf_counter()
        os.close(self.output)
        return ended - self.began, b"".join(parts)


class Chain:
    """A container's plugins, executed one after another; each gets its predecessor's result."""

    def __init__(self, request: dict[str, Any], previous: bytes, stderr: int) -> None:
        self.environment: dict[str, str] = request["environment"]
        self.steps = [(step["argv"], step["stdin"].encode(), step["spliced"]) for step in request["steps"]]
        self.adding: bool = request["adding"]
        self.result, self.stderr = previous, stderr
        self.walls: list[float] = []
        self.run: Run | None = None

    def start_next(self) -> bool:
        """Start the next plugin; False when all have run."""
        if len(self.walls) == len(self.steps):
            return False
        argv, stdin, spliced = self.steps[len(self.walls)]
        if spliced and self.result:
            stdin = stdin[:-1] + b',"prevResult":' + self.result + b"}"
        self.run = Run(argv, self.environment, stdin, self.stderr)
        return True

    def ended(self, status: int) -> None:
        """The running plugin has ended with this wait status."""
        assert self.run is not None
        wall, output = self.run.finish()
        if status != 0:
            os.lseek(self.stderr, 0, os.SEEK_SET)
            said = os.read(self.stderr, 65536).decode(errors="replace")
            argv = self.steps[len(self.walls)][0]
            code = os.waitstatus_to_exitcode(status)
            raise RuntimeError(f"{' '.join(argv)} ended with {code}: {output.decode(errors='replace')} {said}")
        self.walls.append(wall)
        if self.adding and output:
            self.result = output.strip()


class Worker:
    """The requests; each method takes the request and returns the answer."""

    def __init__(self) -> None:
        self.results: dict[str, bytes] = {}
        self.services: set[int] = set()
        self.stderr = os.memfd_create("stderr")
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        answer: dict[str, Any] = getattr(self, f"do_{request['do']}")(request)
        return answer

    def do_namespaces(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make empty network namespaces, as a runtime does before it calls plugins."""
        for name in request["names"]:
            path = f"{NETNS}/{name}"
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o444))
            try:
                _check(_libc.unshare(CLONE_NEWNET), "making a network namespace")
                _mount("/proc/thread-self/ns/net", path, None, MS_BIND)
                _loopback_up()
            finally:
                self._enter(self.home)
        return {}

    def do_reach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Connect from the host to a published port behind which a container listens on port 80."""
        namespace = os.open(f"{NETNS}/{request['namespace']}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter(namespace)
            listener = socket.create_server(("", 80))
        finally:
            self._enter(self.home)
            os.close(namespace)
        with listener:
            listener.settimeout(REACH_LIMIT)
            with socket.create_connection((request["address"], request["port"]), REACH_LIMIT):
                listener.accept()[0].close()
        return {}

    def do_move(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have a device go from namespace to namespace of these ("" is this one), one message each, which is the least
        that any program can do; seconds of the moves.  Arrived it is brought up or, here, stays down."""
        spaces = [
            os.open(f"{NETNS}/{name}", os.O_RDONLY | os.O_CLOEXEC) if name else self.home for name in request["way"]
        ]
        device = _attribute(IFLA_IFNAME, request["device"].encode() + b"\0")
        try:
            talks = [self._rtnetlink(space) for space in spaces]
            _spin(request["pause"])
            began = perf_counter()
            for talk, there in zip(talks, spaces[1:], strict=False):
                _set_link(talk, device + _attribute(IFLA_NET_NS_FD, struct.pack("=I", there)))
            wall = perf_counter() - began
            if spaces[-1] != self.home:
                _set_link(talks[-1], device, IFF_UP)
            for talk in talks:
                talk.close()
        finally:
            for space in spaces:
                if space != self.home:
                    os.close(space)
        return {"wall": wall}

    def _rtnetlink(self, namespace: int) -> socket.socket:
        self._enter(namespace)
        try:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        finally:
            self._enter(self.home)

    def _enter(self, namespace: int) -> None:
        _check(_libc.setns(namespace, CLONE_NEWNET), "changing the network namespace")

    def do_chain(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one container's chain; seconds of each plugin."""
        chain = self._chain(request)
        _spin(request["pause"])
        while chain.start_next():
            assert chain.run is not None
            chain.ended(os.waitpid(chain.run.pid, 0)[1])
        self._keep(request, chain)
        return {"walls": chain.walls}

    def do_parallel(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run many containers' chains, `width` at a time; seconds of them all together."""
        waiting = [(entry, self._chain(entry)) for entry in reversed(request["chains"])]
        running: dict[int, tuple[dict[str, Any], Chain]] = {}
        _spin(request["pause"])
        began = perf_counter()
        while waiting or running:
            while waiting and len(running) < request["width"]:
                entry, chain = waiting.pop()
                if chain.start_next() and chain.run is not None:
                    running[chain.run.pid] = (entry, chain)
            pid, status = os.waitpid(-1, 0)
            if pid not in running:
                continue
            entry, chain = running.pop(pid)
            chain.ended(status)
            if chain.start_next() and chain.run is not None:
                running[chain.run.pid] = (entry, chain)
            else:
                self._keep(entry, chain)
        return {"wall": perf_counter() - began}

    def _chain(self, request: dict[str, Any]) -> Chain:
        os.ftruncate(self.stderr, 0)
        return Chain(request, self.results.get(request["id"], request.get("previous", "").encode()), self.stderr)

    def _keep(self, request: dict[str, Any], chain: Chain) -> None:
        if chain.adding:
            self.results[request["id"]] = chain.result
        else:
            self.results.pop(request["id"], None)

    def do_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one program; its exit status, output and seconds."""
        os.ftruncate(self.stderr, 0)
        run = Run(request["argv"], request["environment"], request.get("stdin", "").encode(), self.stderr)
        status = os.waitpid(run.pid, 0)[1]
        wall, output = run.finish()
        os.lseek(self.stderr, 0, os.SEEK_SET)
        said = os.read(self.stderr, 65536).decode(errors="replace")
        return {
            "status": os.waitstatus_to_exitcode(status),
            "output": output.decode(errors="replace"),
            "stderr": said,
            "wall": wall,
        }

    def do_service(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a daemon and wait until it answers a frame on its socket; its pid and the seconds that took."""
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open("/dev/null", os.O_RDONLY)
        actions = [(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate((null, log, log))]
        began = perf_counter()
        pid = os.posix_spawn(request["argv"][0], request["argv"], request["environment"], file_actions=actions)
        self.services.add(pid)
        os.close(log)
        os.close(null)
        frame = bytes.fromhex(request["frame"])
        while not _answers(request["socket"], frame):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self.services.discard(pid)
                raise RuntimeError(f"{request['argv'][0]} ended at once: {_last_words(request['log'])}")
            if perf_counter() - began > SERVICE_LIMIT:
                raise RuntimeError(f"{request['argv'][0]} does not answer on {request['socket']}")
            sleep(0.002)
        return {"pid": pid, "wall": perf_counter() - began}

    def do_stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """End a service."""
        pid = request["pid"]
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        self.services.discard(pid)
        return {}

    def do_exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one frame to a service and wait for the first bytes of its answer; the seconds that took."""
        began = perf_counter()
        if not _answers(request["socket"], bytes.fromhex(request["frame"])):
            raise RuntimeError(f"no answer on {request['socket']}")
        return {"wall": perf_counter() - began}

    def do_process(self, request: dict[str, Any]) -> dict[str, Any]:
        """Resident memory (KiB), context switches and CPU ticks so far of a process and its descendants' threads."""
        memory = switches = ticks = threads = 0
        for pid in _family(request["pid"]):
            memory += int(_status(f"/proc/{pid}/status")["VmRSS"].split()[0])
            for task in os.listdir(f"/proc/{pid}/task"):
                fields = _status(f"/proc/{pid}/task/{task}/status")
                switches += int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
                threads += 1
            with open(f"/proc/{pid}/stat") as file:
                after = file.read().rpartition(")")[2].split()
            ticks += int(after[11]) + int(after[12])
        return {"memory": memory, "switches": switches, "ticks": ticks, "threads": threads}

    def do_files(self, request: dict[str, Any]) -> dict[str, Any]:
        """The names in a directory; none when it does not exist."""
        try:
            return {"names": sorted(os.listdir(request["directory"]))}
        except FileNotFoundError:
            return {"names": []}


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _set_link(talk: socket.socket, attributes: bytes, flags: int = 0) -> None:
    """RTM_SETLINK of the device that an attribute names; OSError."""
    body = struct.pack("=BxHiII", 0, 0, 0, flags, flags) + attributes
    talk.send(struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
    number = -struct.unpack_from("=i", talk.recv(65536), 16)[0]
    if number:
        raise OSError(number, f"changing a device: {os.strerror(number)}")


def _spin(seconds: float) -> None:
    """Let time pass awake: after a sleep the first thing measured would be how the processor wakes up."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def _answers(path: str, frame: bytes) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.connect(path)
            peer.sendall(frame)
            return bool(peer.recv(1))
        except OSError:
            return False


def _last_words(log: str) -> str:
    with open(log, errors="replace") as file:
        return file.read()[-2000:].strip()


def _status(path: str) -> dict[str, str]:
    with open(path) as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def _family(pid: int) -> list[int]:
    family = [pid]
    for member in family:
        with open(f"/proc/{member}/task/{member}/children") as file:
            family += [int(child) for child in file.read().split()]
    return family


def main() -> None:
    """Prepare, say so, and serve requests until standard input ends."""
    prepare(sys.argv[1])
    worker = Worker()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            answer = worker.handle(json.loads(line))
        except (OSError, RuntimeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
