"""A caller that sees other files than the engine, where the kernel cannot tell the engine who it is: in-process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from engine_process import REAL, EngineProcess
from launchers import ENTRY, install
from netns.private_netns import PrivateNetns

from netd.engine import client
from netd.engine.surroundings import pidfd_of

IPAM = {"type": "host-local", "subnet": "10.99.0.0/24"}
CONFIG = {"cniVersion": "1.0.0", "name": "net", "type": "host-local", "ipam": IPAM}
ELSEWHERE = """
mount -t tmpfs none /var/lib
"$0" && grep . /var/lib/cni/networks/net/10.99.0.2
"""


def can_tell() -> bool:
    """Whether this kernel can (since 6.5)."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = pidfd_of(ours)
    if found is not None:
        os.close(found)
    return found is not None


def test_a_caller_of_another_mount_namespace(tmp_path: Path, netns: Callable[[], PrivateNetns]) -> None:
    engine = EngineProcess(tmp_path / "engine", REAL, ("/usr/bin/nsenter", f"--net={netns().path}", "--"))
    try:
        plugins = install("c", tmp_path / "bin", {**engine.settings, "entry": str(ENTRY)}, ("host-local",))
        variables = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": netns().path,
            "CNI_PATH": str(plugins),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        done = subprocess.run(
            ["/usr/bin/unshare", "--mount", "--", "/bin/sh", "-ec", ELSEWHERE, str(plugins / "host-local")],
            input=json.dumps(CONFIG).encode(),
            capture_output=True,
            env=variables,
            timeout=60,
            check=False,
        )
        outcomes = {each["outcome"] for each in client.status(engine.socket)["calls"]}
    finally:
        engine.kill()
    assert done.returncode == 0, done.stderr
    assert b'"address": "10.99.0.2/24"' in done.stdout
    assert done.stdout.rstrip().endswith(b"c1\r\neth0"), "the lease is a file of the caller's"
    assert not os.path.exists("/var/lib/cni/networks/net/10.99.0.2")
    assert ("abroad" in outcomes) == can_tell()
