"""The command line of what starts a process: `run`, `container create`, `exec`, `attach`."""

from __future__ import annotations

from netd.cli.flags import Argument, Command, many, number, switch, text

DAEMON_ERROR = 125
"""Docker's exit status where the container itself said nothing."""

_NET, _DISK, _CAGE = "Network", "Files", "Limits and rights"

_PROCESS = (
    switch("-i", "--interactive", help="keep standard input open"),
    switch("-t", "--tty", help="with a terminal"),
    many("-e --env", "NAME[=VALUE]", "environment; without a value the one of here, or none"),
    many("--env-file", "FILE", "lines of NAME=VALUE", completes="file"),
    text("-u --user", "USER[:GROUP]", "name or number"),
    text("-w --workdir", "DIR"),
    switch("--privileged", help="all capabilities and devices"),
)
DETACH_KEYS = text("--detach-keys", "KEYS", "leave with these, without ending it; default ctrl-p,ctrl-q")


_NETWORK = (
    many(
        "--net --network",
        "NETWORK",
        "bridge (default), host, none, container:NAME, a network of pynet ls; name=NET,ip=ADDRESS,ip6=ADDRESS,"
        "alias=NAME,mac-address=MAC,gw-priority=N,link-local-ip=ADDRESS,driver-opt=K=V says more of one",
        group=_NET,
        completes="network",
    ),
    many("-p --publish", "[IP:][HOST:]PORT[/PROTO]", "publish a port or range", group=_NET),
    switch("-P", "--publish-all", help="publish every exposed port on a free one", group=_NET),
    many("--expose", "PORT[/PROTO]", "what -P publishes, beside the image's", group=_NET),
    text("-h --hostname", "NAME", "default: the short id", group=_NET),
    text("--domainname", "NAME", group=_NET),
    text("--ip", "ADDRESS", "instead of the next free one", group=_NET),
    text("--ip6", "ADDRESS", group=_NET),
    text("--mac-address", "MAC", group=_NET),
    many("--link-local-ip", "ADDRESS", group=_NET),
    number("--gw-priority", "N", "the network with the highest has the default route", group=_NET),
    many("--net-alias --network-alias", "NAME", "one more name for it on its network", group=_NET),
    many("--link", "CONTAINER[:ALIAS]", "a name for another container", group=_NET, completes="container"),
    many("--dns", "ADDRESS", "name servers instead of the host's", group=_NET),
    many("--dns-search", "DOMAIN", "`.` for none", group=_NET),
    many("--dns-opt --dns-option", "OPTION", "options of resolv.conf", group=_NET),
    many("--add-host", "NAME:ADDRESS", "a line of /etc/hosts; host-gateway is the host", group=_NET),
    many("--sysctl", "NAME=VALUE", "net.* of its namespace", group=_NET),
)
_FILES = (
    many("-v --volume", "SOURCE:TARGET[:ro]", "a directory or file of the host inside", group=_DISK, completes="dir"),
    many("--mount", "type=bind,source=…,target=…", "bind or tmpfs, said in full", group=_DISK),
    many("--tmpfs", "TARGET[:OPTIONS]", "memory as a file system", group=_DISK),
    switch("--read-only", help="the image's files cannot be written", group=_DISK),
    text("--shm-size", "BYTES", "/dev/shm; default 64m", group=_DISK),
    text("--cidfile", "FILE", "write the container's id there", group=_DISK, completes="file"),
)
_LIMITS = (
    text("-m --memory", "BYTES", "512m, 2g", group=_CAGE),
    text("--memory-swap", "BYTES", "memory and swap together; -1 without limit", group=_CAGE),
    text("--memory-reservation", "BYTES", group=_CAGE),
    text("--cpus", "N", "1.5", group=_CAGE),
    number("-c --cpu-shares", "N", group=_CAGE),
    number("--cpu-period", "MICROSECONDS", "of the scheduler; --cpus says both in one", group=_CAGE),
    number("--cpu-quota", "MICROSECONDS", "of each period", group=_CAGE),
    text("--cpuset-cpus", "CPUS", "0-3, 0,1", group=_CAGE),
    text("--cpuset-mems", "NODES", "memory nodes, 0-3, 0,1", group=_CAGE),
    number("--pids-limit", "N", "processes; -1 without limit", group=_CAGE),
    many("--ulimit", "NAME=SOFT[:HARD]", group=_CAGE),
    number("--oom-score-adj", "N", group=_CAGE),
    many("--cap-add", "CAPABILITY", "NET_ADMIN, ALL", group=_CAGE),
    many("--cap-drop", "CAPABILITY", group=_CAGE),
    many("--security-opt", "OPTION", "seccomp=FILE|unconfined, no-new-privileges, systempaths=unconfined", group=_CAGE),
    many("--group-add", "GROUP", group=_CAGE),
    text("--uts", "host", "the host's name", group=_CAGE),
    text("--cgroup-parent", "PATH", group=_CAGE),
)
_CREATE = (
    text("--name", "NAME"),
    switch("--rm", help="remove it when it ends"),
    *_PROCESS,
    text("--entrypoint", "COMMAND", 'instead of the image\'s; "" for none', default=None),
    text("--restart", "POLICY", "no, on-failure[:N], always, unless-stopped"),
    many("-l --label", "K=V"),
    many("--label-file", "FILE", "lines of K=V", completes="file"),
    text("--stop-signal", "SIGNAL", "what stop sends"),
    number("--stop-timeout", "SECONDS", "how long stop waits"),
    switch("--init", help="a small init process first"),
    text(
        "--pull",
        "WHEN",
        "always, missing (default), never",
        default="missing",
        choices=("always", "missing", "never"),
    ),
    switch("-q", "--quiet", help="no progress of pulling"),
    text("--platform", "PLATFORM", "accepted where it is this machine's own"),
    *_NETWORK,
    *_FILES,
    *_LIMITS,
)
_IMAGE = (
    Argument("image", "IMAGE", completes="image"),
    Argument("words", "COMMAND", "any"),
)

RUN = Command(
    "run",
    "create a container and start it",
    "run:run",
    (
        switch("-d", "--detach", help="in the background; prints its id"),
        *_CREATE,
        many("-a --attach", "STREAM", "stdin, stdout, stderr; default: all, stdin with -i"),
        switch("--sig-proxy", help="pass signals on; --sig-proxy=false keeps them", default=True),
        DETACH_KEYS,
    ),
    _IMAGE,
    interspersed=False,
    usage_status=DAEMON_ERROR,
    failed_status=DAEMON_ERROR,
)
CREATE = Command(
    "container create", "create a container, to be started later", "run:create", _CREATE, _IMAGE, interspersed=False
)
EXEC = Command(
    "exec",
    "run a command in a running container",
    "exec:execute",
    (switch("-d", "--detach", help="in the background"), *_PROCESS, DETACH_KEYS),
    (Argument("container", "CONTAINER", completes="container"), Argument("words", "COMMAND", "some")),
    interspersed=False,
)
ATTACH = Command(
    "attach",
    "connect the terminal to a running container",
    "attach:attach",
    (
        switch("--no-stdin", help="only show what it writes"),
        switch("--sig-proxy", help="pass signals on; --sig-proxy=false keeps them", default=True),
        DETACH_KEYS,
    ),
    (Argument("container", "CONTAINER", completes="container"),),
)
