"""The name server as a process, asked by containers with real packets (contract docker chapter 2)."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from dns_city import City, Container

from pycni.names import PORT, RESOLVER
from pycni.spec.address import Address

TIMEOUT = 4.0


@pytest.fixture
def city(netns: Callable[[], Any], tmp_path: Path) -> Iterator[City]:
    made = City(netns, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("tcp", [False, True])
def test_containers_find_each_other(city: City, tcp: bool) -> None:
    web = Container(city, "web", 2)
    client = Container(city, "client", 3)
    stranger = Container(city, "stranger", 4, network="other")
    upstream = city.upstream()
    for asker in (web, client):
        assert asker.ask("web", tcp=tcp) == ["10.1.0.2"]
        assert asker.ask("WEB.mynet.", tcp=tcp) == ["10.1.0.2"]
        assert asker.ask("web", "AAAA", tcp=tcp) == []
        assert asker.ask("2.0.1.10.in-addr.arpa", "PTR", tcp=tcp) == ["web.mynet."]
    assert upstream.asked == []
    assert stranger.ask("web", tcp=tcp) == ["198.51.100.2"]
    assert upstream.asked == [("web", "192.0.2.1", "tcp" if tcp else "udp")]


def test_answers_are_short_lived_offer_recursion_and_keep_the_questions_case(city: City) -> None:
    web = Container(city, "web", 2)
    for _ in range(2):  # the second one from memory
        answer = web.query("wEb", use_edns=0)
        assert answer.answer[0].ttl == 5
        assert answer.question[0].name.to_text() == "wEb."
        assert answer.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
        assert answer.edns == -1


def test_many_addresses_go_round_and_are_cut_to_fit(city: City) -> None:
    others = tuple(Address.parse(f"10.1.0.{n}") for n in range(100, 140))
    web = Container(city, "web", 2, names=("app",), addresses=others)
    cut = web.query("app")
    assert (len(cut.answer[0]), bool(cut.flags & dns.flags.TC)) == (30, True)
    for whole in (web.query("app", tcp=True), web.query("app", use_edns=0, payload=4096)):
        assert (len(whole.answer[0]), bool(whole.flags & dns.flags.TC)) == (40, False)
    firsts = [web.ask("app", tcp=True)[0] for _ in range(40)]
    assert sorted(firsts) == sorted(map(str, others))


@pytest.mark.parametrize(("mtu", "first", "later"), [(65536, 4 + 12, 12), (576, 4 + 14 + 9, 15 + 9)])
def test_questions_asked_at_once_are_each_answered(city: City, mtu: int, first: int, later: int) -> None:
    """Answers of one size for one client leave together: four sizes for three clients, but for those that are not
    known yet, and those that are larger than the device's packets."""
    others = tuple(Address.parse(f"10.1.0.{n}") for n in range(100, 140))
    web = Container(city, "web", 2, names=("web", "another-name"), addresses=others[:1])
    Container(city, "crowd", 3, names=("crowd",), addresses=others)
    web.space.run(["ip", "link", "set", "lo", "mtu", str(mtu)])
    questions = [("web", "A"), ("web", "AAAA"), ("another-name", "A"), ("crowd", "A")] * 5
    firsts = set()
    for expected in (first, later, later):
        before = _sent(web)
        for answers in web.at_once(city, questions):
            assert [sum(map(len, answer.answer)) for answer in answers] == [1, 0, 1, 40] * 5
            firsts |= {answer.answer[0][0].to_text() for answer in answers[3::4]}
        assert _sent(web) - before == 3 * len(questions) + expected
    assert firsts == set(map(str, others))


def _sent(container: Container) -> int:
    """How often a datagram was given to the kernel in the container's namespace (RFC 4113 udpOutDatagrams)."""
    lines = container.space.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index("OutDatagrams")])


@pytest.mark.parametrize("tcp", [False, True])
def test_the_hosts_servers_are_asked_from_the_host_and_given_ones_from_inside(city: City, tcp: bool) -> None:
    upstream = city.upstream()
    protocol = "tcp" if tcp else "udp"
    plain = Container(city, "plain", 2)
    assert plain.ask("a.example", tcp=tcp) == ["198.51.100.2"]
    given = Container(city, "given", 3, servers=("192.0.2.2",))
    assert given.ask("b.example", tcp=tcp) == ["198.51.100.2"]
    assert upstream.asked == [("a.example", "192.0.2.1", protocol), ("b.example", "10.1.0.3", protocol)]


def test_answers_come_back_as_they_are_and_the_edns_of_the_question_goes_up(city: City) -> None:
    upstream = city.upstream()
    upstream.padding = 60
    web = Container(city, "web", 2)
    answer = web.query("big.example", use_edns=0, payload=4096, id=4711)
    assert len(answer.answer[0]) == 61
    assert answer.id == 4711
    assert answer.edns == 0
    upstream.behave = dns.rcode.NXDOMAIN
    assert web.ask("no.example") == "NXDOMAIN"


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_the_next_server_is_asked_after_a_failure_and_not_after_nxdomain(city: City, code: dns.rcode.Rcode) -> None:
    first, second = city.upstream(2), city.upstream(3)
    city.resolv_conf.write_text("nameserver 192.0.2.4\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n")
    web = Container(city, "web", 2)
    first.behave = code
    # nothing listens at .4, which is known at once
    assert web.ask("a.example") == ["198.51.100.3"]
    first.behave = dns.rcode.NXDOMAIN
    assert web.ask("b.example") == "NXDOMAIN"
    assert (first.names(), second.names()) == (["a.example", "b.example"], ["a.example"])
    first.behave = second.behave = code
    failed = web.query("c.example")
    assert failed.rcode() == dns.rcode.SERVFAIL
    assert not failed.flags & dns.flags.RA


def test_a_dead_server_costs_one_time_out(city: City) -> None:
    dead, alive = city.upstream(2), city.upstream(3)
    dead.behave = "silent"
    city.resolv_conf.write_text("nameserver 192.0.2.2\nnameserver 192.0.2.3\n")
    web = Container(city, "web", 2)
    begin = time.monotonic()
    assert web.ask("a.example", seconds=2 * TIMEOUT) == ["198.51.100.3"]
    assert TIMEOUT <= time.monotonic() - begin < 1.5 * TIMEOUT
    for number in range(20):
        assert web.ask(f"b{number}.example", seconds=1) == ["198.51.100.3"]
    assert dead.names() == ["a.example"]
    assert len(alive.asked) == 21


def test_internal_networks_are_told_nothing_and_tell_nobody(city: City) -> None:
    upstream = city.upstream()
    web = Container(city, "web", 2, external=False)
    failed = web.query("a.example")
    assert failed.rcode() == dns.rcode.SERVFAIL
    assert web.ask("web") == ["10.1.0.2"]
    assert upstream.asked == []
    web.change(external=True)
    assert web.ask("a.example") == ["198.51.100.2"]
    web.change(external=False)
    assert web.ask("a.example") == "SERVFAIL"
    assert upstream.names() == ["a.example"]


def test_the_hosts_resolv_conf_is_followed_live(city: City) -> None:
    city.upstream(2)
    city.upstream(3)
    web = Container(city, "web", 2)
    assert web.ask("a.example") == ["198.51.100.2"]
    city.resolv_conf.write_text("nameserver 192.0.2.3\n#\n")
    assert web.ask("a.example") == ["198.51.100.3"]
    city.resolv_conf.unlink()
    assert web.ask("a.example") == "SERVFAIL"


def test_names_come_and_go_at_once(city: City) -> None:
    city.upstream()
    client, web = Container(city, "client", 3), Container(city, "web", 2)
    assert client.ask("web") == ["10.1.0.2"]
    web.change(names=("shop",))
    assert client.ask("web") == ["198.51.100.2"]
    assert client.ask("shop") == ["10.1.0.2"]
    city.store.remove(web.key)
    # nobody tells it: the file's removal does
    assert city.eventually(lambda: client.ask("shop") == ["198.51.100.2"])
    with pytest.raises(ConnectionRefusedError):
        web.query("web")


def test_a_container_that_ended_without_being_detached_loses_its_names(city: City) -> None:
    city.upstream()
    client, web = Container(city, "client", 3), Container(city, "web", 2)
    process = web.space.start(["/bin/sleep", "1000"])
    try:
        assert city.eventually(lambda: os.stat(f"/proc/{process.pid}/ns/net").st_ino == os.fstat(web.space.fd).st_ino)
        city.store.put(web.attachment.replace(netns=f"/proc/{process.pid}/ns/net"))
        assert city.control(f"sync {web.key}") == {}
        # the first path is kept while it is good; a new start takes the new one
        city.process.kill()
        city.process = city.start()
        assert client.ask("web") == ["10.1.0.2"]
    finally:
        process.kill()
        process.wait()
    assert city.eventually(lambda: client.ask("web") == ["198.51.100.2"], 0.5)
    assert "ended" in city.control(f"sync {web.key}")["error"]


def test_a_namespace_whose_path_is_gone_is_let_go(city: City) -> None:
    city.upstream()
    client, web = Container(city, "client", 3), Container(city, "web", 2)
    held = city.process.descriptors()
    web.space.close()
    assert city.eventually(lambda: client.ask("web") == ["198.51.100.2"], 4)
    assert city.eventually(lambda: city.process.descriptors() < held)


def test_another_namespace_at_the_path_is_not_entered(city: City) -> None:
    web, other = Container(city, "web", 2), Container(city, "other", 3)
    city.store.put(web.attachment.replace(sandbox="n123456789abc", netns=other.space.path))
    key = next(key for key in city.store.names() if key.startswith("n123456789abc."))
    assert city.control(f"sync {key}")["error"] == f"another namespace is at {other.space.path}"


def test_the_directory_may_be_removed_and_made_again(city: City) -> None:
    city.upstream()
    web, client = Container(city, "web", 2), Container(city, "client", 3)
    shutil.rmtree(city.store.directory)
    assert city.eventually(lambda: city.control("status")["attachments"] == 0)
    for each in (web, client):
        each.change()
    assert client.ask("web") == ["10.1.0.2"]


def test_a_busy_container_does_not_hold_up_another(city: City) -> None:
    """One floods with names that are forwarded into silence, and with rubbish; the other is answered all the while."""
    upstream = city.upstream()
    upstream.behave = "silent"
    busy, quiet = Container(city, "busy", 2), Container(city, "quiet", 3)
    stop = threading.Event()

    def flood() -> None:
        with busy.socket(socket.SOCK_DGRAM) as sock:
            number = 0
            while not stop.is_set():
                number += 1
                sock.sendto(dns.message.make_query(f"x{number}.example", "A").to_wire(), (RESOLVER, PORT))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        # as many as may be under way are, and more come
        assert city.eventually(lambda: bool(set(city.control("status")["counters"]) & {"no server", "overload"}), 20)
        waits = []
        for _ in range(100):
            begin = time.monotonic()
            assert quiet.ask("busy", seconds=2) == ["10.1.0.2"]
            waits.append(time.monotonic() - begin)
    finally:
        stop.set()
        thread.join()
    assert sorted(waits)[95] < 0.25  # the flood itself takes one of two processors


def test_killed_and_started_again_it_answers_as_before_within_a_second(city: City) -> None:
    web, client = Container(city, "web", 2), Container(city, "client", 3)
    city.process.kill()
    with pytest.raises(ConnectionRefusedError):
        client.query("web")
    begin = time.monotonic()
    city.process = city.start()
    assert client.ask("web") == ["10.1.0.2"]
    assert time.monotonic() - begin < 1
    assert web.ask("client") == ["10.1.0.3"]
    late = Container(city, "late", 4)
    assert client.ask("late") == [late.address]


def test_counters_and_query_log_are_switched_at_run_time(city: City) -> None:
    city.upstream()
    web = Container(city, "web", 2)
    for _ in range(3):
        web.ask("web")
    web.ask("web", "AAAA")
    web.ask("a.example")
    status = city.control("status")
    assert status["counters"] == {"answered": 1, "cached": 2, "forwarded": 1, "nodata": 1}
    assert (status["attachments"], status["sandboxes"], status["query_log"]) == (1, 1, False)
    assert "query" not in city.process.log.read_text()
    assert city.control("log on") == {}
    web.ask("web")
    web.ask("web")
    web.ask("b.example", "TXT")
    assert city.control("log off") == {}
    web.ask("web")
    logged = city.process.log.read_text()
    assert logged.count("web type 1 answered") == 2
    assert logged.count("b.example type 16 forwarded") == 1
    assert city.control("reset") == {}
    assert city.control("status")["counters"] == {}
    assert "unknown request" in city.control("dance")["error"]
    assert stat.S_IMODE(os.stat(f"{city.run_dir}/dns.sock").st_mode) == 0o600


def test_rubbish_is_survived(city: City) -> None:
    web = Container(city, "web", 2)
    dice = random.Random(7)
    with web.socket(socket.SOCK_DGRAM) as sock:
        for _ in range(2000):
            sock.sendto(dice.randbytes(dice.randrange(200)), (RESOLVER, PORT))
    for _ in range(100):
        with web.socket(socket.SOCK_STREAM) as sock:
            sock.connect((RESOLVER, PORT))
            sock.send(dice.randbytes(dice.randrange(1, 200)))
    assert web.ask("web") == ["10.1.0.2"]
    assert web.ask("web", tcp=True) == ["10.1.0.2"]


def test_a_second_name_server_is_refused_and_a_stopped_one_leaves_nothing_open(city: City) -> None:
    second = subprocess.run(
        ["/usr/bin/python3", "-m", "netd.daemon", "dns", "--run-dir", city.run_dir],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert second.returncode == 1
    assert "dns.sock" in second.stderr
    assert city.process.stop() == 0
    assert not os.path.exists(f"{city.run_dir}/dns.sock")


def test_a_port_that_is_taken_inside_is_told(city: City) -> None:
    web = Container(city, "web", 2)
    with web.socket(socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", PORT + 1))
        city.store.put(web.attachment.replace(port=PORT + 1))
        answer = city.control(f"sync {web.key}")
    assert answer["error"] == f"port {PORT + 1} inside: Address already in use"
