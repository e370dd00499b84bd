"""tuning: its keys, plan, backup file, and the plugin on the in-memory machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.facts import Owner
from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, Link
from pycni.plan import ops
from pycni.remembered import Memory
from pycni.skeleton import serve
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import parse_config
from pycni.spec.section import Section
from pycni_plugins import load
from pycni_plugins.tuning import backup
from pycni_plugins.tuning.config import Tuning, parse, refuse_duplicates, refuse_unlisted, sysctl_path
from pycni_plugins.tuning.plugin import plan

MAC = "8a:71:74:87:9c:4a"
OWNER = Owner("net", "c1", "eth0")


def keys(cni_args: str = "", **values: Any) -> Tuning:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()), cni_args)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.host_namespace.create_veth("veth1", "eth0", made.container)
    return made


def test_defaults() -> None:
    assert keys() == Tuning((), "", False, 0, None, None, "/run/cni/tuning")
    assert not keys().changes_link


@pytest.mark.parametrize(
    ("sources", "last"), [((1, 0, 0, 0), 1), ((1, 2, 0, 0), 2), ((1, 2, 3, 0), 3), ((1, 2, 3, 4), 4), ((1, 0, 0, 4), 4)]
)
def test_the_mac_comes_from_the_last_source(sources: tuple[int, int, int, int], last: int) -> None:
    """The key, CNI_ARGS, runtimeConfig, args.cni: another order than bridge's (contract 2.8)."""
    key, argument, runtime, args = (f"0a:00:00:00:00:0{number}" if number else "" for number in sources)
    cni_args = f"MAC={argument}" if argument else ""
    found = keys(cni_args, mac=key, runtimeConfig={"mac": runtime}, args={"cni": {"mac": args}})
    assert found.mac == f"0a:00:00:00:00:0{last}"


def test_args_override_every_key() -> None:
    found = keys(
        sysctl={"net.a": "1", "net.b": "1"},
        promisc=True,
        mtu=1400,
        txQLen=5,
        allmulti=True,
        dataDir="/d",
        args={"cni": {"sysctl": {"net.b": "2"}, "promisc": False, "mtu": 1300, "txQLen": 6, "allmulti": False}},
    )
    assert found == Tuning((("net.a", "1"), ("net.b", "2")), "", False, 1300, 6, False, "/d")


def test_sysctls_in_args_alone() -> None:
    """The reference crashes here (appendix A.2)."""
    assert keys(args={"cni": {"sysctl": {"net.a": "1"}}}).sysctls == (("net.a", "1"),)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"mtu": -1}, "mtu"),
        ({"mtu": 2**32}, "mtu"),
        ({"txQLen": -1}, "txQLen"),
        ({"args": {"cni": {"txQLen": -1}}}, "args.cni.txQLen"),
        ({"args": {"cni": {"mtu": -1}}}, "args.cni.mtu"),
        ({"sysctl": {"net.a": 1}}, "sysctl.net.a"),
        ({"promisc": "yes"}, "promisc"),
    ],
)
def test_a_bad_key_is_named(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys(**values)
    assert caught.value.msg.startswith(f"invalid configuration: key '{place}': ")


def test_a_bad_mac() -> None:
    with pytest.raises(CniError, match=r"^invalid args zz for MAC addr: address zz: invalid MAC address$"):
        keys(mac="zz")


@pytest.mark.parametrize(
    ("text", "duplicate"),
    [
        ('{"sysctl":{"a":"1","a":"2"}}', True),
        ('{"Sysctl":{"a":"1","a":"1"}}', True),
        ('{"sysctl":{"a":"1","\\u0061":"1"}}', True),
        ('{"sysctl":{"a":"1"},"name":"a"}', False),
        ('{"sysctl":{"a.b":"1","a/b":"2"}}', False),
        ('{"sysctl":{"a":"1"},"args":{"cni":{"sysctl":{"a":"1","a":"2"}}}}', False),
        ('{"sysctl":null}', False),
        ("{}", False),
    ],
)
def test_duplicate_keys(text: str, duplicate: bool) -> None:
    if not duplicate:
        refuse_duplicates(text.encode(), Section(json.loads(text)))
        return
    with pytest.raises(CniError, match=r"^duplicated sysctl keys are not allowed$"):
        refuse_duplicates(text.encode(), Section(json.loads(text)))


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.core.somaxconn", "net/core/somaxconn"),
        ("net/core/somaxconn", "net/core/somaxconn"),
        ("net.ipv4.conf.IFNAME.arp_notify", "net/ipv4/conf/eth0/arp_notify"),
        ("net/ipv4/conf/IFNAME/IFNAME", "net/ipv4/conf/eth0/IFNAME"),
        ("/net/core//x", "net/core/x"),
        ("net/../net/core/x", "net/net/core/x"),
    ],
)
def test_sysctl_paths(key: str, path: str) -> None:
    assert sysctl_path(key, "eth0") == path


def test_an_interfaces_dots_are_kept() -> None:
    assert sysctl_path("net.ipv4.conf.IFNAME.arp_notify", "eth0.100") == "net/ipv4/conf/eth0.100/arp_notify"


@pytest.mark.parametrize("key", ["kernel.panic", "net", "networks.x", "", "vm/swappiness", "/../kernel/panic"])
def test_sysctls_of_others(key: str) -> None:
    converted = key.replace(".", "/")
    with pytest.raises(CniError) as caught:
        sysctl_path(key, "eth0")
    assert caught.value.msg == f'invalid net sysctl key: "{converted}"'


@given(st.text(st.sampled_from("./netkrl~I"), max_size=20))
def test_no_key_leads_out_of_net(key: str) -> None:
    try:
        path = sysctl_path(key, "eth0")
    except CniError:
        return
    assert os.path.normpath(f"/proc/sys/{path}").startswith("/proc/sys/net/")
    assert ".." not in path.split("/")


def test_allow_list() -> None:
    refuse_unlisted([("net.ipv4.x", "1")], "\n ^net.ipv4.* \n")
    with pytest.raises(CniError) as caught:
        refuse_unlisted([("net.ipv4.x", "1"), ("net.core.y", "1")], "^net.ipv4\n^other$\n")
    assert caught.value.msg == (
        "Sysctl net.core.y is not allowed. Only the following sysctls are allowed: [^net.ipv4 ^other$]"
    )
    with pytest.raises(CniError, match=r"^allowlist of sysctls: bad regular expression: "):
        refuse_unlisted([("net.core.y", "1")], "(")


def test_the_plan() -> None:
    tuning = keys(sysctl={"net.core.somaxconn": "5"}, mac=MAC, mtu=1400, promisc=True, allmulti=False, txQLen=0)
    assert plan(tuning, "eth0") == [
        ops.Sysctl(ops.CONTAINER, "net/core/somaxconn", "5", required=True),
        ops.SetLink(ops.CONTAINER, "eth0", None, bytes.fromhex("8a7174879c4a"), 1400, True, False, 0),
    ]
    assert plan(keys(), "eth0") == []


LINK = Link(2, "eth0", mac=bytes.fromhex("8a7174879c4a"), mtu=1500, flags=IFF_ALLMULTI, txqlen=1000)


def test_the_backup_file_byte_for_byte() -> None:
    text = backup.render(keys(mac="0a:00:00:00:00:01", promisc=True, mtu=1400), LINK)
    assert text == '{\n "mac": "8a:71:74:87:9c:4a",\n "promisc": false,\n "mtu": 1500\n}'


@given(
    st.booleans(),
    st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.integers(0, 9),
    st.sampled_from([0, IFF_PROMISC]),
)
def test_a_backup_restores_exactly_what_changes(
    mac: bool, promisc: bool, allmulti: bool | None, txqlen: int | None, flags: int
) -> None:
    tuning = Tuning((), MAC if mac else "", promisc, 0, txqlen, allmulti, "/d")
    link = LINK.replace(flags=flags)
    assert backup.parse(backup.render(tuning, link), "eth0") == ops.SetLink(
        ops.CONTAINER,
        "eth0",
        None,
        link.mac if mac else None,
        None,
        bool(flags) if promisc else None,
        False if allmulti is not None else None,
        1000 if txqlen is not None else None,
    )


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', '{"mac": 5}', '{"mac": "zz"}', '{"mtu": -1}', "null"])
def test_what_is_not_a_backup(text: str) -> None:
    with pytest.raises((ValueError, CniError)):
        backup.parse(text, "eth0")


# --- the plugin on the in-memory machine -----------------------------------------------------------------------------

PREVIOUS = {
    "interfaces": [{"name": "br0", "mac": "old"}, {"name": "eth0", "mac": "old", "sandbox": NETNS}],
    "ips": [{"address": "10.0.0.2/24", "interface": 1}],
}


def config(machine: Machine, **values: Any) -> dict[str, Any]:
    whole = {"name": "net", "cniVersion": "1.1.0", "prevResult": PREVIOUS}
    return {**whole, "dataDir": str(machine.directory / "tuning"), **values}


def saved(machine: Machine) -> Path:
    return machine.directory / "tuning/c1_eth0.json"


def test_the_mac_is_reported_as_it_was_written(machine: Machine) -> None:
    added = machine.add("tuning", config(machine, mac="0A-00-00-00-00-07"))
    assert [each["mac"] for each in added["interfaces"]] == ["old", "0A-00-00-00-00-07"]
    link = machine.container.link("eth0")
    assert link is not None
    assert link.mac.hex() == "0a0000000007"


def test_modes_of_the_backup_and_its_directory(machine: Machine) -> None:
    machine.add("tuning", config(machine, mtu=1400))
    assert saved(machine).stat().st_mode & 0o777 == 0o600
    assert saved(machine).parent.stat().st_mode & 0o777 == 0o600


def test_no_backup_without_a_change_of_the_link(machine: Machine) -> None:
    machine.add("tuning", config(machine, sysctl={"net.core.somaxconn": "7"}))
    assert not saved(machine).exists()
    assert machine.container.read_sysctl("net/core/somaxconn") == "7"


def test_del_restores_and_del_again(machine: Machine) -> None:
    before = machine.state()
    whole = config(machine, mtu=1400, promisc=True, allmulti=True, txQLen=7, mac="0a:00:00:00:00:07")
    machine.add("tuning", whole)
    assert machine.state() != before
    for _ in range(2):
        machine.succeeds("tuning", "DEL", whole)
        assert machine.state() == before


@pytest.mark.parametrize("netns", ["", "/run/netns/none"])
def test_del_without_the_namespace_removes_the_file(machine: Machine, netns: str) -> None:
    """The reference leaves it behind."""
    machine.add("tuning", config(machine, mtu=1400))
    machine.succeeds("tuning", "DEL", config(machine, prevResult=None), netns=netns)
    assert machine.state()["files"].keys() == {f"bin/{each.name}" for each in machine.bin.iterdir()}


@pytest.mark.parametrize("text", ["[]", "{", '{"mtu": 1}'])
def test_del_never_fails_and_keeps_a_file_it_could_not_use(machine: Machine, text: str) -> None:
    machine.add("tuning", config(machine, mtu=1400))
    saved(machine).write_text(text)
    assert machine.succeeds("tuning", "DEL", config(machine)).startswith("tuning: could not restore eth0: ")
    assert saved(machine).exists()


def test_del_with_something_else_at_the_namespaces_path(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add("tuning", config(machine, mtu=1400))

    def refuse(path: str) -> Any:
        raise CniError(f'unknown FS magic on "{path}": ef53')

    monkeypatch.setattr(machine.kernel, "open", refuse)
    assert "unknown FS magic" in machine.succeeds("tuning", "DEL", config(machine))


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_without_a_previous_result(machine: Machine, command: str) -> None:
    assert machine.error("tuning", command, config(machine, prevResult=None))["msg"] == "Required prevResult missing"


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_duplicates_come_before_everything_else(machine: Machine, command: str) -> None:
    stdin = b'{"name":"n","cniVersion":"1.1.0","mtu":"x","sysctl":{"a":"1","a":"2"}}'
    assert machine.error("tuning", command, stdin)["msg"] == "duplicated sysctl keys are not allowed"


def test_a_missing_interface(machine: Machine) -> None:
    body = machine.error("tuning", "ADD", config(machine, mtu=1400), ifname="eth9")
    assert body["msg"] == 'failed to get "eth9": Link not found'
    assert machine.error("tuning", "CHECK", config(machine), ifname="eth9")["msg"] == (
        "Cannot find container link eth9"
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"sysctl": {"net.core.somaxconn": "9"}},
            "Error: Tuning configured value of /proc/sys/net/core/somaxconn is 9",
        ),
        ({"sysctl": {"net.core.none": "9"}}, "open /proc/sys/net/core/none: no such file or directory"),
        (
            {"mac": "0a:00:00:00:00:09"},
            "Error: Tuning configured Ethernet of eth0 is 0a:00:00:00:00:09",
        ),
        ({"promisc": True}, "Error: Tuning link eth0 configured promisc is true, current value is 0"),
        ({"mtu": 9}, "Error: Tuning configured MTU of eth0 is 9, current value is 1500"),
        ({"allmulti": True}, "Error: Tuning configured all-multicast mode of eth0 is true, current value is false"),
        ({"txQLen": 9}, "Error: Tuning configured Transmit Queue Length of eth0 is 9, current value is 1000"),
    ],
)
def test_check_of_what_is_not_so(machine: Machine, values: dict[str, Any], text: str) -> None:
    assert machine.error("tuning", "CHECK", config(machine, **values))["msg"].startswith(text)


def test_check_of_what_is_so(machine: Machine) -> None:
    whole = config(
        machine, mtu=1400, mac="0a:00:00:00:00:07", promisc=True, allmulti=True, sysctl={"net.core.somaxconn": "9"}
    )
    machine.add("tuning", whole)
    machine.succeeds("tuning", "CHECK", whole)
    assert "configured promisc" in machine.error("tuning", "CHECK", {**whole, "promisc": False})["msg"]


def test_gc_removes_the_files_of_the_invalid(machine: Machine) -> None:
    for container_id in ("c1", "c2"):
        machine.add("tuning", config(machine, mtu=1400), container_id=container_id)
    other = {**config(machine, mtu=1300), "name": "other"}
    machine.add("tuning", other, container_id="c3")
    keep = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]}
    machine.succeeds("tuning", "GC", config(machine, **keep), netns="")
    assert sorted(path.name for path in saved(machine).parent.iterdir()) == ["c2_eth0.json", "c3_eth0.json"]
    machine.succeeds("tuning", "GC", config(machine, **keep), netns="")


def test_gc_where_nothing_was_ever_tuned(machine: Machine) -> None:
    machine.succeeds("tuning", "GC", config(machine, **{"cni.dev/valid-attachments": None}), netns="")


def test_a_backup_is_not_written_through_a_link(machine: Machine) -> None:
    target = machine.directory / "precious"
    target.write_text("precious")
    saved(machine).parent.mkdir()
    saved(machine).symlink_to(target)
    body = machine.error("tuning", "ADD", config(machine, mtu=1400))
    assert body["msg"].startswith(f"failed to write backup data {saved(machine)}: ")
    assert target.read_text() == "precious"


# --- in a process that remembers --------------------------------------------------------------------------------------


@pytest.fixture
def again(machine: Machine) -> Callable[..., dict[str, Any]]:
    """ADD on one host that remembers; what it prints."""
    host = machine.host()
    host.memory = Memory()

    def add(stdin: bytes, ifname: str = "eth0", arguments: str = "") -> dict[str, Any]:
        variables = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": NETNS, "CNI_PATH": "/x"}
        answer = serve(load("tuning"), {**variables, "CNI_IFNAME": ifname, "CNI_ARGS": arguments}, lambda: stdin, host)
        printed: dict[str, Any] = json.loads(answer.stdout)
        return printed

    return add


def test_each_of_several_adds_is_done(machine: Machine, again: Callable[..., dict[str, Any]]) -> None:
    stdin = json.dumps(config(machine, sysctl={"net.ipv4.conf.IFNAME.arp_notify": "1"})).encode()
    for ifname in ("eth0", "eth0", "eth0", "lo", "eth0"):
        machine.container.write_sysctl(f"net/ipv4/conf/{ifname}/arp_notify", "0")
        assert again(stdin, ifname)["interfaces"] == PREVIOUS["interfaces"]
        assert machine.container.read_sysctl(f"net/ipv4/conf/{ifname}/arp_notify") == "1"


def test_every_one_of_several_adds_is_refused(machine: Machine, again: Callable[..., dict[str, Any]]) -> None:
    once = json.dumps(config(machine, sysctl={"net.core.a": "1"}))
    twice = once.replace('"net.core.a"', '"net.core.a": "0", "net.core.a"')
    outside = json.dumps(config(machine, sysctl={"kernel.panic": "1"}))
    for stdin, reason in ((twice, "duplicated sysctl keys"), (outside, "invalid net sysctl key")):
        for _ in range(4):
            assert again(stdin.encode())["msg"].startswith(reason)


def test_a_remembered_add_heeds_what_may_change(machine: Machine, again: Callable[..., dict[str, Any]]) -> None:
    stdin = json.dumps(config(machine, sysctl={"net.core.somaxconn": "7"})).encode()
    for _ in range(3):
        assert "code" not in again(stdin)
    assert [each["mac"] for each in again(stdin, arguments=f"MAC={MAC}")["interfaces"]] == ["old", MAC]
    assert "code" not in again(stdin)
    Path(machine.settings.tuning_allowlist).write_text("^net.ipv4\n")
    assert "is not allowed" in again(stdin)["msg"]


def test_status_refuses_what_every_add_would(machine: Machine) -> None:
    def said(**keys: Any) -> str:
        return str(machine.error("tuning", "STATUS", config(machine, **keys))["msg"])

    machine.succeeds("tuning", "STATUS", config(machine, sysctl={"net.core.somaxconn": "7"}))
    assert said(sysctl={"kernel.panic": "1"}) == 'invalid net sysctl key: "kernel/panic"'
    assert said(mac="zz").startswith("invalid args zz for MAC addr")
    Path(machine.settings.tuning_allowlist).write_text("^net.ipv4\n")
    assert said(sysctl={"net.core.somaxconn": "7"}).startswith("Sysctl net.core.somaxconn is not allowed.")
