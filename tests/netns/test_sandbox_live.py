"""Connecting and disconnecting running containers: default gateways, ports, files and names follow (contract 1.6)."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import NOTHING, Box, Town, accepted, static

from netd.failure import Failure, Forbidden, InvalidParameter
from netd.networks.errors import NotFound
from netd.runtime.model import Endpoint, PortBinding
from netd.sandbox import inside
from pycni.kernel.namespace import Namespace

PUBLISHED = {"80/tcp": [PortBinding(host_port="8080")]}


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path)
    made.outside.run(["ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.1"])
    yield made
    made.close()


def open_network(town: Town, name: str, number: int, **more: Any) -> str:
    """Without masquerading, so that a server outside sees which network a container came from."""
    return town.network(name, subnet=f"10.{number}.0.0/24", options=["ip-masq=false"], **more)


def source(box: Box, server: Any) -> str:
    """Whence a server outside sees the container coming."""
    assert box.reaches("192.0.2.2")
    return accepted(server)


def ports_at(town: Town, box: Box) -> str:
    """The network through which published ports are reached."""
    gateway = town.ports.published[box.container.id].ipv4
    return gateway.network if gateway is not None else ""


@pytest.mark.parametrize("order", list(itertools.permutations(("aaa", "bbb", "ccc"))))
def test_the_first_network_in_order_is_the_gateway_whatever_came_first(town: Town, order: tuple[str, ...]) -> None:
    numbers = {"aaa": 1, "bbb": 2, "ccc": 3}
    for name, number in numbers.items():
        open_network(town, name, number)
    server = town.serve_outside()
    web = town.started("web", order[0], port_bindings=PUBLISHED)
    attached: list[str] = []
    for name in order:
        if name != order[0]:
            town.sandboxes.connect(web.container, name, Endpoint())
        attached.append(name)
        first = min(attached)
        assert source(web, server) == f"10.{numbers[first]}.0.2"
        assert ports_at(town, web) == first
        assert web.container.sandbox.order == sorted(attached)
    for name in order:
        town.sandboxes.disconnect(web.container, name)
        attached.remove(name)
        if attached:
            first = min(attached)
            assert source(web, server) == f"10.{numbers[first]}.0.2"
            assert ports_at(town, web) == first
    assert web.interfaces() == {}
    assert web.default_route() == ""
    assert (ports_at(town, web), web.container.sandbox.ports) == ("", {})


def test_priority_beats_names_and_internal_networks_come_last(town: Town) -> None:
    for name, number in (("aaa", 1), ("bbb", 2), ("ccc", 3)):
        open_network(town, name, number)
    open_network(town, "aa-internal", 4, internal=True)
    wishes = {"bbb": Endpoint(gw_priority=5), "aa-internal": Endpoint(), "aaa": Endpoint(gw_priority=-1)}
    server = town.serve_outside()
    web = town.started("web", "ccc", networks={"ccc": Endpoint(), **wishes})
    assert web.container.sandbox.order == ["bbb", "ccc", "aa-internal", "aaa"]
    assert web.interfaces() == {
        "eth0": ["10.2.0.2/24"],
        "eth1": ["10.3.0.2/24"],
        "eth2": ["10.4.0.2/24"],
        "eth3": ["10.1.0.2/24"],
    }
    assert source(web, server) == "10.2.0.2"
    town.sandboxes.disconnect(web.container, "bbb")
    assert source(web, server) == "10.3.0.2"
    town.sandboxes.disconnect(web.container, "ccc")
    assert source(web, server) == "10.1.0.2"
    town.sandboxes.disconnect(web.container, "aaa")
    assert web.default_route() == ""
    assert not web.reaches("192.0.2.2", seconds=0.5)


def test_each_family_has_its_own_gateway(town: Town) -> None:
    open_network(town, "bbb", 2)
    town.network("ccc", subnet="10.3.0.0/24", subnets=["fd00:3::/64"])
    town.network("ddd", subnet="fd00:4::/64")
    web = town.started("web", "bbb", networks={"bbb": Endpoint(gw_priority=1), "ddd": Endpoint(gw_priority=1)})
    assert web.default_route(4) == "10.2.0.1 dev eth0"
    assert web.default_route(6) == "fd00:4::1 dev eth1"
    town.sandboxes.connect(web.container, "ccc", Endpoint())
    assert (web.default_route(4), web.default_route(6)) == ("10.2.0.1 dev eth0", "fd00:4::1 dev eth1")
    published = town.ports.published[web.container.id]
    assert published.ipv4 is not None
    assert published.ipv6 is not None
    assert (published.ipv4.network, published.ipv6.network) == ("bbb", "ddd")
    town.sandboxes.disconnect(web.container, "ddd")
    assert (web.default_route(4), web.default_route(6)) == ("10.2.0.1 dev eth0", "fd00:3::1 dev eth2")
    # both families come before one
    town.sandboxes.disconnect(web.container, "bbb")
    town.sandboxes.connect(web.container, "bbb", Endpoint())
    assert web.default_route(4) == "10.3.0.1 dev eth2"


def test_interfaces_fill_the_lowest_hole_and_files_and_names_follow(town: Town) -> None:
    for name, number in (("one", 1), ("two", 2), ("three", 3)):
        open_network(town, name, number)
    peer = town.started("peer", "two")
    web = town.started("web", networks={})
    assert "127.0.0.11" not in web.text("resolv.conf")
    assert peer.ask("web", port=53) == "SERVFAIL"
    for name in ("one", "two"):
        town.sandboxes.connect(web.container, name, Endpoint(aliases=["www"]))
    assert list(web.interfaces()) == ["eth0", "eth1", "eth2"]
    assert "nameserver 127.0.0.11\n" in web.text("resolv.conf"), "the resolver came with the first network of names"
    short = web.container.short_id
    assert web.text("hosts").splitlines()[6:] == [
        f"172.17.0.2\t{short}",
        f"10.1.0.2\t{short}",
        f"10.2.0.3\t{short}",
    ]
    assert peer.ask("www", port=53) == ["10.2.0.3"]
    assert web.ask("peer", port=53) == ["10.2.0.2"]
    web.serve()
    assert peer.reaches("10.2.0.3")
    town.sandboxes.disconnect(web.container, "one")
    town.sandboxes.connect(web.container, "three", Endpoint())
    assert web.interfaces() == {"eth0": ["172.17.0.2/16"], "eth2": ["10.2.0.3/24"], "eth1": ["10.3.0.2/24"]}
    assert web.text("hosts").splitlines()[6:] == [
        f"172.17.0.2\t{short}",
        f"10.2.0.3\t{short}",
        f"10.3.0.2\t{short}",
    ]
    town.sandboxes.disconnect(web.container, "two")
    assert peer.ask("www", port=53) == peer.ask("web", port=53) == "SERVFAIL"
    assert not peer.reaches("10.2.0.3", seconds=0.5)


def test_after_the_last_disconnect_the_namespace_stays_and_the_resolver_tells_nothing(town: Town) -> None:
    open_network(town, "one", 1)
    web = town.started("web", "one")
    before = web.text("resolv.conf")
    town.sandboxes.disconnect(web.container, "one")
    assert web.interfaces() == {}
    assert web.text("hosts").splitlines()[6:] == []
    assert web.text("resolv.conf") == before
    assert web.ask("a.example", port=53) == "SERVFAIL"
    town.sandboxes.connect(web.container, "one", Endpoint())
    assert web.ask("web", port=53) == ["10.1.0.2"]
    web.stop()
    town.settle()
    assert town.left() == NOTHING


def test_files_that_the_container_edited_are_left_alone(town: Town) -> None:
    open_network(town, "one", 1)
    web = town.started("web")
    assert web.opened is not None
    Path(web.opened.resolv_conf).write_text("nameserver 192.0.2.77\n")
    with Path(web.opened.hosts).open("a") as file:
        file.write("192.0.2.8 printer\n")
    inode = Path(web.opened.hosts).stat().st_ino
    town.sandboxes.connect(web.container, "one", Endpoint())
    assert web.text("resolv.conf") == "nameserver 192.0.2.77\n"
    assert web.text("hosts").splitlines()[-2:] == ["192.0.2.8 printer", f"10.1.0.2\t{web.container.short_id}"]
    town.sandboxes.disconnect(web.container, "one")
    assert web.text("hosts").splitlines()[-1] == "192.0.2.8 printer"
    assert Path(web.opened.hosts).stat().st_ino == inode, "it is mounted: the file stays the same one"
    web.restart()
    assert "192.0.2.77" not in web.text("resolv.conf")


def test_traffic_goes_on_while_networks_come_and_go(town: Town) -> None:
    open_network(town, "mmm", 1)
    open_network(town, "zzz", 2)
    open_network(town, "aaa", 3)
    server = town.serve_outside()
    web = town.started("web", "mmm")
    failures: list[str] = []
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            # a connection begun from an address of the network that is just leaving loses it, and so does one that is
            # still being made; the next one must succeed
            if not web.reaches("192.0.2.2") and not web.reaches("192.0.2.2"):
                failures.append("refused")

    def answer() -> None:
        while not stop.is_set():
            accepted(server)

    threads = [threading.Thread(target=each) for each in (knock, answer)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        town.sandboxes.connect(web.container, "zzz", Endpoint())
        town.sandboxes.connect(web.container, "aaa", Endpoint())
        town.sandboxes.disconnect(web.container, "zzz")
        town.sandboxes.disconnect(web.container, "aaa")
    stop.set()
    threads[0].join()
    web.reaches("192.0.2.2")
    threads[1].join()
    assert failures == []


@pytest.mark.parametrize("family", [4, 6])
def test_neighbours_reach_a_container_that_has_started_again(town: Town, family: int) -> None:
    """With the address it had before, and another hardware address."""
    town.network("one", subnet="10.1.0.0/24", subnets=["fd00:1::/64"])
    web, peer = town.started("web", "one"), town.started("peer", "one")
    address = "10.1.0.2" if family == 4 else "fd00:1::2"
    for _ in range(3):
        web.serve(family=socket.AF_INET if family == 4 else socket.AF_INET6)
        assert peer.reaches(address, seconds=1)
        web.restart()


def test_what_holds_routes_during_a_change_ends_with_it_or_with_the_next_daemon(town: Town) -> None:
    town.network("mmm", subnet="10.1.0.0/24", subnets=["fd00:1::/64"])
    town.network("aaa", subnet="10.2.0.0/24", subnets=["fd00:2::/64"])
    web = town.started("web", "mmm")

    def halves() -> list[str]:
        lines = [line for family in "46" for line in web.run("ip", f"-{family}", "route").splitlines()]
        return [line for line in lines if line.split()[0].endswith("/1")]

    def way(address: str) -> str:
        words = web.run("ip", "route", "get", address).split()
        return words[words.index("dev") + 1]

    with Namespace.open(web.netns) as namespace:
        for _ in range(2):  # a daemon that was killed may have left them
            inside.hold_routes(namespace)
            assert len(halves()) == 4
        web.run("ip", "route", "add", "default", "dev", "lo", "metric", "1")
        web.run("ip", "-6", "route", "add", "default", "dev", "lo", "metric", "1")
        assert [way(each) for each in ("1.2.3.4", "192.0.2.2", "2001:db8::1")] == ["eth0", "eth0", "eth0"]
        web.run("ip", "route", "del", "default", "dev", "lo")
        web.run("ip", "-6", "route", "del", "default", "dev", "lo")
    town.sandboxes.connect(web.container, "aaa", Endpoint())
    assert halves() == []
    assert (web.default_route(4), web.default_route(6)) == ("10.2.0.1 dev eth1", "fd00:2::1 dev eth1")
    town.sandboxes.disconnect(web.container, "aaa")
    assert (web.default_route(4), web.default_route(6)) == ("10.1.0.1 dev eth0", "fd00:1::1 dev eth0")
    with pytest.raises(Failure):
        town.sandboxes.connect(web.container, "aaa", static("10.2.0.1"))
    assert halves() == []
    with Namespace.open(web.netns) as namespace:
        inside.hold_routes(namespace)
    town.settle()
    town.sandboxes.restore([web.container])
    assert halves() == []


def test_a_container_that_was_taken_off_none_is_like_any_other(town: Town) -> None:
    open_network(town, "one", 1)
    box = town.started("box", "none", port_bindings=PUBLISHED)
    with pytest.raises(InvalidParameter, match="private"):
        town.sandboxes.connect(box.container, "one", Endpoint())
    town.sandboxes.disconnect(box.container, "none")
    server = town.serve_outside()
    town.sandboxes.connect(box.container, "one", static("10.1.0.9"))
    assert (box.interfaces(), source(box, server)) == ({"eth0": ["10.1.0.9/24"]}, "10.1.0.9")
    assert ports_at(town, box) == "one" and "10.1.0.9\t" in box.text("hosts")
    assert box.restart().interfaces() == {"eth0": ["10.1.0.9/24"]}
    town.sandboxes.disconnect(box.container, "one")
    town.sandboxes.connect(box.container, "none", Endpoint())
    with pytest.raises(InvalidParameter, match="private"):
        town.sandboxes.connect(box.container, "one", Endpoint())
    assert box.restart().interfaces() == {}


def test_stopped_containers_only_store_what_they_are_told(town: Town) -> None:
    open_network(town, "one", 1)
    web = town.create("web")
    town.sandboxes.connect(web.container, "one", static("10.1.0.9"))
    town.sandboxes.connect(web.container, "later", Endpoint())
    assert town.left() == NOTHING
    with pytest.raises(NotFound, match="network later not found"):
        web.start()
    assert town.left() == NOTHING
    town.sandboxes.disconnect(web.container, "later", force=True)
    web.start()
    assert web.interfaces() == {"eth0": ["172.17.0.2/16"], "eth1": ["10.1.0.9/24"]}
    web.stop()
    town.sandboxes.disconnect(web.container, "one")
    assert web.start().interfaces() == {"eth0": ["172.17.0.2/16"]}


def test_a_network_made_anew_under_the_same_name_heals(town: Town) -> None:
    open_network(town, "one", 1)
    web = town.started("web", "one").stop()
    town.remove_network("one")
    with pytest.raises(NotFound):
        web.start()
    open_network(town, "one", 7)
    assert web.start().interfaces() == {"eth0": ["10.7.0.2/24"]}
    # and one that goes while a container is on it
    town.remove_network("one")
    open_network(town, "one", 8)
    assert web.restart().interfaces() == {"eth0": ["10.8.0.2/24"]}
    town.remove_network("one")
    town.sandboxes.disconnect(web.container, "one", force=True)
    assert web.container.networks == {}
    web.stop()
    town.settle()
    assert town.left() == NOTHING


def test_a_failed_connect_changes_nothing(town: Town) -> None:
    for name, number in (("one", 1), ("two", 2)):
        open_network(town, name, number)
    peer = town.started("peer", "two")
    web = town.started("web", "one", port_bindings=PUBLISHED)
    before = (web.interfaces(), web.default_route(), web.text("hosts"), web.text("resolv.conf"), town.left())
    state = (dict(web.container.networks), list(web.container.sandbox.order), dict(web.container.sandbox.ifnames))

    def unchanged() -> bool:
        town.settle()
        town.sandboxes.restore([web.container, peer.container])
        now = (web.interfaces(), web.default_route(), web.text("hosts"), web.text("resolv.conf"), town.left())
        after = (dict(web.container.networks), list(web.container.sandbox.order), dict(web.container.sandbox.ifnames))
        return now == before and after == state

    with pytest.raises(Forbidden, match=r"IP address 10\.2\.0\.2 on network two is taken by container peer"):
        town.sandboxes.connect(web.container, "two", static("10.2.0.2"))
    assert unchanged()
    sysctl = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.no_such_key=1"}
    with pytest.raises(Failure, match="no_such_key"):
        town.sandboxes.connect(web.container, "two", Endpoint(driver_opts=sysctl))
    assert unchanged()
    assert peer.ask("web", port=53) == "SERVFAIL"
    with pytest.raises(Failure, match="has an interface of this name"):
        town.sandboxes.connect(
            web.container, "two", Endpoint(driver_opts={"com.docker.network.endpoint.ifname": "eth0"})
        )
    assert unchanged()


def test_rename(town: Town) -> None:
    open_network(town, "one", 1)
    web, peer = town.started("web", "one"), town.started("peer", "one")
    web.container.name = "www"
    town.sandboxes.renamed(web.container, "web")
    assert (peer.ask("www", port=53), peer.ask("web", port=53)) == (["10.1.0.2"], "SERVFAIL")
    assert web.container.networks["one"].dns_names == [
        "www",
        web.container.short_id,
    ]


def test_published_ports_lead_to_the_gateway_of_the_moment(town: Town) -> None:
    town.publish_for_real()
    for name, number in (("bbb", 2), ("aaa", 1)):
        town.network(name, subnet=f"10.{number}.0.0/24")
    web = town.started("web", "bbb", port_bindings=PUBLISHED)
    server = web.serve()

    def reached_at() -> str:
        with town.outside.inside():
            client = socket.socket()
        with client:
            client.settimeout(2)
            client.connect(("192.0.2.1", 8080))
            connection, peer = server.accept()
            with connection:
                assert peer[0] == "192.0.2.2", "the client's own address"
                return str(connection.getsockname()[0])

    assert reached_at() == "10.2.0.2"
    town.sandboxes.connect(web.container, "aaa", Endpoint())
    assert reached_at() == "10.1.0.2"
    town.sandboxes.disconnect(web.container, "aaa")
    assert reached_at() == "10.2.0.2"
    assert [each.host_port for each in web.container.sandbox.ports["80/tcp"]] == ["8080", "8080"]
    # unpublished ports are not to be had directly
    web.serve(81)
    with town.outside.inside():
        client = socket.socket()
    with client:
        client.settimeout(0.5)
        assert client.connect_ex(("10.2.0.2", 81)) != 0
    joiner = town.started("joiner", "container:web")
    web.stop()
    with town.outside.inside():
        client = socket.socket()
    with client:
        client.settimeout(0.5)
        assert client.connect_ex(("10.2.0.2", 81)) != 0, "nor while only a joiner lives there"
    joiner.stop()
    again = town.started("again", "bbb", port_bindings=PUBLISHED)
    assert again.address("bbb") == "10.2.0.2"
    again.stop()
    assert town.log == []
