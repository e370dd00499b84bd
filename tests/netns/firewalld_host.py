"""A disposable host with a message bus and firewalld, Debian's real ones, and a container c1 behind a wire.

Network, mounts and processes are the host's own: /run, /var/log, /usr and /etc take writes in a layer that ends with
it.  `scripts/firewalld` says where the programs come from.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from reference_plugins import directory as reference_directory

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = "/run/netns/c1"

_BUS = """<busconfig><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
</policy></busconfig>"""

_SETUP = f"""
set -e
mount -t tmpfs none /run
mkdir -p /run/dbus /run/netns /run/www /run/layer/{{usr,usr-work,etc,etc-work}}
for top in usr etc; do
    mount -t overlay none -o "lowerdir=$1/$top:/$top,upperdir=/run/layer/$top,workdir=/run/layer/$top-work" /$top
done
mount -t tmpfs none /var/log
ip link set lo up
ip netns add c1
ip link add wire type veth peer name eth0 netns c1
ip addr add 10.0.0.1/24 dev wire
ip link set wire up
ip -n c1 link set lo up
ip -n c1 addr add 10.0.0.2/24 dev eth0
ip -n c1 link set eth0 up
echo hello >/run/www/index.html
busybox httpd -p 10.0.0.1:8080 -h /run/www
echo '{_BUS}' >/run/bus.conf
dbus-daemon --config-file=/run/bus.conf --fork
cat >/run/start-firewalld <<'SCRIPT'
firewalld --nofork --nopid >/run/firewalld.out 2>&1 &
echo $! >/run/firewalld.pid
until firewall-cmd --state 2>/dev/null | grep -q running; do kill -0 "$(cat /run/firewalld.pid)" || exit 1; done
SCRIPT
bash /run/start-firewalld || {{ cat /run/firewalld.out >&2; exit 1; }}
echo ready
# as pid 1 bash reaps what ends; the end of standard input is the end of the host
while read -r _; do :; done
"""


@cache
def programs() -> str:
    """Where firewalld is unpacked; done now if it was not."""
    script = str(ROOT / "scripts/firewalld")
    subprocess.run([script], check=True, capture_output=True, timeout=600)
    return subprocess.run([script, "--print"], check=True, capture_output=True, text=True).stdout.strip()


class FirewalldHost:
    """Runs commands and plugins on the host; use as a context manager."""

    def __enter__(self) -> FirewalldHost:
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(
            [*command, "--propagation", "private", "bash", "-c", _SETUP, "bash", programs()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            self._holder.kill()
            raise RuntimeError(f"setting up firewalld's host: {self._holder.communicate()[1]}")
        pid = self._holder.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.pid = int(child)
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    def _inside(self, *argv: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *argv]

    def run(self, command: str, check: bool = True) -> str:
        """One command line's output; both streams, whether it fails or not, unless `check`."""
        done = subprocess.run(
            self._inside("bash", "-c", command), capture_output=True, text=True, timeout=120, check=False, cwd="/"
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout

    def plugin(
        self, whose: str, command: str, config: Mapping[str, Any], container_id: str = "c1", **environment: str
    ) -> tuple[int, Any]:
        """Exit status and answer of the firewall plugin, `ours` or `theirs`, as a process of its own."""
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": CONTAINER,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/nowhere",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **environment,
        }
        argv = [str(reference_directory() / "firewall")]
        if whose == "ours":
            argv = ["/usr/bin/python3", "-I", "-S", str(ROOT / "plugins/oneshot.py"), "firewall"]
        words = [f"{key}={value}" for key, value in variables.items()]
        done = subprocess.run(
            self._inside("env", "-i", *words, *argv),
            input=json.dumps(config),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
        )
        assert done.stderr == "", done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def sources(self, zone: str = "trusted") -> set[str]:
        return set(self.run(f"firewall-cmd --zone={zone} --list-sources").split())

    def stop(self) -> None:
        """firewalld ends, and its rules with it."""
        self.run("pid=$(cat /run/firewalld.pid); kill $pid; while kill -0 $pid 2>/dev/null; do :; done")

    def start(self) -> None:
        self.run("bash /run/start-firewalld")
