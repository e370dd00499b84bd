"""systemd units: engine and DHCP daemon start at the first call, name server and API at boot; all of them again when
they die."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

from netd import systemd
from netd.cli.plugin_files import InstallError
from netd.networks.places import RUN_DIR
from pycni_plugins.dhcp.config import default_socket

SOCKET, SERVICE, NAMES, API = "pynetd.socket", "pynetd.service", "pynetd-dns.service", "pynetd-api.service"
API_SOCKET = "pynetd-api.socket"
LEASES_SOCKET, LEASES = "pynetd-dhcp.socket", "pynetd-dhcp.service"

_ALL = (SOCKET, SERVICE, NAMES, API_SOCKET, API, LEASES_SOCKET, LEASES)


def texts(
    run_dir: str, command: Sequence[str], names: Sequence[str], api: Sequence[str], leases: Sequence[str]
) -> dict[str, str]:
    """The units' texts by file name.  `command` starts the engine in the foreground, `names` the name server, `leases`
    the DHCP daemon."""
    # KillMode: a stop lets running calls finish, so the programs they started must not get the signal.  Nothing that
    # gives the service a mount namespace of its own (ProtectSystem, PrivateTmp): every caller would be a foreign one
    return {
        SOCKET: _socket("CNI plugin calls for the pynet engine", f"{run_dir}/cni.sock"),
        SERVICE: f"""\
[Unit]
Description=pynet engine
Requires={SOCKET}
After={SOCKET}

[Service]
Type=notify
ExecStart={" ".join(map(_quoted, command))}
KillMode=mixed
Restart=on-failure
RestartSec=100ms
OOMScoreAdjust=-500

[Install]
Also={SOCKET}
""",
        NAMES: f"""\
[Unit]
Description=pynet name server

[Service]
Type=notify
ExecStart={" ".join(map(_quoted, names))}
Restart=always
RestartSec=100ms
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
""",
        # not for a start at the first call, containers run from the boot on: nobody is refused while it restarts
        API_SOCKET: _socket("docker's API of pynet", f"{run_dir}/api.sock"),
        # containers outlive their daemon, and their cgroups are runc's; the daemon ends them when the machine goes
        # down, while there is a network
        API: f"""\
[Unit]
Description=pynet containers and their API
Requires={API_SOCKET}
Wants={SOCKET} {NAMES}
After={API_SOCKET} {SOCKET} {NAMES} network.target

[Service]
Type=notify
ExecStart={" ".join(map(_quoted, api))}
KillMode=process
Delegate=yes
Restart=always
RestartSec=100ms
OOMScoreAdjust=-500
LimitNOFILE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
""",
        LEASES_SOCKET: _socket("Calls for the pynet DHCP daemon", default_socket(run_dir), "DirectoryMode=0700\n"),
        # ends by itself when there are no leases
        LEASES: f"""\
[Unit]
Description=pynet DHCP daemon
Requires={LEASES_SOCKET}
After={LEASES_SOCKET}

[Service]
Type=notify
ExecStart={" ".join(map(_quoted, leases))}
Restart=on-failure
RestartSec=100ms
OOMScoreAdjust=-500

[Install]
Also={LEASES_SOCKET}
""",
    }


def _socket(description: str, path: str, own: str = "") -> str:
    """The unit of a socket of root's; `own` are lines that the others do not have."""
    return f"""\
[Unit]
Description={description}

[Socket]
ListenStream={path.replace("%", "%%")}
SocketMode=0600
{own}Backlog=512
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def _quoted(word: str) -> str:
    """A word as systemd reads it back (systemd.service(5), "Command lines"); InstallError for control characters."""
    if not word.isprintable():
        raise InstallError(f"systemd unit: {word!r} holds control characters")
    word = word.replace("%", "%%").replace("$", "$$")
    if not any(char in " \"'\\;" for char in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def daemon_command(run_dir: str, process: str = "") -> list[str]:
    """The words that start `pynetd` of this installation in the foreground, or one of its processes."""
    script = os.path.join(os.path.dirname(sys.executable), "pynetd")
    words = [script] if os.access(script, os.X_OK) else [sys.executable, "-m", "netd.daemon"]
    words += [process] if process else []
    return words if run_dir == RUN_DIR else [*words, "--run-dir", run_dir]


def add(unit_dir: str, run_dir: str) -> list[str]:
    """Writes the units and, where systemd runs, enables the socket.  Returns the paths written; none when all is as
    it should be.  InstallError when systemctl refuses."""
    changed = []
    os.makedirs(unit_dir, mode=0o755, exist_ok=True)
    commands = [daemon_command(run_dir, process) for process in ("engine", "dns", "api", "dhcp")]
    for name, text in texts(run_dir, *commands).items():
        path = os.path.join(unit_dir, name)
        if _content(path) == text:
            continue
        draft = f"{path}.{os.getpid()}"
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(draft, path)
        changed.append(path)
    if systemd.is_running():
        _systemctl("daemon-reload")
        if changed:
            # first: not those that are only now started
            _systemctl("try-restart", SERVICE, NAMES, API, LEASES)
        _systemctl("enable", "--now", "--quiet", SOCKET, NAMES, API_SOCKET, API, LEASES_SOCKET)
    return changed


def remove(unit_dir: str) -> list[str]:
    """Stops the engine where systemd runs it and removes the units; returns the paths removed."""
    present = [path for name in _ALL if os.path.lexists(path := os.path.join(unit_dir, name))]
    if present and systemd.is_running():
        _systemctl("disable", "--now", *_ALL)
    for path in present:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if present and systemd.is_running():
        _systemctl("daemon-reload")
    return present


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True)
    except OSError as error:
        raise InstallError(f"systemctl {words[0]}: {(error.strerror or str(error)).lower()}") from None
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise InstallError(f"systemctl {' '.join(words)}: {reason}")


def _content(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None
