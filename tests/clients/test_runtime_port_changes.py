"""Which host ports a container gets, and how they change while it runs and while clients are talking (docker 1.9)."""

import re

import pytest

from .host import LAN, UPLINK
from .image import IMAGE
from .questions import answers, asks, silence
from .runtime import Runtime

PIECES = re.compile(r"(\d+)/(\w+) -> (.*):(\d+)")

HOLD = f"exec 3<>/dev/tcp/{LAN}/{{}}; while read line; do echo $line >&3; read -t 10 -u 3 line; echo $line; done"
"""A client with one connection: a line in, the server's answer out."""

UDP_CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("", 5555))
client.connect(("{}", {}))
client.settimeout(0.2)
for line in sys.stdin:
    answer = ""
    for attempt in range(50):
        try:
            client.send(b"who")
            answer = client.recv(2048).decode().strip()
            break
        except OSError:
            continue
    print(answer, flush=True)
"""
"""One that never changes its own port, and so keeps its flow alive in the kernel's table."""


@pytest.fixture
def net(runtime: Runtime) -> Runtime:
    runtime("create", "--subnet", "10.91.0.0/24", "mynet")
    return runtime


def published(runtime: Runtime, name: str) -> dict[str, dict[str, int]]:
    """By container port and host address."""
    found: dict[str, dict[str, int]] = {}
    for line in runtime("port", name).splitlines():
        matched = PIECES.fullmatch(line)
        assert matched is not None, line
        found.setdefault(f"{matched[1]}/{matched[2]}", {})[matched[3]] = int(matched[4])
    return found


def test_random_ports(net: Runtime) -> None:
    """The same for both families, of the kernel's range; new ones after a restart; truly reached."""
    low, high = map(int, net.host.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").split())
    net.echo("web", "--network", "mynet", "-p", "80", "-p", "81/udp", "-p", "127.0.0.1::82", ports=(80, 81, 82))
    first = published(net, "web")
    assert {port: sorted(each) for port, each in first.items()} == {
        "80/tcp": ["0.0.0.0", "[::]"],
        "81/udp": ["0.0.0.0", "[::]"],
        "82/tcp": ["127.0.0.1"],
    }
    for each in first.values():
        assert len(set(each.values())) == 1 and low <= next(iter(each.values())) <= high
    tcp, udp = first["80/tcp"]["0.0.0.0"], first["81/udp"]["0.0.0.0"]
    assert answers(net.host.neighbour, f"tcp,{LAN},{tcp}", f"udp,{LAN},{udp}") == [f"web {UPLINK}"] * 2
    assert asks(net.host.run, f"tcp,127.0.0.1,{first['82/tcp']['127.0.0.1']}") == "web 10.91.0.1"
    net("restart", "-t", "0", "web")
    second = published(net, "web")
    assert second["80/tcp"] != first["80/tcp"]
    assert asks(net.host.neighbour, f"tcp,{LAN},{second['80/tcp']['0.0.0.0']}") == f"web {UPLINK}"
    assert silence(net.host.neighbour, f"tcp,{LAN},{tcp}")


def test_all_exposed_ports(net: Runtime) -> None:
    flags = ("--expose", "80", "--expose", "81/udp", "--expose", "90-91", "-p", "8080:80")
    net.echo("web", "--network", "mynet", "-P", *flags, ports=(80, 81, 90, 91))
    found = published(net, "web")
    assert sorted(found) == ["80/tcp", "81/udp", "90/tcp", "91/tcp"]
    assert found["80/tcp"]["0.0.0.0"] == 8080
    targets = [f"{port.partition('/')[2]},{LAN},{each['0.0.0.0']}" for port, each in found.items()]
    assert answers(net.host.neighbour, *targets) == [f"web {UPLINK}"] * 4
    net.start("other", "--network", "mynet", "--expose", "80")
    assert net("port", "other") == "" and "80/tcp" in net("ps", "--filter", "name=other")


def test_ranges(net: Runtime) -> None:
    """Pairs; and the first free one of a range, also when a program has the first."""
    net.echo("pairs", "--network", "mynet", "-p", "8000-8002:80-82", ports=(80, 81, 82))
    assert answers(net.host.neighbour, *(f"tcp,{LAN},{port}" for port in (8000, 8001, 8002))) == [f"pairs {UPLINK}"] * 3
    hold = "import socket, sys; s = socket.socket(); s.bind(('0.0.0.0', 8003)); s.listen(); print(flush=True); input()"
    with net.talk("python3", "-S", "-c", f"input(); {hold}") as taken:
        taken("")
        net.echo("free", "--network", "mynet", "-p", "8001-8010:80")
        assert published(net, "free") == {"80/tcp": {"0.0.0.0": 8004, "[::]": 8004}}
        assert asks(net.host.neighbour, f"tcp,{LAN},8004") == f"free {UPLINK}"


@pytest.mark.parametrize(
    "text",
    [
        "80:81:82:83",
        "8000-8002:80-81",
        "65536:80",
        "80/icmp",
        "localhost:80:80",
        "80:",
        "90-80:80",
        "a",
        "",
    ],
)
def test_what_is_no_port(runtime: Runtime, text: str) -> None:
    refusal = runtime.fails("run", "-d", "--name", "web", "-p", text, IMAGE, status=125)
    assert "-p" in refusal and text in refusal
    assert runtime("ps", "-aq") == ""


def test_added_and_removed_while_connections_are_open(net: Runtime) -> None:
    """A connection through one port goes on while another is added, changed and removed, and its own removed."""
    net.echo("web", "--network", "mynet", "-p", "8080:80", ports=(80, 81))
    client = ("ip", "netns", "exec", "uplink", "bash", "-c", HOLD.format(8080))
    assert asks(net.host.neighbour, f"tcp,{LAN},8080") == f"web {UPLINK}"
    with net.talk(*client) as talk:
        assert talk("who") == f"web {UPLINK}"
        assert net("port", "add", "web", "8081:81").splitlines()[-2:] == [
            "81/tcp -> 0.0.0.0:8081",
            "81/tcp -> [::]:8081",
        ]
        assert asks(net.host.neighbour, f"tcp,{LAN},8081") == talk("who") == f"web {UPLINK}"
        net("port", "add", "web", "8081:81/udp", "127.0.0.1:8082:81")
        assert asks(net.host.neighbour, f"udp,{LAN},8081") == talk("who") == f"web {UPLINK}"
        assert asks(net.host.run, "tcp,127.0.0.1,8082") == "web 10.91.0.1"
        net("port", "rm", "web", "8081:81")
        assert silence(net.host.neighbour, f"tcp,{LAN},8081")
        assert asks(net.host.neighbour, f"udp,{LAN},8081") == talk("who") == f"web {UPLINK}"
        # a change that fails changes nothing
        refusal = net.fails("port", "add", "web", "8083:81", "8080:81")
        assert "8080" in refusal
        assert silence(net.host.neighbour, f"tcp,{LAN},8083")
        net("port", "rm", "web", "80")
        assert talk("who") == f"web {UPLINK}", "the connection outlives its port"
        assert silence(net.host.neighbour, f"tcp,{LAN},8080")
    assert sorted(published(net, "web")) == ["81/tcp", "81/udp"]
    net("port", "add", "web", "8080:80")
    assert asks(net.host.neighbour, f"tcp,{LAN},8080") == f"web {UPLINK}"


def test_what_was_changed_stays_changed(net: Runtime) -> None:
    """After a restart of the container."""
    net.echo("web", "--network", "mynet", "-p", "8080:80", ports=(80, 81))
    net("port", "add", "web", "8081:81")
    net("port", "rm", "web", "80")
    net("restart", "-t", "0", "web")
    assert asks(net.host.neighbour, f"tcp,{LAN},8081") == f"web {UPLINK}"
    assert sorted(published(net, "web")) == ["81/tcp"]
    net.start("all", "--network", "mynet", "-P", "--expose", "80", "--expose", "81", "-p", "8083-8090:82")
    net("port", "rm", "all", "81")
    net("port", "add", "all", "8083-8090:82")
    net("port", "rm", "all", "8083:82")
    net("restart", "-t", "0", "all")
    assert sorted(published(net, "all")) == ["80/tcp", "82/tcp"]
    net("stop", "-t", "0", "all")
    assert net.fails("port", "rm", "all", "9000:80") == "port 80/tcp is not published on host port 9000"


@pytest.mark.parametrize("inside", [False, True])
def test_a_udp_client_survives_the_servers_restart(net: Runtime, inside: bool) -> None:
    """It sends from one port without a break: its flow must not go on leading to the server's old address (S20)."""
    net.echo("web", "--network", "mynet", "-p", "8080:80/udp")
    where = () if inside else ("ip", "netns", "exec", "uplink")
    with net.talk(*where, "python3", "-S", "-c", UDP_CLIENT.format(LAN, 8080)) as client:
        seen = LAN if inside else UPLINK
        assert client("") == f"web {seen}"
        net("stop", "-t", "0", "web")
        # somebody else gets the address
        net.start("squatter", "--network", "mynet", "--ip", "10.91.0.2")
        net("start", "web")
        assert client("") == f"web {seen}"
        net("container", "rm", "-f", "web")
        net.echo("next", "--network", "mynet", "-p", "8080:80/udp")
        assert client("") == f"next {seen}"
