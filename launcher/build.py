"""Compiles the launcher, and the engine's front (netd/engine/front.c).  Used when a wheel is built; the launcher's part
also by `pynet install` where the wheel came without one."""

from __future__ import annotations

import os
import shutil
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.c")
BINARY = "cni"

_WARNINGS = ("-Wall", "-Wextra", "-Werror")
_BARE = (
    *("-Os", "-DBARE", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns", "-s"),
    *("-Wl,-z,noseparate-code", "-Wl,-z,norelro", "-Wl,--build-id=none"),
)
_WAYS = (
    # without a C library two page faults instead of a dozen, each of which costs as much as several system calls
    ("bare", ("cc", *_BARE)),
    # a static musl program starts in half the time of a static glibc one, which starts faster than a dynamic one
    ("musl", ("musl-gcc", "-Os", "-static", "-s")),
    ("static", ("cc", "-Os", "-static", "-s")),
    ("dynamic", ("cc", "-Os", "-s")),
)
_LIBRARY = (("library", ("cc", "-O2", "-shared", "-fPIC", "-s")),)


def compile_launcher(destination: str, source: str = SOURCE, path: str | None = None) -> str | None:
    """Compiles `source` to `destination` (replaced at once, mode 0755) in the best way this machine has.

    Returns "bare", "musl", "static" or "dynamic", or None when no compiler works.  `path` is searched instead of
    PATH."""
    return _compile(destination, source, _WAYS, path)


def compile_library(destination: str, source: str, path: str | None = None) -> bool:
    """The same for a shared library; whether there is a compiler that works."""
    return _compile(destination, source, _LIBRARY, path) is not None


def _compile(
    destination: str, source: str, ways: tuple[tuple[str, tuple[str, ...]], ...], path: str | None
) -> str | None:
    draft = f"{destination}.{os.getpid()}"
    for kind, (compiler, *options) in ways:
        program = shutil.which(compiler, path=path)
        if program is None:
            continue
        command = [program, *options, *_WARNINGS, "-o", draft, source]
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.chmod(draft, 0o755)
            os.replace(draft, destination)
            return kind
    return None
