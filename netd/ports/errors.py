"""Why ports cannot be published.  The texts are docker's (contract docker 1.9), with the holder named after them.

PublishFailed      500  base; nothing of the attempt is left
├── PortAllocated  500  another container has the host port
├── PortInUse      500  another program of the host has it, or the address is not there
└── NoPortLeft     500  every port of a range is taken
"""

from __future__ import annotations

from netd.failure import Failure


class PublishFailed(Failure):
    """Ports could not be published; nothing of the attempt is left."""


class PortAllocated(PublishFailed):
    """Another container has the host port."""


class PortInUse(PublishFailed):
    """Another program of the host has the port, or the host refuses to bind it.  `errno` is positive."""

    def __init__(self, msg: str, errno: int) -> None:
        super().__init__(msg)
        self.errno = errno


class NoPortLeft(PublishFailed):
    """Every port of a range is taken."""
