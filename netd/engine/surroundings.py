"""Whether the engine sees a caller's files and users as the caller does; if not, the call is not the engine's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_SHARED = ("ns/mnt", "ns/user", "root")

_Identity = tuple[tuple[int, int], ...]


def _identity(process: str) -> _Identity:
    found = [os.stat(f"/proc/{process}/{each}") for each in _SHARED]
    return tuple((status.st_dev, status.st_ino) for status in found)


class Surroundings:
    """The engine's own mount namespace, user namespace and root directory."""

    def __init__(self) -> None:
        self._own = _identity("self")

    def shared_with(self, pid: int) -> bool:
        """Whether that process has the same; not when it cannot be examined (gone, or out of our pid namespace)."""
        if pid <= 0:
            return False
        try:
            return _identity(str(pid)) == self._own
        except OSError:
            return False


_RELATIVE_KEY = re.compile(rb'"(?:datadir|resolvconf)"\s*:\s*"[^/"]', re.IGNORECASE)


def depends_on_directory(environment: Mapping[str, str], stdin: bytes) -> bool:
    """Whether a path in the environment or the configuration is relative, and so means something else in the engine's
    directory."""
    if _RELATIVE_KEY.search(stdin):
        return True
    netns = environment.get("CNI_NETNS", "")
    directories = environment.get("CNI_PATH", "").split(":")
    return any(path and not path.startswith("/") for path in (netns, *directories))
