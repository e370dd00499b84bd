"""Many containers publish and withdraw at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import ports_town
import pytest
from ports_town import PortsTown, container

from netd.ports.errors import PublishFailed
from netd.ports.gateways import Gateway, Gateways
from netd.runtime.model import PortBinding
from pycni.firewall.firewall import IPTABLES, NFTABLES
from pycni.spec.address import Prefix

CONTAINERS = 12
ROUNDS = 3


@pytest.fixture(params=[IPTABLES, NFTABLES])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsTown]:
    with ports_town.built(tmp_path, request.param) as there:
        yield there


def test_no_port_is_given_twice_and_nothing_is_left(there: PortsTown) -> None:
    given: list[list[str]] = []
    refused: list[str] = []
    lock = threading.Lock()
    together = threading.Barrier(CONTAINERS)

    def live(number: int) -> None:
        one = container("a", tcp80="8000-8020", tcp81="", udp53="9000")
        one.id, one.name = f"{number:064x}", f"c{number}"
        address = Prefix.parse(f"10.1.2.{number + 10}/24")
        gateways = Gateways(Gateway("net", "eth0", address, there.backend))
        for _ in range(ROUNDS):
            together.wait()
            try:
                bound = there.ports.publish(one, gateways)
                with lock:
                    given.append([f"{port} {each.host_port}" for port, all_of in bound.items() for each in all_of])
            except PublishFailed as error:
                with lock:
                    refused.append(error.msg)
                bound = there.ports.publish(one, gateways, {"80/tcp": [PortBinding("", "8000-8020")]})
                with lock:
                    given.append([f"{port} {each.host_port}" for port, all_of in bound.items() for each in all_of])
            together.wait()
            there.ports.unpublish(one)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(CONTAINERS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(given) == CONTAINERS * ROUNDS
    assert len(refused) == (CONTAINERS - 1) * ROUNDS, "udp port 9000 is one container's at a time"
    assert all("Bind for 0.0.0.0:9000 failed: port is already allocated by container c" in text for text in refused)
    for turn in range(ROUNDS):
        ports = [each for one in given[turn * CONTAINERS : (turn + 1) * CONTAINERS] for each in set(one)]
        assert len(ports) == len(set(ports))
    left = there.town.host.sh("nft list ruleset; iptables-save -t nat; ip6tables-save -t nat")
    assert not any(f"10.1.2.{number + 10}" in left for number in range(CONTAINERS))
    assert there.warnings == []
