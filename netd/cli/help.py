"""What `--help` prints; pure."""

from __future__ import annotations

import textwrap

from netd.cli.commands import GROUPS, command, verbs
from netd.cli.flags import LIST, Argument, Command, Flag

_WIDTH = 118
_COLUMN = 34

_OVERVIEW = """\
usage: pynet COMMAND [FLAGS]

Containers and their networks.  A network made here is a CNI network list: containers of pynet run, nerdctl, podman, ctr
and pods share it by its name, and find each other by theirs.

Containers:
  run IMAGE [COMMAND...]   create and start one     pynet run -d --name web --network mynet -p 8080:80 IMAGE
  exec NAME COMMAND...     run a command in one     pynet exec -it web sh
  ps                       list them                pynet ps -a
  logs NAME                what it has written      pynet logs -f --tail 20 web
  stop, start, restart, kill, wait, attach NAME...
  port NAME                its published ports      pynet port web
  port add|rm NAME PORT    change them, live        pynet port add web 8443:443
  cp SOURCE TARGET         copy files in or out     pynet cp web:/etc/hosts .
  container COMMAND        all of these, and create, inspect, rm, pause, unpause, rename, top, stats, update, prune
  image COMMAND            pull, load, import, ls, rm, inspect, history, tag, prune

Networks:
  create NAME              make a network           pynet create mynet --subnet 10.20.0.0/24
  ls                       list networks            pynet ls --filter label=team=web
  inspect NAME...          show networks as JSON    pynet inspect -f '{{.Subnet}}' mynet
  rm NAME...               remove networks          pynet rm mynet
  prune                    remove unused networks   pynet prune --dry-run
  gc                       give back addresses and rules that nobody uses, on proof
  connect NET CONTAINER    attach a running one     pynet connect mynet web
  disconnect NET CONTAINER detach it again          pynet disconnect mynet nerdctl:web

This machine:
  install                  put the CNI plugins in place, keeping what stood there
  uninstall                take them out and put back what stood there
  status                   what runs, since when, and how much of it
  dns status|log|reset     the name server's counters, and its query log
  completion SHELL         completion for bash or zsh: source <(pynet completion bash)

Every path has a flag and a variable:
  --netconf-dir DIR  PYNET_NETCONF_DIR, NETCONFPATH  /etc/cni/net.d
  --cni-path DIRS    PYNET_CNI_PATH, CNI_PATH        /opt/cni/bin
  --run-dir DIR      PYNET_RUN_DIR                   /run/pynet
  --cache-dir DIR    PYNET_CACHE_DIR                 /var/lib/cni
  --lease-dir DIR    PYNET_LEASE_DIR                 /var/lib/cni/networks

`pynet COMMAND --help` tells more of one command.  Exit status: 0 done, 1 failed, 2 wrong usage, 3 (status) not running;
of run, exec and start -a the container's own, and as with docker 125 failed, 126 and 127 the command cannot run.
"""


def overview() -> str:
    """`pynet --help`."""
    return _OVERVIEW


def of_group(group: str) -> str:
    """`pynet container --help`."""
    lines = [f"usage: pynet {group} COMMAND", "", f"{_sentence(GROUPS[group])}", ""]
    lines += [_entry(verb, command(f"{group} {verb}").summary, 12) for verb in verbs(group)]
    return "\n".join([*lines, "", f"`pynet {group} COMMAND --help` tells more of one.", ""])


def of_command(name: str, chosen: Command) -> str:
    """`pynet COMMAND --help`; `name` as it was typed."""
    shown = [flag for flag in chosen.flags if flag.help or flag.metavar]
    words = ["usage: pynet", name, *(["[FLAGS]"] if shown else []), *(_argument(each) for each in chosen.arguments)]
    lines = [" ".join(words), "", _sentence(chosen.summary)]
    if any(flag.kind == LIST for flag in shown):
        lines[-1] += "  Flags with ... may be repeated."
    if chosen.details:
        lines += ["", chosen.details.rstrip()]
    for group in dict.fromkeys(flag.group for flag in shown):
        lines += ["", f"{group}:"]
        lines += [_entry(_spelled(flag), flag.help, _COLUMN) for flag in shown if flag.group == group]
    return "\n".join([*lines, ""])


def _argument(argument: Argument) -> str:
    forms = {"one": "{}", "optional": "[{}]", "some": "{}...", "any": "[{}...]"}
    return forms[argument.count].format("|".join(argument.choices) or argument.metavar)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _spelled(flag: Flag) -> str:
    indent = "" if len(flag.names[0]) == 2 else "    "
    value = f" {flag.metavar}{'...' if flag.kind == LIST else ''}" if flag.metavar else ""
    return f"{indent}{', '.join(flag.names)}{value}"


def _entry(left: str, right: str, column: int) -> str:
    wrapped = textwrap.wrap(right, _WIDTH - column - 2) or [""]
    head = f"  {left:<{column - 1}} " if len(left) < column else f"  {left}\n{'':<{column + 2}}"
    return (head + f"\n{'':<{column + 2}}".join(wrapped)).rstrip()
