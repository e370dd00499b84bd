"""What starting a container's process needs to know of its sandbox."""

from __future__ import annotations

from collections.abc import Callable

from pycni.record import Record


class Opened(Record):
    """An open sandbox.  `netns` is the namespace's path, "" for the host's own; `hosts`, `resolv_conf` and
    `hostname_file` are files to mount over those in /etc, "" for none; `environment` are variables that links add
    ("KEY=value")."""

    netns: str
    hosts: str
    resolv_conf: str
    hostname_file: str
    hostname: str
    environment: tuple[str, ...] = ()


Ready = Callable[[Opened], None]
"""Told, once, what a sandbox that is being opened will be: its namespace and files exist, interfaces and the files'
contents may still be missing.  A process may be made in it from now on, and executed when it is open.  What is raised
here is raised by `open`."""


def not_told(_opened: Opened) -> None:
    """For who waits until the sandbox is open."""
