"""The command line of containers that exist."""

from __future__ import annotations

from netd.cli.flags import Argument, Command, many, number, switch, text
from netd.cli.run_commands import DETACH_KEYS

_FORMAT = text("-f --format", "TEMPLATE", "'{{.State.Status}}', '{{json .}}', json", default=None)
_ONE = (Argument("container", "CONTAINER", completes="container"),)
_SOME = (Argument("containers", "CONTAINER", "some", completes="container"),)
_PORTS = (
    Argument("container", "CONTAINER", completes="container"),
    Argument("ports", "[IP:][HOST:]PORT[/PROTO]", "some"),
)
_TIME = number("-t --timeout --time", "SECONDS", "wait so long, then kill; default 10")

PS = Command(
    "ps",
    "list containers",
    "ps:ps",
    (
        switch("-a", "--all", help="also those that do not run"),
        switch("-q", "--quiet", help="ids only"),
        switch("-l", "--latest", help="only the one made last"),
        number("-n --last", "N", "only the N made last", default=0),
        switch("--no-trunc", help="whole ids and commands"),
        many("-f --filter", "K=V", "name, id, status, label, network, ancestor, publish, expose, …"),
        text("--format", "TEMPLATE", "'{{.ID}} {{.Names}}', 'table {{.Names}}\\t{{.Ports}}', json", default=None),
    ),
)
LOGS = Command(
    "logs",
    "show what a container has written",
    "logs:logs",
    (
        switch("-f", "--follow", help="and what it goes on to write"),
        text("-n --tail", "N", "only the last N lines", default="all"),
        text("--since", "TIME", "2026-01-02T03:04:05Z, 1767323045, or 10m for ten minutes ago"),
        text("--until", "TIME", "the same"),
        switch("-t", "--timestamps", help="with the time of every line"),
    ),
    _ONE,
)
INSPECT = Command("container inspect", "show containers as JSON", "container:inspect", (_FORMAT,), _SOME)
RM = Command(
    "container rm",
    "remove containers",
    "container:rm",
    (
        switch("-f", "--force", help="also a running one, which is killed; absent is fine"),
        switch("-v", "--volumes", help="with its anonymous volumes"),
        switch("-l", "--link", help="a link of the default network, CONTAINER/ALIAS, and no container"),
    ),
    _SOME,
)
START = Command(
    "start",
    "start containers",
    "container:start",
    (
        switch("-a", "--attach", help="show what it writes, and end with its exit status"),
        switch("-i", "--interactive", help="with standard input"),
        switch("--sig-proxy", help="pass signals on; --sig-proxy=false keeps them", default=True),
        DETACH_KEYS,
    ),
    _SOME,
)
STOP = Command(
    "stop",
    "stop containers",
    "container:stop",
    (_TIME, text("-s --signal", "SIGNAL", "instead of the container's stop signal")),
    _SOME,
)
RESTART = Command("restart", "stop containers and start them again", "container:restart", STOP.flags, _SOME)
KILL = Command(
    "kill",
    "send a signal to containers",
    "container:kill",
    (text("-s --signal", "SIGNAL", "default KILL"),),
    _SOME,
)
PAUSE = Command("container pause", "freeze containers", "container:pause", (), _SOME)
UNPAUSE = Command("container unpause", "let frozen containers go on", "container:unpause", (), _SOME)
RENAME = Command(
    "container rename",
    "give a container another name",
    "container:rename",
    (),
    (*_ONE, Argument("name", "NAME")),
)
WAIT = Command("wait", "wait until containers end; prints their exit statuses", "container:wait", (), _SOME)
TOP = Command(
    "container top",
    "show the processes of a container",
    "container:top",
    (),
    (*_ONE, Argument("words", "PS-OPTION", "any")),
    interspersed=False,
)
PRUNE = Command(
    "container prune",
    "remove containers that do not run",
    "container:prune",
    (switch("-f", "--force", help="do not ask"), many("--filter", "K=V", "label, until")),
)
STATS = Command(
    "container stats",
    "show what containers use, every second",
    "stats:stats",
    (
        switch("--no-stream", help="once"),
        switch("-a", "--all", help="also those that do not run"),
        switch("--no-trunc", help="whole ids"),
        text("--format", "TEMPLATE", "'{{.Name}} {{.CPUPerc}}', 'table {{.Name}}\\t{{.MemUsage}}', json", default=None),
    ),
    (Argument("containers", "CONTAINER", "any", completes="container"),),
)
UPDATE = Command(
    "container update",
    "change limits and restart policy of containers, also of running ones",
    "container:update",
    (
        text("-m --memory", "BYTES", "512m, 2g"),
        text("--memory-swap", "BYTES", "memory and swap together; -1 without limit"),
        text("--memory-reservation", "BYTES"),
        text("--cpus", "N", "1.5"),
        number("-c --cpu-shares", "N"),
        number("--cpu-period", "MICROSECONDS", "of the scheduler; --cpus says both in one"),
        number("--cpu-quota", "MICROSECONDS", "of each period"),
        text("--cpuset-cpus", "CPUS", "0-3, 0,1"),
        text("--cpuset-mems", "NODES", "memory nodes, 0-3, 0,1"),
        number("--pids-limit", "N", "processes; -1 without limit"),
        text("--restart", "POLICY", "no, on-failure[:N], always, unless-stopped"),
    ),
    _SOME,
)
CP = Command(
    "container cp",
    "copy files between a container and this machine",
    "copy:cp",
    (
        switch("-a", "--archive", help="keep owners"),
        switch("-L", "--follow-link", help="of SOURCE, where it is a symbolic link"),
        switch("-q", "--quiet", help="accepted for docker's sake"),
    ),
    (Argument("source", "[CONTAINER:]SOURCE|-"), Argument("target", "[CONTAINER:]TARGET|-")),
    "One of the two is in a container; - is a tar archive, on standard input or output.  What is in a directory, and\n"
    "not the directory itself, is copied with /. at the end of SOURCE.",
)
PORT = Command(
    "port",
    "show the published ports of a container",
    "port:show",
    (),
    (*_ONE, Argument("port", "PORT[/PROTO]", "optional")),
    "`pynet port add` and `pynet port rm` change them while it runs.",
)
PORT_ADD = Command("port add", "publish ports of a running container", "port:add", (), _PORTS)
PORT_RM = Command("port rm", "withdraw published ports of a running container", "port:remove", (), _PORTS)
