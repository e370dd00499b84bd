"""bandwidth: its keys, buckets, and the plugin on the in-memory machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.facts import Owner
from pycni.firewall.naming import ifb_name, newborn_group, owner_comment, second_ifb_name
from pycni.kernel import mirred, qdisc
from pycni.kernel.memory import MemoryNamespace
from pycni.kernel.namespace import TRASH_GROUP
from pycni.kernel.pseudo import new_ifb
from pycni.kernel.qdisc import TokenBucket
from pycni.plan.shaping import LimitArriving, LimitDeparting
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import parse_config
from pycni_plugins import load
from pycni_plugins.bandwidth.config import Limit, Limits, parse, token_bucket
from pycni_plugins.bandwidth.plugin import plan

IFB = "bwp623e1c388032"
"""Of network `net` and container `c1`, as the reference's binary called it."""

BOTH = {"ingressRate": 800_000, "ingressBurst": 160_000, "egressRate": 1_600_000, "egressBurst": 80_000}


def keys(**values: Any) -> Limits:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()))


def config(**values: Any) -> dict[str, Any]:
    interfaces = [{"name": "br0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": NETNS}]
    previous = {"cniVersion": "1.1.0", "interfaces": interfaces}
    return {"cniVersion": "1.1.0", "name": "net", "type": "bandwidth", "prevResult": previous, **values}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.host_namespace.create_veth("veth1", "eth0", made.container, mtu=1400)
    return made


def shaped(host: MemoryNamespace, name: str) -> list[tuple[str, TokenBucket | None]]:
    link = host.link(name)
    assert link is not None
    return [(each.kind, each.bucket) for each in qdisc.qdiscs(host, link.index)]


# --- the keys ---------------------------------------------------------------------------------------------------------


def test_no_keys_are_no_limits() -> None:
    assert keys() == Limits() == keys(runtimeConfig={"bandwidth": None})
    assert keys(ingressRate=0, ingressBurst=0) == Limits()


def test_limits_of_both_directions() -> None:
    assert keys(**BOTH) == Limits(Limit(800_000, 160_000), Limit(1_600_000, 80_000))
    assert keys(runtimeConfig={"bandwidth": BOTH}) == keys(**BOTH)


@pytest.mark.parametrize("key", ["ingressRate", "egressburst", "INGRESSBURST"])
@pytest.mark.parametrize("value", [0, None])
def test_any_key_at_the_top_hides_the_runtimes(key: str, value: int | None) -> None:
    assert keys(runtimeConfig={"bandwidth": BOTH}, **{key: value}) == Limits()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ingressRate": 8}, "if rate is set, burst must also be set"),
        ({"egressRate": 8}, "if rate is set, burst must also be set"),
        ({"ingressBurst": 8}, "if burst is set, rate must also be set"),
        ({"egressBurst": 8, "egressRate": 0}, "if burst is set, rate must also be set"),
        ({"ingressRate": 8, "ingressBurst": 8 * (2**32 - 1)}, "burst cannot be more than 4GB"),
    ],
)
@pytest.mark.parametrize("place", ["top", "runtime"])
def test_half_a_limit(place: str, values: dict[str, int], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(**values) if place == "top" else keys(runtimeConfig={"bandwidth": values})
    assert caught.value.msg == message


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"ingressRate": -1}, "ingressRate"),
        ({"ingressRate": 2**64}, "ingressRate"),
        ({"egressBurst": "1M"}, "egressBurst"),
        ({"egressRate": 1.5}, "egressRate"),
        ({"ingressRate": 7, "ingressBurst": 8}, "ingressRate"),
        ({"ingressRate": 8, "ingressBurst": 7}, "ingressBurst"),
        ({"runtimeConfig": {"bandwidth": {"ingressRate": True}}}, "runtimeConfig.bandwidth.ingressRate"),
    ],
)
def test_a_bad_key_is_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"key '{key}'"):
        keys(**values)


# --- buckets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "burst", "bucket"),
    [
        (16, 8, TokenBucket(2, 1, 7_812_500)),
        (800_000, 80_000, TokenBucket(100_000, 12_500, 1_562_500)),
        (1_600_000, 80_000, TokenBucket(200_000, 15_000, 781_250)),
        (100_000_000_000, 800_000, TokenBucket(12_500_000_000, 312_600_000, 125)),
    ],
)
def test_a_buckets_parameters(rate: int, burst: int, bucket: TokenBucket) -> None:
    assert token_bucket(Limit(rate, burst)) == bucket


def test_a_burst_of_minutes_is_the_longest_there_is() -> None:
    """What kubelet sends for "no limit"; cut to 32 bits it would be any burst, even one less than a packet."""
    assert token_bucket(Limit(1_000_000, 2**31 - 1)).buffer == 2**32 - 1
    assert token_bucket(Limit(2**63, 8 * (2**32 - 2))).limit == 2**32 - 1


@given(st.integers(8, 2**64 - 1), st.integers(8, 8 * (2**32 - 1) - 1))
def test_a_bucket_fits_its_message_and_holds_about_the_burst(rate: int, burst: int) -> None:
    bucket = token_bucket(Limit(rate, burst))
    kind, _, payload = qdisc.new_token_bucket(7, bucket)
    told = qdisc.parse_qdisc(payload)
    assert (kind, told.device, told.kind, told.bucket) == (qdisc.RTM_NEWQDISC, 7, "tbf", bucket)
    held = bucket.buffer / 15.625e6 * bucket.rate
    exact = burst // 8
    granted = bucket.buffer == 2**32 - 1 or abs(held - exact) <= max(bucket.rate * 1.1e-6, exact * 1e-6)
    assert granted and held <= exact * 1.000001


def test_the_ifb_is_called_as_the_references() -> None:
    assert ifb_name("cni-plugin-bandwidth-test", "dummy") == "bwpa8eda89404b7"
    assert ifb_name("net", "c1") == IFB


def test_the_plan() -> None:
    owner = Owner("net", "c1", "eth0")
    assert plan(Limits(), "veth1", "", owner) == []
    ingress, egress = Limit(800, 800), Limit(1600, 1600)
    assert plan(Limits(ingress, egress), "veth1", IFB, owner) == [
        LimitDeparting("veth1", token_bucket(ingress)),
        LimitArriving("veth1", IFB, token_bucket(egress), owner_comment(owner), newborn_group("net")),
    ]


# --- the plugin -------------------------------------------------------------------------------------------------------


def test_add_limits_both_directions_and_reports_the_ifb(machine: Machine) -> None:
    result = machine.add("bandwidth", config(**BOTH))
    host = machine.host_namespace
    ifb, veth = host.link(IFB), host.link("veth1")
    assert ifb is not None and veth is not None
    assert result["interfaces"][3] == {"name": IFB, "mac": ifb.mac.hex(":")}
    assert result["interfaces"][:3] == config()["prevResult"]["interfaces"]
    assert (ifb.kind, ifb.mtu, ifb.txqlen, ifb.is_up, ifb.group) == ("ifb", 1400, 0, True, 0)
    assert shaped(host, "veth1") == [("tbf", TokenBucket(100_000, 22_500, 3_125_000)), ("ingress", None)]
    assert shaped(host, IFB) == [("tbf", TokenBucket(200_000, 15_000, 781_250))]
    assert mirred.redirects(host, veth.index) == [ifb.index]
    machine.succeeds("bandwidth", "CHECK", config(**BOTH))


@pytest.mark.parametrize("values", [{}, {"runtimeConfig": {"bandwidth": {}}}, {"ingressRate": 0}])
def test_without_limits_the_result_is_passed_on(machine: Machine, values: dict[str, Any]) -> None:
    before = machine.state()
    assert machine.add("bandwidth", config(**values)) == config()["prevResult"]
    assert machine.state() == before
    machine.succeeds("bandwidth", "CHECK", config(**values))


def test_one_direction_alone(machine: Machine) -> None:
    result = machine.add(
        "bandwidth", config(runtimeConfig={"bandwidth": {"ingressRate": 8000, "ingressBurst": 80_000}})
    )
    assert result == config()["prevResult"]
    assert machine.host_namespace.link(IFB) is None
    assert [kind for kind, _ in shaped(machine.host_namespace, "veth1")] == ["tbf"]


def test_a_burst_that_lets_no_packet_through_is_warned_of(machine: Machine) -> None:
    answer = machine.call("bandwidth", "ADD", config(ingressRate=8000, ingressBurst=8000))
    assert answer.status == 0
    assert "a burst of 8000 bits is less than a packet of 1400 bytes" in answer.stderr.decode()
    assert machine.call("bandwidth", "DEL", config()).stderr == b""


def test_chained_only(machine: Machine) -> None:
    for values in ({}, BOTH):
        alone = config(**values)
        del alone["prevResult"]
        assert machine.error("bandwidth", "ADD", alone)["msg"] == "must be called as chained plugin"
        assert machine.error("bandwidth", "CHECK", alone)["msg"] == "must be called as a chained plugin"


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_the_other_end_must_be_known(machine: Machine, command: str) -> None:
    def error(previous: dict[str, Any] | None = None, **options: Any) -> str:
        whole = config(**BOTH)
        if previous is not None:
            whole["prevResult"] = {"cniVersion": "1.1.0", **previous}
        return str(machine.error("bandwidth", command, whole, **options)["msg"])

    assert error({}) == "no interfaces provided"
    assert error({"interfaces": [{"name": "veth2"}]}) == "no veth peer of container interface found in host ns"
    assert error({"interfaces": [{"name": "veth1", "sandbox": NETNS}]}) == (
        "no veth peer of container interface found in host ns"
    )
    assert error(ifname="eth7") == (
        'container interface eth7 has no veth peer: could not look up "eth7": Link not found'
    )
    assert error(ifname="lo") == 'container interface lo has no veth peer: interface "lo" was not a veth interface'
    assert error(netns="/run/netns/gone").startswith('failed to open netns "/run/netns/gone": failed to Statfs ')
    machine.container.create_veth("near", "far", machine.kernel.create())
    assert error(ifname="near") == "veth peer with index 2 is not in host ns", "the host's own 2 is another pair's"
    for number in range(3):
        machine.container.create_veth(f"in{number}", f"out{number}", machine.container)
    link = machine.container.link("in2")
    assert link is not None
    assert error(ifname="in2") == f"veth peer with index {link.link} is not in host ns"


@pytest.mark.parametrize("missing", [None, "ifb", "tbf", "ingress"])
def test_a_failed_add_is_undone(machine: Machine, missing: str | None) -> None:
    if missing is None:
        machine.host_namespace.create_bridge(IFB)
    else:
        machine.kernel.lacking.add(missing)
    before = machine.state(), shaped(machine.host_namespace, "veth1")
    words = {
        None: "adding link: file exists",
        "ifb": "adding link: operation not supported",
        "tbf": "create qdisc: no such file or directory",
        "ingress": "create ingress qdisc: no such file or directory",
    }
    assert machine.error("bandwidth", "ADD", config(**BOTH))["msg"] == words[missing]
    assert (machine.state(), shaped(machine.host_namespace, "veth1")) == before


def test_a_bucket_for_the_ifb_that_fails_is_undone(machine: Machine) -> None:
    machine.kernel.lacking.add("tbf")
    egress = {key: value for key, value in BOTH.items() if key.startswith("egress")}
    before = machine.state()
    assert machine.error("bandwidth", "ADD", config(**egress))["msg"] == (
        "create ifb qdisc: create qdisc: no such file or directory"
    )
    assert machine.state() == before


def test_a_second_add_is_refused_and_leaves_the_first(machine: Machine) -> None:
    machine.add("bandwidth", config(**BOTH))
    before = machine.state(), shaped(machine.host_namespace, "veth1")
    assert machine.error("bandwidth", "ADD", config(**BOTH))["msg"] == "create qdisc: file exists"
    assert (machine.state(), shaped(machine.host_namespace, "veth1")) == before
    machine.succeeds("bandwidth", "CHECK", config(**BOTH))


def test_two_interfaces_of_a_container_on_one_network(machine: Machine) -> None:
    host = machine.host_namespace
    host.create_veth("veth2", "eth1", machine.container)
    previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "veth2"}]}
    both = {"eth0": config(**BOTH), "eth1": config(**{**BOTH, "prevResult": previous})}
    other = second_ifb_name(Owner("net", "c1", "eth1"))
    # what an ADD or DEL of the second does, or that of one that has no limits, is nothing to the first
    for order in (("eth0", "eth1"), ("eth1", "eth0")):
        for ifname, ifb in zip(order, (IFB, second_ifb_name(Owner("net", "c1", order[1]))), strict=True):
            assert machine.add("bandwidth", both[ifname], ifname=ifname)["interfaces"][-1]["name"] == ifb
        for ifname in order:
            machine.succeeds("bandwidth", "CHECK", both[ifname], ifname=ifname)
        machine.succeeds("bandwidth", "DEL", config(), ifname="eth2")
        for ifname, left in (("eth1", "eth0"), ("eth0", "")):
            machine.succeeds("bandwidth", "DEL", both[ifname], ifname=ifname)
            if left:
                machine.succeeds("bandwidth", "CHECK", both[left], ifname=left)
        assert {each.name for each in host.links() if each.kind == "ifb"} == set()
        for device in ("veth1", "veth2"):
            link = host.link(device)
            assert link is not None
            qdisc.remove_qdisc(host, link.index, qdisc.ROOT)
            qdisc.remove_qdisc(host, link.index, qdisc.INGRESS)
    assert len(other) == len(IFB)


def test_an_ifb_that_says_nothing_is_the_references(machine: Machine) -> None:
    host = machine.host_namespace
    host.rtnetlink().request(new_ifb(IFB, 1500))
    machine.add("bandwidth", config(**BOTH), ifname="eth0")
    machine.succeeds("bandwidth", "CHECK", config(**BOTH))
    for left in ({IFB}, set()):
        machine.succeeds("bandwidth", "DEL", config())
        assert {each.name for each in host.links() if each.kind == "ifb"} == left


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ingressRate": 800_008}, "Rate doesn't match"),
        ({"ingressBurst": 160_008}, "Limit doesn't match"),
        ({"egressRate": 1_600_008}, "Rate doesn't match"),
        ({"egressBurst": 80_008}, "Limit doesn't match"),
    ],
)
def test_check_compares_the_buckets(machine: Machine, changed: dict[str, int], message: str) -> None:
    machine.add("bandwidth", config(**BOTH))
    assert machine.error("bandwidth", "CHECK", config(**{**BOTH, **changed}))["msg"] == message


def test_check_misses_what_is_gone(machine: Machine) -> None:
    host = machine.host_namespace
    machine.add("bandwidth", config(**BOTH))
    ifb, veth = host.link(IFB), host.link("veth1")
    assert ifb is not None and veth is not None
    qdisc.remove_qdisc(host, veth.index, qdisc.INGRESS)
    assert machine.error("bandwidth", "CHECK", config(**BOTH))["msg"] == (
        f"what veth1 receives is not led through {IFB}"
    )
    qdisc.remove_qdisc(host, ifb.index, qdisc.ROOT)
    assert machine.error("bandwidth", "CHECK", config(**BOTH))["msg"] == "Failed to find qdisc"
    host.delete_link(ifb.index)
    assert machine.error("bandwidth", "CHECK", config(**BOTH))["msg"] == "get ifb device: Link not found"
    qdisc.remove_qdisc(host, veth.index, qdisc.ROOT)
    assert machine.error("bandwidth", "CHECK", config(**BOTH))["msg"] == "Failed to find qdisc"


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("values", [BOTH, {}, {"ingressRate": 1}, {"ingressRate": "bad"}])
def test_del_finds_the_ifb_by_its_name(machine: Machine, defer: bool, values: dict[str, Any]) -> None:
    before = machine.state()
    machine.add("bandwidth", config(**BOTH))
    alone = config(**values)
    del alone["prevResult"]
    for netns in ("", "/run/netns/gone", NETNS):
        assert machine.succeeds("bandwidth", "DEL", alone, netns=netns, defer=defer) == ""
        assert machine.host_namespace.link(IFB) is None
    assert [each.group for each in machine.host_namespace.links() if each.kind == "ifb"] == [TRASH_GROUP] * defer
    for work in machine.deferred:
        work(machine.host_namespace)
    after = machine.state()
    assert after["host"]["links"].keys() == before["host"]["links"].keys()


def test_del_leaves_a_device_that_is_no_ifb(machine: Machine) -> None:
    machine.host_namespace.create_bridge(IFB)
    machine.succeeds("bandwidth", "DEL", config())
    assert machine.host_namespace.link(IFB) is not None


def test_gc_frees_stale_ifbs(machine: Machine) -> None:
    host = machine.host_namespace
    for number in (1, 2):
        veth = f"h{number}"
        host.create_veth(veth, f"eth{number}", machine.container)
        previous = {"cniVersion": "1.1.0", "interfaces": [{"name": veth}]}
        for network in ("net", "other"):
            machine.add(
                "bandwidth",
                config(**{**BOTH, "ingressRate": 0, "ingressBurst": 0, "prevResult": previous, "name": network})
                if network == "net"
                else config(prevResult=previous, name=network),
                container_id=f"c{number}",
                ifname=f"eth{number}",
            )
    host.create_veth("h3", "eth3", machine.container)
    machine.add(
        "bandwidth",
        config(name="other", **BOTH, prevResult={"cniVersion": "1.1.0", "interfaces": [{"name": "h3"}]}),
        container_id="c3",
        ifname="eth3",
    )
    for name, network in (("bwp000000000000", "net"), ("bwp000000000001", "other")):
        host.rtnetlink().request(new_ifb(name, 1500, newborn_group(network)))
    host.rtnetlink().request(new_ifb("operators", 1500))
    valid = [{"containerID": "c1", "ifname": "eth1"}]
    collect = config(**{"cni.dev/valid-attachments": valid})
    del collect["prevResult"]
    for _ in range(2):
        machine.succeeds("bandwidth", "GC", collect, netns="", container_id="", ifname="")
        kept = {each.name for each in host.links() if each.kind == "ifb"}
        assert kept == {ifb_name("net", "c1"), ifb_name("other", "c3"), "bwp000000000001", "operators"}


@pytest.mark.parametrize(("kind", "words"), [("ifb", "no driver for ifb devices"), ("tbf", "token buckets (tbf)")])
def test_status_tells_what_the_kernel_lacks(machine: Machine, kind: str, words: str) -> None:
    before = machine.state()
    machine.succeeds("bandwidth", "STATUS", config(**BOTH))
    machine.kernel.lacking.add(kind)
    error = machine.error("bandwidth", "STATUS", config(**BOTH))
    assert error["code"] == 50 and words in error["msg"]
    assert machine.state() == before


def test_versions() -> None:
    assert load("bandwidth").versions == ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
