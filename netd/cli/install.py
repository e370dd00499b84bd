"""`pynet install` and `pynet uninstall`."""

from __future__ import annotations

import os
import shlex
from typing import Any

from netd import systemd
from netd.cli import launcher, output, plugin_files, units
from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.cli.plugin_files import Change
from netd.networks.errors import InvalidRequest
from pycni_plugins import NAMES


def install(context: Context, arguments: Arguments) -> int:
    """Places the plugins, writes the units where systemd runs, and says how to start the daemon where it does not."""
    names = _names(arguments.plugins)
    run_dir = os.path.abspath(context.places.run_dir)
    dest = _directory(arguments.dest)
    prepared = launcher.prepare(run_dir, arguments.python_launcher)
    command = shlex.join(units.daemon_command(run_dir))
    os.makedirs(dest, mode=0o755, exist_ok=True)
    changes = plugin_files.place(dest, names, prepared.content)
    with_units = systemd.is_running() if arguments.systemd is None else arguments.systemd
    written = units.add(os.path.abspath(arguments.unit_dir), run_dir) if with_units else []
    report = {
        "Dest": dest,
        "Plugins": _listed(changes),
        "Launcher": prepared.kind,
        "Interpreter": prepared.interpreter,
        "Entry": prepared.entry,
        "Units": written,
        "DaemonCommand": command,
    }
    if arguments.json:
        context.out.write(output.json_text(report))
        return 0
    _say(context, dest, changes)
    context.out.write(f"launcher: {prepared.kind}; without the engine {prepared.interpreter} runs the plugins\n")
    if with_units:
        context.out.write(f"engine: systemd starts it at the first call ({units.SOCKET} in {arguments.unit_dir})\n")
        context.out.write(f"names and containers: systemd runs them ({units.NAMES}, {units.API})\n")
    else:
        context.out.write(f"daemon: no systemd here, start engine, names and API with: {command}\n")
    return 0


def uninstall(context: Context, arguments: Arguments) -> int:
    """Puts back what `install` replaced, and removes the rest of it."""
    dest = _directory(arguments.dest)
    with_units = systemd.is_running() if arguments.systemd is None else arguments.systemd
    removed = units.remove(os.path.abspath(arguments.unit_dir)) if with_units else []
    changes = plugin_files.withdraw(dest)
    if arguments.json:
        context.out.write(output.json_text({"Dest": dest, "Plugins": _listed(changes), "Units": removed}))
    else:
        _say(context, dest, changes)
    return 0


def _directory(text: str) -> str:
    if not text:  # a shell variable that is not set
        raise InvalidRequest("--dest: the directory's name is empty")
    return os.path.abspath(text)


def _names(text: str | None) -> tuple[str, ...]:
    if text is None:
        return NAMES
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in NAMES:
            raise InvalidRequest(f"--plugins: there is no plugin {name!r}; there are {', '.join(NAMES)}")
    return names


def _listed(changes: list[Change]) -> list[dict[str, Any]]:
    return [{"Name": item.name, "Outcome": item.outcome, "Kept": item.kept} for item in changes]


_WORDS = {
    "installed": "installed",
    "unchanged": "installed already",
    "restored": "put back",
    "removed": "removed",
    "left": "left alone, not ours any more",
}


def _say(context: Context, dest: str, changes: list[Change]) -> None:
    for outcome, words in _WORDS.items():
        names = [item.name for item in changes if item.outcome == outcome]
        if names:
            context.out.write(f"{dest}: {words}: {' '.join(names)}\n")
    kept = [item.name for item in changes if item.kept]
    if kept:
        context.out.write(f"{dest}: kept for pynet uninstall: {' '.join(kept)}\n")
    if not changes:
        context.out.write(f"{dest}: nothing of ours\n")
