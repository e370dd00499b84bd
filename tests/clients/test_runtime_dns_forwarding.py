"""Whom the embedded name server asks, from where, and whom it never asks (contract docker 2.3, 2.4)."""

from collections.abc import Iterator

import pytest

from .host import UPLINK, Host, Service
from .polling import wait_until
from .questions import MOUNTS, Answer, Upstream, dig, lookup, upstream
from .runtime import Runtime, RuntimeContainer

SERVERS = {1: "answers", 3: "servfail", 4: "refused", 5: "silent", 6: "answers"}
"""What the neighbour's addresses 192.168.250.N do."""


@pytest.fixture(scope="module")
def server(module_runtime: Runtime) -> Iterator[Upstream]:
    """One machine with name servers of every temper."""
    host = module_runtime.host
    for number in SERVERS:
        if number != 1:
            host.neighbour("ip", "address", "replace", f"192.168.250.{number}/24", "dev", "eth0")
    servers = [f"192.168.250.{number}={behaviour}" for number, behaviour in SERVERS.items()]
    with upstream(host, "outside-dns", *servers, enter=("ip", "netns", "exec", "uplink")) as made:
        yield made


@pytest.fixture(scope="module")
def net(module_runtime: Runtime, server: Upstream) -> Runtime:
    """Two networks, and one that leads nowhere."""
    server.service.alive()
    module_runtime.clean()
    module_runtime("create", "--subnet", "10.61.0.0/24", "mynet")
    module_runtime("create", "--subnet", "10.62.0.0/24", "--internal", "inner")
    return module_runtime


@pytest.fixture
def asking(net: Runtime) -> Iterator[Runtime]:
    """Without containers, and with the host's own list of servers."""
    path = net.host.file("/etc/resolv.conf")
    before = path.read_text()
    yield net
    path.write_text(before)
    names = net("ps", "-aq").split()
    if names:
        net("container", "rm", "-f", *names)


def ask_of(host: Host, *numbers: int, more: str = "") -> None:
    """Write the host's resolv.conf; it is mounted, so in place."""
    lines = [f"nameserver 192.168.250.{number}\n" for number in numbers]
    host.file("/etc/resolv.conf").write_text("".join(lines) + more)


def first(container: RuntimeContainer, *questions: str) -> list[Answer]:
    found = dig(container.net, *questions)
    assert None not in found
    return [each for each in found if each]


def test_the_hosts_servers_are_asked_from_the_host_so_that_a_stub_works(asking: Runtime) -> None:
    """systemd-resolved's 127.0.0.53 is the host's, and can be asked from nowhere else."""
    asking.host.file("/etc/resolv.conf").write_text("nameserver 127.0.0.53\n")
    web = asking.start("web", "--network", "mynet")
    with upstream(asking.host, "stub-dns", "127.0.0.53=answers") as stub:
        assert lookup(web.net, "stub.example") == [["198.51.100.53"]]
        assert [words[:3] for words in stub.asked("stub.example")] == [["127.0.0.53", "udp", "127.0.0.1"]]


def test_servers_of_the_containers_own_are_asked_from_inside(asking: Runtime, server: Upstream) -> None:
    """One that is a container on the same network sees the client's address there."""
    inside = resolver(asking, server.service, "--network", "mynet", "--ip", "10.61.0.53", at="10.61.0.53")
    web = asking.start("web", "--network", "mynet", "--dns", "10.61.0.53")
    assert lookup(web.net, "inside.example") == [["198.51.100.53"]]
    assert [words[:3] for words in inside.asked("inside.example")] == [["10.61.0.53", "udp", web.address("mynet")]]
    assert server.asked("inside.example") == []
    assert lookup(web.net, "resolver") == [["10.61.0.53"]]
    # outside the container's address is masqueraded, and it is asked all the same
    other = asking.start("other", "--network", "mynet", "--dns", "192.168.250.6")
    assert lookup(other.net, "masked.example") == [["198.51.100.6"]]


def test_a_question_is_passed_on_byte_for_byte_with_its_protocol(asking: Runtime, server: Upstream) -> None:
    web = asking.start("web", "--network", "mynet")
    for tcp in (False, True):
        (found,) = dig(web.net, {"name": "ByTes.example", "tcp": tcp, "edns": 1400})
        assert found is not None and found.records == (("ByTes.example.", "A", 77, "198.51.100.1"),)
    udp, tcp_query = server.asked("ByTes.example")
    assert (udp[1], tcp_query[1]) == ("udp", "tcp")
    assert udp[5] == tcp_query[5]
    assert udp[5].endswith("00002905780000" + "00000000"), "with its OPT record"


def test_a_truncated_answer_is_passed_on_and_not_asked_again(asking: Runtime, server: Upstream) -> None:
    web = asking.start("web", "--network", "mynet")
    udp, tcp = dig(web.net, {"name": "cut.example"}, {"name": "cut.example", "tcp": True})
    assert udp and tcp
    assert (udp.flags, udp.records) == ("qr tc rd ra", ())
    assert tcp.data == ["198.51.100.1"]
    assert sorted(words[1] for words in server.asked("cut.example")) == ["tcp", "udp"]


@pytest.mark.parametrize("tcp", [False, True])
def test_the_next_server_after_a_failure_or_a_refusal(asking: Runtime, server: Upstream, tcp: bool) -> None:
    ask_of(asking.host, 3, 4, 6)
    web = asking.start("web", "--network", "mynet")
    name = f"next-{tcp}.example"
    (found,) = dig(web.net, {"name": name, "tcp": tcp})
    assert found is not None and found.data == ["198.51.100.6"]
    assert [words[0] for words in server.asked(name)] == [f"192.168.250.{number}" for number in (3, 4, 6)]
    # a server that nobody runs says so at once
    asking.host.file("/etc/resolv.conf").write_text("nameserver 192.168.250.2\nnameserver 192.168.250.6\n")
    (found,) = dig(web.net, {"name": f"closed-{name}", "tcp": tcp})
    assert found is not None and found.data == ["198.51.100.6"]


def test_three_servers_and_no_more(asking: Runtime, server: Upstream) -> None:
    ask_of(asking.host, 3, 4, 2, 6)
    web = asking.start("web", "--network", "mynet")
    (found,) = first(web, "fourth.example")
    assert (found.rcode, "ra" in found.flags.split()) == ("SERVFAIL", False)
    assert "192.168.250.6" not in [words[0] for words in server.asked("fourth.example")]


def test_a_name_that_does_not_exist_ends_the_search(asking: Runtime, server: Upstream) -> None:
    ask_of(asking.host, 1, 6)
    web = asking.start("web", "--network", "mynet")
    (found,) = first(web, "nx.example")
    assert (found.rcode, [words[0] for words in server.asked("nx.example")]) == ("NXDOMAIN", ["192.168.250.1"])


def test_a_dead_server_costs_one_time_out_and_not_one_for_each_question(asking: Runtime, server: Upstream) -> None:
    ask_of(asking.host, 5, 6)
    web = asking.start("web", "--network", "mynet")
    assert lookup(web.net, "slow.example") == [["198.51.100.6"]]
    (found,) = dig(web.net, {"name": "quick.example", "seconds": 3.5})
    assert found is not None and found.data == ["198.51.100.6"]
    assert server.asked("slow.example")[0][0] == "192.168.250.5"


def test_the_hosts_file_is_followed_while_the_container_runs(asking: Runtime) -> None:
    web = asking.start("web", "--network", "mynet")
    assert lookup(web.net, "moves.example") == [["198.51.100.1"]]
    ask_of(asking.host, 6)
    assert lookup(web.net, "moves.example") == [["198.51.100.6"]]


def test_single_words_stay_here_where_ndots_was_set_on_purpose(asking: Runtime, server: Upstream) -> None:
    web = asking.start("web", "--network", "mynet", "--dns-opt", "ndots:1")
    for kind in ("A", "AAAA"):
        (found,) = first(web, f"word {kind}")
        assert (found.rcode, found.records) == ("NOERROR", ())
    assert server.asked("word") == []
    assert lookup(web.net, "two.words") == [["198.51.100.1"]]
    assert "options ndots:1\n" in web.run("cat", "/etc/resolv.conf")
    # without, even a single word goes out
    other = asking.start("other", "--network", "mynet")
    assert lookup(other.net, "word") == [["198.51.100.1"]]
    # and the host's own file is as good a place to say so
    ask_of(asking.host, 1, more="options ndots:1\n")
    third = asking.start("third", "--network", "mynet")
    assert lookup(third.net, "single") == [[]]
    assert server.asked("single") == []


def test_search_domains(asking: Runtime) -> None:
    ask_of(asking.host, 1, more="search example.org\n")
    for flags, line in (((), "search example.org\n"), (("--dns-search", "lan"), "search lan\n")):
        name = f"web{len(flags)}"
        assert line in asking.start(name, "--network", "mynet", *flags).run("cat", "/etc/resolv.conf")
    none = asking.start("none", "--network", "mynet", "--dns-search", ".")
    assert "search" not in none.run("cat", "/etc/resolv.conf").split("# Based")[0]


def resolver(runtime: Runtime, service: Service, *flags: str, at: str) -> Upstream:
    """A name server that is a container: returns when it serves at this address."""
    log = runtime.host.scratch / f"{at}.questions"
    log.write_text("")
    words = ("/usr/bin/python3", "-S", "-B", "/inside/upstream.py", "/log", f"{at}=answers")
    runtime.start("resolver", *MOUNTS, *flags, "-v", f"{log}:/log", "--cap-add", "NET_RAW", words=words)
    wait_until(lambda: "ready" in log.read_text(), "the container to serve")
    return Upstream(service, log)


def packets(server: Upstream, container: RuntimeContainer, marker: str) -> list[list[str]]:
    """Packets to port 53 until now: everything up to a question that the host itself asks last."""
    host = container.runtime.host
    before = len(server.lines("packet"))
    (found,) = dig(host.run, {"name": marker, "server": UPLINK})
    assert found is not None and found.data
    seen = server.lines("packet")
    assert len(seen) == before + 1, "a packet was still under way"
    return seen[:-1]


def test_internal_networks_let_no_question_out(asking: Runtime, server: Upstream) -> None:
    """CVE-2024-29018: SERVFAIL at once, and not one packet at the server; until an ordinary network is connected."""
    web = asking.start("web", "--network", "inner")
    peer = asking.start("peer", "--network", "inner")
    before = packets(server, web, "before.example")
    questions = [{"name": f"secret{number}.example", "tcp": number % 2 == 1, "seconds": 3.5} for number in range(6)]
    for found in dig(web.net, *questions, {"name": "secret", "type": "TXT", "seconds": 3.5}):
        assert found is not None
        assert (found.rcode, found.flags) == ("SERVFAIL", "qr rd")
    assert lookup(web.net, "peer") == [[peer.address("inner")]]
    after = packets(server, web, "after.example")
    assert after[len(before) :] == [["udp", "192.168.250.2", UPLINK]], "the first marker, and nothing else"
    assert [words for words in server.lines("query") if "secret" in words[3]] == []

    asking("connect", "mynet", "web")
    assert lookup(web.net, "secret.example") == [["198.51.100.1"]]
    assert first(peer, "secret.example")[0].rcode == "SERVFAIL"
    asking("disconnect", "mynet", "web")
    assert first(web, "secret.example")[0].rcode == "SERVFAIL"
    asking("disconnect", "inner", "web")
    assert first(web, "secret.example")[0].rcode == "SERVFAIL", "without any network"


def test_an_internal_container_asks_its_own_servers_where_they_are_within_reach(
    asking: Runtime, server: Upstream
) -> None:
    resolver(asking, server.service, "--network", "inner", "--ip", "10.62.0.53", at="10.62.0.53")
    web = asking.start("web", "--network", "inner", "--dns", "10.62.0.53", "--dns", UPLINK)
    assert lookup(web.net, "inner.example") == [["198.51.100.53"]]


def test_the_default_network_has_no_names(asking: Runtime, server: Upstream) -> None:
    """Not even 127.0.0.11; connecting a network brings both, while the container runs."""
    web, peer = asking.start("web"), asking.start("peer")
    assert dig(web.net, {"name": "peer", "seconds": 1}) == [None]
    assert "nameserver 127.0.0.11" not in web.run("cat", "/etc/resolv.conf")
    for container in (web, peer):
        asking("connect", "mynet", container.name)
    assert lookup(web.net, "peer", "peer.mynet") == [[peer.address("mynet")]] * 2
    assert "nameserver 127.0.0.11" in web.run("cat", "/etc/resolv.conf")
    assert "Address: " + peer.address("mynet") in web.run("nslookup", "-type=a", "peer")
    server.service.alive()


def test_the_containers_own_port_53_is_its_own(asking: Runtime, server: Upstream) -> None:
    """The redirection leaves 127.0.0.11:53 and 0.0.0.0:53 free, as docker's does."""
    resolver(asking, server.service, "--network", "mynet", at="0.0.0.0")
    web, own = asking.start("web", "--network", "mynet"), RuntimeContainer(asking, "resolver")
    (found,) = dig(web.net, {"name": "direct.example", "server": own.address("mynet")})
    assert found is not None and found.data == ["198.51.100.0"]
    assert lookup(own.net, "web") == [[web.address("mynet")]]
