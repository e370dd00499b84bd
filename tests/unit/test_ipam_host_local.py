"""The host-local plugin through the dispatcher: keys, requests, verbs, errors (contract 2.2 and 3).

No kernel work is involved, so its host has no namespace and no firewall at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pycni.kernel.netns import NamespaceMissing
from pycni.settings import Settings
from pycni.skeleton import Host, serve
from pycni_plugins.host_local.plugin import PLUGIN


def no_container(path: str) -> Any:
    raise NamespaceMissing(f'failed to Statfs "{path}": no such file or directory')


HOST = Host(None, None, no_container, Settings())  # type: ignore[arg-type]


def call(command: str, config: dict[str, Any], container: str = "c1", args: str = "", ifname: str = "eth0") -> Any:
    """The decoded output; for an error its (code, msg)."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": "/nowhere",
        "CNI_IFNAME": ifname,
        "CNI_ARGS": args,
        "CNI_PATH": "/opt/cni/bin",
    }
    answer = serve(PLUGIN, environment, lambda: json.dumps(config).encode(), HOST)
    body = json.loads(answer.stdout) if answer.stdout else None
    return (body["code"], body["msg"]) if answer.status else body


def conf(tmp_path: Path, version: str = "1.1.0", **keys: Any) -> dict[str, Any]:
    ipam = keys.pop("ipam", {"subnet": "10.1.2.0/24"})
    return {
        "cniVersion": version,
        "name": "mynet",
        "type": "bridge",
        "ipam": {"type": "host-local", "dataDir": str(tmp_path / "leases"), **ipam},
        **keys,
    }


def ips(result: Any) -> list[tuple[str, str]]:
    return [(each["address"], each["gateway"]) for each in result["ips"]]


def leases(tmp_path: Path) -> dict[str, str]:
    directory = tmp_path / "leases" / "mynet"
    return {each.name: each.read_text() for each in directory.iterdir() if each.name[0] in "1f"}


def test_add_check_del_twice(tmp_path: Path) -> None:
    config = conf(tmp_path)
    added = call("ADD", config)
    assert added == {"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.2/24", "gateway": "10.1.2.1"}]}
    assert leases(tmp_path) == {"10.1.2.2": "c1\neth0"}
    assert call("CHECK", config) is None
    assert call("DEL", config) is None
    assert call("DEL", config) is None
    assert leases(tmp_path) == {}
    assert call("CHECK", config) == (999, "host-local: Failed to find address added by container c1")


def test_every_key_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.3\nsearch example.com\n")
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9", "mtu": 1300, "scope": 0, "table": 7}]
    config = conf(
        tmp_path,
        ipam={
            "subnet": "10.1.2.0/24",
            "rangeStart": "10.1.2.9",
            "rangeEnd": "10.1.2.20",
            "gateway": "10.1.2.10",
            "ranges": [[{"subnet": "fd00::/64", "ipRange": "unknown keys are ignored"}]],
            "routes": routes,
            "resolvConf": str(tmp_path / "resolv.conf"),
        },
    )
    added = call("ADD", config)
    assert ips(added) == [("10.1.2.9/24", "10.1.2.10"), ("fd00::2/64", "fd00::1")]
    assert added["routes"] == routes
    assert added["dns"] == {"nameservers": ["192.0.2.3"], "search": ["example.com"]}
    assert ips(call("ADD", config, "c2")) == [("10.1.2.11/24", "10.1.2.10"), ("fd00::3/64", "fd00::1")]


def test_keys_in_any_letter_case(tmp_path: Path) -> None:
    config = {
        "CNIVERSION": "1.0.0",
        "name": "mynet",
        "IPAM": {
            "DataDir": str(tmp_path / "leases"),
            "Ranges": [[{"Subnet": "10.1.2.0/24", "RangeStart": "10.1.2.9"}]],
        },
        "RuntimeConfig": {"IPRanges": [[{"Subnet": "fd00::/64", "Gateway": "fd00::9"}]], "IPS": ["fd00::77"]},
        "Args": {"CNI": {"IPs": ["10.1.2.50"]}},
    }
    assert ips(call("ADD", config)) == [("fd00::77/64", "fd00::9"), ("10.1.2.50/24", "10.1.2.1")]


def test_runtime_ranges_come_first(tmp_path: Path) -> None:
    config = conf(
        tmp_path,
        ipam={"subnet": "10.1.2.0/24", "ranges": [[{"subnet": "10.1.3.0/24"}]]},
        runtimeConfig={"ipRanges": [[{"subnet": "10.1.4.0/24"}, {"subnet": "10.1.5.0/24"}]]},
    )
    assert [each for each, _ in ips(call("ADD", config))] == ["10.1.4.2/24", "10.1.2.2/24", "10.1.3.2/24"]


def test_requested_addresses_from_all_three_places(tmp_path: Path) -> None:
    config = conf(
        tmp_path,
        ipam={"ranges": [[{"subnet": f"10.1.{third}.0/24"}] for third in (1, 2, 3)]},
        args={"cni": {"ips": ["10.1.2.2/16"]}},
        runtimeConfig={"ips": ["10.1.1.77/24"]},
    )
    added = call("ADD", config, args="IgnoreUnknown=1;MAC=aa:bb:cc:dd:ee:ff;IP=10.1.3.88/24")
    assert [each for each, _ in ips(added)] == ["10.1.1.77/24", "10.1.2.2/24", "10.1.3.88/24"]


@pytest.mark.parametrize(
    ("keys", "args", "msg"),
    [
        ({"ipam": {}}, "", "no IP ranges specified"),
        ({"ipam": {"rangeStart": "10.1.2.3"}}, "", "no IP ranges specified"),
        (
            {"ipam": {"rangeStart": "x", "ranges": [[{"subnet": "10.1.2.0/24"}]]}},
            "",
            "invalid configuration: key 'ipam.rangeStart': invalid IP address: x",
        ),
        (
            {"ipam": {"subnet": "10.1.2.0/31"}},
            "",
            "invalid range set 0: Network 10.1.2.0/31 too small to allocate from",
        ),
        ({"ipam": {"ranges": [[]]}}, "", "invalid range set 0: empty range set"),
        ({"ipam": {"ranges": [[{}]]}}, "", "invalid range set 0: IP <nil> not v4 nor v6"),
        ({}, "MAC=x", 'ARGS: unknown args ["MAC=x"]'),
        ({}, "IP=nonsense", 'ARGS: error parsing value of pair "IP=nonsense": invalid IP address nonsense'),
        ({"runtimeConfig": {"ips": ["10.1.2.3.4"]}}, "", "invalid IP address 10.1.2.3.4"),
        ({"args": {"cni": {"ips": [""]}}}, "", "cannot understand ip: IP <nil> not v4 nor v6"),
        ({"args": {"cni": {"ips": [""]}}}, "K=V", 'ARGS: unknown args ["K=V"]'),
        ({"args": {"cni": {"ips": ["10.2.2.2"]}}}, "", "failed to allocate all requested IPs: 10.2.2.2"),
    ],
)
def test_refusals(tmp_path: Path, keys: dict[str, Any], args: str, msg: str) -> None:
    assert call("ADD", conf(tmp_path, **keys), args=args) == (999, msg)
    assert not (tmp_path / "leases").exists()


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"ipam": {"subnet": "10.1.2.0"}}, "'ipam.subnet'"),
        ({"ipam": {"ranges": [{"subnet": "10.1.2.0/24"}]}}, "'ipam.ranges[0]'"),
        ({"ipam": {"ranges": [["10.1.2.0/24"]]}}, "'ipam.ranges[0][0]'"),
        ({"ipam": {"ranges": [[{"subnet": "10.1.2.0/24", "gateway": 7}]]}}, "'ipam.ranges[0][0].gateway'"),
        ({"ipam": {"subnet": "10.1.2.0/24", "routes": [{}]}}, "'ipam.routes[0].dst'"),
        ({"runtimeConfig": {"ipRanges": {}}}, "'runtimeConfig.ipRanges'"),
    ],
)
def test_bad_keys_are_named(tmp_path: Path, keys: dict[str, Any], where: str) -> None:
    code, msg = call("ADD", conf(tmp_path, **keys))
    assert code == 999
    assert where in msg


def test_without_an_ipam_section() -> None:
    config = {"cniVersion": "1.1.0", "name": "mynet", "cni.dev/valid-attachments": []}
    for command in ("ADD", "DEL", "CHECK", "GC", "STATUS"):
        assert call(command, config) == (999, "IPAM config missing 'ipam' key"), command


def test_a_name_that_is_a_path_gets_nowhere(tmp_path: Path) -> None:
    assert call("ADD", {**conf(tmp_path), "name": "../mynet"}) == (7, "invalid characters found in network name")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_resolv_conf_takes_no_address(tmp_path: Path) -> None:
    config = conf(tmp_path, ipam={"subnet": "10.1.2.0/24", "resolvConf": "/nowhere/resolv.conf"})
    assert call("ADD", config) == (999, "open /nowhere/resolv.conf: no such file or directory")
    assert not (tmp_path / "leases").exists()


def test_a_result_the_version_cannot_express_takes_no_address(tmp_path: Path) -> None:
    """Undone by the dispatcher's transaction; what the owner had before stays."""
    from pycni.spec import result
    from pycni.spec.errors import CniError

    call("ADD", conf(tmp_path), "c1")
    other = conf(tmp_path, ipam={"subnet": "10.9.0.0/24"})
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object) -> str:
            raise CniError("cannot convert: no valid IP addresses")

        patch.setattr(result, "render", refuse)
        assert call("ADD", other, "c1") == (999, "cannot convert: no valid IP addresses")
    assert leases(tmp_path) == {"10.1.2.2": "c1\neth0"}


def test_gc_keeps_the_listed(tmp_path: Path) -> None:
    config = conf(tmp_path)
    for container in ("c1", "c2", "c3"):
        call("ADD", config, container)
    valid = [{"containerID": "c2", "ifname": "eth0"}, {"containerID": "c3", "ifname": "eth1"}]
    assert call("GC", {**config, "cni.dev/valid-attachments": valid}) is None
    assert leases(tmp_path) == {"10.1.2.3": "c2\neth0"}
    assert call("GC", config) is None  # nobody said what is valid, so nothing is stale
    assert leases(tmp_path) == {"10.1.2.3": "c2\neth0"}
    # ranges that no longer hold the lease, and would not even be accepted
    moved = conf(tmp_path, ipam={"subnet": "10.1.2.9/24"})
    assert call("GC", {**moved, "cni.dev/valid-attachments": None}) is None
    assert leases(tmp_path) == {}


def test_status_says_when_a_range_is_full(tmp_path: Path) -> None:
    config = conf(tmp_path, ipam={"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.9.0.0/30"}]]})
    assert call("STATUS", config) is None
    assert not (tmp_path / "leases").exists()
    call("ADD", config)
    assert call("STATUS", config) == (50, "no IP addresses available in range set: 10.9.0.1-10.9.0.2")
    call("DEL", config)
    assert call("STATUS", config) is None


def test_status_says_when_leases_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "leases").write_text("")
    assert call("STATUS", conf(tmp_path)) == (50, f"lease directory {tmp_path}/leases is not a directory")


def test_status_of_a_network_whose_ranges_come_at_run_time(tmp_path: Path) -> None:
    assert call("STATUS", conf(tmp_path, ipam={}, capabilities={"ipRanges": True})) is None
    assert call("STATUS", conf(tmp_path, ipam={})) == (999, "no IP ranges specified")
    assert call("STATUS", conf(tmp_path, ipam={"subnet": "10.1.2.0/31"}, capabilities={"ipRanges": True}))[0] == 999
