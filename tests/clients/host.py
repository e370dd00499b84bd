"""A disposable "host": own network, mounts, processes and cgroups, where real clients are let loose and leave nothing.

The network namespace is the host: its firewall, its bridges, an uplink called eth0 with a neighbour behind it. /etc,
/opt and /var/lib are overlays, /run is new. What happens inside host.sh is told there; this module starts it, runs
commands in it and removes what outlives it.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .polling import wait_until

__all__ = ["LAN", "LAN6", "UPLINK", "UPLINK6", "CommandFailed", "Host", "Service", "disposable_host"]

LAN = "192.168.250.2"  # the host's own address, where its neighbour reaches published ports
LAN6 = "fd00:250::2"
UPLINK = "192.168.250.1"  # the neighbour; answers HTTP on port 8000 with "uplink"
UPLINK6 = "fd00:250::1"

SCRIPT = Path(__file__).with_name("host.sh")
CGROUPS = Path("/sys/fs/cgroup")
_numbers = itertools.count(1)


class CommandFailed(AssertionError):
    """A command inside the host ended with another status than 0; carries all it printed."""

    def __init__(self, argv: Sequence[str], status: int, stdout: str, stderr: str) -> None:
        self.status, self.stdout, self.stderr = status, stdout, stderr
        killed = " (killed at its time limit)" if status == 137 else ""
        super().__init__(f"{' '.join(argv)}\nexit status {status}{killed}\n{stdout}{stderr}")


class Service:
    """A daemon started inside the host, with its output in a file."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def alive(self) -> None:
        """Fail with the end of the log when the daemon has ended."""
        if not self.running:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}:\n{tail}")

    def stop(self) -> None:
        """Kill it: nsenter's only child is the daemon itself, and nsenter ends with it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        self.process.wait(15)


class Host:
    """Runs commands and services in the disposable host whose pid 1 is `pid`."""

    def __init__(self, pid: int, name: str, scratch: Path) -> None:
        self.pid, self.name, self.scratch = pid, name, scratch
        self.path = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        self.services: list[Service] = []

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """A login's environment and nothing of the test run's own."""
        return {"PATH": ":".join(self.path), "HOME": "/root", "LANG": "C.UTF-8", **(extra or {})}

    def run(self, *argv: str, env: Mapping[str, str] | None = None, limit: int = 60, stdin: str = "") -> str:
        """Run a command, return its standard output; CommandFailed unless it ends with status 0."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
        # The time limit is set inside: killing nsenter alone would leave its child behind. Output goes to files because
        # a container's monitor may inherit a pipe and keep it open for as long as the container lives.
        inside += ["timeout", "--signal=KILL", str(limit), *argv]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            done = subprocess.run(inside, stdin=given, stdout=out, stderr=err, env=self.environment(env), check=False)
            out.seek(0)
            err.seek(0)
            stdout, stderr = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        if done.returncode != 0:
            raise CommandFailed(argv, done.returncode, stdout, stderr)
        return stdout

    def succeeds(self, *argv: str, limit: int = 60) -> bool:
        """Tell whether a command ends with status 0."""
        try:
            self.run(*argv, limit=limit)
        except CommandFailed:
            return False
        return True

    def service(self, name: str, *argv: str, env: Mapping[str, str] | None = None) -> Service:
        """Start a daemon inside; it ends with the host, or earlier by stop()."""
        log = self.scratch / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(SCRIPT), "join", self.name, str(self.pid), *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.environment(env),
            )
        service = Service(name, process, log)
        self.services.append(service)
        return service

    def neighbour(self, *argv: str) -> str:
        """Run a command on the other side of the uplink."""
        return self.run("ip", "netns", "exec", "uplink", *argv)

    def file(self, path: str) -> Path:
        """A path inside, as it is reached from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Write a file inside, in one step for those who watch its directory."""
        target = self.file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_text(text)
        fresh.rename(target)


@contextlib.contextmanager
def disposable_host() -> Iterator[Host]:
    """Start a host, and remove all of it at the end, however the tests went."""
    _sweep()
    name = f"pycni-ring-{os.getpid()}-{next(_numbers)}"
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    # Its standard input is its life line: closed by us at the end, and by the kernel should this process be killed.
    with (scratch / "host.log").open("wb") as log:
        process = subprocess.Popen(
            [str(SCRIPT), "enter", name, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    host = Host(0, name, scratch)
    try:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise AssertionError(f"the disposable host did not start:\n{(scratch / 'host.log').read_text()}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        host.pid = int(children[0])
        yield host
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            for service in host.services:
                service.process.wait(15)
            _remove_cgroups(name)
            shutil.rmtree(scratch)


def _sweep() -> None:
    """Remove the files of test runs that were killed; their hosts ended with them."""
    for scratch in Path(tempfile.gettempdir()).glob("pycni-ring-*-*-*"):
        pid, number = scratch.name.split("-")[2:4]
        if not Path(f"/proc/{pid}").exists():
            _remove_cgroups(f"pycni-ring-{pid}-{number}")
            shutil.rmtree(scratch)


def _remove_cgroups(name: str) -> None:
    """Remove the directories below each hierarchy; the kernel lets go of them a moment after the last process."""

    def present() -> list[Path]:
        # version 2 alone has them at the top
        return [*CGROUPS.glob(f"*/{name}"), *CGROUPS.glob(name)]

    def gone() -> bool:
        for top in present():
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
        return not present()

    wait_until(gone, f"the cgroups of {name} to be removable")
