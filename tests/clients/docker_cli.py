"""Debian's docker command line (20.10), driving our API inside the disposable host."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .components import component
from .containerd import image_archive
from .host import CommandFailed, Host
from .ours import API_SOCKET, install_ours, start_api, start_dns

__all__ = ["IMAGE", "Docker", "docker_host"]

IMAGE = "local/busybox:test"
"""As docker shows the image's name."""


class Docker:
    """Runs docker; `clean` removes what a test made."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._program = str(component("docker"))
        self._environment = {"DOCKER_HOST": f"unix://{API_SOCKET}", "DOCKER_CONFIG": "/run/docker-config"}

    def __call__(self, *arguments: str, stdin: str = "", limit: int = 60) -> str:
        """Standard output of a command that succeeds, without the last newline."""
        return self.host.run(self._program, *arguments, env=self._environment, stdin=stdin, limit=limit).rstrip("\n")

    def fails(self, *arguments: str, stdin: str = "") -> CommandFailed:
        """The failure of a command that must fail."""
        try:
            out = self(*arguments, stdin=stdin)
        except CommandFailed as failure:
            return failure
        raise AssertionError(f"docker {' '.join(arguments)} succeeded: {out}")

    def inspect(self, name: str) -> dict[str, Any]:
        """The one object of this name."""
        (found,) = json.loads(self("inspect", name))
        return dict(found)

    def run(self, name: str, *words: str) -> str:
        """A container in the background; `words` are flags, then -- and its command.  Returns its id."""
        cut = words.index("--") if "--" in words else len(words)
        command = words[cut + 1 :] or ("sleep", "1000")
        return self("run", "-d", "--name", name, *words[:cut], IMAGE, *command)

    @contextmanager
    def background(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """A command that goes on, its standard output readable line by line."""
        process = subprocess.Popen(
            ["nsenter", f"--target={self.host.pid}", "--mount", "--net", "--pid", "--", self._program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.host.environment(self._environment),
        )
        try:
            yield process
        finally:
            _kill(process.pid)
            process.communicate(timeout=20)

    def clean(self) -> None:
        """No containers, and no networks but the predefined ones."""
        containers = self("ps", "-aq").split()
        if containers:
            self("rm", "-f", *containers)
        networks = self("network", "ls", "-q", "--filter", "type=custom").split()
        if networks:
            self("network", "rm", *networks)


def _kill(nsenter: int) -> None:
    """nsenter's only child is docker, and nsenter ends with it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for pid in Path(f"/proc/{nsenter}/task/{nsenter}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


@contextmanager
def docker_host(host: Host) -> Iterator[Docker]:
    """Our daemon on this host, the image loaded by docker itself; everything is removed at the end."""
    install_ours(host, "/opt/cni/bin")
    start_dns(host)
    start_api(host)
    docker = Docker(host)
    docker("load", "-q", "-i", str(image_archive(host)))
    try:
        yield docker
    finally:
        docker.clean()
