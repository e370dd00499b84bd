"""Our own commands inside the disposable host: installing the plugins, the engine, and pynet."""

import socket
import sys
from pathlib import Path

from .host import Host, Service
from .polling import wait_until

__all__ = [
    "API_SOCKET",
    "DNS_SOCKET",
    "SOCKET",
    "command",
    "engine_accepts",
    "install_ours",
    "pynet",
    "start_api",
    "start_dns",
    "start_engine",
    "stop_engine",
]

ENGINE = "pynetd"
SOCKET = "/run/pynet/cni.sock"
DNS_SOCKET = "/run/pynet/dns.sock"
API_SOCKET = "/run/pynet/api.sock"


def pynet(host: Host, *arguments: str) -> str:
    """Run pynet of the environment this test run itself uses."""
    return host.run(command("pynet"), *arguments)


def install_ours(host: Host, directory: str) -> None:
    """Install the plugins and start the engine, as a user without systemd would."""
    pynet(host, "install", "--dest", directory)
    start_engine(host)


def start_engine(host: Host) -> Service:
    """Start pynetd in the foreground and wait until it serves."""
    engine = host.service(ENGINE, command("pynetd"), "engine")

    def serves() -> bool:
        engine.alive()
        return engine_accepts(host)

    wait_until(serves, f"pynetd to accept on {SOCKET}")
    return engine


def stop_engine(host: Host) -> None:
    """Kill pynetd with SIGKILL: whatever it was doing stays half done."""
    (engine,) = (service for service in host.services if service.name == ENGINE and service.running)
    engine.stop()
    wait_until(lambda: not engine_accepts(host), "pynetd to be gone")


def start_dns(host: Host) -> Service:
    """Start the name server and wait until it serves."""
    server = host.service("pynetd-dns", command("pynetd"), "dns")

    def serves() -> bool:
        server.alive()
        return engine_accepts(host, DNS_SOCKET)

    wait_until(serves, f"pynetd dns to accept on {DNS_SOCKET}")
    return server


def start_api(host: Host) -> Service:
    """Start the container runtime with its API and wait until it serves.  Its files are on the disk: an overlay cannot
    have another above it."""
    api = host.service("pynetd-api", command("pynetd"), "api", "--root", str(host.scratch / "pynet"))

    def serves() -> bool:
        api.alive()
        return engine_accepts(host, API_SOCKET)

    wait_until(serves, f"pynetd api to accept on {API_SOCKET}")
    return api


def engine_accepts(host: Host, path: str = SOCKET) -> bool:
    """Tell whether someone listens on the engine's socket, or another."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(host.file(path)))
        except OSError:
            return False
    return True


def command(name: str) -> str:
    """The path of a command of the environment this test run itself uses."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise AssertionError(f"no {name} beside {sys.executable}: install this project there (pip install -e .)")
    return str(path)
