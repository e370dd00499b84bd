"""The bundled runtime on a disposable host, driven by `pynet` alone: `pynetd` with its processes, and containers."""

import json
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .containerd import image_archive
from .host import CommandFailed, Host, Service
from .image import IMAGE
from .ours import API_SOCKET, DNS_SOCKET, SOCKET, command, engine_accepts, pynet
from .polling import wait_until
from .probes import serve_command
from .questions import ECHO, MOUNTS

__all__ = ["PROCESSES", "Runtime", "RuntimeContainer", "bundled_runtime", "run_pynetd"]

PROCESSES = {"engine": SOCKET, "dns": DNS_SOCKET, "api": API_SOCKET}


class RuntimeContainer:
    """A container: a place commands can be run in."""

    def __init__(self, runtime: "Runtime", name: str) -> None:
        self.runtime, self.name = runtime, name

    def run(self, *argv: str) -> str:
        """Run a command in it, as its user would."""
        return self.runtime("exec", self.name, *argv)

    def net(self, *argv: str) -> str:
        """Run a command of the host in its network alone: for what the image does not have, and for speed."""
        return self.runtime.host.run("nsenter", f"--target={self.pid}", "--net", "--", *argv)

    def inspect(self) -> dict[str, Any]:
        """As `pynet container inspect` shows it."""
        (shown,) = json.loads(self.runtime("container", "inspect", self.name))
        return dict(shown)

    @property
    def pid(self) -> int:
        """Its first process, as the host numbers it; looked up anew, for it may have been started again."""
        return int(self.runtime("container", "inspect", "-f", "{{.State.Pid}}", self.name))

    @property
    def id(self) -> str:
        """All 64 letters."""
        return str(self.inspect()["Id"])

    @property
    def status(self) -> str:
        """created, running, exited, …"""
        return str(self.inspect()["State"]["Status"])

    def address(self, network: str = "bridge", family: int = 4) -> str:
        """What inspect shows; "" while it has none."""
        key = "IPAddress" if family == 4 else "GlobalIPv6Address"
        return str(self.inspect()["NetworkSettings"]["Networks"][network][key])


class Runtime:
    """Runs pynet; `clean` removes what a test made."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.pynetd: Service | None = None

    def __call__(self, *arguments: str) -> str:
        return pynet(self.host, *arguments)

    def load_image(self) -> None:
        """Load the test image."""
        self("image", "load", "--quiet", "--input", str(image_archive(self.host)))

    def fails(self, *arguments: str, status: int = 1) -> str:
        """The message of a command that must fail, with this exit status, without `pynet: `."""
        try:
            out = self(*arguments)
        except CommandFailed as failure:
            assert failure.status == status, failure
            assert failure.stderr.startswith("pynet: ") and "Traceback" not in failure.stderr, failure
            return failure.stderr.removeprefix("pynet: ").rstrip("\n")
        raise AssertionError(f"pynet {' '.join(arguments)} succeeded: {out}")

    def start(self, name: str, *flags: str, words: tuple[str, ...] = ()) -> RuntimeContainer:
        """A container in the background; without words it only sleeps."""
        self("run", "--detach", "--pull=never", "--name", name, *flags, IMAGE, *words)
        return RuntimeContainer(self, name)

    def serve(self, name: str, *flags: str) -> RuntimeContainer:
        """A container that answers HTTP on port 80 with its own name."""
        return self.start(name, *flags, words=serve_command(name))

    def echo(self, name: str, *flags: str, ports: tuple[int, ...] = (80,)) -> RuntimeContainer:
        """A container that answers on these ports, TCP and UDP, with its own name and the address it was asked from."""
        return self.start(name, *MOUNTS, *flags, words=(*ECHO, name, *map(str, ports)))

    def background(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """A `pynet run` of the image that goes on by itself; what it says is nobody's concern."""
        inside = ["nsenter", f"--target={self.host.pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
        return subprocess.Popen(
            [*inside, command("pynet"), *arguments, IMAGE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.host.environment(),
        )

    def once(self, *flags: str, words: tuple[str, ...]) -> str:
        """What a container prints from its start to its end."""
        return self("run", "--rm", "--pull=never", *flags, IMAGE, *words)

    @contextmanager
    def talk(self, *argv: str) -> Iterator[Callable[[str], str]]:
        """A command of the host that goes on: each call gives it a line and returns the line it says then."""
        process = subprocess.Popen(
            ["nsenter", f"--target={self.host.pid}", "--mount", "--net", "--pid", "--", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.host.environment(),
        )

        def say(line: str) -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], 20)[0]:
                raise AssertionError(f"{' '.join(argv)}: no answer to {line!r}")
            return process.stdout.readline().rstrip("\n")

        try:
            yield say
        finally:
            process.kill()
            process.communicate()

    def clean(self) -> None:
        """No containers, and no networks."""
        containers = self("ps", "-aq").split()
        if containers:
            self("container", "rm", "--force", *containers)
        shown = [each["Name"] for each in json.loads(self("ls", "--json"))]
        networks = [name for name in shown if name not in ("bridge", "host", "none")]
        if networks:
            self("rm", "--force", *networks)

    # --- its processes

    def processes(self) -> dict[str, int]:
        """The pids of the daemon's processes, as this test run numbers them."""
        assert self.pynetd is not None
        (supervisor,) = _children(self.pynetd.process.pid)
        found = {}
        for pid in _children(supervisor):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            found |= {name: pid for name in PROCESSES if name in words}
        return found | {"supervisor": supervisor}

    def running(self) -> list[str]:
        """The sockets of the daemon's that somebody listens on."""
        return [path for path in PROCESSES.values() if engine_accepts(self.host, path)]

    def serves(self) -> bool:
        """Whether all its sockets accept; fails with the log once it has ended."""
        assert self.pynetd is not None
        self.pynetd.alive()
        return len(self.running()) == len(PROCESSES)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run_pynetd(runtime: Runtime) -> None:
    """Start the daemon and wait until it serves; its files are on the disk, for overlays cannot be stacked."""
    root = str(runtime.host.scratch / "pynet")
    runtime.pynetd = runtime.host.service("pynetd", command("pynetd"), "--root", root)
    wait_until(runtime.serves, "pynetd to serve", 30)


@contextmanager
def bundled_runtime(host: Host) -> Iterator[Runtime]:
    """The daemon on this host, with the plugins installed and the image loaded."""
    pynet(host, "install", "--dest", "/opt/cni/bin")
    runtime = Runtime(host)
    run_pynetd(runtime)
    runtime.load_image()
    try:
        yield runtime
    finally:
        if runtime.serves():
            runtime.clean()
