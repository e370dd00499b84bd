"""Both launchers and the engine's front, built and configured for a test, and an in-process path that only tells what
it was given."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from netd.engine.front import SOURCE, Compiled, Front, load
from pycni_launcher.build import compile_launcher, compile_library
from pycni_launcher.patch import configure

ROOT = Path(__file__).resolve().parent.parent
PLAIN = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
ENTRY = ROOT / "pycni_plugins" / "oneshot.py"
KINDS = ("c", "twin")

_TELLTALE = """
import json, os, sys

def run(name, stdin, run_dir):
    try:
        data = os.read(0, 1 << 26) if stdin is None else stdin
        while stdin is None and (more := os.read(0, 1 << 26)):
            data += more
        text = data.decode()
    except OSError as error:
        text = error.strerror
    print(json.dumps({"name": name, "stdin": text, "run_dir": run_dir, "env": dict(os.environ)}), flush=True)
    return 7
"""
_TELLTALE_ENTRY = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from pycni_plugins.inprocess import run
assert sys.flags.isolated and sys.flags.no_site
run_dir = sys.argv[2] if sys.argv[1] == "--run-dir" else None
sys.exit(run(sys.argv[-1], None, run_dir))
"""


@cache
def source(kind: str) -> bytes:
    """The launcher of this kind as it is built, without settings of its own."""
    if kind == "twin":
        return (ROOT / "launcher" / "twin.py").read_bytes()
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/cni"
        assert compile_launcher(path) is not None, "no C compiler"
        return Path(path).read_bytes()


@cache
def compiled_front() -> Front:
    """As it is built."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/libfront.so"
        assert compile_library(path, SOURCE), "no C compiler"
        library = load(path)
    assert library is not None
    return Compiled(library)


def install(kind: str, directory: Path, settings: Mapping[str, str], names: Sequence[str] = ("probe",)) -> Path:
    """Launchers under these names in `directory`, hard links of one file; the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    first = directory / names[0]
    first.write_bytes(configure(source(kind), {"version": "v1.9.1", "interpreter": PLAIN, **settings}))
    first.chmod(0o755)
    for name in names[1:]:
        os.link(first, directory / name)
    return directory


def telltale(directory: Path) -> str:
    """An in-process path for `entry`: prints name, stdin, run directory and environment as JSON, ends with status 7."""
    package = directory / "pycni_plugins"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inprocess.py").write_text(_TELLTALE)
    (package / "oneshot.py").write_text(_TELLTALE_ENTRY)
    return str(package / "oneshot.py")


def call(
    path: Path | str, environment: Mapping[str, str], stdin: bytes = b"", prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Runs a launcher with exactly this environment."""
    return subprocess.run(
        [*prefix, str(path)], input=stdin, capture_output=True, env=dict(environment), timeout=60, check=False
    )
