"""Where scripts/clients and scripts/peers have put what we are compared with."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from .private_host import BenchError

__all__ = ["ROOT", "reference", "where"]

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def where(script: str, component: str) -> Path:
    """The path one of the two scripts prints for a component; BenchError with the script's reason when it is absent."""
    argv = [str(ROOT / "scripts" / script), "--print", component]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip())
    return Path(done.stdout.strip())


def reference() -> Path:
    """The directory of the reference plugins."""
    return where("clients", "reference")
