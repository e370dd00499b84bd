"""Two boots of a machine with systemd, in the guest of `scripts/vm`: what an operator does, and what he sees.

    python tests/vm/outside/managed.py installed|booted

`installed` installs the units and uses them, `booted` finds what the first left and removes all in the end.  What was
seen is written to /job as JSON, for test_systemd.py to judge."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from life import CNITOOL, IMAGE, LAN, NEIGHBOUR, PATIENCE, RUN, TESTS, api, pynet, run, until, write

from netd.engine import client

UNITS = Path("/etc/systemd/system")
SOCKETS = ("pynetd.socket", "pynetd-api.socket", "pynetd-dhcp.socket")
SERVICES = ("pynetd.service", "pynetd-dns.service", "pynetd-api.service", "pynetd-dhcp.service")
PROPERTIES = "Id,ActiveState,SubState,UnitFileState,MainPID,NRestarts"
LEASED = Path("/etc/cni/net.d/leased.conflist")
GIVEN = Path("/run/dnsmasq.leases")

seen: dict[str, Any] = {}


def units() -> dict[str, dict[str, str]]:
    """What systemd knows of ours, by the unit's name."""
    told = run("systemctl", "show", f"--property={PROPERTIES}", *SOCKETS, *SERVICES)
    shown = [dict(line.split("=", 1) for line in block.splitlines()) for block in told.strip().split("\n\n")]
    return {each.pop("Id"): each for each in shown}


def look(moment: str, **more: Any) -> None:
    """The units, and `more`, which was seen just before."""
    seen[moment] = {"units": units(), **more}
    print(f"{time.monotonic():8.1f} s  {moment}", flush=True)


def pid(service: str) -> int:
    return int(units()[service]["MainPID"])


def kill(service: str) -> int:
    """kill -9 of its main process, which it was; returns when that has ended, which takes no more calls then."""
    killed = pid(service)
    process = os.pidfd_open(killed)
    os.kill(killed, signal.SIGKILL)
    select.select([process], [], [])
    os.close(process)
    return killed


def status() -> dict[str, Any]:
    """What the engine says of itself."""
    told = client.status(f"{RUN}/cni.sock")
    calls: Counter[str] = Counter()
    for each in told["calls"]:
        calls[each["outcome"]] += each["count"]
    return {"pid": told["pid"], "calls": calls}


def call(command: str, name: str, network: str = "mynet") -> list[str]:
    """As any CNI client does, with a namespace of that name; the addresses."""
    if command == "add":
        run("ip", "netns", "add", name)
    environment = {"PATH": os.environ["PATH"], "CNI_PATH": "/opt/cni/bin"}
    said = run(CNITOOL, command, network, f"/run/netns/{name}", env=environment)
    if command == "del":
        run("ip", "netns", "del", name)
    return [each["address"] for each in json.loads(said)["ips"]] if command == "add" else []


def set_up() -> None:
    """A neighbour at the other end of a wire, with a DHCP server."""
    run("modprobe", "-a", "br_netfilter", "veth", "macvlan")
    run(
        "sh",
        "-ec",
        f"""
        ip netns add neighbour; ip -n neighbour link set lo up
        ip link add lan type veth peer name wan netns neighbour
        ip addr add {LAN}/24 dev lan; ip link set lan up
        ip -n neighbour addr add {NEIGHBOUR}/24 dev wan; ip -n neighbour link set wan up
        ip netns exec neighbour dnsmasq --conf-file=/dev/null --port=0 --no-ping --interface=wan --bind-interfaces \
            --user=root --dhcp-range=192.0.2.10,192.0.2.10,1h --dhcp-authoritative \
            --dhcp-leasefile={GIVEN} --pid-file=/run/dnsmasq.pid
        """,
    )


# --- the engine, and the DHCP daemon ----------------------------------------------------------------------------------


def engine() -> None:
    look("installed")
    look("added", addresses=call("add", "one"), status=status(), said=pynet("status"))
    killed = kill("pynetd.service")
    call("del", "one")
    look("killed", was=killed, status=status())
    run("systemctl", "stop", "pynetd.service")
    look("stopped")
    call("add", "two")
    look("started again", status=status())
    call("del", "two")


LIST = {
    "cniVersion": "1.1.0",
    "name": "leased",
    "plugins": [{"type": "macvlan", "master": "lan", "ipam": {"type": "dhcp"}}],
}


def leases() -> None:
    LEASED.write_text(json.dumps(LIST))
    look("leased", addresses=call("add", "leasing", "leased"))
    killed = kill("pynetd-dhcp.service")
    call("check", "leasing", "leased")
    look("lease kept", was=killed, given=GIVEN.read_text())
    call("del", "leasing", "leased")
    until(lambda: not GIVEN.read_text())
    LEASED.unlink()
    seen["said"] = run("journalctl", "--unit=pynetd-dhcp", "--output=cat")


# --- containers -------------------------------------------------------------------------------------------------------


@contextmanager
def calling(*steps: Any) -> Iterator[list[str]]:
    """The steps, each again and again meanwhile; what went wrong."""
    over = threading.Event()
    errors: list[str] = []

    def go_on(step: Any) -> None:
        while not over.is_set():
            try:
                step()
            except SystemExit as error:
                errors.append(str(error))

    threads = [threading.Thread(target=go_on, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def attach() -> None:
    call("add", "three")
    call("del", "three")


def containers() -> dict[str, Any]:
    found = {}
    for listed in api("/containers/json?all=1"):
        shown = api(f"/containers/{listed['Id']}/json")
        state = shown["State"]
        found[shown["Name"].lstrip("/")] = {
            "id": shown["Id"][:12],
            "status": state["Status"],
            "exit code": state["ExitCode"],
            "process": [state["Pid"], state["StartedAt"]],
            "address": shown["NetworkSettings"]["Networks"]["mynet"]["IPAddress"],
        }
    return found


def web() -> str:
    """What a container is told by another one, whom it finds by name."""
    return pynet("exec", "client", "wget", "-qO-", "http://web/hostname").strip()


def published() -> str:
    return run("busybox", "wget", "-qO-", "http://127.0.0.1:8080/hostname").strip()


def use_containers() -> None:
    run(sys.executable, str(TESTS / "clients/image.py"), "/run/busybox.tar")
    pynet("image", "load", "--input", "/run/busybox.tar")
    flags = ("run", "-d", "--network", "mynet", "--name")
    pynet(*flags, "web", "--restart", "always", "-p", "8080:80", IMAGE, "httpd", "-f", "-h", "/etc")
    pynet(*flags, "client", "--stop-timeout", "2", IMAGE, "sleep", "infinity")
    inside = Path(f"/proc/{containers()['client']['process'][0]}")
    seen["inherited"] = [(inside / "oom_score_adj").read_text().strip(), (inside / "environ").read_text()]
    look("used", containers=containers(), web=web(), published=published())
    with calling(attach, lambda: pynet("ps")) as errors:
        run("systemctl", "restart", "pynetd", "pynetd-dns", "pynetd-api")
    look("restarted", containers=containers(), web=web(), published=published(), errors=errors)
    killed = kill("pynetd-dns.service")
    until(lambda: _runs_again("pynetd-dns.service", killed))
    look("revived", web=web(), was=killed)


def _runs_again(service: str, before: int) -> bool:
    now = units()[service]
    return now["ActiveState"] == "active" and now["MainPID"] != str(before)


# --- the boots --------------------------------------------------------------------------------------------------------


def installed() -> None:
    set_up()
    seen["install"] = pynet("install")
    seen["verified"] = run("sh", "-c", f"systemd-analyze verify {UNITS}/pynetd* 2>&1")
    pynet("create", "mynet", "--subnet", "10.99.0.0/24")
    engine()
    leases()
    use_containers()
    until(lambda: units()["pynetd-dhcp.service"]["ActiveState"] == "inactive")
    look("in the end", failed=run("systemctl", "list-units", "--failed", "--no-legend", "pynetd*"))
    seen["left"] = time.monotonic()


def booted() -> None:
    look("booted")
    until(lambda: any(each["State"] == "running" for each in api("/containers/json")))
    look("came again", containers=containers(), published=published())
    pynet("container", "rm", "--force", "web", "client")
    pynet("rm", "mynet")
    seen["uninstall"] = pynet("uninstall")
    look("removed", loaded=run("systemctl", "list-units", "--all", "--no-legend", "pynetd*"))
    seen["files"] = sorted(str(each) for folder in (UNITS, Path("/opt/cni/bin")) for each in folder.rglob("*"))
    seen["sockets"] = [str(each) for folder in (RUN, Path("/run/cni")) for each in folder.glob("*.sock")]
    seen["processes"] = run("sh", "-c", "pgrep -l 'pynetd|conmon' || true")


if __name__ == "__main__":
    try:
        {"installed": installed, "booted": booted}[sys.argv[1]]()
    finally:
        write(sys.argv[1], seen)
