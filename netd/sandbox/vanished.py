"""What is provably gone though nobody said so: attachments of other engines' containers, and cached results that a
power cut emptied."""

from __future__ import annotations

import contextlib
import os
import time

from pycni.cache import DRAFT, CacheEntry
from pycni.invoke import parse_result
from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import THREAD_NETNS
from pycni.spec.errors import CniError

_WRITTEN = 5.0
"""Seconds after which nobody is still about to write a file that he made: it takes some millionths of one."""


ABSENT, ANOTHER, PRESENT, UNSURE = "absent", "another", "present", "unsure"


def is_gone(entry: CacheEntry) -> bool:
    """Nothing of it can be in use.  False when unsure."""
    return fate(entry) in (ABSENT, ANOTHER)


def fate(entry: CacheEntry) -> str:
    """What became of the attachment's namespace: it does not exist, what is at that path is another one, or the
    attachment is in it.

    Paths come again after a reboot: `/proc/PID/ns/net` (nerdctl's) with the pid, `/run/netns/NAME` with a script that
    makes it at boot.  It is another one when no device in it has the name or the hardware address of the attachment's;
    the host's own always is."""
    path = entry.attachment.netns
    if not path:
        return UNSURE
    try:
        found = os.stat(path)
        host = os.stat(THREAD_NETNS)
    except FileNotFoundError:
        return ABSENT
    except OSError:
        return UNSURE
    if (found.st_dev, found.st_ino) == (host.st_dev, host.st_ino):
        return ANOTHER
    return _in(path, entry)


def _in(path: str, entry: CacheEntry) -> str:
    try:
        inside = [each for each in parse_result(entry.result).interfaces if each.sandbox]
        with Namespace.open(path) as namespace:
            links = namespace.links()
    except (CniError, OSError):
        return UNSURE
    if not inside:
        return UNSURE
    names = {each.name for each in inside}
    macs = {each.mac.lower() for each in inside if each.mac}
    return PRESENT if any(link.name in names or link.mac.hex(":") in macs for link in links) else ANOTHER


def remove_empty_results(cache_dir: str) -> None:
    """Cached results that say nothing, and drafts of whoever was killed while he wrote one.  No client synchronises
    what it writes here, so a power cut leaves names without contents; nobody would ever miss or remove them.  OSError
    names one that cannot be removed."""
    folder = os.path.join(cache_dir, "results")
    latest = time.time() - _WRITTEN
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < latest and _says_nothing(entry):
                    os.unlink(entry.path)


def _says_nothing(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(DRAFT):
        return True
    with open(entry.path, "rb") as stream:
        return not stream.read().strip(b"\0")
