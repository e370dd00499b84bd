"""Whether systemd is the init process of this machine."""

from __future__ import annotations

import os

BOOTED = "/run/systemd/system"
"""Exists exactly where it is (sd_booted(3))."""


def is_running() -> bool:
    return os.path.isdir(BOOTED)
