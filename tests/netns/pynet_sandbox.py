"""A small host of its own for `pynet`: network and mount namespaces in which the default paths are empty.

/run, /opt and /var/lib are fresh file systems, /etc is covered by a layer that takes all writes.  Nothing of it is
left when the process that holds the namespaces ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_SETUP = """
set -e
mount -t tmpfs none /run
mkdir -p /run/netns /run/bin /run/etc /run/work
mount -t overlay none -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
rm -rf /etc/cni
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.53' >/etc/resolv.conf
echo 00112233445566778899aabbccddeeff >/etc/machine-id
mount -t tmpfs none /opt
mount -t tmpfs none /var/lib
ip link set lo up
ip link add uplink type veth peer name wire
ip addr add 192.0.2.2/24 dev uplink
ip link set uplink up
ip link set wire up
ip route add default via 192.0.2.1
for name in pynet:netd.cli.main pynetd:netd.engine.main; do
    printf '#!/bin/sh\\nexec "%s" -m %s "$@"\\n' "$1" "${name#*:}" >/run/bin/${name%:*}
    chmod 755 /run/bin/${name%:*}
done
echo ready
exec sleep infinity
"""


class Sandbox:
    """Runs shell commands on the small host; use as a context manager."""

    def __init__(self) -> None:
        self._holder: subprocess.Popen[str] | None = None
        self._engine: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sandbox:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "bash", "-c", _SETUP, "bash"]
        self._holder = subprocess.Popen(
            [*command, sys.executable], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            problem = self._holder.stderr.read()
            self.close()
            raise RuntimeError(f"setting up the sandbox: {problem}")
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self.stop_engine()
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None

    def _words(self, command: str) -> list[str]:
        assert self._holder is not None
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--", "bash", "-c", command]

    def _environment(self) -> dict[str, str]:
        path = f"/run/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": "/root", "LC_ALL": "C.UTF-8"}

    def run(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One bash command line; standard error is kept apart."""
        return subprocess.run(
            self._words(command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
            env=self._environment(),
        )

    def ok(self, command: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        done = self.run(command, stdin)
        assert done.returncode == 0, f"{command}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def start_engine(self) -> None:
        """`pynetd` in the foreground of a process of ours; returns when it serves."""
        notify, told = os.pipe()
        # systemd's readiness message needs a socket; a shell loop on the engine's own socket needs none
        command = f"pynetd & until pynet status >/dev/null 2>&1; do :; done; echo ready >&{told}; wait"
        self._engine = subprocess.Popen(
            self._words(command), env=self._environment(), pass_fds=[told], cwd="/", start_new_session=True
        )
        os.close(told)
        with os.fdopen(notify) as stream:
            assert stream.readline() == "ready\n"

    def stop_engine(self) -> None:
        """Ends the engine that `start_engine` started, and its shell."""
        if self._engine is not None:
            os.killpg(self._engine.pid, 15)
            self._engine.wait(30)
            self._engine = None
