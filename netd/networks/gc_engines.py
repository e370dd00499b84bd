"""What the engines of this machine run, for `pynet gc`: the bundled runtime, every containerd, and podman."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping

from netd.networks import foreign
from netd.networks.boot import boot_moment
from netd.networks.gc import Engines

_PODMAN = ("ps", "--all", "--format", "json")
_PODMAN_SECONDS = 30
_STARTED = "containers"
"""Below RUN: a directory for each container that runs, from the first step of its start to the last of its end."""


def engines(environ: Mapping[str, str], run_dir: str, root: str) -> Engines:
    """Of all together.  An engine that does not answer is one that says nothing."""
    running: dict[str, str] = {}
    stopped: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    _ask_pynet(run_dir, root, running, stopped)
    for state in foreign.states(environ):
        for task in foreign.tasks(state):
            what = f"{foreign.name_of(task) or task.id[:12]} in containerd's namespace {task.namespace}"
            # nerdctl's name for it, which `pynet connect` uses as well, and the CRI's
            known = stopped if foreign.has_ended(task) else running
            known |= {f"{task.namespace}-{task.id}": what, task.id: what}
            prefixes[f"{task.namespace}-"] = f"containerd's namespace {task.namespace}"
    _ask_podman(environ, running, stopped)
    stopped = {key: what for key, what in stopped.items() if key not in running}
    return Engines(running, stopped, prefixes, boot_moment())


def _ask_pynet(run_dir: str, root: str, running: dict[str, str], stopped: dict[str, str]) -> None:
    """What is on disk, whether its daemon runs or not."""
    started = set(_names(f"{run_dir}/{_STARTED}"))
    running |= {each: f"container {_name(root, each)} of pynet" for each in started}
    for each in _names(f"{root}/containers"):
        if each not in started:
            stopped[each] = f"container {_name(root, each)} of pynet"


def _name(root: str, container_id: str) -> str:
    try:
        with open(f"{root}/containers/{container_id}/config.json", encoding="utf-8") as stream:
            return str(json.load(stream)["Name"])
    except (OSError, ValueError, KeyError, TypeError):
        return container_id[:12]


def _ask_podman(environ: Mapping[str, str], running: dict[str, str], stopped: dict[str, str]) -> None:
    program = shutil.which("podman", path=environ.get("PATH"))
    if program is None:
        return
    try:
        done = subprocess.run(
            [program, *_PODMAN], capture_output=True, text=True, timeout=_PODMAN_SECONDS, check=True, env=dict(environ)
        )
    except (OSError, subprocess.SubprocessError):
        return
    _sort_podman(done.stdout, running, stopped)


def _sort_podman(told: str, running: dict[str, str], stopped: dict[str, str]) -> None:
    try:
        found = {str(each["Id"]): each for each in json.loads(told)}
    except (ValueError, KeyError, TypeError):
        return
    for container_id, each in found.items():
        names = each.get("Names") or [container_id[:12]]
        known = stopped if each.get("State") == "exited" else running
        known[container_id] = f"container {names[0]} of podman"


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
