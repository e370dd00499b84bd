"""The launcher's settings, written into its file: a plugin must work as a lone file with an empty environment.

Both launchers carry a block that starts with `PYCNI-LAUNCHER-CONFIG` and holds `key=value` lines: the C one 4 KiB of
its data, filled up with zeros, the Python twin a string literal.  docs/launcher-protocol.md lists the keys.
"""

from __future__ import annotations

MARKER = b"PYCNI-LAUNCHER-CONFIG\n"
SIZE = 4096
KEYS = ("version", "socket", "interpreter", "entry", "run-dir")

_SCRIPT = b"#!"
_SCRIPT_END = b'"""'


class LauncherError(ValueError):
    """The file is no launcher, or a setting cannot be stored in one."""


def configure(launcher: bytes, settings: dict[str, str]) -> bytes:
    """The launcher with these settings in place of all it had.  LauncherError for a foreign file, an unknown key, or
    a value that the launcher could not read back or print in an error object."""
    start, end = _block(launcher)
    lines = [MARKER]
    for key, value in settings.items():
        if key not in KEYS:
            raise LauncherError(f"launcher has no setting {key!r}")
        if not value or any(char in '"\\' or not char.isprintable() for char in value):
            raise LauncherError(f"launcher setting {key}: {value!r} cannot be stored")
        lines.append(f"{key}={value}\n".encode())
    text = b"".join(lines)
    if launcher.startswith(_SCRIPT):
        return _with_interpreter(launcher[:start] + text + launcher[end:], settings.get("interpreter"))
    if len(text) > SIZE - 2:
        raise LauncherError(f"launcher settings take {len(text)} of {SIZE - 2} bytes")
    return launcher[:start] + text.ljust(SIZE, b"\0") + launcher[end:]


def settings_of(launcher: bytes) -> dict[str, str]:
    """The settings a launcher carries; LauncherError for a foreign file."""
    start, end = _block(launcher)
    text = launcher[start + len(MARKER) : end].rstrip(b"\0").decode()
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _block(launcher: bytes) -> tuple[int, int]:
    start = launcher.find(MARKER)
    if start < 0:
        raise LauncherError("not a launcher: it has no configuration block")
    if not launcher.startswith(_SCRIPT):
        if len(launcher) < start + SIZE:
            raise LauncherError("launcher is cut off inside its configuration block")
        return start, start + SIZE
    end = launcher.find(_SCRIPT_END, start)
    if end < 0:
        raise LauncherError("launcher's configuration block has no end")
    return start, end


def _with_interpreter(script: bytes, interpreter: str | None) -> bytes:
    if interpreter is None:
        return script
    if " " in interpreter:
        raise LauncherError(f"interpreter {interpreter!r}: a script's first line cannot name a path with a space")
    return b"#!" + interpreter.encode() + b" -IS\n" + script.partition(b"\n")[2]
