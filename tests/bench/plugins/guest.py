"""The same in the guest of scripts/vm, for the drivers that this machine's kernel lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..chain.peers import ROOT
from ..chain.private_host import BenchError
from .cases import chosen
from .outcome import Outcome

__all__ = ["run"]

SECONDS = 1800
_INSIDE = 'mount --bind /disk /var/tmp && exec "$@"'
"""What an overlay is laid over may not be one itself, and the guest's root is."""


def run(only: Sequence[str], rounds: int) -> Outcome:
    """Boots, measures inside, and ends; BenchError."""
    with tempfile.TemporaryDirectory(prefix="pycni-bench-", dir="/var/tmp") as scratch:
        job = Path(scratch, "job")
        job.mkdir()
        words = [
            str(ROOT / "scripts/vm"),
            "run",
            "--job",
            str(job),
            "--disk",
            f"{scratch}/disk",
            "bash",
            "-c",
            _INSIDE,
            "-",
        ]
        words += [sys.executable, "-m", "tests.bench.plugins", "--rounds", str(rounds), "--json", "/job/outcome.json"]
        for case in chosen(only, guest=True):
            words += ["--only", case.name]
        said = _follow(words)
        try:
            found = json.loads((job / "outcome.json").read_text())
        except FileNotFoundError:
            raise BenchError(f"the guest found nothing:\n{said}") from None
    outcome = Outcome.from_json(found)
    outcome.emulated = True
    return outcome


def _follow(words: Sequence[str]) -> str:
    """What the guest said; its progress is shown meanwhile."""
    environment = {"PYCNI_VM_SECONDS": str(SECONDS), **os.environ}
    said = []
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, errors="replace") as guest:
        assert guest.stdout is not None
        for line in guest.stdout:
            if line.startswith("plugins: "):
                print(f"guest: {line.removeprefix('plugins: ')}", end="", file=sys.stderr, flush=True)
            else:
                said.append(line)
    return "".join(said)
