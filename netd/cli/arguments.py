"""The command line as an argument parser; help, usage errors and completion all come from it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from netd.cli.connect_arguments import add_connect, add_disconnect
from netd.cli.view import FILTERS
from netd.networks.options import KNOWN
from netd.networks.request import FIREWALLS, ISOLATIONS

USAGE_ERROR = 2

_OVERVIEW = """\
Networks for containers.  A network made here is a CNI network list: nerdctl, podman, ctr and pods use it by its name.

Networks:
  create NAME              make a network           pynet create mynet --subnet 10.20.0.0/24
  ls                       list networks            pynet ls --filter label=team=web
  inspect NAME...          show networks as JSON    pynet inspect -f '{{.Subnet}}' mynet
  rm NAME...               remove networks          pynet rm mynet
  prune                    remove unused networks   pynet prune --dry-run
  connect NAME ns:PATH     attach a namespace       pynet connect -p 8080:80 mynet ns:/run/netns/web
  disconnect NAME ns:PATH  detach it again          pynet disconnect mynet ns:/run/netns/web

This machine:
  install                  put the CNI plugins in place, keeping what stood there
  uninstall                take them out and put back what stood there
  status                   what runs, since when, and how much of it
  completion SHELL         completion for bash or zsh: source <(pynet completion bash)

Use a network:             nerdctl run --net mynet -p 8080:80 …      podman run --network mynet …
"""

_PATHS = """\
Every path has a flag and a variable:
  --netconf-dir DIR  PYNET_NETCONF_DIR, NETCONFPATH  /etc/cni/net.d
  --cni-path DIRS    PYNET_CNI_PATH, CNI_PATH        /opt/cni/bin
  --run-dir DIR      PYNET_RUN_DIR                   /run/pynet
  --cache-dir DIR    PYNET_CACHE_DIR                 /var/lib/cni
  --lease-dir DIR    PYNET_LEASE_DIR                 /var/lib/cni/networks

`pynet COMMAND --help` tells more of one command.  Exit status: 0 done, 1 failed, 2 wrong usage, 3 (status) not running.
"""


class Parser(argparse.ArgumentParser):
    """One line on standard error for every mistake, instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        verb = self.prog.removeprefix("pynet").strip()
        self.exit(USAGE_ERROR, f"pynet: {f'{verb}: ' if verb else ''}{message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """The whole command line.  A parsed command has `command` and its flags; paths are absent where not given."""
    paths = _paths()
    parser = Parser(
        prog="pynet",
        usage="pynet COMMAND [FLAGS]",
        description=_OVERVIEW,
        epilog=_PATHS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[paths],
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help=argparse.SUPPRESS)
    # named here, because it would be taken from `usage` otherwise
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS, prog="pynet")

    def command(name: str, summary: str, aliases: Sequence[str] = ()) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            parents=[paths],
            allow_abbrev=False,
            aliases=list(aliases),
        )

    _create(command("create", "make a network"))
    _ls(command("ls", "list networks", ["list"]))
    _inspect(command("inspect", "show networks as JSON"))
    _rm(command("rm", "remove networks and everything of them", ["remove"]))
    _prune(command("prune", "remove networks that no container is attached to"))
    add_connect(command("connect", "attach a network namespace to a network"))
    add_disconnect(command("disconnect", "detach a network namespace from a network"))
    _install(command("install", "put the CNI plugins in place, keeping what stood there"))
    _uninstall(command("uninstall", "take the CNI plugins out and put back what stood there"))
    _status(command("status", "show what runs, since when, and how much of it"))
    completion = command("completion", "print completion for a shell")
    completion.add_argument("shell", choices=("bash", "zsh"))
    return parser


def _paths() -> Parser:
    paths = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in ("--netconf-dir", "--run-dir", "--cache-dir", "--lease-dir"):
        paths.add_argument(flag, metavar="DIR", help=argparse.SUPPRESS)
    paths.add_argument("--cni-path", metavar="DIRS", help=argparse.SUPPRESS)
    return paths


def _create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    add = parser.add_argument
    add("--subnet", action="append", default=[], metavar="CIDR", help="one IPv4, one IPv6; 0.0.0.0/26 means any /26")
    add("--gateway", action="append", default=[], metavar="IP", help="default: the subnet's first address")
    add("--ip-range", action="append", default=[], metavar="CIDR", help="give out addresses of this part only")
    add("--ipv6", action="store_true", help="both families; a subnet not given is chosen")
    add("--mtu", type=int, metavar="N")
    add("--internal", action="store_true", help="no gateway, no way out, no published ports")
    add("--dns", action="store_true", help="containers find each other by name; needs pynetd dns to run")
    add("--isolation", metavar="POLICY", help=f"{', '.join(ISOLATIONS)}; default {ISOLATIONS[0]}")
    add("--bridge", metavar="DEVICE", help="default: pn- and the name")
    add("--label", action="append", default=[], metavar="K=V")
    add("--firewall", default="auto", metavar="BACKEND", help=f"{', '.join(FIREWALLS)}; auto follows the host")
    add("-o", "--opt", action="append", default=[], metavar="K=V", help=f"known: {', '.join(KNOWN)}")
    add("-d", "--driver", default="bridge", metavar="bridge")
    add("--dry-run", action="store_true", help="print the list that would be written")
    add("--json", action="store_true", help="print what inspect prints, not the id")


def _ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="ids only")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids")
    _formats(parser)
    parser.add_argument("--filter", action="append", default=[], metavar="K=V", help=f"keys: {', '.join(FILTERS)}")


def _formats(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one array of objects")
    form.add_argument("-f", "--format", metavar="TEMPLATE", help="'{{.Name}} {{.Subnet}}', '{{json .}}', json")


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help="name, id or beginning of an id")
    _formats(parser)


def _rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help="name, id or beginning of an id")
    parser.add_argument("-f", "--force", action="store_true", help="also in use, also made by others; absent is fine")
    parser.add_argument("--json", action="store_true", help="an array of the names removed")


def _prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only name them")
    parser.add_argument("--filter", action="append", default=[], metavar="K=V", help=f"keys: {', '.join(FILTERS)}")
    parser.add_argument("--json", action="store_true", help="an array of the names; implies --force")


def _install(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dest", default="/opt/cni/bin", metavar="DIR")
    add("--plugins", metavar="A,B", help="default: all of them")
    add("--python-launcher", action="store_true", help="without compiling; slower to start")
    add("--systemd", action=argparse.BooleanOptionalAction, default=None, help="units; default: where systemd runs")
    add("--unit-dir", default="/etc/systemd/system", metavar="DIR")
    add("--json", action="store_true")


def _uninstall(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dest", default="/opt/cni/bin", metavar="DIR")
    add("--systemd", action=argparse.BooleanOptionalAction, default=None, help="units; default: where systemd runs")
    add("--unit-dir", default="/etc/systemd/system", metavar="DIR")
    add("--json", action="store_true")


def _status(parser: argparse.ArgumentParser) -> None:
    _formats(parser)
