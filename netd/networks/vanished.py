"""What is provably gone though nobody said so: attachments of other engines' containers, and cached results that a
power cut emptied or shortened."""

from __future__ import annotations

import contextlib
import json
import os
import time

from pycni.cache import BEGINNING, DRAFT, CacheEntry
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


def remove_illegible_results(cache_dir: str, booted: float) -> None:
    """Cached results that say nothing, those of an earlier boot (before `booted`, unix seconds) that end too soon, and
    drafts of whoever was killed while he wrote one.  No client synchronises what it writes here, so a power cut leaves
    names without contents, or with a part of them; nobody would ever miss or remove them.  OSError names one that
    cannot be removed."""
    folder = os.path.join(cache_dir, "results")
    latest = time.time() - _WRITTEN
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if not entry.is_file(follow_symlinks=False):
                    continue
                written = entry.stat().st_mtime
                if written < latest and _says_nothing(entry, written < booted):
                    os.unlink(entry.path)


def _says_nothing(entry: os.DirEntry[str], is_old: bool) -> bool:
    if entry.name.startswith(DRAFT):
        return True
    with open(entry.path, "rb") as stream:
        content = stream.read()
    return not content.strip(b"\0") or (is_old and _is_cut(content))


def _is_cut(content: bytes) -> bool:
    """Whether it begins as a cached result, or with a block that was never written, and is none."""
    if content[:1] != b"\0" and not BEGINNING.startswith(content[: len(BEGINNING)]):
        return False
    try:
        json.loads(content)
    except ValueError:
        return True
    return False
