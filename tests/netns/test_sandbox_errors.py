"""Bad input gets docker's answer with the flag at fault, and leaves nothing behind (contract docker 1.2, 1.6)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import NOTHING, Town, static

from netd.failure import Failure, Forbidden, InvalidParameter
from netd.networks.errors import NetworkError, NotFound
from netd.runtime.model import Endpoint
from netd.runtime.opened import Opened
from pycni.spec.errors import CniError


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path, dns=False)
    made.network("mynet", subnet="10.1.0.0/24", ip_ranges=["10.1.0.128/29"])
    yield made
    made.close()


def refused(town: Town, *args: Any, **named: Any) -> tuple[int, str]:
    """Status and text with which a container is refused, at its create or its start; nothing of it is left."""
    before = town.left()
    try:
        box = town.create("bad", *args, **named)
        box.start()
    except (Failure, NetworkError) as error:
        town.settle()
        assert town.left() == before
        return error.status, str(error)
    raise AssertionError("was not refused")


def test_networks_that_nobody_knows(town: Town) -> None:
    assert refused(town, "nosuch") == (404, "network nosuch not found")
    status, text = refused(town, "mynet", networks={"mynet": Endpoint(), "nosuch": Endpoint()})
    assert (status, text) == (404, "network nosuch not found")
    web = town.started("web")
    with pytest.raises(NotFound, match="network nosuch not found"):
        town.sandboxes.connect(web.container, "nosuch", Endpoint())
    assert list(web.container.networks) == ["bridge"]


def test_static_addresses(town: Town) -> None:
    web = town.started("web", "mynet", networks={"mynet": static("10.1.0.77")})
    assert web.interfaces() == {"eth0": ["10.1.0.77/24"]}, "outside the range, inside the subnet"
    status, text = refused(town, "mynet", networks={"mynet": static("10.1.0.77")})
    assert status == 403
    assert text == "Address already in use: IP address 10.1.0.77 on network mynet is taken by container web"
    for address, problem in (
        ("10.9.0.7", "no configured subnet contains IP address 10.9.0.7"),
        ("10.1.0.1", "IP address 10.1.0.1 is the gateway of 10.1.0.0/24"),
        ("10.1.0.255", "IP address 10.1.0.255 is the network or broadcast address of 10.1.0.0/24"),
        ("fd00::1", r"invalid IPv4 address: fd00::1 (--ip)"),
    ):
        status, text = refused(town, "mynet", networks={"mynet": static(address)})
        assert (status, text) == (
            400,
            f"invalid config for network mynet: invalid endpoint settings:\n{problem}",
        )
    town.network("half", subnet="10.7.0.0/24")
    assert refused(town, "half", networks={"half": static("", "fd00::9")})[0] == 400


def test_everything_that_the_default_network_does_not_have_in_one_answer(town: Town) -> None:
    wishes = static("172.17.0.9", aliases=["www"], links=["db:x"])
    status, text = refused(town, "bridge", networks={"bridge": wishes})
    assert status == 400
    assert text.splitlines() == [
        "invalid config for network bridge: invalid endpoint settings:",
        "network-scoped aliases are only supported for user-defined networks (--network-alias)",
        "user specified IP address is supported on user defined networks only (--ip, --ip6)",
        "endpoint links are only supported for user-defined networks (--link)",
    ]
    for mode in ("host", "none"):
        assert refused(town, mode, networks={mode: Endpoint(aliases=["www"])})[0] == 400
    web = town.started("web", "mynet")
    with pytest.raises(InvalidParameter, match="aliases are only supported"):
        town.sandboxes.connect(web.container, "bridge", Endpoint(aliases=["www"]))


def test_modes_that_stand_alone(town: Town) -> None:
    both = {"mynet": Endpoint(), "none": Endpoint()}
    assert refused(town, "mynet", networks=both)[0] == 400
    assert refused(town, "host", networks={"mynet": Endpoint()})[0] == 400
    assert refused(town, "none", networks={"mynet": Endpoint()})[0] == 400
    for mode in ("host", "none"):
        box = town.started(f"in-{mode}", mode)
        with pytest.raises(InvalidParameter):
            town.sandboxes.connect(box.container, "mynet", Endpoint())
    web = town.started("web")
    for network in ("host", "none"):
        with pytest.raises(InvalidParameter):
            town.sandboxes.connect(web.container, network, Endpoint())
    with pytest.raises(InvalidParameter):
        town.sandboxes.disconnect(web.container, "host")


def test_connecting_twice_and_disconnecting_what_is_not_connected(town: Town) -> None:
    web = town.started("web", "mynet")
    with pytest.raises(Forbidden, match="endpoint with name web already exists in network mynet"):
        town.sandboxes.connect(web.container, "mynet", Endpoint())
    with pytest.raises(Failure, match="is not connected to network bridge") as caught:
        town.sandboxes.disconnect(web.container, "bridge")
    assert caught.value.status == 500
    with pytest.raises(NotFound):
        town.sandboxes.disconnect(web.container, "nosuch")


def test_sysctls_and_options_that_the_kernel_refuses(town: Town) -> None:
    assert refused(town, sysctls={"net.ipv4.nonsense": "1"}) == (
        400,
        "--sysctl net.ipv4.nonsense=1: no such file or directory",
    )
    assert refused(town, sysctls={"net.ipv4.conf.eth0.nonsense": "1"})[0] == 400
    assert refused(town, sysctls={"net.ipv4/../../kernel": "1"})[0] == 400
    option = {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.eth0.forwarding=1"}
    assert refused(town, "mynet", networks={"mynet": Endpoint(driver_opts=option)})[0] == 400
    assert refused(town, "mynet", networks={"mynet": Endpoint(mac_address="01:00:00:00:00:01")})[0] == 400


def test_a_port_that_cannot_be_had_undoes_the_whole_start(town: Town) -> None:
    town.ports.fails = "Bind for 0.0.0.0:8080 failed: port is already allocated"
    status, text = refused(town, "mynet")
    assert (status, text) == (500, "Bind for 0.0.0.0:8080 failed: port is already allocated")


def test_a_plugin_that_fails_undoes_the_whole_start(town: Town) -> None:
    # the bridge's name belongs to a device of another kind
    town.network("broken", subnet="10.8.0.0/24", bridge="brk0")
    town.host.run(["ip", "link", "add", "brk0", "type", "veth", "peer", "name", "brk1"])
    status, text = refused(town, "mynet", networks={"mynet": Endpoint(), "broken": Endpoint()})
    assert status == 500
    assert "network broken" in text
    assert "already exists but is not a bridge" in text


def test_static_addresses_of_stopped_containers_are_reserved(town: Town) -> None:
    town.network("small", subnet="10.5.0.0/29")
    first, second = (
        town.create(name, "small", networks={"small": static(address)})
        for name, address in (("first", "10.5.0.2"), ("second", "10.5.0.4"))
    )
    given = [town.started(f"dyn{number}", "small").address("small") for number in range(3)]
    assert given == ["10.5.0.3", "10.5.0.5", "10.5.0.6"]
    status, text = refused(town, "small")
    assert status == 403
    assert text == (
        "no free IP address on network small (range 10.5.0.1-10.5.0.6): "
        "10.5.0.2 for first, 10.5.0.4 for second reserved by --ip"
    )
    assert first.start().address("small") == "10.5.0.2"
    assert second.start().address("small") == "10.5.0.4"


def test_addresses_are_the_lowest_free_ones(town: Town) -> None:
    first, second, third = (town.started(name, "mynet") for name in ("a", "b", "c"))
    assert [box.address("mynet") for box in (first, second, third)] == ["10.1.0.128", "10.1.0.129", "10.1.0.130"]
    second.stop()
    assert town.started("d", "mynet").address("mynet") == "10.1.0.129"


@pytest.mark.parametrize("mode", ["mynet", "host", "none", "container:donor"])
def test_a_process_that_cannot_be_made_leaves_no_sandbox(town: Town, mode: str) -> None:
    town.started("donor")
    before = town.left()
    told = []

    def ready(opened: Opened) -> None:
        told.append(opened)
        assert opened.netns == "" or Path(opened.netns).exists()
        assert all(Path(each).is_file() for each in (opened.hosts, opened.resolv_conf, opened.hostname_file))
        raise Failure("no process")

    box = town.create("bad", mode)
    with pytest.raises(Failure, match=r"^no process$"):
        town.sandboxes.open(box.container, ready)
    assert len(told) == 1
    town.settle()
    assert town.left() == before
    assert (box.container.sandbox.id, box.container.sandbox.key) == ("", "")


def test_containers_that_start_at_once_get_different_addresses(town: Town) -> None:
    town.network("wide", subnet="10.6.0.0/24")
    boxes = [town.create(f"c{number}", "wide") for number in range(12)]
    errors: list[CniError] = []

    def start(mine: list[Any]) -> None:
        for box in mine:
            try:
                box.opened = town.sandboxes.open(box.container)
            except CniError as error:
                errors.append(error)

    threads = [threading.Thread(target=start, args=(boxes[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    addresses = sorted(int(box.address("wide").rpartition(".")[2]) for box in boxes)
    assert addresses == list(range(2, 14))
    for box in boxes:
        town.sandboxes.close(box.container)
    town.settle()
    assert town.left() == NOTHING
