"""kill -9 of each process of the daemon while containers talk: traffic goes on, and then everything is as before."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .host import LAN, LAN6, UPLINK
from .polling import wait_until
from .questions import answers, asks, dig, lookup
from .residue import traces
from .runtime import PROCESSES, Runtime, RuntimeContainer, run_pynetd

HOLD = "exec 3<>/dev/tcp/{}/{}; while read line; do echo $line >&3; read -t 10 -u 3 line; echo $line; done"
EVERYTHING = (*PROCESSES, "supervisor")


class Town:
    """Containers of several kinds, and two connections that are open all the time."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        runtime("create", "--subnet", "10.97.0.0/24", "--subnet", "fd00:97::/64", "mynet")
        runtime("create", "--subnet", "10.98.0.0/24", "--firewall", "nftables", "other")
        ports = ("-p", "8080:80", "-p", "8080:80/udp", "-p", "[::1]:8081:80")
        self.web = runtime.echo("web", "--network", "name=mynet,alias=www", "--network", "other", *ports)
        self.old = runtime.echo("old", "-p", "9090:80")
        self.peer = runtime.start("peer", "--network", "mynet")
        self.joiner = runtime.start("joiner", "--network", "container:web")
        self.address = self.web.address("mynet")
        assert None not in answers(runtime.host.neighbour, f"tcp,{LAN},8080", f"tcp,{LAN},9090")

    def works(self) -> None:
        """Names, ports by NAT and by the proxy, from in and out."""
        host = self.runtime.host
        assert lookup(self.peer.net, "web", "www", "web.mynet") == [[self.address]] * 3
        outside = [f"tcp,{LAN},8080", f"udp,{LAN},8080", f"tcp,{LAN6},8080", f"tcp,{LAN},9090", f"tcp,{LAN6},9090"]
        found = answers(host.neighbour, *outside)
        assert [str(each).split()[0] for each in found] == ["web"] * 3 + ["old"] * 2
        assert answers(host.run, "tcp,::1,8081", "tcp,127.0.0.1,8080") == ["web fd00:97::1", "web 10.97.0.1"]
        assert self.peer.run("nslookup", "-type=a", "www").count(f"Address: {self.address}\n") == 1

    def seen(self) -> dict[str, object]:
        """What inspect shows of all of them."""
        shown = {}
        for container in (self.web, self.old, self.peer, self.joiner):
            each = container.inspect()
            shown[container.name] = (each["Id"], each["State"]["Pid"], each["NetworkSettings"], each["RestartCount"])
        return shown


@pytest.fixture(scope="module")
def town(module_runtime: Runtime) -> Iterator[Town]:
    module_runtime.clean()
    yield Town(module_runtime)


def kill(runtime: Runtime, name: str) -> None:
    """SIGKILL to one process, or to the one that starts the others anew; returns when it has gone."""
    pid = runtime.processes()[name]
    os.kill(pid, signal.SIGKILL)
    if name == "supervisor":
        assert runtime.pynetd is not None
        runtime.pynetd.process.wait(10)
        wait_until(lambda: not runtime.running(), "all processes to end with it", 15)
        run_pynetd(runtime)
    else:
        wait_until(lambda: runtime.processes().get(name, pid) != pid, f"{name} to be started again")
    wait_until(runtime.serves, "everything to serve", 20)


@pytest.mark.parametrize("name", EVERYTHING)
def test_killed_while_traffic_flows(town: Town, name: str) -> None:
    runtime = town.runtime
    before, seen = traces(runtime.host), town.seen()
    outside = ("ip", "netns", "exec", "uplink", "bash", "-c", HOLD.format(LAN, 8080))
    inside = ("nsenter", f"--target={town.peer.pid}", "--net", "bash", "-c", HOLD.format(town.address, 80))
    with runtime.talk(*outside) as through_port, runtime.talk(*inside) as direct:

        def flows() -> None:
            assert through_port("who") == f"web {UPLINK}"
            assert direct("who").split()[0] == "web"

        flows()
        kill(runtime, name)
        flows()
        town.works()
        flows()
    assert traces(runtime.host) == before
    assert town.seen() == seen


def test_traffic_does_not_notice_while_nothing_runs(town: Town) -> None:
    """Everything killed and, at first, nothing started again: what the kernel does goes on."""
    runtime = town.runtime
    assert runtime.pynetd is not None
    inside = ("nsenter", f"--target={town.peer.pid}", "--net", "--")
    runtime.pynetd.stop()
    try:
        wait_until(lambda: not runtime.running(), "all processes to end", 15)
        assert answers(runtime.host.neighbour, f"tcp,{LAN},8080", f"udp,{LAN},8080") == [f"web {UPLINK}"] * 2
        assert asks(lambda *argv: runtime.host.run(*inside, *argv), f"tcp,{town.address},80") == "web 10.97.0.3"
    finally:
        run_pynetd(runtime)
    town.works()


def timed(look: Callable[[], object]) -> float:
    began = time.monotonic()
    wait_until(look, "an answer", 10)
    return time.monotonic() - began


def test_names_are_answered_within_a_second_of_a_restart(town: Town) -> None:
    """Measured with the machine's own pace taken out: the same question, once before, is a part of the time."""
    runtime = town.runtime

    def answered() -> bool:
        (found,) = dig(town.peer.net, {"name": "web", "seconds": 0.1})
        return found is not None and found.data == [town.address]

    pace = min(timed(answered) for _ in range(3))
    pid = runtime.processes()["dns"]
    os.kill(pid, signal.SIGKILL)
    assert timed(answered) < 1.0 + 5 * pace


def test_a_container_that_ends_while_nobody_watches(town: Town) -> None:
    """Its name, address and port are given back, its exit status and the policy are right, by the next daemon."""
    runtime = town.runtime
    before = traces(runtime.host)
    words = ("sh", "-c", "mkfifo /tmp/end; read status </tmp/end; exit $status")
    gone = runtime.start("gone", "--network", "mynet", "-p", "8099:80", words=words)
    again = runtime.start("again", "--network", "mynet", "--restart", "on-failure", words=words)
    runtime.start("brief", "--network", "mynet", "--rm", words=words)
    pids = {name: RuntimeContainer(runtime, name).pid for name in ("gone", "again", "brief")}
    first = again.pid
    assert runtime.pynetd is not None
    runtime.pynetd.stop()
    wait_until(lambda: not runtime.running(), "all processes to end", 15)
    for name, pid in pids.items():
        status = {"gone": 3, "again": 4, "brief": 5}[name]
        fifo = runtime.host.file("/").parent.joinpath(f"root/proc/{pid}/root/tmp/end")
        wait_until(fifo.exists, f"the pipe of {name}")
        with fifo.open("w") as pipe:
            pipe.write(f"{status}\n")
        wait_until(lambda pid=pid: not runtime.host.file(f"/proc/{pid}").exists(), f"{name} to end")
    run_pynetd(runtime)
    wait_until(lambda: again.status == "running" and again.pid != first, "the policy to be followed")
    assert (gone.status, gone.inspect()["State"]["ExitCode"]) == ("exited", 3)
    names = runtime("ps", "-a", "--format", "{{.Names}}").split()
    assert "brief" not in names and "gone" in names
    assert lookup(town.peer.net, "gone.mynet", "again") == [[], [again.address("mynet")]]
    assert runtime("port", "gone") == ""
    runtime("container", "rm", "-f", "gone", "again")
    wait_until(lambda: traces(runtime.host) == before, "nothing to be left", 5)
    town.works()


def test_a_start_that_was_killed_half_way(town: Town) -> None:
    """At once, with the container on the disk, with its namespace made: nothing is left to trip over."""
    runtime = town.runtime
    before = traces(runtime.host)
    containers = runtime.host.scratch / "pynet/containers"
    namespaces = runtime.host.file("/run/pynet/netns")
    numbers = {each: len(list(each.iterdir())) for each in (containers, namespaces)}

    def more_in(directory: Path) -> Callable[[], bool]:
        return lambda: len(list(directory.iterdir())) > numbers[directory]

    for moment in (lambda: True, more_in(containers), more_in(namespaces)):
        process = runtime.background("run", "-d", "--name", "half", "--network", "mynet", "-p", "8095:80")
        wait_until(moment, "the start to get there")
        kill(runtime, "api")
        process.wait(30)
        runtime("container", "rm", "--force", "half")
        runtime.start("half", "--network", "mynet", "-p", "8095:80")
        runtime("container", "rm", "--force", "half")
    wait_until(lambda: traces(runtime.host) == before, "nothing to be left", 5)
    assert {each: len(list(each.iterdir())) for each in (containers, namespaces)} == numbers
    town.works()
