"""Many callers at once on one data directory: no address twice, none lost."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lease_servers import NETWORK, call, leases, resident, servers

CALLERS = 20
SUBNET = "10.77.0.0/24"
USABLE = 253
"""254 host addresses less the gateway's."""


def test_two_hundred_allocations_by_all_three_at_once(tmp_path: Path) -> None:
    mixed = servers()

    def add(number: int) -> tuple[str, str]:
        (address,) = call(mixed[number % 3], "ADD", f"c{number}", tmp_path, SUBNET)
        return address, f"c{number}\neth0"

    with ThreadPoolExecutor(CALLERS) as pool:
        given = list(pool.map(add, range(200)))
    assert len({address for address, _ in given}) == 200
    assert leases(tmp_path) == dict(given)


def test_a_busy_network_loses_no_address(tmp_path: Path) -> None:
    """Owners come and go for a while; then every address of the range can still be given, each once."""
    mixed = servers()

    def live(number: int) -> None:
        for turn in range(3):
            server = mixed[(number + turn) % 3]
            (address,) = call(server, "ADD", f"c{number}", tmp_path, SUBNET)
            assert (tmp_path / NETWORK / address).read_bytes() == f"c{number}\r\neth0".encode()
            call(mixed[(number + turn + 1) % 3], "DEL", f"c{number}", tmp_path, SUBNET)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(live, range(30)))
    assert leases(tmp_path) == {}

    def fill(number: int) -> str:
        (address,) = call(resident, "ADD", f"late{number}", tmp_path, SUBNET)
        return address

    with ThreadPoolExecutor(CALLERS) as pool:
        given = list(pool.map(fill, range(USABLE)))
    assert Counter(given).most_common(1)[0][1] == 1
    assert set(given) == {f"10.77.0.{last}" for last in range(2, 255)}


def test_collection_during_allocations_frees_only_the_unlisted(tmp_path: Path) -> None:
    mixed = servers()
    for number in range(40):
        call(mixed[number % 2], "ADD", f"old{number}", tmp_path, SUBNET)
    valid = [{"containerID": f"old{number}", "ifname": "eth0"} for number in range(0, 40, 2)]
    valid += [{"containerID": f"new{number}", "ifname": "eth0"} for number in range(30)]

    def step(number: int) -> None:
        if number % 10 == 0:
            call(mixed[1 + number // 10 % 2], "GC", "", tmp_path, SUBNET, **{"cni.dev/valid-attachments": valid})
        else:
            call(mixed[number % 3], "ADD", f"new{number - number // 10 - 1}", tmp_path, SUBNET)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(step, range(30)))
    owners = {content.split("\n")[0] for content in leases(tmp_path).values()}
    assert owners == {f"old{number}" for number in range(0, 40, 2)} | {f"new{number}" for number in range(27)}
