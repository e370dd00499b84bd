"""Where the programs are that we execute: iptables, nft, ip."""

from __future__ import annotations

import os

SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin", "/usr/local/bin")
"""Where they are when the caller's PATH is empty, as container engines often leave it."""

_found: dict[str, str] = {}


def find(name: str) -> str:
    """The program's path, empty when there is none.  A path found once is believed while it is executable."""
    path = _found.get(name)
    if path is not None and os.access(path, os.X_OK):
        return path
    for directory in [*os.environ.get("PATH", "").split(":"), *SBIN]:
        path = f"{directory}/{name}"
        if directory and os.access(path, os.X_OK):
            _found[name] = path
            return path
    return ""
