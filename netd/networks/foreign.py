"""Containers of other engines, as `pynet connect` and `disconnect` name them: nerdctl:NAME, cri:ID, ns:/path.

containerd keeps a bundle for every running task, whoever asked for it:

    <state>/io.containerd.runtime.v2.task/<namespace>/<id>/{init.pid,config.json}

Where a containerd keeps its state is seen from its shims, which run in such bundles and are told its address.

Imported by the command line; nothing heavy may be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

from netd.networks.attach import container_id as id_of_namespace
from netd.networks.errors import Ambiguous, InvalidRequest, NotFound
from pycni.record import Record

NERDCTL, CRI, NAMESPACE = "nerdctl:", "cri:", "ns:"
CONTAINERD_STATE = "/run/containerd"
ADDRESS = "CONTAINERD_ADDRESS"
"""The variable that nerdctl and ctr know, too: the socket of the one containerd that is meant."""

_TASKS = "io.containerd.runtime.v2.task"
_CRI_NAMESPACE = "k8s.io"
_NAME = "nerdctl/name"
_SHIM = "containerd-shim-"
_SHORTEST_PREFIX = 3


class Target(Record):
    """Whom to connect.  `container_id` is its id in CNI: the one its engine uses there, so that names are found by it.
    `netns` is a path."""

    netns: str
    container_id: str


class Task(Record):
    """Something that containerd runs, for one of its namespaces."""

    namespace: str
    id: str
    bundle: str


def find(text: str, *states: str) -> Target:
    """The running container behind `text`, looked for below `states`; InvalidRequest, NotFound, Ambiguous."""
    if text.startswith(NAMESPACE):
        return _by_path(text)
    for prefix in (NERDCTL, CRI):
        wanted = text.removeprefix(prefix)
        if text.startswith(prefix) and wanted:
            return _target(text, _choose(text, list(_matches(prefix, wanted, states or (CONTAINERD_STATE,)))))
    raise InvalidRequest(f"container {text!r}: expected nerdctl:NAME, cri:ID or ns:/path/of/a/network/namespace")


def states(environ: Mapping[str, str], proc: str = "/proc") -> tuple[str, ...]:
    """The state directories of all containerds that have containers, and the usual one; of one only, where the
    variable says which."""
    address = environ.get(ADDRESS, "").removeprefix("unix://")
    found = [] if address else [CONTAINERD_STATE]
    found += [at for at, told in _shims(proc) if address in ("", told)]
    by_path = {os.path.realpath(f"{state}/{_TASKS}"): state for state in found}
    return tuple(by_path.values()) or (os.path.dirname(address),)


def _shims(proc: str) -> Iterator[tuple[str, str]]:
    """State directory and address, each as often as there are shims."""
    for pid in filter(str.isdecimal, _names(proc)):
        at, told = _shim(f"{proc}/{pid}")
        if at:
            yield at, told


def has_ended(task: Task, proc: str = "/proc") -> bool:
    """Whether its first process is gone; containerd keeps the bundle until somebody deletes the task.  False when
    unsure, as where none of its containerd's processes is among those that we see."""
    try:
        with open(f"{task.bundle}/init.pid", encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        return False
    root = os.path.realpath(os.path.dirname(os.path.dirname(task.bundle)))
    return not os.path.exists(f"{proc}/{pid}") and any(
        os.path.realpath(f"{at}/{_TASKS}") == root for at, _ in _shims(proc)
    )


def _shim(process: str) -> tuple[str, str]:
    """State directory and address of a shim's containerd; ("", "") for other processes."""
    try:
        with open(f"{process}/cmdline", "rb") as stream:
            words = os.fsdecode(stream.read()).split("\0")
        if not os.path.basename(words[0]).startswith(_SHIM) or "-address" not in words[:-1]:
            return "", ""
        state, tasks, _ = os.readlink(f"{process}/cwd").partition(f"/{_TASKS}/")
    except OSError:
        return "", ""  # it has ended meanwhile
    return (state, words[words.index("-address") + 1]) if tasks else ("", "")


def _by_path(text: str) -> Target:
    path = text.removeprefix(NAMESPACE)
    if not path.startswith("/"):
        raise InvalidRequest(f"container {text!r}: expected ns:/path/of/a/network/namespace")
    return Target(path, id_of_namespace(path))


def _matches(prefix: str, wanted: str, states: tuple[str, ...]) -> Iterator[Task]:
    for task in (each for state in states for each in tasks(state)):
        if (task.namespace == _CRI_NAMESPACE) != (prefix == CRI):
            continue
        by_id = task.id.startswith(wanted) and (len(wanted) >= _SHORTEST_PREFIX)
        if by_id or (prefix == NERDCTL and name_of(task) == wanted):
            yield task


def tasks(state: str) -> Iterator[Task]:
    """All below a state directory."""
    root = f"{state}/{_TASKS}"
    for namespace in _names(root):
        for task in _names(f"{root}/{namespace}"):
            yield Task(namespace, task, f"{root}/{namespace}/{task}")


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def name_of(task: Task) -> str:
    """As nerdctl knows it; "" for others'."""
    try:
        with open(f"{task.bundle}/config.json", encoding="utf-8") as file:
            annotations = json.load(file).get("annotations") or {}
        return str(annotations.get(_NAME, ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _choose(text: str, tasks: list[Task]) -> Task:
    """An exact id or name comes before the beginning of another id."""
    wanted = text.partition(":")[2]
    exact = [task for task in tasks if wanted in (task.id, name_of(task))]
    found = exact or tasks
    if not found:
        raise NotFound(f"container {text} not found among the running ones")
    if len(found) > 1:
        places = " and ".join(f"{task.namespace}/{task.id[:12]}" for task in found)
        raise Ambiguous(f"container {text}: fits {places}")
    return found[0]


def _target(text: str, task: Task) -> Target:
    try:
        with open(f"{task.bundle}/init.pid", encoding="ascii") as file:
            pid = int(file.read())
        os.stat(f"/proc/{pid}/ns/net")
    except (OSError, ValueError):
        raise NotFound(f"container {text} does not run") from None
    return Target(f"/proc/{pid}/ns/net", f"{task.namespace}-{task.id}")
