"""Whether an attachment of another engine's container is provably gone, though nobody said so."""

from __future__ import annotations

import os

from pycni.cache import CacheEntry
from pycni.invoke import parse_result
from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import THREAD_NETNS
from pycni.spec.errors import CniError


def is_gone(entry: CacheEntry) -> bool:
    """Nothing of it can be in use: its namespace does not exist, or what is at that path by now is another one.

    Paths come again after a reboot: `/proc/PID/ns/net` (nerdctl's) with the pid, `/run/netns/NAME` with a script that
    makes it at boot.  It is another one when no device in it has the name or the hardware address of the attachment's;
    the host's own always is.  False when unsure."""
    path = entry.attachment.netns
    if not path:
        return False
    try:
        found = os.stat(path)
        host = os.stat(THREAD_NETNS)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if (found.st_dev, found.st_ino) == (host.st_dev, host.st_ino):
        return True
    return not _holds(path, entry)


def _holds(path: str, entry: CacheEntry) -> bool:
    try:
        inside = [each for each in parse_result(entry.result).interfaces if each.sandbox]
        with Namespace.open(path) as namespace:
            links = namespace.links()
    except (CniError, OSError):
        return True
    names = {each.name for each in inside}
    macs = {each.mac.lower() for each in inside if each.mac}
    return not inside or any(link.name in names or link.mac.hex(":") in macs for link in links)
