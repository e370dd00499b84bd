"""One life of a machine, in the guest of `scripts/vm`: from pynetd's start to the machine's end.

    python tests/vm/outside/life.py born|revived|buried

/var/lib and /etc of what is ours are on /disk, which outlives the guest.  `born` makes networks and containers,
`revived` changes nothing, `buried` removes all in the end.  What was seen is written to /job as JSON, for
test_reboot.py to judge."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "vm"), str(TESTS.parent)]

from sctp_talk import ask, load_modules, serving  # noqa: E402

from pycni.kernel.netns import Inside  # noqa: E402

JOB, DISK, RUN = Path("/job"), Path("/disk"), Path("/run/pynet")
KEPT = ("/var/lib/pynet", "/var/lib/cni", "/etc/cni", "/opt/cni")
CNITOOL = os.environ.get("CNITOOL", "")
PROGRAMS = Path(sys.executable).parent
IMAGE = "local/busybox:test"
LAN, NEIGHBOUR = "192.0.2.1", "192.0.2.2"
PATIENCE = 300.0
"""Seconds that nothing takes, on an emulated machine whose host has other things to do."""

SERVER = (IMAGE, "httpd", "-f", "-h", "/etc")
SLEEPER = (IMAGE, "sleep", "infinity")
NAMES = ("always", "www", "static", "revived", "failing", "halted", "done", "never", "brief", "late")


class Space:
    """A network namespace by its path, as sctp_talk takes one."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def pynet(*arguments: str) -> str:
    return run(str(PROGRAMS / "pynet"), *arguments)


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)  # an emulated processor has better things to do than to look
    return True


# --- the machine ------------------------------------------------------------------------------------------------------


def set_up() -> None:
    """What the disk has, and a neighbour at the other end of a wire."""
    for path in KEPT:
        kept = DISK / path.strip("/").replace("/", "-")
        kept.mkdir(exist_ok=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(kept), path)
    run("modprobe", "-a", "br_netfilter", "veth")
    load_modules()
    run(
        "sh",
        "-ec",
        f"""
        ip netns add neighbour
        ip link add lan type veth peer name wan netns neighbour
        ip addr add {LAN}/24 dev lan; ip link set lan up
        ip -n neighbour addr add {NEIGHBOUR}/24 dev wan; ip -n neighbour link set wan up
        ip route add default via {NEIGHBOUR}
        mkdir -p /run/etc; echo 'nameserver {NEIGHBOUR}' >/run/etc/resolv.conf
        mount --bind /run/etc/resolv.conf /etc/resolv.conf
        """,
    )


class Answer(http.client.HTTPConnection):
    """To the API."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(RUN / "api.sock"))


def api(path: str) -> Any:
    connection = Answer("docker")
    connection.request("GET", path)
    answer = connection.getresponse().read()
    connection.close()
    return json.loads(answer)


def serves() -> bool:
    for name in ("cni", "dns", "api"):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(RUN / f"{name}.sock"))
            except OSError:
                return False
    return True


@contextlib.contextmanager
def pynetd(life: str) -> Iterator[int]:
    """All of it, as without systemd; the pid."""
    with (JOB / f"{life}.log").open("wb") as log:
        daemon = subprocess.Popen([str(PROGRAMS / "pynetd")], stdout=log, stderr=log)
        if not until(lambda: daemon.poll() is None and serves()):
            raise SystemExit("pynetd does not serve")
        yield daemon.pid
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE)


def kill(daemon: int) -> None:
    """What pynetd is made of is killed; returns when it serves again."""
    for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
    if not until(serves):
        raise SystemExit("pynetd does not serve again")


def attach(name: str) -> None:
    """As any CNI client does."""
    run("ip", "netns", "add", name)
    run(CNITOOL, "add", "mynet", f"/run/netns/{name}", env={**os.environ, "CNI_PATH": "/opt/cni/bin"})


# --- what is made -----------------------------------------------------------------------------------------------------


def make() -> None:
    pynet("install", "--no-systemd")
    run(sys.executable, str(TESTS / "clients/image.py"), "/run/busybox.tar")
    pynet("image", "load", "--input", "/run/busybox.tar")
    pynet("create", "mynet", "--subnet", "10.99.0.0/24", "--subnet", "fd00:99::/64")
    together(start, "static", "always", "plain", "failing", "done", "never", "brief")
    together(start, "joiner", "revived", "halted")
    together(lambda name: pynet("stop", "--time", "0", name), "revived", "halted")
    pynet("container", "create", "--name", "created", *NET, IMAGE)
    attach("foreign")


NET = ("--network", "mynet")
STATIC = ("--ip", "10.99.0.77", "--ip6", "fd00:99::77", "-p", "8081:80", "-p", "38412:3868/sctp")
CONTAINERS = {
    "static": (*NET, *STATIC, "--restart", "unless-stopped", *SERVER),
    "always": (*NET, "--network-alias", "www", "--restart", "always", "-p", "8080:80", *SERVER),
    "plain": ("--restart", "always", "-p", "8082:80", *SERVER),
    "failing": (*NET, "--restart", "on-failure:3", *SLEEPER),
    "done": (*NET, "--restart", "on-failure", IMAGE, "true"),
    "never": (*NET, *SLEEPER),
    "brief": (*NET, "--rm", *SLEEPER),
    "joiner": ("--network", "container:always", "--restart", "always", *SLEEPER),
    "revived": (*NET, "--restart", "always", *SLEEPER),
    "halted": (*NET, "--restart", "unless-stopped", *SLEEPER),
    "late": ("--network", "latenet", *NET, "--restart", "always", *SLEEPER),
}


def start(name: str) -> None:
    pynet("run", "-d", "--name", name, *CONTAINERS[name])


def together(step: Callable[[str], object], *names: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(step, names))


def make_late() -> None:
    """What the power is cut right after: whoever was told that it is done can rely on it."""
    pynet("create", "latenet", "--subnet", "10.98.0.0/24")
    start("late")
    attach("spare")
    pynet("container", "rename", "never", "renamed")
    cut_short()


def cut_short() -> None:
    """What a power cut leaves of files that nobody synchronised, here for certain: names with nothing behind them, with
    blocks that were never written, with a part of what was written."""
    lease = b"f0re1gn\r\neth0"
    kept = {
        "200": b"",
        "201": bytes(4096),
        "202": lease[:7],
        "203": lease[:11],
        "204": lease[:4] + bytes(60) + lease[4:],
    }
    result = b'{"kind":"cniCacheV1","containerId":"f0re1gn"'
    files = {}
    for network, prefix, length in (
        ("mynet", "10.99.0", 0),
        ("latenet", "10.98.0", 20),
        ("pynet-bridge", "172.17.0", 43),
    ):
        files[f"results/{network}-f0re1gn-eth0"] = result[:length]
        files |= {f"networks/{network}/{prefix}.{last}": content for last, content in kept.items()}
    files["networks/latenet/last_reserved_ip.0"] = b"10.98."
    for name, content in files.items():
        with (Path("/var/lib/cni") / name).open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())


def bury() -> None:
    pynet("container", "rm", "--force", *(each["Id"] for each in api("/containers/json?all=1")))
    pynet("rm", "mynet", "latenet")


# --- what is seen -----------------------------------------------------------------------------------------------------


def containers() -> dict[str, Any]:
    found = {}
    for listed in api("/containers/json?all=1"):
        shown = api(f"/containers/{listed['Id']}/json")
        state, settings = shown["State"], shown["NetworkSettings"]
        found[shown["Name"].lstrip("/")] = {
            "id": shown["Id"],
            "status": state["Status"],
            "pid": state["Pid"],
            "exit code": state["ExitCode"],
            "error": state["Error"],
            "networks": {
                name: [each["IPAddress"], each["GlobalIPv6Address"]] for name, each in settings["Networks"].items()
            },
            "ports": settings["Ports"],
        }
    return found


def masked(text: str, known: dict[str, Any]) -> list[str]:
    """Rules with names for addresses that another life need not give again, in an order of their own."""
    names: dict[str, str] = {}
    for name, each in known.items():
        for network, addresses in each["networks"].items():
            names |= {address: f"<{name} {network} {family}>" for family, address in enumerate(addresses) if address}
    text = re.sub(r"packets \d+ bytes \d+|\[\d+:\d+\]|^#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"[0-9a-f]+([.:]+[0-9a-f]+)+", lambda found: _named(found[0], names), text)
    return sorted(word for line in text.splitlines() for word in _elements(line.strip()) if word)


def _named(address: str, names: dict[str, str]) -> str:
    """Also with a port behind it."""
    host, colon, port = address.rpartition(":")
    return names.get(address) or names.get(host, host) + colon + port


def _elements(line: str) -> list[str]:
    """Those of a set stand for themselves: their order is the kernel's."""
    if "comment" not in line or line.startswith("-A"):
        return [line]
    elements = re.split('",|"$', line.removeprefix("elements = {").rstrip("} "))
    return [each.strip() for each in elements]


def rules(known: dict[str, Any]) -> list[str]:
    saved = [run(program) for program in ("iptables-save", "ip6tables-save")]
    return masked("\n".join([run("nft", "list", "ruleset"), *saved]), known)


def fetch(port: int) -> str:
    """What the web server at this port tells a neighbour: its host name."""
    with Inside(NEIGHBOURS.fd):
        client = socket.socket()
    with client:
        client.settimeout(5)
        try:
            client.connect((LAN, port))
            client.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
            return client.makefile().read().split()[-1]
        except OSError as error:
            return str(error)


def traffic(known: dict[str, Any]) -> dict[str, str]:
    seen = {str(port): fetch(port) for port in (8080, 8081, 8082)}
    with serving(Space(f"/proc/{known['static']['pid']}/ns/net"), 3868):
        seen["38412/sctp"] = ask(NEIGHBOURS, LAN, 38412)
    return seen


def answers(known: dict[str, Any]) -> dict[str, list[str]]:
    """Of the name server of who has the static address."""
    questions = json.dumps([{"name": name} for name in NAMES])
    inside = ("nsenter", f"--net=/proc/{known['static']['pid']}/ns/net", "/usr/bin/python3", "-S", "-B")
    found = json.loads(run(*inside, str(TESTS / "clients/inside/dig.py"), questions))
    return {
        name: sorted(record[3] for record in answer["answers"]) if answer else ["silence"]
        for name, answer in zip(NAMES, found, strict=True)
    }


def files() -> dict[str, list[str]]:
    """What is written down: leases as "network/address", results, namespaces, and what pynetd keeps."""

    def listed(path: str) -> list[str]:
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    kept = "/var/lib/cni/networks"
    leases = [f"{network}/{name}" for network in listed(kept) for name in listed(f"{kept}/{network}")]
    return {
        "leases": [each for each in leases if not each.endswith(("/lock", "last_reserved_ip.0", "last_reserved_ip.1"))],
        "results": listed("/var/lib/cni/results"),
        "namespaces": listed(str(RUN / "netns")),
        "started": listed(str(RUN / "containers")),
        "lists": listed("/etc/cni/net.d"),
        "containers": listed("/var/lib/pynet/containers"),
        "links": sorted(each for each in os.listdir("/sys/class/net")),
    }


def look(life: str, running: int) -> None:
    """Once as many run as shall."""
    until(lambda: len(api("/containers/json")) >= running)
    known = containers()
    seen = {"containers": known, "rules": rules(known), "files": files()}
    if "static" in known and known["static"]["pid"]:
        seen |= {"traffic": traffic(known), "answers": answers(known)}
    write(life, seen)


def write(name: str, seen: Any) -> None:
    (JOB / f"{name}.json").write_text(json.dumps(seen, indent=1))


def shut_down() -> None:
    """What an init system does after it has stopped pynetd: everybody is asked to end, and then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _others():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        until(lambda: not _others(), 5)


def _others() -> list[int]:
    """Processes that are neither the kernel's nor before us."""
    mine = {1, os.getpid(), os.getppid()}
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) not in mine and _command(name)]


def _command(pid: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


NEIGHBOURS: Space


def main(life: str) -> None:
    global NEIGHBOURS
    set_up()
    NEIGHBOURS = Space("/run/netns/neighbour")
    before = time.monotonic()
    with pynetd(life) as daemon:
        write(f"{life}-seconds", time.monotonic() - before)
        if life == "born":
            make()
            look(life, 7)
            kill(daemon)
            look("killed", 8)
            make_late()
            os._exit(0)  # the power is cut: nobody ends anything
        look(life, 7)
        if life == "buried":
            bury()
            look("nothing", 0)
    shut_down()


if __name__ == "__main__":
    main(sys.argv[1])
