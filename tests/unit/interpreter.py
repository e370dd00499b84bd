"""The interpreter of the plugin path: the one behind the virtual environment, isolated and without `site`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAIN = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def run_plain(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as `python3 -I -S -c` with only the checkout added to the path, in an empty environment."""
    prologue = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    return subprocess.run(
        [PLAIN, "-I", "-S", "-c", prologue + script, *arguments],
        capture_output=True,
        text=True,
        env={},
        timeout=60,
        check=False,
    )
