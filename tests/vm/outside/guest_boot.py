"""Boots of the guest of `scripts/vm`, one after the other with one disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 900
"""Seconds for one boot of the guest, on a machine that has other things to do."""


def boot(job: Path, program: str, word: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One boot, in which a program of this folder runs with that word; what it saw is in `job`."""
    clients = [str(ROOT / "scripts/clients"), "--print", "cnitool"]
    cnitool = subprocess.run(clients, capture_output=True, text=True, check=True).stdout.strip()
    guest = [str(ROOT / "scripts/vm"), "run", "--job", str(job), "--disk", str(job / "disk"), *options]
    inside = ["env", f"CNITOOL={cnitool}", sys.executable, f"tests/vm/outside/{program}", word]
    return subprocess.run(
        [*guest, *inside],
        cwd=ROOT,
        env={**os.environ, "PYCNI_VM_SECONDS": str(LIMIT)},
        capture_output=True,
        text=True,
        check=False,
    )
