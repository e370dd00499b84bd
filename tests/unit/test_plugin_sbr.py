"""sbr: its keys, plan, lock, and the plugin on the in-memory machine."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any, cast

import pytest
from fake_machine import NETNS, Machine
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.firewall import Firewall
from pycni.kernel import rules
from pycni.kernel.model import Route
from pycni.kernel.route_copies import copies
from pycni.kernel.rules import Rule
from pycni.plan.transaction import Transaction
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, TryAgainLater
from pycni.spec.request import parse_config
from pycni.spec.result import Interface, IpConfig, Result
from pycni_plugins.sbr.config import Sbr, free_tables, parse, relevant
from pycni_plugins.sbr.lock import NamespaceLock
from pycni_plugins.sbr.plugin import hints, plan, removals

V4, V6 = "10.3.0.2/24", "fd00:3::2/64"
IPS = [
    {"address": V4, "gateway": "10.3.0.1", "interface": 0},
    {"address": V6, "gateway": "fd00:3::1", "interface": 0},
]
DEFAULT4, DEFAULT6 = Prefix.parse("0.0.0.0/0"), Prefix.parse("::/0")


def keys(**values: Any) -> Sbr:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()))


def config(ips: list[dict[str, Any]] | None = None, **values: Any) -> dict[str, Any]:
    previous = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "sandbox": NETNS}],
        "ips": IPS if ips is None else ips,
    }
    return {"cniVersion": "1.1.0", "name": "net", "type": "sbr", "prevResult": previous, **values}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A container with lan0, that has the default routes, and eth0, that wants to be asked for what is its own."""
    made = Machine(tmp_path)
    container = made.container
    for number, name in enumerate(("lan0", "eth0"), 2):
        _, link = made.host_namespace.create_veth(f"veth{number}", name, container)
        container.configure(
            link.index,
            (Prefix.parse(f"10.{number}.0.2/24"), Prefix.parse(f"fd00:{number}::2/64")),
            (
                Route(DEFAULT4, Address.parse(f"10.{number}.0.1"), priority=number * 10),
                Route(DEFAULT6, Address.parse(f"fd00:{number}::1"), priority=number * 10),
                Route(Prefix.parse(f"172.{number}.0.0/16"), Address.parse(f"10.{number}.0.9")),
            ),
        )
    return made


def own_rules(machine: Machine) -> list[tuple[str, int, int]]:
    """(source, table, priority) of what the kernel did not make."""
    found = [each for family in (4, 6) for each in rules.rules(machine.container, family)]
    return [(str(each.source), each.table, each.priority or 0) for each in found if each.source is not None]


def table(machine: Machine, number: int, device: str = "eth0") -> set[tuple[str, str]]:
    link = machine.container.link(device)
    assert link is not None
    return {
        (str(each.destination), str(each.gateway or "-"))
        for family in (4, 6)
        for each in machine.container.routes(family, number)
        if each.device == link.index
    }


def whole(machine: Machine) -> Any:
    return machine.state(), own_rules(machine)


# --- the keys ---------------------------------------------------------------------------------------------------------


def test_keys() -> None:
    assert keys() == Sbr(None, (), False)
    found = keys(table=7, gateways=["fd00::1", "10.0.0.1"], addSourceHints=True)
    assert found == Sbr(7, (Address.parse("fd00::1"), Address.parse("10.0.0.1")), True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"gateways": ["10.0.0.1", "fd00::1", "10.0.0.2"]},
            "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)",
        ),
        ({"gateways": ["10.0.0"]}, "invalid static gateway IP address: 10.0.0"),
        (
            {"gateways": ["10.0.0.1", "10.0.0.2"]},
            "gateways list contains multiple IPv4 addresses: 10.0.0.1 and 10.0.0.2",
        ),
        ({"gateways": ["fd00::1", "fd00::1"]}, "gateways list contains multiple IPv6 addresses: fd00::1 and fd00::1"),
        ({"table": 0}, "invalid configuration: key 'table': 0 is no table"),
        ({"table": -5}, "invalid configuration: key 'table': -5 is negative"),
        ({"table": "main"}, "invalid configuration: key 'table': expected an integer, got a string"),
        ({"gateways": [1]}, "invalid configuration: key 'gateways[0]': expected a string, got an integer"),
        (
            {"addSourceHints": "yes"},
            "invalid configuration: key 'addSourceHints': expected a boolean, got a string",
        ),
    ],
)
def test_keys_that_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(**values)
    assert caught.value.msg == message


def test_a_gateway_of_the_keys_comes_before_the_address_own() -> None:
    sbr = keys(gateways=["10.0.0.254"])
    four = IpConfig(Prefix.parse(V4), Address.parse("10.3.0.1"))
    six = IpConfig(Prefix.parse(V6), Address.parse("fd00:3::1"))
    assert [str(sbr.gateway_of(each)) for each in (four, six)] == ["10.0.0.254", "fd00:3::1"]
    assert sbr.gateway_of(IpConfig(Prefix.parse(V6))) is None


def test_whose_addresses_count() -> None:
    interfaces = (Interface("eth0"), Interface("lan0"))
    ips = tuple(IpConfig(Prefix.parse(f"10.0.0.{number}/24"), None, index) for number, index in
                enumerate((None, 0, 1, 2, -1)))  # fmt: skip
    found = relevant(Result(interfaces, ips), "eth0")
    assert [str(each.address) for each in found] == [f"10.0.0.{number}/24" for number in (0, 1, 3, 4)]
    with pytest.raises(CniError, match=r"^No IP addresses supplied on interface: eth0$"):
        relevant(Result(interfaces), "eth0")


@given(st.integers(0, 8), st.sets(st.integers(98, 112)))
def test_tables_are_new_rising_and_as_low_as_can_be(count: int, used: set[int]) -> None:
    found = free_tables(count, used)
    assert len(found) == count and not used & set(found)
    assert found == sorted(set(found)) == [each for each in range(100, (found or [99])[-1] + 1) if each not in used]


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "netns"
    path.touch()
    lock = NamespaceLock(str(path))
    with path.open() as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.release()
        lock.release()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(TryAgainLater, match="somebody keeps the lock of network namespace") as caught:
            NamespaceLock(str(path), 0.01)
    assert caught.value.code == 11


def test_a_lock_makes_no_file(tmp_path: Path) -> None:
    """The reference leaves a regular file where a namespace was."""
    NamespaceLock(str(tmp_path / "gone")).release()
    assert list(tmp_path.iterdir()) == []


# --- the plugin -------------------------------------------------------------------------------------------------------


def test_each_address_gets_a_rule_and_a_table(machine: Machine) -> None:
    before = table(machine, 254, "lan0")
    assert machine.add("sbr", config()) == config()["prevResult"]
    assert own_rules(machine) == [("10.3.0.2/32", 100, 32765), ("fd00:3::2/128", 101, 32765)]
    connected6 = ("fd00:3::/64", "-")
    assert table(machine, 100) == {
        ("0.0.0.0/0", "10.3.0.1"),
        ("10.3.0.0/24", "-"),
        ("172.3.0.0/16", "10.3.0.9"),
        connected6,
    }
    assert table(machine, 101) == {("::/0", "fd00:3::1"), connected6}
    assert table(machine, 254) == set()
    assert table(machine, 254, "lan0") == before
    machine.succeeds("sbr", "CHECK", config())


def test_tables_in_use_are_passed_over(machine: Machine) -> None:
    rules.add_rule(machine.container, Rule(6, None, 100, 7))
    link = machine.container.link("lan0")
    assert link is not None
    machine.container.configure(link.index, (), (Route(DEFAULT4, Address.parse("10.2.0.1"), table=102),))
    machine.add("sbr", config())
    assert [(source, number) for source, number, _ in own_rules(machine)] == [
        ("10.3.0.2/32", 101),
        ("fd00:3::2/128", 103),
    ]


def test_several_interfaces_have_their_own_tables(machine: Machine) -> None:
    machine.add("sbr", config())
    other = config([{"address": "10.2.0.2/24", "gateway": "10.2.0.1"}])
    machine.add("sbr", other, ifname="lan0")
    assert own_rules(machine) == [
        ("10.2.0.2/32", 102, 32764),
        ("10.3.0.2/32", 100, 32765),
        ("fd00:3::2/128", 101, 32765),
    ]
    machine.succeeds("sbr", "DEL", other, ifname="lan0")
    assert [source for source, _, _ in own_rules(machine)] == ["10.3.0.2/32", "fd00:3::2/128"]
    assert table(machine, 102, "lan0") == set() != table(machine, 100)
    machine.succeeds("sbr", "CHECK", config())


def test_a_table_of_the_keys_leaves_routes_alone(machine: Machine) -> None:
    before = machine.state()
    for _ in range(2):
        machine.add("sbr", config(table=1000))
        assert own_rules(machine) == [("10.3.0.2/32", 1000, 32765), ("fd00:3::2/128", 1000, 32765)]
    assert machine.state() == before
    machine.succeeds("sbr", "CHECK", config(table=1000))
    assert "no rule for packets from 10.3.0.2" in machine.error("sbr", "CHECK", config(table=1001))["msg"]
    machine.succeeds("sbr", "DEL", config(table=1001))
    assert len(own_rules(machine)) == 2
    machine.succeeds("sbr", "DEL", config(table=1000))
    assert own_rules(machine) == [] and machine.state() == before


def test_gateways_of_the_keys(machine: Machine) -> None:
    link = machine.container.link("eth0")
    assert link is not None
    ips = [{"address": V4}, {"address": V6}]
    machine.add("sbr", config(ips, gateways=["10.3.0.7", "fd00:3::7"]))
    assert ("0.0.0.0/0", "10.3.0.7") in table(machine, 100)
    assert ("::/0", "fd00:3::7") in table(machine, 101)


def test_source_hints_stay_in_the_main_table(machine: Machine) -> None:
    machine.add("sbr", config(addSourceHints=True))
    assert table(machine, 254) == {("10.3.0.0/24", "-"), ("fd00:3::/64", "-")}
    link = machine.container.link("eth0")
    assert link is not None
    sources = {
        str(each.source) for family in (4, 6) for each in machine.container.routes(family) if each.device == link.index
    }
    assert sources == {"10.3.0.2", "fd00:3::2"}


@pytest.mark.parametrize("version", ["0.3.1", "1.1.0"])
def test_the_result_is_passed_on(machine: Machine, version: str) -> None:
    asked = config(cniVersion=version, table=7)
    asked["prevResult"] = {**asked["prevResult"], "cniVersion": version, "dns": {"nameservers": ["192.0.2.1"]}}
    result = machine.add("sbr", asked)
    assert (result["cniVersion"], result["dns"]) == (version, {"nameservers": ["192.0.2.1"]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prevResult": None}, "This plugin must be called as chained plugin"),
        ({"prevResult": {"cniVersion": "1.1.0"}}, "No IP addresses supplied on interface: eth0"),
    ],
)
def test_what_add_needs(machine: Machine, values: dict[str, Any], message: str) -> None:
    assert machine.error("sbr", "ADD", config(**values))["msg"] == message


def test_a_missing_interface_or_namespace(machine: Machine) -> None:
    before = whole(machine)
    error = machine.error("sbr", "ADD", config(), ifname="net7")
    assert error["msg"] == "Cannot find network interface net7: Link not found"
    gone = machine.error("sbr", "ADD", config(), netns="/run/netns/gone")
    assert gone["msg"] == 'failed to Statfs "/run/netns/gone": no such file or directory'
    assert whole(machine) == before


@pytest.mark.parametrize("hinting", [False, True])
@pytest.mark.parametrize(
    ("ips", "message"),
    [
        (
            [*IPS, {"address": "10.9.0.2/24", "gateway": "10.9.0.1"}],
            "Failed to add default route to 10.9.0.1: network is unreachable",
        ),
        (
            [*IPS, {"address": "fd00:9::2/64", "gateway": "fd00:9::1"}],
            "Failed to add default route to fd00:9::1: no route to host",
        ),
    ],
)
def test_a_failed_add_is_undone(machine: Machine, ips: list[dict[str, Any]], message: str, hinting: bool) -> None:
    before = whole(machine)
    assert machine.error("sbr", "ADD", config(ips, addSourceHints=hinting))["msg"] == message
    assert whole(machine) == before


@pytest.mark.parametrize("hinting", [False, True])
def test_all_that_is_done_can_be_undone(machine: Machine, hinting: bool) -> None:
    before = whole(machine)
    link = machine.container.link("eth0")
    assert link is not None
    ips = [IpConfig(Prefix.parse(V4), Address.parse("10.3.0.1")), IpConfig(Prefix.parse(V6))]
    routes = copies(machine.container, link.index)
    steps = [*plan(Sbr(), ips, [100, 101], routes, link.index), *(hints(ips, link.index) if hinting else [])]
    transaction = Transaction(
        machine.host_namespace, lambda: machine.container, cast(Firewall, machine.firewall), pytest.fail
    )
    with pytest.raises(CniError, match=r"^at last$"), transaction:
        transaction.apply([*steps, *removals(routes)])
        assert whole(machine) != before
        raise CniError("at last")
    assert whole(machine) == before


def test_del_forgives(machine: Machine) -> None:
    machine.add("sbr", config())
    broken = config(gateways=["x"], table="y")
    del broken["prevResult"]
    for netns in ("", "/run/netns/gone"):
        assert machine.succeeds("sbr", "DEL", broken, netns=netns) == ""
    machine.succeeds("sbr", "DEL", broken, ifname="net7")
    assert len(own_rules(machine)) == 2
    for _ in range(2):
        machine.succeeds("sbr", "DEL", broken)
        assert own_rules(machine) == []
        assert table(machine, 100) == table(machine, 101) == set()


def test_del_leaves_rules_of_others(machine: Machine) -> None:
    keep = Rule(4, Prefix.parse("10.99.0.1/32"), 100)
    machine.add("sbr", config())
    rules.add_rule(machine.container, keep)
    machine.succeeds("sbr", "DEL", config())
    assert [(source, number) for source, number, _ in own_rules(machine)] == [("10.99.0.1/32", 100)]
    assert table(machine, 100) != set(), "that rule asks for it"


def test_check(machine: Machine) -> None:
    nothing = config()
    del nothing["prevResult"]
    machine.succeeds("sbr", "CHECK", nothing)
    assert machine.error("sbr", "CHECK", config())["msg"] == ("no rule for packets from 10.3.0.2 of interface eth0")


def test_gc_and_status(machine: Machine) -> None:
    machine.add("sbr", config())
    before = whole(machine)
    machine.succeeds("sbr", "STATUS", config(), netns="")
    machine.succeeds("sbr", "GC", config(**{"cni.dev/valid-attachments": []}), netns="", container_id="", ifname="")
    assert whole(machine) == before
    assert "'table'" in machine.error("sbr", "STATUS", config(table=-1))["msg"]
