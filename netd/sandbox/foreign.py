"""Containers of other engines, as `pynet connect` and `disconnect` name them: nerdctl:NAME, cri:ID, ns:/path.

containerd keeps a bundle for every running task, whoever asked for it:

    <state>/io.containerd.runtime.v2.task/<namespace>/<id>/{init.pid,config.json}

Imported by the command line; nothing heavy may be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from netd.networks.attach import container_id as id_of_namespace
from netd.networks.errors import Ambiguous, InvalidRequest, NotFound
from pycni.record import Record

NERDCTL, CRI, NAMESPACE = "nerdctl:", "cri:", "ns:"
PREFIXES = (NERDCTL, CRI, NAMESPACE)
CONTAINERD_STATE = "/run/containerd"

_TASKS = "io.containerd.runtime.v2.task"
_CRI_NAMESPACE = "k8s.io"
_NAME = "nerdctl/name"
_SHORTEST_PREFIX = 3


class Target(Record):
    """Whom to connect.  `container_id` is its id in CNI: the one its engine uses there, so that names are found by it.
    `netns` is a path."""

    netns: str
    container_id: str


class _Task(Record):
    namespace: str
    id: str
    bundle: str


def is_foreign(text: str) -> bool:
    """Whether this names a container of another engine."""
    return text.startswith(PREFIXES)


def find(text: str, state: str = CONTAINERD_STATE) -> Target:
    """The running container behind `text`; InvalidRequest, NotFound, Ambiguous."""
    if text.startswith(NAMESPACE):
        return _by_path(text)
    for prefix in (NERDCTL, CRI):
        wanted = text.removeprefix(prefix)
        if text.startswith(prefix) and wanted:
            return _target(text, _choose(text, list(_matches(prefix, wanted, state))))
    raise InvalidRequest(f"container {text!r}: expected nerdctl:NAME, cri:ID or ns:/path/of/a/network/namespace")


def _by_path(text: str) -> Target:
    path = text.removeprefix(NAMESPACE)
    if not path.startswith("/"):
        raise InvalidRequest(f"container {text!r}: expected ns:/path/of/a/network/namespace")
    return Target(path, id_of_namespace(path))


def _matches(prefix: str, wanted: str, state: str) -> Iterator[_Task]:
    for task in _tasks(state):
        if (task.namespace == _CRI_NAMESPACE) != (prefix == CRI):
            continue
        by_id = task.id.startswith(wanted) and (len(wanted) >= _SHORTEST_PREFIX)
        if by_id or (prefix == NERDCTL and _name(task) == wanted):
            yield task


def _tasks(state: str) -> Iterator[_Task]:
    root = f"{state}/{_TASKS}"
    for namespace in _names(root):
        for task in _names(f"{root}/{namespace}"):
            yield _Task(namespace, task, f"{root}/{namespace}/{task}")


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _name(task: _Task) -> str:
    try:
        with open(f"{task.bundle}/config.json", encoding="utf-8") as file:
            annotations = json.load(file).get("annotations") or {}
        return str(annotations.get(_NAME, ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _choose(text: str, tasks: list[_Task]) -> _Task:
    """An exact id or name comes before the beginning of another id."""
    wanted = text.partition(":")[2]
    exact = [task for task in tasks if wanted in (task.id, _name(task))]
    found = exact or tasks
    if not found:
        raise NotFound(f"container {text} not found among the running ones")
    if len(found) > 1:
        places = " and ".join(f"{task.namespace}/{task.id[:12]}" for task in found)
        raise Ambiguous(f"container {text}: fits {places}")
    return found[0]


def _target(text: str, task: _Task) -> Target:
    try:
        with open(f"{task.bundle}/init.pid", encoding="ascii") as file:
            pid = int(file.read())
        os.stat(f"/proc/{pid}/ns/net")
    except (OSError, ValueError):
        raise NotFound(f"container {text} does not run") from None
    return Target(f"/proc/{pid}/ns/net", f"{task.namespace}-{task.id}")
