"""What containerd and nerdctl know of a container when its network is made: its OCI bundle and its resolv.conf.

    <state>/io.containerd.runtime.v2.task/<namespace>/<id>/config.json     annotations nerdctl/name, nerdctl/state-dir
    <nerdctl/state-dir>/resolv.conf                                        made when the container was created

While nerdctl's hook runs, the container's first process still stands in its bundle, and later its parent, the shim, in
one below the same state directory, so containerd's `state` need not be known.  nerdctl's own table of names and hosts
is written only afterwards (contract clients 1.6).
"""

from __future__ import annotations

import os

from pycni.spec import jsontext
from pycni.spec.address import Address
from pycni_plugins.dnsname.config import Known, split_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TASKS = "io.containerd.runtime.v2.task"


def look_up(state: str, container_id: str, netns: str) -> Known:
    """Everything "" and None where containerd does not know the container.  `netns` may be the path of a process's."""
    namespace, own = split_id(container_id)
    if not namespace:
        return Known()
    place = f"/{_TASKS}/{namespace}/{own}"
    process, slash, rest = netns.partition("/ns/net")
    if slash and not rest and process.startswith("/proc/"):
        directory = _standing_in(process).removesuffix("/rootfs")
        if directory.endswith(place):
            state = directory.removesuffix(place)
        else:
            found, tasks, _ = _standing_in(_parent(process)).partition(f"/{_TASKS}/")
            state = found if tasks else state
    bundle = _object(f"{state}{place}/config.json")
    annotations = bundle.get("annotations")
    if not isinstance(annotations, dict):
        annotations = {}
    name, hostname = _text(annotations, "nerdctl/name"), _text(bundle, "hostname")
    state_dir = _text(annotations, "nerdctl/state-dir")
    if not state_dir.startswith("/"):
        return Known(name, hostname)
    servers, ndots = _resolv_conf(f"{state_dir}/resolv.conf")
    return Known(name, hostname, servers, ndots)


def _standing_in(process: str) -> str:
    """Its working directory; "" when it has ended."""
    try:
        return os.readlink(f"{process}/cwd")
    except OSError:
        return ""


def _parent(process: str) -> str:
    try:
        with open(f"{process}/stat", encoding="ascii", errors="replace") as file:
            # the name before it may hold anything, also parentheses
            return f"/proc/{file.read().rpartition(')')[2].split()[1]}"
    except (OSError, IndexError):
        return "/proc/0"


def _object(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(section: dict[str, Any], key: str) -> str:
    value = section.get(key)
    return value if isinstance(value, str) else ""


def _resolv_conf(path: str) -> tuple[tuple[str, ...] | None, bool]:
    """The servers and whether `ndots` is set on purpose; None for the servers when the file cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None, False
    servers: list[str] = []
    ndots = False
    for words in lines:
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                servers.append(str(Address.parse(words[1])))
            except ValueError:
                continue
        elif words and words[0] == "options":
            ndots = ndots or any(word.startswith("ndots:") and word != "ndots:0" for word in words)
    return tuple(dict.fromkeys(servers)), ndots
