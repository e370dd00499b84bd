"""Which commands there are.  Their tables are in modules of their own, so that one command imports only its own."""

from __future__ import annotations

from netd.cli.flags import Command, HelpAsked, UsageError, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PATHS = (
    text("--netconf-dir", "", completes="dir"),
    text("--run-dir", "", completes="dir"),
    text("--cache-dir", "", completes="dir"),
    text("--lease-dir", "", completes="dir"),
    text("--cni-path", "", completes="dir"),
)
"""Understood before and after every command; each has a variable too."""

_NETWORKS = {
    "create": "CREATE",
    "ls": "LS",
    "list": "LS",
    "inspect": "INSPECT",
    "rm": "RM",
    "remove": "RM",
    "prune": "PRUNE",
    "gc": "GC",
    "connect": "CONNECT",
    "disconnect": "DISCONNECT",
}
_HOST = {"install": "INSTALL", "uninstall": "UNINSTALL", "status": "STATUS", "completion": "COMPLETION"}
_CONTAINERS = {
    "ps": "PS",
    "logs": "LOGS",
    "stop": "STOP",
    "kill": "KILL",
    "start": "START",
    "restart": "RESTART",
    "wait": "WAIT",
    "port": "PORT",
    "port add": "PORT_ADD",
    "port rm": "PORT_RM",
    "container ls": "PS",
    "container list": "PS",
    "container ps": "PS",
    "container logs": "LOGS",
    "container inspect": "INSPECT",
    "container rm": "RM",
    "container remove": "RM",
    "container start": "START",
    "container stop": "STOP",
    "container restart": "RESTART",
    "container kill": "KILL",
    "container pause": "PAUSE",
    "container unpause": "UNPAUSE",
    "container rename": "RENAME",
    "container wait": "WAIT",
    "container top": "TOP",
    "container prune": "PRUNE",
    "container port": "PORT",
    "container cp": "CP",
    "container stats": "STATS",
    "container update": "UPDATE",
    "cp": "CP",
}
_RUNNING = {
    "run": "RUN",
    "exec": "EXEC",
    "attach": "ATTACH",
    "container create": "CREATE",
    "container run": "RUN",
    "container exec": "EXEC",
    "container attach": "ATTACH",
}
_IMAGES = {
    "image pull": "PULL",
    "image load": "LOAD",
    "image import": "IMPORT",
    "image ls": "LS",
    "image list": "LS",
    "image rm": "RM",
    "image remove": "RM",
    "image inspect": "INSPECT",
    "image tag": "TAG",
    "image history": "HISTORY",
    "image prune": "PRUNE",
}
_NAMES = {"dns status": "DNS_STATUS", "dns log": "DNS_LOG", "dns reset": "DNS_RESET"}
_TABLES = {
    "run_commands": _RUNNING,
    "container_commands": _CONTAINERS,
    "network_commands": _NETWORKS,
    "image_commands": _IMAGES,
    "host_commands": {**_HOST, **_NAMES},
}

GROUPS = {
    "container": "containers of the bundled runtime",
    "image": "images of the bundled runtime",
    "dns": "the name server, while it runs",
}
"""First words that need a second."""

ALIASES = frozenset(
    {"list", "remove", "container list", "container ps", "container remove", "image list", "image remove"}
)
"""Second spellings, which help and completion leave out."""


def names() -> tuple[str, ...]:
    """Every command as it is typed."""
    return tuple(name for table in _TABLES.values() for name in table)


def command(name: str) -> Command:
    """The table of one command; KeyError."""
    for module, table in _TABLES.items():
        if name in table:
            found = getattr(__import__(f"netd.cli.{module}", fromlist=["commands"]), table[name])
            assert isinstance(found, Command)
            return found
    raise KeyError(name)


def find(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command's name and what follows it; UsageError names what is no command, HelpAsked where a group is alone."""
    known = names()
    first = words[0]
    both = " ".join(words[:2])
    if len(words) > 1 and both in known:
        return both, words[2:]
    if first in known:
        return first, words[1:]
    if first not in GROUPS:
        raise UsageError(f"{first!r} is no command")
    if len(words) == 1 or words[1] in ("--help", "-h"):
        raise HelpAsked
    raise UsageError(f"{first}: {words[1]!r} is no command of it; there are {', '.join(verbs(first))}")


def verbs(group: str) -> tuple[str, ...]:
    """The second words of a group."""
    return tuple(
        name.removeprefix(f"{group} ") for name in names() if name.startswith(f"{group} ") and name not in ALIASES
    )
