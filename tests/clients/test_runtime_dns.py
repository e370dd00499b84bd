"""Every line of docker's DNS table, asked from inside real containers (contract docker 2.2, 2.5)."""

import ipaddress
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .host import UPLINK
from .polling import wait_until
from .probes import Runs, fetch
from .questions import Answer, Upstream, dig, lookup, upstream
from .runtime import Runtime, RuntimeContainer

TTL = 5
OUTSIDE = "198.51.100.1"
"""What the host's name server answers to every name."""


class Town:
    """A network with names of both families, another, and a container that is on neither."""

    def __init__(self, runtime: Runtime, server: Upstream) -> None:
        self.runtime, self.server = runtime, server
        runtime("create", "--subnet", "10.61.0.0/24", "--subnet", "fd00:61::/64", "mynet")
        runtime("create", "--subnet", "10.62.0.0/24", "a.lan")
        flags = ("--network", "name=mynet,alias=www,alias=shared", "--hostname", "www.example.com")
        self.web = runtime.serve("web", *flags)
        self.shop = runtime.serve("shop", "--network", "name=mynet,alias=shared")
        self.lan = runtime.serve("lan", "--network", "a.lan")
        self.both = runtime.start("both", "--network", "mynet", "--network", "name=a.lan,alias=deep.name")


@pytest.fixture(scope="module")
def town(module_runtime: Runtime) -> Iterator[Town]:
    module_runtime.clean()
    with upstream(
        module_runtime.host, "outside-dns", f"{UPLINK}=answers", enter=("ip", "netns", "exec", "uplink")
    ) as server:
        yield Town(module_runtime, server)


def answered(run: Runs, question: str) -> Answer:
    (answer,) = dig(run, question)
    assert answer is not None, question
    return answer


def test_every_name_of_a_container(town: Town) -> None:
    """Container name, alias, short id, host name; alone and with the network's name; whatever the case."""
    short = town.web.id[:12]
    for name in ("web", "www", short, "www.example.com"):
        forms = (name, f"{name}.", name.upper(), f"{name}.mynet", f"{name}.MyNet.")
        for asker in (town.shop, town.both, town.web):
            assert lookup(asker.net, *forms) == [["10.61.0.2"]] * len(forms), (name, asker.name)
    assert town.web.inspect()["NetworkSettings"]["Networks"]["mynet"]["DNSNames"] == [
        "web",
        "www",
        "shared",
        short,
        "www.example.com",
    ]
    assert fetch(town.shop.run, "www.example.com") == "web"
    # through the container's own resolver library
    assert "10.61.0.2" in town.shop.run("nslookup", "web")


def test_the_shape_of_an_answer(town: Town) -> None:
    for tcp in (False, True):
        (found,) = dig(town.shop.net, {"name": "wEb.mYnet", "tcp": tcp})
        assert found is not None
        assert found.records == (("wEb.mYnet.", "A", TTL, "10.61.0.2"),)
        assert (found.rcode, found.flags, found.edns, found.authority) == ("NOERROR", "qr rd ra", False, 0)
    (found,) = dig(town.shop.net, {"name": "web", "edns": 4096})
    assert found is not None and not found.edns and found.data == ["10.61.0.2"]
    assert answered(town.shop.net, "web AAAA").records == (("web.", "AAAA", TTL, "fd00:61::2"),)


def test_a_known_name_without_the_family_has_no_records(town: Town) -> None:
    for question in ("lan AAAA", "lan.a.lan AAAA", "web MX"):
        found = answered((town.lan if "lan" in question else town.shop).net, question)
        assert (found.rcode, found.records) == ("NOERROR", ()), question
        assert town.server.asked(question.split()[0]) == [] or question == "web MX"
    assert "MX" not in [words[4] for words in town.server.asked("web")]


def test_other_types_are_forwarded_also_for_known_names(town: Town) -> None:
    for kind in ("TXT", "SRV", "ANY", "CNAME", "NS", "SOA", "HTTPS"):
        found = answered(town.shop.net, f"web {kind}")
        assert (found.rcode, found.records) == ("NOERROR", ()), kind
    assert {words[4] for words in town.server.asked("web")} == {"TXT", "SRV", "ANY", "CNAME", "NS", "SOA", "HTTPS"}


def test_unknown_names_are_forwarded(town: Town) -> None:
    for kind, data in (("A", OUTSIDE), ("AAAA", "2001:db8::1")):
        found = answered(town.shop.net, f"elsewhere {kind}")
        assert found.records == (("elsewhere.", kind, 77, data),)
    assert answered(town.shop.net, "elsewhere MX").rcode == "NOERROR"
    assert [words[4] for words in town.server.asked("elsewhere")] == ["A", "AAAA", "MX"]
    assert answered(town.shop.net, "nx.example.org").rcode == "NXDOMAIN"


def test_names_of_other_networks_are_unknown(town: Town) -> None:
    for name in ("lan", "lan.a.lan", "both.a.lan", "deep.name"):
        assert lookup(town.web.net, name) == [[OUTSIDE]]
    for name in ("web", "web.mynet", "www.example.com", town.web.id[:12]):
        assert lookup(town.lan.net, name) == [[OUTSIDE]]


def test_reverse_lookup(town: Town) -> None:
    questions = {
        "2.0.61.10.in-addr.arpa": "web.mynet.",
        "3.0.61.10.IN-ADDR.arpa": "shop.mynet.",
        ipaddress.ip_address("fd00:61::2").reverse_pointer: "web.mynet.",
    }
    for asker in (town.shop, town.both):
        for name, data in questions.items():
            found = answered(asker.net, f"{name} PTR")
            assert [record[1:] for record in found.records] == [("PTR", TTL, data)], name
    # other networks' addresses, gateways, and nobody's are the server's to tell
    for name in ("2.0.62.10.in-addr.arpa", "1.0.61.10.in-addr.arpa", "99.0.61.10.in-addr.arpa"):
        assert answered(town.web.net, f"{name} PTR").records == ()
        assert [words[4] for words in town.server.asked(name)] == ["PTR"]
    for name in ("x.0.61.10.in-addr.arpa", "256.0.61.10.in-addr.arpa"):
        assert answered(town.web.net, f"{name} PTR").rcode == "SERVFAIL", name
        assert town.server.asked(name) == []


def test_names_with_dots_and_networks_with_dots(town: Town) -> None:
    """The whole name first, then the rest as a network's name (2.2)."""
    address = town.both.address("a.lan")
    for name in ("deep.name", "deep.name.a.lan", "both.a.lan"):
        assert lookup(town.lan.net, name) == [[address]], name
    assert lookup(town.both.net, "both.mynet", "both.a.lan") == [["10.61.0.4"], [address]]


def test_the_first_network_that_knows_a_name_answers_alone(town: Town) -> None:
    """Networks in the order of default gateways: a.lan comes first, and changes place when it gets a lower priority."""
    runtime = town.runtime
    runtime.start("first", "--network", "name=a.lan,alias=here")
    runtime.start("second", "--network", "name=mynet,alias=here")
    first, second = (RuntimeContainer(runtime, name) for name in ("first", "second"))
    here = [[first.address("a.lan")]]
    # both has a network of both families, which goes before names in byte order
    assert lookup(town.both.net, "here") == [[second.address("mynet")]]
    assert lookup(town.both.net, "here.a.lan") == here
    asker = runtime.start("asker", "--network", "name=mynet,gw-priority=1", "--network", "name=a.lan,gw-priority=2")
    assert lookup(asker.net, "here") == here
    runtime("container", "rm", "-f", "first", "second", "asker")


def test_a_shared_alias_gives_everyone_in_any_order(town: Town) -> None:
    found = {tuple(record[3] for record in answered(town.both.net, "shared").records) for _ in range(16)}
    assert found == {("10.61.0.2", "10.61.0.3"), ("10.61.0.3", "10.61.0.2")}


def test_links_are_private_and_come_first(town: Town) -> None:
    """`--link` on a network: a name only its own container knows; the target need not be there yet."""
    runtime = town.runtime
    client = runtime.start("client", "--network", "mynet", "--link", "shop:web", "--link", "later:soon")
    try:
        for name in ("web", "web.mynet"):
            assert lookup(client.net, name) == [["10.61.0.3"]]
            assert lookup(town.both.net, name) == [["10.61.0.2"]]
        assert fetch(client.run, "web") == "shop"
        assert lookup(client.net, "soon") == [[OUTSIDE]]
        runtime.start("later", "--network", "mynet")
        later = RuntimeContainer(runtime, "later").address("mynet")
        assert lookup(client.net, "soon", "soon.mynet") == [[later], [later]]
        assert lookup(town.both.net, "soon") == [[OUTSIDE]]
    finally:
        runtime("container", "rm", "-f", "client", "later")


def test_names_of_the_host(town: Town) -> None:
    """What docker has on the desktop only."""
    for name in ("host.docker.internal", "gateway.docker.internal"):
        assert lookup(town.web.net, name) == [["10.61.0.1"]]
        assert lookup(town.lan.net, name) == [["10.62.0.1"]]
    town.runtime.serve("onhost", "--network", "host")
    try:
        assert fetch(town.web.run, "host.docker.internal") == "onhost"
    finally:
        town.runtime("container", "rm", "-f", "onhost")
    town.runtime.start("own", "--network", "name=mynet,alias=host.docker.internal")
    assert lookup(town.web.net, "host.docker.internal") != [["10.61.0.1"]]
    town.runtime("container", "rm", "-f", "own")


def test_many_addresses_are_cut_over_udp_and_whole_over_tcp(town: Town) -> None:
    """20 AAAA records do not fit into 512 bytes; in between the client's EDNS decides."""
    runtime, count = town.runtime, 20
    names = [f"many{number}" for number in range(count)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: runtime.start(name, "--network", "name=mynet,alias=many"), names))
    try:
        small, middle, large, tcp = dig(
            town.web.net,
            {"name": "many", "type": "AAAA"},
            {"name": "many", "type": "AAAA", "edns": 520},
            {"name": "many", "type": "AAAA", "edns": 4096},
            {"name": "many", "type": "AAAA", "tcp": True},
        )
        assert small and middle and large and tcp
        assert small.flags == middle.flags == "qr tc rd ra"
        assert small.size <= 512 < small.size + 28 and len(small.records) == 17
        assert len(middle.records) == 17 and middle.size <= 520
        assert large.flags == tcp.flags == "qr rd ra"
        assert len(large.data) == count and large.data == tcp.data
        # and the container's own resolver library gets along with it
        assert town.shop.run("nslookup", "-type=aaaa", "many").count("Address: fd00:61::") in (17, count)
    finally:
        runtime("container", "rm", "-f", *names)


def test_what_a_question_cannot_do(town: Town) -> None:
    """The server goes on after what is no question."""
    (found,) = dig(town.web.net, {"name": "", "raw": "3f6162", "seconds": 0.3})
    assert found is None or found.rcode in ("FORMERR", "SERVFAIL")
    assert lookup(town.web.net, "shop") == [["10.61.0.3"]]


def test_pause_keeps_a_name_and_everything_else_takes_it(town: Town) -> None:
    """Stop, kill, rename, disconnect, remove: at once, seen by the first question after the command (2.5)."""
    runtime = town.runtime
    town.server.service.alive()
    target = runtime.start("target", "--network", "name=mynet,alias=goal", "--stop-timeout", "0")
    here = [[target.address("mynet")]] * 2

    def names(*wanted: str) -> list[list[str]]:
        return lookup(town.web.net, *(wanted or ("target", "goal")))

    gone = [[OUTSIDE]] * 2
    assert names() == here
    runtime("container", "pause", "target")
    assert names() == here
    runtime("container", "unpause", "target")
    runtime("stop", "target")
    assert names() == gone
    runtime("start", "target")
    assert names() == here
    runtime("kill", "target")
    assert names() == gone
    runtime("start", "target")
    runtime("container", "rename", "target", "renamed")
    assert names("target", "renamed", "goal") == [[OUTSIDE], *here]
    runtime("disconnect", "mynet", "renamed")
    assert names("renamed", "goal") == gone
    runtime("connect", "--alias", "again", "mynet", "renamed")
    there = [RuntimeContainer(runtime, "renamed").address("mynet")]
    assert names("renamed", "again", "goal") == [there, there, [OUTSIDE]]
    runtime("container", "rm", "-f", "renamed")
    assert names("renamed", "again") == gone


def test_a_process_that_ends_by_itself_takes_its_name_along(town: Town) -> None:
    runtime = town.runtime
    runtime.start("brief", "--network", "mynet", words=("sh", "-c", "mkfifo /tmp/end; cat /tmp/end"))
    address = RuntimeContainer(runtime, "brief").address("mynet")
    assert lookup(town.web.net, "brief") == [[address]]
    runtime("exec", "brief", "sh", "-c", "echo >/tmp/end")
    wait_until(lambda: lookup(town.web.net, "brief") == [[OUTSIDE]], "the name to go with its process", 5)
    runtime("container", "rm", "brief")


def test_records_are_there_before_the_process_runs(town: Town) -> None:
    """The very first thing a container does is look itself and a neighbour up."""
    said = town.runtime.once(
        "--network", "mynet", "--name", "early", words=("sh", "-c", "nslookup -type=a early; nslookup -type=a web")
    )
    assert said.count("Name:\tearly") == 1 and "Address: 10.61.0.2" in said, said
