"""The command line of what concerns this machine."""

from __future__ import annotations

from netd.cli.flags import Argument, Command, switch, text

_SYSTEMD = (
    switch("--systemd", help="with units; default: where systemd runs", default=None, store="systemd"),
    switch("--no-systemd", help="without units", default=None, store="systemd"),
    text("--unit-dir", "DIR", default="/etc/systemd/system", completes="dir"),
)
_DEST = text("--dest", "DIR", "default /opt/cni/bin", default="/opt/cni/bin", completes="dir")

INSTALL = Command(
    "install",
    "put the CNI plugins in place, keeping what stood there",
    "install:install",
    (
        _DEST,
        text("--plugins", "A,B", "default: all of them", default=None),
        switch("--python-launcher", help="without compiling; slower to start"),
        *_SYSTEMD,
        switch("--json", help="one object"),
    ),
)
UNINSTALL = Command(
    "uninstall",
    "take the CNI plugins out and put back what stood there",
    "install:uninstall",
    (_DEST, *_SYSTEMD, switch("--json", help="one object")),
)
STATUS = Command(
    "status",
    "show what runs, since when, and how much of it",
    "status:status",
    (
        switch("--json", help="one object"),
        text("-f --format", "TEMPLATE", "'{{.Running}} {{.Pid}}', '{{json .}}', json", default=None),
    ),
    exclusive=(("--json", "--format"),),
)
DNS_STATUS = Command(
    "status",
    "what the name server knows, and what it has answered",
    "dns:status",
    (switch("--json", help="one object"),),
)
DNS_LOG = Command(
    "log",
    "have every query logged by pynetd, or no more",
    "dns:log",
    arguments=(Argument("state", "on|off", choices=("on", "off")),),
)
DNS_RESET = Command("reset", "the name server's counters begin at 0 again", "dns:reset")
COMPLETION = Command(
    "completion",
    "print completion for a shell",
    "completion:completion",
    arguments=(Argument("shell", "SHELL", choices=("bash", "zsh")),),
)
