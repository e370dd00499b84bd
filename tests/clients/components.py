"""Where scripts/clients has put the real clients."""

import functools
import subprocess
from pathlib import Path

__all__ = ["ROOT", "component"]

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def component(name: str) -> Path:
    """The path of one component; fails with what to do when it is not installed."""
    script = str(ROOT / "scripts/clients")
    done = subprocess.run([script, "--print", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{done.stderr.strip()}\nThe client ring needs its real clients: as root, run {script}")
    return Path(done.stdout.strip())
