"""The machine goes down without a word and comes up again: /var/lib and /etc are as they were, all else is gone."""

from collections.abc import Iterator

import pytest

from .host import LAN, UPLINK, CommandFailed, Host, disposable_host
from .image import IMAGE
from .polling import wait_until
from .probes import fetch
from .questions import asks, lookup
from .runtime import Runtime, RuntimeContainer, bundled_runtime, run_pynetd

GOES_DOWN = """
set -eu
for pid in "$@"; do kill -9 "$pid" 2>/dev/null || true; done
for pid in "$@"; do while [ -e "/proc/$pid" ]; do :; done; done
cut -d' ' -f2 /proc/mounts | grep -E '^/run/pynet|/pynet/' | sort -r | while read -r path; do
    umount -l "$path"
done
for path in /run/*; do
    case $path in /run/netns|/run/uplink|/run/resolv.conf|/run/lock|/run/mount) ;; *) rm -rf "$path" ;; esac
done
for link in $(ls /sys/class/net); do
    case $link in lo|eth0) ;; *) ip link del "$link" 2>/dev/null || true ;; esac
done
nft flush ruleset
find /sys/fs/cgroup -mindepth 2 -depth -type d -exec rmdir {} + 2>/dev/null || true
"""
"""What a power cut does, as far as one can do it to a namespace."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Runtime]:
    with disposable_host() as host, bundled_runtime(host) as runtime:
        yield runtime


def reboot(runtime: Runtime) -> None:
    """Everything that runs is killed, monitors first, and the daemon starts on an empty /run."""
    assert runtime.pynetd is not None
    runtime.pynetd.stop()
    wait_until(lambda: not runtime.running(), "the daemon's processes to end", 15)
    host, monitors, others = runtime.host, [], []
    for line in host.run("ps", "-eo", "pid=,comm=").splitlines():
        pid, name = line.split(None, 1)
        if name == "conmon":
            monitors.append(pid)
        elif name in ("sleep", "sh", "python3") and "/pynet" in cgroup(host, pid):
            others.append(pid)
    assert len(monitors) == len(others) > 1
    host.run("bash", "-c", GOES_DOWN, "goes-down", *monitors, *others)
    assert not [link for link in host.run("ls", "/sys/class/net").split() if link.startswith(("p", "veth"))]
    assert not host.file("/run/pynet").exists()
    run_pynetd(runtime)


def cgroup(host: Host, pid: str) -> str:
    """Containers' processes are in a cgroup of ours."""
    try:
        return host.run("cat", f"/proc/{pid}/cgroup")
    except CommandFailed:
        return ""


def test_a_reboot(machine: Runtime) -> None:
    runtime, host = machine, machine.host
    runtime("create", "--subnet", "10.99.0.0/24", "mynet")
    net = ("--network", "mynet")
    runtime.echo("always", *net, "--restart", "always", "-p", "8080:80", "--network-alias", "www")
    runtime.echo("static", *net, "--restart", "unless-stopped", "--ip", "10.99.0.77", "-p", "8081:80/udp")
    runtime.serve("default", "--restart", "always", "-p", "8082:80")
    runtime.start("joiner", "--network", "container:always", "--restart", "always")
    runtime.start("second", "--network", "container:joiner", "--restart", "unless-stopped")
    runtime.start("linked", "--link", "default:store", "--restart", "always")
    runtime.start("stopped", *net, "--restart", "unless-stopped")
    runtime.start("failure", *net, "--restart", "on-failure:3")
    runtime.start("never", *net)
    runtime.start("brief", *net, "--rm")
    runtime("container", "create", "--name", "created", *net, IMAGE)
    runtime("stop", "-t", "0", "stopped")
    assert fetch(host.neighbour, LAN, 8082) == "default"
    before = {name: RuntimeContainer(runtime, name).inspect() for name in ("always", "static", "never")}
    addresses = [each["NetworkSettings"]["Networks"]["mynet"]["IPAddress"] for each in before.values()]
    assert addresses[1] == "10.99.0.77"

    reboot(runtime)

    running = {"always", "static", "default", "joiner", "second", "linked", "failure"}
    wait_until(
        lambda: set(runtime("ps", "--format", "{{.Names}}").split()) == running, "the policies to be followed", 20
    )
    status = dict(line.split("|") for line in runtime("ps", "-a", "--format", "{{.Names}}|{{.Status}}").splitlines())
    assert set(status) == running | {"stopped", "never", "created"}, "--rm means gone"
    assert all(status[name].startswith("Up ") for name in running)
    assert status["never"].startswith("Exited (") and status["stopped"].startswith("Exited (137)")
    assert status["created"] == "Created"
    assert RuntimeContainer(runtime, "never").inspect()["State"]["ExitCode"] != 0

    # traffic: published ports, names, the joiner in the new namespace
    assert asks(host.neighbour, f"tcp,{LAN},8080") == f"always {UPLINK}"
    assert asks(host.neighbour, f"udp,{LAN},8081") == f"static {UPLINK}"
    assert fetch(host.neighbour, LAN, 8082) == "default"
    always, static = RuntimeContainer(runtime, "always"), RuntimeContainer(runtime, "static")
    assert static.address("mynet") == "10.99.0.77"
    assert lookup(static.net, "always", "www", "static") == [[always.address("mynet")]] * 2 + [["10.99.0.77"]]
    assert lookup(static.net, "never", "brief", "stopped") == [[], [], []]
    assert fetch(RuntimeContainer(runtime, "linked").run, "store") == "default"
    joiner = RuntimeContainer(runtime, "joiner")
    assert joiner.run("readlink", "/proc/self/ns/net") == always.run("readlink", "/proc/self/ns/net")
    assert asks(joiner.net, "tcp,127.0.0.1,80") == "always 127.0.0.1"

    # leases of those who are gone were given back: exactly the running ones have one
    leases = {line for line in host.run("ls", "/var/lib/cni/networks/mynet").split() if line[0].isdigit()}
    own = {RuntimeContainer(runtime, name).address("mynet") for name in ("always", "static", "failure")}
    assert leases == own
    lowest = next(f"10.99.0.{number}" for number in range(2, 9) if f"10.99.0.{number}" not in own)
    assert runtime.start("new", *net).address("mynet") == lowest
    # and those that did not start by themselves start as if nothing had been
    runtime("start", "never", "stopped", "created")
    assert lookup(static.net, "never") == [[RuntimeContainer(runtime, "never").address("mynet")]]


def test_a_second_reboot_finds_a_network_that_was_removed(machine: Runtime) -> None:
    """Its containers stay as they are, with the reason; the others start."""
    runtime = machine
    runtime.clean()
    runtime("create", "--subnet", "10.99.0.0/24", "mynet")
    runtime.start("lost", "--network", "mynet", "--restart", "always")
    runtime.serve("fine", "--restart", "always", "-p", "8082:80")
    runtime.host.file("/etc/cni/net.d/mynet.conflist").unlink()
    reboot(runtime)
    assert fetch(runtime.host.neighbour, LAN, 8082) == "fine"
    lost = RuntimeContainer(runtime, "lost")
    wait_until(lambda: "mynet" in lost.inspect()["State"]["Error"], "the reason to be told")
    assert lost.status != "running"
    # once the network is there again, so is the container: the name counts, not an id
    runtime("create", "--subnet", "10.99.0.0/24", "mynet")
    runtime("start", "lost")
    assert lost.address("mynet") == "10.99.0.2"
