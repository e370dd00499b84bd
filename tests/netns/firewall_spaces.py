"""Private network namespaces for the firewall's tests, and programs run inside them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from typing import Self

from pycni.kernel.netns import Inside, open_current

CLONE_NEWNET = 0x40000000


class Space:
    """A namespace of the test's own; looks enough like `pycni.kernel.namespace.Namespace` for the firewall."""

    def __init__(self) -> None:
        made: list[int] = []
        failure: list[int] = []
        libc = ctypes.CDLL(None, use_errno=True)

        def make() -> None:
            if libc.unshare(CLONE_NEWNET) != 0:
                failure.append(ctypes.get_errno())
                return
            made.append(open_current())

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failure:
            raise OSError(failure[0], os.strerror(failure[0]))
        self.fd = made[0]
        status = os.fstat(self.fd)
        self.identity = (status.st_dev, status.st_ino)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    def entered(self) -> Inside:
        return Inside(self.fd)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, *argv: str, stdin: str = "", env: dict[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", "--", *argv],
            input=stdin,
            env={"PATH": os.environ["PATH"], **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} in a namespace: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def sh(self, script: str) -> str:
        return self.run("sh", "-ec", script).stdout

    def saved(self) -> dict[str, list[str]]:
        """What iptables-save and ip6tables-save print, without comments and counters."""
        return {
            program: [
                line.partition(" [")[0] if line.startswith(":") else line
                for line in self.run(program).stdout.splitlines()
                if not line.startswith("#")
            ]
            for program in ("iptables-save", "ip6tables-save")
        }
