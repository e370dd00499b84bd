"""A side's private "host": network, mount and process namespaces of its own, prepared the same way for every side."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["ENVIRONMENT", "BenchError", "PrivateHost", "private_host"]

INTERPRETER = "/usr/bin/python3"
WORKER = Path(__file__).with_name("worker.py")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")


class BenchError(Exception):
    """Something the benchmark needs is missing or failed; the text says what."""


class PrivateHost:
    """Talks to the worker inside."""

    def __init__(self, process: subprocess.Popen[str], scratch: Path) -> None:
        self.process, self.scratch = process, scratch
        self._receive()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Have the worker do something (worker.py: do_...); BenchError with its reason when it failed."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"a private host ended early (status {self.process.wait()}): is this root?")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(answer["error"])
        return answer

    def run(self, argv: Sequence[str]) -> str:
        """Run a program inside; BenchError unless it ends with status 0."""
        done = self.ask("run", argv=list(argv), environment=ENVIRONMENT)
        if done["status"] != 0:
            raise BenchError(f"{' '.join(argv)} ended with {done['status']}: {done['output']}{done['stderr']}")
        return str(done["output"])


@contextlib.contextmanager
def private_host() -> Iterator[PrivateHost]:
    """Start one; everything in it ends and goes with it. Its files are on the disk, as a real host's leases are."""
    scratch = Path(tempfile.mkdtemp(prefix="pycni-bench-", dir="/var/tmp"))
    scratch.chmod(0o755)
    process = subprocess.Popen(
        ["unshare", *NAMESPACES, INTERPRETER, "-I", "-S", str(WORKER), str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        yield PrivateHost(process, scratch)
    finally:
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(scratch)
