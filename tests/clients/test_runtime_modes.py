"""Every row of docker's mode matrix, from inside containers that `pynet run` started (contract docker 1.7, 1.8)."""

from collections.abc import Iterator

import pytest

from .host import UPLINK, UPLINK6, CommandFailed, Host
from .image import IMAGE
from .ours import command
from .polling import wait_until
from .probes import addresses, fetch, gateway, mac, pings, refused
from .runtime import Runtime

STANDARD = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
]
LOOKS = (
    "ls /sys/class/net; echo --; cat /etc/hosts; echo --; cat /etc/resolv.conf; echo --; cat /etc/hostname; hostname"
)


@pytest.fixture
def host(runtime: Runtime) -> Host:
    return runtime.host


@pytest.fixture
def resolv_conf(host: Host) -> Iterator[None]:
    """A host whose file has everything that matters; it is mounted, so it is written in place."""
    path = host.file("/etc/resolv.conf")
    before = path.read_text()
    path.write_text("nameserver 127.0.0.53\nnameserver 192.168.250.1\nnameserver fd00:250::1\nsearch example.org\n")
    yield
    path.write_text(before)


class Look:
    """What a container sees of its own network: the columns of the matrix."""

    def __init__(self, shown: str) -> None:
        interfaces, hosts, resolv_conf, names = shown.split("--\n")
        self.interfaces = [name for name in interfaces.split() if name not in ("sit0", "ip6tnl0", "tunl0", "gre0")]
        self.hosts = hosts.splitlines()
        self.comments = [line for line in resolv_conf.splitlines() if line.startswith("#")]
        self.resolv_conf = [line for line in resolv_conf.splitlines() if line and not line.startswith("#")]
        self.hostname_file, self.hostname = names.split()


def look(runtime: Runtime, name: str) -> Look:
    return Look(runtime("exec", name, "sh", "-c", LOOKS))


@pytest.mark.usefixtures("resolv_conf")
def test_bridge(runtime: Runtime, host: Host) -> None:
    web = runtime.serve("web", "-p", "8080:80")
    seen, short = look(runtime, "web"), web.id[:12]
    assert seen.interfaces == ["eth0", "lo"]
    assert seen.hosts == [*STANDARD, f"172.17.0.2\t{short}"]
    assert seen.resolv_conf == ["nameserver 192.168.250.1", "search example.org"]
    assert seen.hostname == seen.hostname_file == short
    assert fetch(host.neighbour, "192.168.250.2", 8080) == "web"
    peer = runtime.start("peer", "--hostname", "www.example.com")
    assert fetch(peer.run, "172.17.0.2") == "web"
    assert fetch(peer.run, UPLINK, 8000) == "uplink", "masqueraded on its way out"
    seen = look(runtime, "peer")
    assert seen.hosts == [*STANDARD, "172.17.0.3\twww.example.com www"]
    assert seen.hostname == seen.hostname_file == "www.example.com"
    assert gateway(peer.run) == "172.17.0.1"


def test_default_is_another_word_for_bridge(runtime: Runtime) -> None:
    web = runtime.start("web", "--network", "default")
    assert web.inspect()["HostConfig"]["NetworkMode"] == "bridge"
    assert str(addresses(web.run)[0]) == "172.17.0.2/16"


@pytest.mark.usefixtures("resolv_conf")
def test_bridge_asks_public_servers_where_the_host_has_only_loopback(runtime: Runtime) -> None:
    runtime.host.file("/etc/resolv.conf").write_text("nameserver 127.0.0.53\n")
    runtime.start("web")
    assert look(runtime, "web").resolv_conf == ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]


@pytest.mark.usefixtures("resolv_conf")
def test_user_defined(runtime: Runtime, host: Host) -> None:
    runtime("create", "--ipv6", "--subnet", "10.61.0.0/24", "--subnet", "fd00:61::/64", "mynet")
    runtime("create", "--subnet", "10.62.0.0/24", "other")
    web = runtime.serve("web", "--network", "mynet", "--network", "other", "-p", "8080:80")
    seen, short = look(runtime, "web"), web.id[:12]
    assert seen.interfaces == ["eth0", "eth1", "lo"]
    assert seen.hosts == [*STANDARD, f"10.61.0.2\t{short}", f"fd00:61::2\t{short}", f"10.62.0.2\t{short}"]
    assert seen.resolv_conf == ["nameserver 127.0.0.11", "search example.org", "options ndots:0"]
    assert "# ExtServers: [host(127.0.0.53) host(192.168.250.1) host(fd00:250::1)]" in seen.comments
    assert seen.hostname == seen.hostname_file == short
    assert fetch(host.neighbour, "192.168.250.2", 8080) == "web"
    for network in ("mynet", "other"):
        assert fetch(runtime.start(f"peer-{network}", "--network", network).run, "web") == "web"
    wait_until(lambda: pings(web.run, UPLINK6), "the bridge's own IPv6 address to be in force")
    # no address at all of a family that the network does not have (CVE-2024-32473)
    assert "inet6" not in web.run("ip", "address", "show", "dev", "eth1")


def test_internal(runtime: Runtime, host: Host) -> None:
    runtime("create", "--internal", "--subnet", "10.63.0.0/24", "inner")
    web = runtime.serve("web", "--network", "inner", "-p", "8080:80")
    seen = look(runtime, "web")
    assert (seen.interfaces, seen.hostname) == (["eth0", "lo"], web.id[:12])
    assert seen.hosts == [*STANDARD, f"10.63.0.2\t{seen.hostname}"]
    assert seen.resolv_conf[0] == "nameserver 127.0.0.11"
    assert gateway(web.run) is None
    assert runtime("port", "web") == ""
    peer = runtime.start("peer", "--network", "inner", "--cap-add", "NET_ADMIN")
    assert fetch(peer.run, "web") == "web"
    assert refused(host.neighbour, "192.168.250.2", 8080)
    # not even with a default route of its own making (S12)
    peer.run("ip", "route", "add", "default", "via", "10.63.0.1")
    assert not pings(peer.run, UPLINK)


@pytest.mark.usefixtures("resolv_conf")
def test_host(runtime: Runtime, host: Host) -> None:
    web = runtime.serve("web", "--network", "host")
    seen = look(runtime, "web")
    assert {"eth0", "lo", "pynet0"} <= set(seen.interfaces)
    assert seen.hosts == host.file("/etc/hosts").read_text().splitlines()
    assert seen.resolv_conf == host.file("/etc/resolv.conf").read_text().splitlines()
    assert seen.hostname == seen.hostname_file == "ring"
    assert fetch(host.neighbour, "192.168.250.2", 80) == "web"
    assert web.inspect()["NetworkSettings"]["SandboxKey"] == ""
    more = ("--network", "host", "--add-host", "db:192.0.2.7", "--dns-search", "lan")
    shown = Look(runtime.once(*more, words=("sh", "-c", LOOKS)))
    assert shown.hosts == [*STANDARD, "192.0.2.7\tdb"]
    assert shown.resolv_conf == [
        "nameserver 127.0.0.53",
        "nameserver 192.168.250.1",
        "nameserver fd00:250::1",
        "search lan",
    ]


def test_host_drops_published_ports_with_a_warning(runtime: Runtime, host: Host) -> None:
    said = host.run("sh", "-c", f"{command('pynet')} run -d --name web --network host -p 8080:80 {IMAGE} 2>&1")
    assert "published ports are discarded when using host network mode" in said.lower()
    assert runtime("port", "web") == ""


@pytest.mark.usefixtures("resolv_conf")
def test_none(runtime: Runtime, host: Host) -> None:
    web = runtime.serve("web", "--network", "none", "-p", "8080:80", "--expose", "81")
    seen = look(runtime, "web")
    assert seen.interfaces == ["lo"]
    assert seen.hosts == STANDARD
    assert seen.resolv_conf == ["nameserver 192.168.250.1", "search example.org"]
    assert seen.hostname == seen.hostname_file == web.id[:12]
    assert runtime("port", "web") == ""
    assert fetch(web.run, "127.0.0.1") == "web"
    assert refused(host.run, "127.0.0.1", 8080)
    with pytest.raises(CommandFailed, match="Network is unreachable"):
        web.run("ping", "-c1", "-W1", UPLINK)


@pytest.mark.parametrize("mode", ["bridge", "mynet", "none", "host"])
def test_container(runtime: Runtime, mode: str) -> None:
    """The very same namespace and files, whatever the donor has; and who joins the joiner."""
    runtime("create", "--subnet", "10.61.0.0/24", "mynet")
    donor = runtime.serve("donor", "--network", mode)
    joiner = runtime.start("joiner", "--network", "container:donor")
    third = runtime.start("third", "--network", f"container:{joiner.id[:12]}")
    seen = [vars(look(runtime, name)) for name in ("donor", "joiner", "third")]
    assert seen[0] == seen[1] == seen[2]
    links = {each.run("readlink", "/proc/self/ns/net") for each in (donor, joiner, third)}
    assert len(links) == 1
    for each in (joiner, third):
        assert fetch(each.run, "127.0.0.1") == "donor"
    donor.run("sh", "-c", "echo '192.0.2.1 shared' >>/etc/hosts")
    assert "192.0.2.1 shared" in third.run("cat", "/etc/hosts")
    shown = joiner.inspect()
    assert shown["HostConfig"]["NetworkMode"] == f"container:{donor.id}"
    assert (shown["NetworkSettings"]["Networks"], shown["NetworkSettings"]["SandboxID"]) == ({}, "")
    assert shown["Config"]["Hostname"] == donor.inspect()["Config"]["Hostname"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--hostname", "web"), "--hostname"),
        (("--link", "donor:db"), "--link"),
        (("--dns", "192.0.2.53"), "--dns"),
        (("--add-host", "db:192.0.2.7"), "--add-host"),
        (("-p", "80:80"), "-p"),
        (("-P",), "-P"),
        (("--expose", "80"), "--expose"),
        (("--ip", "172.17.0.9"), "--ip"),
        (("--network-alias", "web"), "--network-alias"),
    ],
)
def test_flags_that_contradict_joining_are_named(module_donor: Runtime, flags: tuple[str, ...], words: str) -> None:
    refusal = module_donor.fails(
        "run", "-d", "--name", "joiner", "--network", "container:donor", *flags, IMAGE, status=125
    )
    assert words in refusal
    assert "joiner" not in module_donor("ps", "-a", "--format", "{{.Names}}").split()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--network", "host", "--link", "donor:db"), "--link"),
        (("--network", "host", "--sysctl", "net.ipv4.ip_forward=1"), "--sysctl net.ipv4.ip_forward"),
        (("--network", "host", "--ip", "192.0.2.1"), "--ip"),
        (("--network", "host", "--network-alias", "web"), "--network-alias"),
        (("--network", "host", "--network", "bridge"), "host"),
        (("--network", "none", "--network", "bridge"), "none"),
        (("--network", "none", "--ip", "192.0.2.1"), "--ip"),
        (("--network", "none", "--mac-address", "02:00:00:00:00:01"), "--mac-address"),
        (("--network", "host", "--mac-address", "02:00:00:00:00:01"), "mac-address and the network mode"),
        (("--network", "host", "--hostname", "web", "--uts", "host"), "--hostname"),
        (("--network", "container:"), "container:"),
        (("--network", "bridge", "--network-alias", "web"), "--network-alias"),
    ],
)
def test_flags_that_contradict_a_mode_are_named(module_donor: Runtime, flags: tuple[str, ...], words: str) -> None:
    refusal = module_donor.fails("run", "-d", "--name", "wrong", *flags, IMAGE, status=125)
    assert words in refusal
    assert "wrong" not in module_donor("ps", "-a", "--format", "{{.Names}}").split()


@pytest.fixture
def module_donor(runtime_with_image: Runtime) -> Runtime:
    """A container to join, started when the test before has not left it."""
    if "donor" not in runtime_with_image("ps", "--format", "{{.Names}}").split():
        runtime_with_image.start("donor")
    return runtime_with_image


def test_joining_takes_what_docker_takes(runtime: Runtime) -> None:
    """dns-search and dns-opt, domainname, mac and sysctl are no contradiction to docker (1.7)."""
    runtime.start("giver")
    flags = ("--dns-search", "lan", "--dns-opt", "ndots:2", "--domainname", "lan", "--mac-address", "02:00:00:00:00:01")
    joiner = runtime.start("joiner", "--network", "container:giver", *flags)
    assert str(addresses(joiner.run)[0]) == "172.17.0.2/16"


def test_a_donor_that_does_not_run_or_is_not_there(runtime: Runtime) -> None:
    runtime("container", "create", "--name", "donor", IMAGE)
    assert "donor" in runtime.fails("run", "-d", "--name", "one", "--network", "container:donor", IMAGE, status=125)
    assert "absent" in runtime.fails("run", "-d", "--name", "two", "--network", "container:absent", IMAGE, status=125)


def test_addresses_that_are_asked_for(runtime: Runtime, host: Host) -> None:
    runtime("create", "--subnet", "10.61.0.0/24", "--subnet", "fd00:61::/64", "mynet")
    flags = ("--ip", "10.61.0.77", "--ip6", "fd00:61::77", "--mac-address", "02:00:00:00:00:07")
    web = runtime.serve("web", "--network", "mynet", *flags, "--link-local-ip", "169.254.7.7")
    assert {str(each) for each in addresses(web.run)} == {"10.61.0.77/24", "169.254.7.7/16"}
    assert [str(each) for each in addresses(web.run, family=6)] == ["fd00:61::77/64"]
    assert mac(web.run) == "02:00:00:00:00:07"
    assert fetch(host.run, "10.61.0.77") == fetch(host.run, "fd00:61::77") == "web"
    runtime("restart", "-t", "0", "web")
    assert mac(web.run) == "02:00:00:00:00:07"
    assert fetch(host.run, "10.61.0.77") == fetch(host.run, "fd00:61::77") == "web"


def test_sysctls(runtime: Runtime) -> None:
    runtime("create", "--subnet", "10.61.0.0/24", "mynet")
    flags = ("--sysctl", "net.ipv4.ip_forward=0", "--sysctl", "net.ipv4.conf.eth0.log_martians=1")
    web = runtime.start("web", "--network", "mynet", *flags, "--sysctl", "net.ipv4.ip_local_port_range=4000 4999")
    paths = [f"/proc/sys/net/ipv4/{name}" for name in ("ip_forward", "conf/eth0/log_martians", "ip_local_port_range")]
    assert [line.split() for line in web.run("cat", *paths).splitlines()] == [["0"], ["1"], ["4000", "4999"]]


def test_hosts_that_are_added(runtime: Runtime) -> None:
    """host-gateway is the default network's gateway, also where the container is on another."""
    runtime("create", "--subnet", "10.61.0.0/24", "mynet")
    runtime.serve("onhost", "--network", "host")
    flags = ("--add-host", "db:192.0.2.7", "--add-host", "db:192.0.2.8", "--add-host", "machine:host-gateway")
    web = runtime.start("web", "--network", "mynet", *flags)
    added = look(runtime, "web").hosts[len(STANDARD) :]
    assert added == ["192.0.2.7\tdb", "192.0.2.8\tdb", "172.17.0.1\tmachine", f"10.61.0.2\t{web.id[:12]}"]
    assert fetch(web.run, "machine") == "onhost"


def test_links_on_the_default_network(runtime: Runtime) -> None:
    """A line of hosts and the environment docker had until version 29; the target may get another address."""
    runtime.serve("db1", "--expose", "80", "--expose", "81/udp", "-e", "COLOUR=red", "--hostname", "store")
    web = runtime.start("web", "--link", "db1:db")
    assert look(runtime, "web").hosts[len(STANDARD) :] == ["172.17.0.2\tdb store db1", f"172.17.0.3\t{web.id[:12]}"]
    environment = dict(line.split("=", 1) for line in web.run("env").splitlines() if line.startswith("DB_"))
    assert environment == {
        "DB_NAME": "/web/db",
        "DB_ENV_COLOUR": "red",
        "DB_PORT": "tcp://172.17.0.2:80",
        "DB_PORT_80_TCP": "tcp://172.17.0.2:80",
        "DB_PORT_80_TCP_ADDR": "172.17.0.2",
        "DB_PORT_80_TCP_PORT": "80",
        "DB_PORT_80_TCP_PROTO": "tcp",
        "DB_PORT_81_UDP": "udp://172.17.0.2:81",
        "DB_PORT_81_UDP_ADDR": "172.17.0.2",
        "DB_PORT_81_UDP_PORT": "81",
        "DB_PORT_81_UDP_PROTO": "udp",
    }
    assert fetch(web.run, "db") == "db1"
    runtime("stop", "-t", "0", "db1")
    runtime.start("other")
    runtime("start", "db1")
    assert fetch(web.run, "db") == "db1", "its line follows the target's new address"
    runtime("container", "rename", "db1", "db2")
    runtime("restart", "-t", "0", "web")
    assert fetch(web.run, "db") == "db1", "whatever its target is called"
    assert web.inspect()["HostConfig"]["Links"] == ["/db2:/web/db"]
    runtime("container", "rm", "--link", "web/db")
    assert (web.inspect()["HostConfig"]["Links"], look(runtime, "web").hosts[len(STANDARD) :]) == (
        None,
        [f"172.17.0.3\t{web.id[:12]}"],
    )
    refusal = runtime.fails("run", "-d", "--name", "late", "--link", "nobody:db", IMAGE, status=125)
    assert "nobody" in refusal
