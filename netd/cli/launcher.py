"""Which launcher to install on this machine, and the settings it carries."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pycni_launcher
import pycni_plugins
from netd.cli.plugin_files import InstallError
from pycni.record import Record
from pycni.settings import REFERENCE_VERSION, Settings
from pycni_launcher.build import BINARY, compile_launcher
from pycni_launcher.patch import LauncherError, configure

SYSTEM_PYTHON = "/usr/bin/python3"
MINIMUM = (3, 11)

PACKAGED, COMPILED, PYTHON = "packaged", "compiled", "python"


class Launcher(Record):
    """A launcher ready to be placed; `kind` is PACKAGED, COMPILED or PYTHON."""

    content: bytes
    kind: str
    interpreter: str
    entry: str


def prepare(run_dir: str, python_only: bool = False, interpreter: str | None = None) -> Launcher:
    """The fastest launcher that runs here, configured.  InstallError when a path cannot be stored in it."""
    interpreter = interpreter or choose_interpreter()
    entry = entry_point()
    settings = {
        "version": REFERENCE_VERSION,
        "socket": os.path.join(run_dir, "cni.sock"),
        "interpreter": interpreter,
        "entry": entry,
    }
    if run_dir != Settings().run_dir:
        settings["run-dir"] = run_dir
    content, kind = (_twin(), PYTHON) if python_only else _compiled()
    try:
        return Launcher(configure(content, settings), kind, interpreter, entry)
    except LauncherError as error:
        raise InstallError(str(error)) from None


def entry_point() -> str:
    """What the launcher runs when no engine answers."""
    return os.path.join(os.path.dirname(os.path.abspath(pycni_plugins.__file__)), "oneshot.py")


def choose_interpreter() -> str:
    """The system's Python where it is new enough, else the one behind this one: the in-process path needs no virtual
    environment, and another interpreter may take fifteen times as long to start (evidence, stack 6.2)."""
    if _is_new_enough(SYSTEM_PYTHON):
        return SYSTEM_PYTHON
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return os.path.abspath(base)


def _is_new_enough(python: str) -> bool:
    check = f"import sys; sys.exit(sys.version_info < {MINIMUM})"
    try:
        return subprocess.run([python, "-I", "-S", "-c", check], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _compiled() -> tuple[bytes, str]:
    """The binary that came with the package, else one compiled now, else the twin."""
    packaged = os.path.join(_folder(), BINARY)
    if _runs(packaged):
        return _content(packaged), PACKAGED
    with tempfile.TemporaryDirectory(prefix="pynet-") as folder:
        path = os.path.join(folder, "bridge")
        if compile_launcher(path) is not None and _runs(path):
            return _content(path), COMPILED
    return _twin(), PYTHON


def _twin() -> bytes:
    return _content(os.path.join(_folder(), "twin.py"))


def _runs(path: str) -> bool:
    """Without a command every plugin prints its about text and succeeds; a binary for another machine does not.  The
    packaged file's own name is no plugin's."""
    try:
        probe = subprocess.run(["bridge"], executable=path, env={}, check=False, capture_output=True, timeout=10)
        return probe.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _folder() -> str:
    return os.path.dirname(os.path.abspath(pycni_launcher.__file__))


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
