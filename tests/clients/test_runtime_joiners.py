"""`container:` joiners outlive their donor's restart, and names follow every way a container can end."""

import pytest

from .host import LAN, UPLINK
from .image import IMAGE
from .probes import fetch, serve_command
from .questions import asks, lookup
from .runtime import Runtime, RuntimeContainer

HOLD = "exec 3<>/dev/tcp/{}/{}; while read line; do echo $line >&3; read -t 10 -u 3 line; echo $line; done"


@pytest.fixture
def net(runtime: Runtime) -> Runtime:
    runtime("create", "--subnet", "10.93.0.0/24", "mynet")
    return runtime


def namespace(container: RuntimeContainer) -> str:
    return container.run("readlink", "/proc/self/ns/net")


@pytest.mark.parametrize("end", ["restart", "kill", "stop"])
def test_a_joiner_keeps_its_network_while_its_donor_restarts(net: Runtime, end: str) -> None:
    """docker's is left with a dead namespace.  A connection of the joiner's is open all the time; the donor's published
    port leads to the joiner's server before and after; the name goes and comes back."""
    donor = net.start("donor", "--network", "name=mynet,alias=giver", "-p", "8080:80")
    joiner = net.echo("joiner", "--network", "container:donor")
    peer = net.echo("peer", "--network", "mynet")
    before, address = namespace(joiner), donor.address("mynet")
    assert asks(net.host.neighbour, f"tcp,{LAN},8080") == f"joiner {UPLINK}"
    assert asks(peer.net, f"tcp,{address},80") == f"joiner {peer.address('mynet')}"
    assert asks(joiner.net, f"tcp,{peer.address('mynet')},80") == f"peer {address}"
    script = HOLD.format(peer.address("mynet"), 80)
    with net.talk("nsenter", f"--target={joiner.pid}", "--net", "bash", "-c", script) as talk:
        assert talk("who") == f"peer {address}"
        if end == "restart":
            net("restart", "-t", "0", "donor")
        else:
            net(end, *(("-t", "0") if end == "stop" else ()), "donor")
            assert lookup(peer.net, "donor", "giver") == [[], []], "nobody's name"
            assert talk("who") == f"peer {address}", "while the donor is away"
            net("start", "donor")
        assert talk("who") == f"peer {address}"
    assert namespace(joiner) == namespace(donor) == before
    assert donor.address("mynet") == address
    assert lookup(joiner.net, "peer", "donor", "giver") == [[peer.address("mynet")], [address], [address]]
    assert asks(net.host.neighbour, f"tcp,{LAN},8080") == f"joiner {UPLINK}"
    assert asks(peer.net, f"tcp,{address},80") == f"joiner {peer.address('mynet')}"


def test_the_last_one_takes_the_namespace_along(net: Runtime) -> None:
    """A donor that ends while somebody has joined keeps its address; with the last joiner it is free."""
    donor = net.start("donor", "--network", "mynet")
    net.start("joiner", "--network", "container:donor")
    address = donor.address("mynet")
    net("kill", "donor")
    assert net.start("other", "--network", "mynet").address("mynet") != address
    assert address in net.host.run("ls", "/var/lib/cni/networks/mynet").split()
    net("container", "rm", "-f", "joiner")
    assert address not in net.host.run("ls", "/var/lib/cni/networks/mynet").split()
    net("start", "donor")
    assert donor.address("mynet") == address


def test_networks_of_a_donor_change_under_its_joiner(net: Runtime) -> None:
    """A live connect is the joiner's too."""
    net("create", "--subnet", "10.94.0.0/24", "second")
    donor = net.start("donor", "--network", "mynet")
    joiner = net.start("joiner", "--network", "container:donor", words=serve_command("joiner"))
    peer = net.start("peer", "--network", "second")
    net("connect", "second", "donor")
    assert joiner.run("ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
    assert fetch(peer.run, "donor") == "joiner"
    refusal = net.fails("connect", "second", "joiner")
    assert "container" in refusal
    net("disconnect", "second", "donor")
    assert joiner.run("ls", "/sys/class/net").split() == ["eth0", "lo"]
    assert lookup(donor.net, "peer") == [[]]


def test_every_end_takes_hosts_lines_and_ports_along(net: Runtime) -> None:
    """Disconnect: the line of the file, the interface, the port; connect: all of it back."""
    web = net.serve("web", "--network", "mynet", "-p", "8080:80")
    line = f"{web.address('mynet')}\t{web.id[:12]}\n"
    assert line in web.run("cat", "/etc/hosts")
    net("disconnect", "mynet", "web")
    assert line not in web.run("cat", "/etc/hosts")
    assert web.run("ls", "/sys/class/net").split() == ["lo"]
    assert net("port", "web") == ""
    net("connect", "mynet", "web")
    assert line in web.run("cat", "/etc/hosts")
    assert fetch(net.host.neighbour, LAN, 8080) == "web"
    assert IMAGE in net("ps", "--format", "{{.Image}}")
