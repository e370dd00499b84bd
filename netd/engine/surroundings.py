"""Whether the engine sees a caller's files and users as the caller does; if not, the call is not the engine's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_Identity = tuple[str, str, int, int]


def _identity(process: str) -> _Identity:
    mount, user = os.readlink(f"/proc/{process}/ns/mnt"), os.readlink(f"/proc/{process}/ns/user")
    root = os.stat(f"/proc/{process}/root")
    return mount, user, root.st_dev, root.st_ino


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


_RELATIVE_KEY = re.compile(rb'"(?:datadir|resolvconf)"\s*:\s*"[^/"]')


def depends_on_directory(environment: Mapping[str, str], stdin: bytes) -> bool:
    """Whether a path in the environment or the configuration is relative, and so means something else in the engine's
    directory."""
    lower = stdin.lower()
    if (b'"datadir"' in lower or b'"resolvconf"' in lower) and _RELATIVE_KEY.search(lower):
        return True
    for path in (environment.get("CNI_NETNS", ""), *environment.get("CNI_PATH", "").split(":")):
        if path and path[0] != "/":
            return True
    return False
