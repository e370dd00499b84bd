"""firewall's firewalld backend against the real firewalld, side by side with the reference's binary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from firewalld_host import ROOT, FirewalldHost

IPS = ("10.0.0.2/24", "fd00::2/64")
SOURCES = {"10.0.0.2/32", "fd00::2/128"}
NO_BUS = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/nowhere"}


@pytest.fixture(scope="module")
def _machine() -> Iterator[FirewalldHost]:
    with FirewalldHost() as host:
        yield host


@pytest.fixture
def host(_machine: FirewalldHost) -> Iterator[FirewalldHost]:
    yield _machine
    _machine.run(
        "for z in trusted work; do for s in $(firewall-cmd --zone=$z --list-sources); do "
        "firewall-cmd -q --zone=$z --remove-source=$s; done; done; rm -rf /run/pynet"
    )
    for table in ("iptables", "ip6tables"):
        _machine.run(f"{table} -F; {table} -X")


def config(*ips: str, **keys: Any) -> dict[str, Any]:
    previous = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/run/netns/c1"}],
        "ips": [{"address": each, "interface": 1} for each in ips or IPS],
        "dns": {},
    }
    return {"cniVersion": "1.0.0", "name": "net", "type": "firewall", "prevResult": previous, **keys}


@pytest.mark.parametrize("zone", ["", "work"])
@pytest.mark.parametrize("backend", ["firewalld", "", "anything"])
def test_add_check_and_del_do_what_the_reference_does(host: FirewalldHost, zone: str, backend: str) -> None:
    """Without a backend too: firewalld is chosen where it runs."""
    whole = config(backend=backend, firewalldZone=zone)
    answers, sources = [], []
    for whose in ("theirs", "ours"):
        seen = [host.plugin(whose, "ADD", whole)]
        sources.append(host.sources(zone or "trusted"))
        seen += [host.plugin(whose, "ADD", whole), host.plugin(whose, "CHECK", whole)]
        seen += [host.plugin(whose, "DEL", whole), host.plugin(whose, "DEL", whole)]
        answers.append(seen)
        assert host.sources(zone or "trusted") == set()
    assert answers[0] == answers[1]
    assert [status for status, _ in answers[1]] == [0] * 5
    assert sources == [SOURCES, SOURCES]
    assert "CNI" not in host.run("iptables -S; ip6tables -S")


@pytest.mark.parametrize(
    ("keys", "environment"),
    [
        ({"firewalldZone": "nowhere"}, {}),
        ({"ingressPolicy": "closed"}, {}),
        ({"prevResult": None}, {}),
        ({}, NO_BUS),
        ({}, {"DBUS_SYSTEM_BUS_ADDRESS": "unix:abstract=nowhere"}),
        ({}, {"DBUS_SYSTEM_BUS_ADDRESS": "carrier:pigeon"}),
        ({}, {"DBUS_SYSTEM_BUS_ADDRESS": "nothing"}),
        ({}, {"DBUS_SYSTEM_BUS_ADDRESS": "unix:guid=1"}),
    ],
    ids=["zone", "policy", "no-result", "no-bus", "no-abstract-bus", "transport", "no-address", "no-path"],
)
def test_what_the_reference_refuses_is_refused_in_its_words(
    host: FirewalldHost, keys: dict[str, Any], environment: dict[str, str]
) -> None:
    whole = config(backend="firewalld", **keys)
    theirs = host.plugin("theirs", "ADD", whole, **environment)
    host.plugin("theirs", "DEL", config(backend="firewalld"))
    assert host.plugin("ours", "ADD", whole, **environment) == theirs
    assert theirs[0] == 1
    assert host.sources() == set(), "the reference leaves its sources when the policy is wrong, ours does not"
    assert host.plugin("ours", "DEL", {**whole, "ingressPolicy": ""}, **environment)[0] == 0


def test_an_address_of_another_zone(host: FirewalldHost) -> None:
    """The second of two addresses: the first does not stay either."""
    host.run("firewall-cmd -q --zone=work --add-source=fd00::2/128")
    whole = config(backend="firewalld")
    theirs = host.plugin("theirs", "ADD", whole)
    host.plugin("theirs", "DEL", whole)
    assert host.plugin("ours", "ADD", whole) == theirs
    assert "ZONE_CONFLICT" in theirs[1]["msg"]
    assert host.sources() == set()
    assert host.sources("work") == {"fd00::2/128"}


def test_a_policys_rules_are_iptables(host: FirewalldHost) -> None:
    """Whatever the backend (contract 5.3)."""
    whole = config(backend="firewalld", ingressPolicy="isolated")
    listings = []
    for whose in ("theirs", "ours"):
        assert host.plugin(whose, "ADD", whole)[0] == 0
        listings.append(host.run("iptables-save -t filter; ip6tables-save -t filter").splitlines())
        if whose == "ours":
            assert host.plugin("ours", "CHECK", whole) == (0, None)
            host.run("iptables -D CNI-ISOLATION-STAGE-2 1")
            assert host.plugin("ours", "CHECK", whole)[0] == 1
        assert host.plugin(whose, "DEL", whole)[0] == 0
        if whose == "ours":
            assert "CNI-ISOLATION" not in host.run("iptables -S; ip6tables -S"), "the reference's stay"
        host.run("for i in iptables ip6tables; do $i -F; $i -X; done")
    first, second = ([line for line in each if not line.startswith(("#", ":"))] for each in listings)
    assert first == second
    assert any("CNI-ISOLATION-STAGE-1" in line for line in second)
    assert not any("CNI-FORWARD" in line for line in second)


def test_real_traffic(host: FirewalldHost) -> None:
    """firewalld's default zone refuses what it does not know; the trusted one does not."""
    request = "exec 3<>/dev/tcp/10.0.0.1/8080; echo GET / HTTP/1.0 >&3; echo >&3; cat <&3"
    fetch = f"nsenter --net=/run/netns/c1 timeout 5 bash -c '{request}'"
    assert host.run(fetch, check=False) == ""
    assert host.plugin("ours", "ADD", config("10.0.0.2/24"))[0] == 0
    assert "hello" in host.run(fetch)
    assert host.plugin("ours", "DEL", config("10.0.0.2/24"))[0] == 0
    assert host.run(fetch, check=False) == ""


def test_check_sees_what_firewalld_forgot(host: FirewalldHost) -> None:
    """The reference does not (appendix A.15)."""
    whole = config(backend="firewalld")
    assert host.plugin("ours", "ADD", whole)[0] == 0
    host.run("firewall-cmd -q --zone=trusted --remove-source=fd00::2/128")
    assert host.plugin("theirs", "CHECK", whole) == (0, None)
    error = {"code": 999, "msg": "failed to find the address fd00::2/128 in trusted zone"}
    assert host.plugin("ours", "CHECK", whole) == (1, error)


def test_del_without_a_result_finds_what_was_added(host: FirewalldHost) -> None:
    whole = config(backend="firewalld", firewalldZone="work")
    assert host.plugin("ours", "ADD", whole)[0] == 0
    # the zone is another now, the result is lost
    bare = {key: value for key, value in whole.items() if key not in ("prevResult", "firewalldZone")}
    assert host.plugin("ours", "DEL", bare) == (0, None)
    assert host.sources("work") == set()
    assert host.run("find /run/pynet -name '*.firewall'") == ""


def test_each_implementation_removes_what_the_other_added(host: FirewalldHost) -> None:
    whole = config(backend="")
    for adds, removes in (("ours", "theirs"), ("theirs", "ours")):
        assert host.plugin(adds, "ADD", whole)[0] == 0
        assert host.sources() == SOURCES
        assert host.plugin(removes, "DEL", whole)[0] == 0
        assert host.sources() == set()
        host.plugin("ours", "DEL", whole)


def test_an_address_of_two_networks_stays_with_the_second(host: FirewalldHost) -> None:
    first, second = config("10.0.0.2/24"), config("10.0.0.2/24", name="other")
    for each in (first, second):
        assert host.plugin("ours", "ADD", each)[0] == 0
    assert host.plugin("ours", "DEL", first)[0] == 0
    assert host.sources() == {"10.0.0.2/32"}
    assert host.plugin("ours", "DEL", second)[0] == 0
    assert host.sources() == set()


def test_another_zone_and_another_backend_replace_the_first(host: FirewalldHost) -> None:
    assert host.plugin("ours", "ADD", config(backend="firewalld"))[0] == 0
    assert host.plugin("ours", "ADD", config(backend="firewalld", firewalldZone="work"))[0] == 0
    assert (host.sources(), host.sources("work")) == (set(), SOURCES)
    assert host.plugin("ours", "ADD", config(backend="iptables"))[0] == 0
    assert host.sources("work") == set()
    assert "10.0.0.2/32" in host.run("iptables -S CNI-FORWARD")
    assert host.plugin("ours", "ADD", config(backend="firewalld"))[0] == 0
    assert "10.0.0.2/32" not in host.run("iptables -S CNI-FORWARD")
    assert host.sources() == SOURCES


def test_gc_and_status(host: FirewalldHost) -> None:
    whole = {**config(backend="firewalld"), "cniVersion": "1.1.0"}
    for name in ("one", "two"):
        ip = {"one": "10.0.0.11/24", "two": "10.0.0.12/24"}[name]
        assert host.plugin("ours", "ADD", {**config(ip, backend="firewalld")}, container_id=name)[0] == 0
    valid = [{"containerID": "two", "ifname": "eth0"}]
    assert host.plugin("ours", "GC", {**whole, "cni.dev/valid-attachments": valid}) == (0, None)
    assert host.sources() == {"10.0.0.12/32"}
    assert host.plugin("ours", "STATUS", whole) == (0, None)
    status, body = host.plugin("ours", "STATUS", {**whole, "firewalldZone": "nowhere"})
    assert (status, body["code"]) == (1, 50)
    assert body["msg"].startswith("firewall backend firewalld: INVALID_ZONE")
    status, body = host.plugin("ours", "STATUS", whole, **NO_BUS)
    assert (status, body["code"]) == (1, 50)
    assert "dial unix /run/nowhere: connect: no such file or directory" in body["msg"]


def test_without_firewalld(host: FirewalldHost) -> None:
    """The bus is there, firewalld is not: an error when it is asked for, iptables when nobody says; and what it had
    added is forgotten, not in the way."""
    assert host.plugin("ours", "ADD", config(), container_id="old")[0] == 0
    host.stop()
    try:
        named, automatic = config(backend="firewalld"), config()
        theirs = host.plugin("theirs", "ADD", named)
        assert host.plugin("ours", "ADD", named) == theirs
        assert theirs[0] == 1
        assert host.plugin("ours", "DEL", named) == host.plugin("theirs", "DEL", named) == (0, None)
        assert host.plugin("ours", "ADD", automatic)[0] == 0
        assert "-s 10.0.0.2/32 -j ACCEPT" in host.run("iptables -S CNI-FORWARD")
        assert host.plugin("ours", "DEL", automatic) == (0, None)
        assert host.plugin("ours", "DEL", automatic, container_id="old") == (0, None)
        status, body = host.plugin("ours", "STATUS", {**named, "cniVersion": "1.1.0"})
        assert (status, body["code"], body["msg"]) == (1, 50, "firewall backend firewalld: firewalld does not run")
    finally:
        host.start()
    assert host.sources() == set()


def test_what_firewalld_forgets_it_is_told_again(host: FirewalldHost) -> None:
    """After a reload within 2 s, after a restart as soon as it can be told; the iptables part comes back as well."""
    assert host.plugin("ours", "ADD", config(backend="firewalld", ingressPolicy="same-bridge"))[0] == 0
    host.run(
        f"cd {ROOT}; /usr/bin/python3 -m netd.engine.main </dev/null >/run/engine.log 2>&1 & echo $! >/run/engine.pid"
    )
    try:
        until(lambda: Path(f"/proc/{host.pid}/root/run/pynet/cni.sock").exists(), 10)
        host.run("firewall-cmd -q --reload; iptables -F; iptables -X")
        until(lambda: host.sources() == SOURCES, 2)
        until(lambda: "br0" in host.run("iptables -S"), 2)
        host.stop()
        host.start()
        until(lambda: host.sources() == SOURCES, 10)
    finally:
        host.run("kill $(cat /run/engine.pid)")
    assert host.plugin("ours", "DEL", config(backend="firewalld", ingressPolicy="same-bridge")) == (0, None)


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
