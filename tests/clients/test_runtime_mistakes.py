"""What cannot be done is refused in docker's words with docker's exit status, and leaves nothing behind."""

from collections.abc import Iterator

import pytest

from .host import CGROUPS
from .image import IMAGE
from .polling import wait_until
from .questions import asks
from .residue import traces
from .runtime import Runtime


def footprint(runtime: Runtime) -> set[str]:
    """Links, routes, rules, leases, namespaces, files of the daemon, mounts, cgroups, sockets and processes."""
    host = runtime.host
    found = traces(host)
    root = host.scratch / "pynet"
    found |= {f"file {path}" for path in root.rglob("*") if "/images/" not in str(path)}
    script = "find /run/pynet /run/netns /etc/cni; cut -d' ' -f2 /proc/mounts; ss -Hltun; ps -eo comm | grep -v '^ps$'"
    found |= {f"line {line}" for line in host.run("sh", "-c", script).splitlines()}
    for top in (*CGROUPS.glob(f"*/{host.name}"), *CGROUPS.glob(host.name)):
        found |= {f"cgroup {path}" for path in top.rglob("*") if path.is_dir()}
    return {line for line in found if not _passing(line)}


def _passing(line: str) -> bool:
    """Locks, and our own commands' processes."""
    return line.endswith((".lock", "/lock")) or line in {
        f"line {each}" for each in ("nsenter", "timeout", "sh", "grep")
    }


@pytest.fixture(scope="module")
def set_up(module_runtime: Runtime) -> Iterator[tuple[Runtime, set[str]]]:
    """A container that has an address and ports, on a host that has run containers of each kind before."""
    runtime = module_runtime
    runtime.clean()
    runtime("create", "--subnet", "10.95.0.0/24", "--subnet", "fd00:95::/64", "mynet")
    runtime.echo("taken", "--network", "mynet", "--ip", "10.95.0.9", "--ip6", "fd00:95::9", "-p", "8080:80")
    assert asks(runtime.host.neighbour, "tcp,192.168.250.2,8080") == "taken 192.168.250.1"
    for network in ("bridge", "mynet", "host", "none"):
        runtime.once("--network", network, "-p", "8070:80", words=("true",))
    runtime.start("target")
    yield runtime, footprint(runtime)


@pytest.fixture
def town(set_up: tuple[Runtime, set[str]]) -> Iterator[Runtime]:
    """The same, whatever the test before has left."""
    yield set_up[0]
    set_up[0]("container", "rm", "--force", "wrong")


@pytest.fixture
def before(set_up: tuple[Runtime, set[str]]) -> set[str]:
    """What there is while nothing but the two containers is."""
    return set_up[1]


def unchanged(runtime: Runtime, before: set[str]) -> None:
    """Nothing more and nothing less than before, as soon as the kernel has cleared away."""
    difference: list[str] = []

    def same() -> bool:
        difference[:] = sorted(footprint(runtime) ^ before)
        return not difference

    try:
        wait_until(same, "nothing to be left", 5)
    except AssertionError:
        raise AssertionError("before and after differ:\n" + "\n".join(difference)) from None


HOLDER = """
import socket
server = socket.socket()
server.bind(("0.0.0.0", 8099))
server.listen()
while True:
    print(input(), flush=True)
"""


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        (("--network", "nowhere"), ("network nowhere not found",)),
        (("--network", "mynet", "--ip", "10.96.0.9"), ("no configured subnet", "10.96.0.9")),
        (("--network", "mynet", "--ip6", "fd00:96::9"), ("no configured subnet", "fd00:96::9")),
        (("--network", "mynet", "--ip", "10.95.0.0/24"), ("--ip", "10.95.0.0/24")),
        (("--network", "mynet", "--ip", "10.95.0.1"), ("10.95.0.1",)),
        (("--network-alias", "web"), ("only supported for user-defined networks", "--network-alias")),
        (("--network", "bridge", "--network-alias", "web"), ("only supported for user-defined networks",)),
        (("--ip", "172.17.0.9"), ("user specified IP address is supported on user defined networks only", "--ip")),
        (("--network", "container:wrong"), ("--network container:wrong", "cannot join its own network")),
        (("--network", "container:taken", "-p", "80:80"), ("conflicting options: port publishing", "-p")),
        (("--network", "mynet", "--network", "mynet"), ("--network mynet: given twice",)),
        (("--mac-address", "01:00:5e:00:00:01"), ("01:00:5e:00:00:01",)),
        (("--mac-address", "nonsense"), ("nonsense", "--mac-address")),
        (("--sysctl", "kernel.hostname=x"), ("sysctl 'kernel.hostname=x' is not allowed",)),
        (("--add-host", "nonsense"), ("nonsense", "--add-host")),
        (("--dns", "nonsense"), ("nonsense", "--dns")),
        (("--link", "nobody:x"), ("nobody", "--link")),
        (("-p", "8080-8082:80-81"), ("-p 8080-8082:80-81",)),
    ],
)
def test_refused_before_there_is_a_container(
    town: Runtime, flags: tuple[str, ...], texts: tuple[str, ...], before: set[str]
) -> None:
    refusal = town.fails("run", "-d", "--name", "wrong", *flags, IMAGE, status=125)
    for text in texts:
        assert text in refusal, refusal
    if "wrong" in town("ps", "-a", "--format", "{{.Names}}").split():
        # docker checks the network's existence at start only, and keeps the container
        assert flags == ("--network", "nowhere")
        town("container", "rm", "wrong")
    unchanged(town, before)


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        (("--network", "mynet", "--ip", "10.95.0.9"), ("Address already in use", "10.95.0.9")),
        (("--network", "mynet", "--ip6", "fd00:95::9"), ("Address already in use", "fd00:95::9")),
        (("-p", "8080:80"), ("driver failed programming external connectivity", "Bind for", "8080", "taken")),
        (("--network", "mynet", "-p", "8079:79", "-p", "8080:80"), ("port is already allocated", "taken")),
        (("-p", "127.0.0.1:8080:80"), ("port is already allocated", "8080")),
        (("-p", "192.0.2.99:8098:80"), ("192.0.2.99:8098", "cannot assign requested address")),
        (("--network", "container:absent"), ("absent",)),
    ],
)
def test_refused_at_start(town: Runtime, flags: tuple[str, ...], texts: tuple[str, ...], before: set[str]) -> None:
    """The container stays as docker's does, created with exit code 128 and the reason; all of its network is undone."""
    refusal = town.fails("run", "-d", "--name", "wrong", *flags, IMAGE, status=125)
    for text in texts:
        assert text in refusal, refusal
    shown = town("container", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "wrong")
    assert shown.startswith("created 128 ") and texts[0] in shown
    assert town("port", "wrong") == ""
    town("container", "rm", "wrong")
    unchanged(town, before)
    assert asks(town.host.neighbour, "tcp,192.168.250.2,8080") == "taken 192.168.250.1"


def test_a_port_of_another_program_is_told_with_its_name(town: Runtime, before: set[str]) -> None:
    with town.talk("python3", "-S", "-c", HOLDER) as program:
        assert program("here") == "here"
        refusal = town.fails("run", "-d", "--name", "wrong", "-p", "8099:80", IMAGE, status=125)
    assert "failed to bind host port" in refusal and "8099/tcp: address already in use by python3 (pid " in refusal
    town("container", "rm", "wrong")
    unchanged(town, before)
    assert asks(town.echo("right", "-p", "8099:80").runtime.host.neighbour, "tcp,192.168.250.2,8099") is not None
    town("container", "rm", "-f", "right")
    unchanged(town, before)


def test_a_setting_the_kernel_does_not_have(town: Runtime, before: set[str]) -> None:
    """docker's client makes exit status 127 of every `no such file or directory`, and so do we."""
    refusal = town.fails("run", "-d", "--name", "wrong", "--sysctl", "net.ipv4.absent=1", IMAGE, status=127)
    assert "--sysctl net.ipv4.absent=1" in refusal
    town("container", "rm", "wrong")
    unchanged(town, before)


def test_removed_when_it_cannot_start_and_was_to_be_removed(town: Runtime, before: set[str]) -> None:
    assert "taken" in town.fails("run", "--rm", "--name", "wrong", "-p", "8080:80", IMAGE, status=125)
    assert "wrong" not in town("ps", "-a", "--format", "{{.Names}}").split()
    unchanged(town, before)


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("connect", "nowhere", "target"), ("nowhere",)),
        (("connect", "mynet", "nobody"), ("nobody",)),
        (("connect", "--ip", "10.95.0.9", "mynet", "target"), ("Address already in use",)),
        (("connect", "--ip", "10.96.0.9", "mynet", "target"), ("no configured subnet",)),
        (("connect", "bridge", "target"), ("already exists in network bridge",)),
        (("connect", "--alias", "web", "bridge", "target"), ("already exists in network bridge",)),
        (("connect", "host", "target"), ("host",)),
        (("connect", "none", "target"), ("none",)),
        (("disconnect", "mynet", "target"), ("not connected to network mynet",)),
        (("disconnect", "nowhere", "target"), ("nowhere",)),
        (("port", "add", "target", "8080:80"), ("port is already allocated", "taken")),
        (("port", "rm", "target", "8077:80"), ("8077",)),
        (("container", "rename", "target", "taken"), ("taken", "already in use")),
        (("rm", "mynet"), ("mynet is in use by",)),
        (("connect", "mynet", "ns:/run/netns/nobody"), ("/run/netns/nobody",)),
    ],
)
def test_of_a_running_container(
    town: Runtime, words: tuple[str, ...], texts: tuple[str, ...], before: set[str]
) -> None:
    refusal = town.fails(*words)
    for text in texts:
        assert text in refusal, refusal
    unchanged(town, before)


def test_every_mode_leaves_nothing(town: Runtime, before: set[str]) -> None:
    """The same comparison for containers that were right: started, connected, published, killed, removed."""
    town.start("one", "-p", "8061:80", "-p", "8061:80/udp")
    town.start("two", "--network", "mynet", "-P", "--expose", "80", "--network-alias", "zwei")
    town.start("three", "--network", "container:two")
    town.start("four", "--network", "none")
    town.start("five", "--network", "host")
    town("connect", "mynet", "one")
    town("port", "add", "two", "8062:80")
    town("disconnect", "bridge", "one")
    town("kill", "two")
    town("container", "rm", "-f", "one", "two", "three", "four", "five")
    unchanged(town, before)
