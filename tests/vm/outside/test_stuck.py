"""A guest whose kernel hangs, as an emulated one does now and then, is booted again with the disk as it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from guest_boot import ROOT

HANG = """
cat /disk/seen /job/times 2>/dev/null
echo once >>/job/times
echo changed >/disk/seen
sync
[ $(wc -l </job/times) -gt "$0" ] || {
    echo '<0>watchdog: BUG: soft lockup - CPU#0 stuck for 112s! [sh:1]' >/dev/kmsg
    exec sleep 600
}
"""


def boot(job: Path, hangs: int) -> subprocess.CompletedProcess[str]:
    guest = [str(ROOT / "scripts/vm"), "run", "--job", str(job), "--disk", str(job / "disk")]
    return subprocess.run(
        [*guest, "sh", "-c", HANG, str(hangs)],
        cwd=ROOT,
        env={**os.environ, "PYCNI_VM_SECONDS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_booted_again(tmp_path: Path) -> None:
    done = boot(tmp_path, 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["once"], "the first time's disk is not the second's"
    assert "kernel hung" in done.stderr
    assert "soft lockup" in (tmp_path / "console-stuck.log").read_text()
    assert not (tmp_path / "disk.before").exists()


def test_twice_is_a_failure(tmp_path: Path) -> None:
    done = boot(tmp_path, 2)
    assert done.returncode == 1
    assert "soft lockup" in done.stderr and "without running the command" in done.stderr
