"""A container in docker's two shapes, and which containers a list holds."""

from __future__ import annotations

from typing import Any

import pytest

from netd.api.container_list import Lookups, selected
from netd.api.container_view import Surroundings, command, inspect, item, legacy_links, port_map
from netd.api.filters import Filters
from netd.failure import InvalidParameter, NotFound
from netd.runtime.model import (
    Container,
    ContainerConfig,
    Endpoint,
    EndpointAddresses,
    HostConfig,
    PortBinding,
    SandboxState,
    State,
)

STARTED = "2026-01-02T03:04:05.000000006Z"
AROUND = Surroundings(
    mounts=[], execs=["e1"], log_path="/log", directory="/dir", linked_from=["/app/db"], image="box:1"
)
V150, V144 = (1, 50), (1, 44)


def container(name: str = "web", **changes: Any) -> Container:
    given: dict[str, Any] = {
        "id": "ab" * 32,
        "name": name,
        "created": "2026-01-02T03:04:04.5Z",
        "config": ContainerConfig(image="box:1", exposed_ports={"80/tcp": {}, "53/udp": {}}),
        "host_config": HostConfig(network_mode="bridge", port_bindings={"80/tcp": [PortBinding(host_port="8080")]}),
        "image_id": "sha256:" + "cd" * 32,
        "argv": ["httpd", "-f", "-h /www"],
        "networks": {
            "bridge": Endpoint(
                network_id="n1",
                endpoint_id="p1",
                gateway="172.17.0.1",
                ip_address="172.17.0.2",
                ip_prefix_len=16,
                mac_address="02:00:00:00:00:02",
                aliases=["a"],
                dns_names=["web"],
            )
        },
        "state": State(status="running", pid=7, started_at=STARTED),
        "sandbox": SandboxState(
            id="5b", key="/run/netns/x", ports={"80/tcp": [PortBinding("0.0.0.0", "8080"), PortBinding("::", "8080")]}
        ),
    }
    return Container(**{**given, **changes})


def test_inspect_has_what_clients_read() -> None:
    shown = inspect(container(), AROUND, V150)
    assert shown["Id"] == "ab" * 32 and shown["Name"] == "/web" and shown["Path"] == "httpd"
    assert shown["Args"] == ["-f", "-h /www"] and shown["ExecIDs"] == ["e1"] and shown["LogPath"] == "/log"
    assert shown["State"] == {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 7,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": STARTED,
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    assert shown["HostConfig"]["NetworkMode"] == "bridge"
    assert shown["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert shown["Config"]["Labels"] == {} and shown["Config"]["Env"] == [] and "MacAddress" not in shown["Config"]


def test_network_settings_repeat_the_default_network_at_the_top() -> None:
    settings = inspect(container(), AROUND, V150)["NetworkSettings"]
    assert settings["SandboxID"] == "5b" and settings["SandboxKey"] == "/run/netns/x"
    assert (settings["IPAddress"], settings["IPPrefixLen"], settings["Gateway"]) == ("172.17.0.2", 16, "172.17.0.1")
    assert settings["MacAddress"] == "02:00:00:00:00:02" and settings["GlobalIPv6PrefixLen"] == 0
    assert settings["Networks"]["bridge"]["IPAddress"] == "172.17.0.2"
    assert settings["Networks"]["bridge"]["Links"] is None and settings["Networks"]["bridge"]["IPAMConfig"] is None
    other = container(networks={"mynet": Endpoint(ip_address="10.9.0.2")})
    assert inspect(other, AROUND, V150)["NetworkSettings"]["IPAddress"] == ""


HOST_CONFIG = """
Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom ConsoleSize
CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode
Privileged PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime Isolation CpuShares Memory
NanoCpus CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps
BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems Devices
DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap MemorySwappiness OomKillDisable PidsLimit Ulimits
CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth MaskedPaths ReadonlyPaths
"""
"""Docker 28's keys, of a container of `docker run`."""


def test_the_host_config_is_dockers() -> None:
    shown = inspect(container(), AROUND, V150)["HostConfig"]
    assert sorted(shown) == sorted(HOST_CONFIG.split())
    expected: dict[str, Any] = {
        "ShmSize": 67108864,
        "IpcMode": "private",
        "UsernsMode": "",
        "PidMode": "",
        "Runtime": "runc",
        "CgroupnsMode": "private",
        "ConsoleSize": [0, 0],
        "Dns": [],
        "Devices": [],
        "Ulimits": [],
        "Binds": None,
        "CapAdd": None,
        "ExtraHosts": None,
        "GroupAdd": None,
        "Links": None,
        "SecurityOpt": None,
        "VolumesFrom": None,
        "PidsLimit": None,
        "OomKillDisable": None,
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
    }
    assert {key: shown[key] for key in expected} == expected
    limited = HostConfig(memory=100, sysctls={"net.x": "1"}, init=True, shm_size=5)
    around = Surroundings([], [], "", "/dir", hidden=(["/m"], ["/r"]), version_2=False, lower="/lower")
    given = inspect(container(host_config=limited), around, V150)
    more = given["HostConfig"]
    assert (more["MemorySwap"], more["Sysctls"], more["Init"], more["ShmSize"]) == (200, {"net.x": "1"}, True, 5)
    assert (more["CgroupnsMode"], more["OomKillDisable"]) == ("host", False)
    assert (more["MaskedPaths"], more["ReadonlyPaths"]) == (["/m"], ["/r"])
    assert given["GraphDriver"]["Data"]["LowerDir"] == "/lower"


def test_a_container_that_does_not_run_shows_its_wishes_only() -> None:
    wish = Endpoint(
        ipam_config=EndpointAddresses(ipv4_address="10.9.0.9"), aliases=["a"], network_id="n1", ip_address="10.9.0.9"
    )
    stopped = container(state=State(status="exited", started_at=STARTED), networks={"mynet": wish})
    shown = inspect(stopped, AROUND, V150)["NetworkSettings"]
    assert shown["Ports"] == {}
    assert shown["Networks"]["mynet"]["IPAMConfig"] == {"IPv4Address": "10.9.0.9"}
    assert shown["Networks"]["mynet"]["IPAddress"] == "" and shown["Networks"]["mynet"]["NetworkID"] == "n1"
    assert shown["Networks"]["mynet"]["Aliases"] == ["a"]


def test_old_readers_find_the_short_id_among_the_aliases() -> None:
    assert inspect(container(), AROUND, V144)["NetworkSettings"]["Networks"]["bridge"]["Aliases"] == ["a", "ab" * 6]
    assert inspect(container(), AROUND, V150)["NetworkSettings"]["Networks"]["bridge"]["Aliases"] == ["a"]


def test_ports_show_what_is_bound_and_none_for_what_is_only_exposed() -> None:
    both = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    assert port_map(container()) == {"53/udp": None, "80/tcp": both}


@pytest.mark.parametrize("mode", ["host", "container:" + "12" * 32])
def test_without_a_network_of_its_own_there_are_no_ports(mode: str) -> None:
    assert port_map(container(host_config=HostConfig(network_mode=mode))) == {}


def test_links_of_the_default_network_have_dockers_long_form() -> None:
    linked = container(host_config=HostConfig(network_mode="bridge", links=["db:database", "cache"]))
    assert legacy_links(linked, {}) == ["/db:/web/database", "/cache:/web/cache"]
    linked.linked = {"database": "12" * 32}
    assert legacy_links(linked, {"12" * 32: "renamed"}) == ["/renamed:/web/database", "/cache:/web/cache"]
    assert legacy_links(container(host_config=HostConfig(network_mode="mynet", links=["db"])), {}) == []


def test_an_item_of_the_list() -> None:
    now = 1767323085 * 10**9
    shown = item(container(), AROUND, now + 90 * 10**9)
    assert shown["Names"] == ["/web", "/app/db"] and shown["Image"] == "box:1"
    assert shown["Command"] == "httpd -f '-h /www'"
    assert shown["Created"] == 1767323044 and shown["State"] == "running"
    assert shown["Ports"] == [
        {"PrivatePort": 53, "Type": "udp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp", "PublicPort": 8080},
        {"IP": "::", "PrivatePort": 80, "Type": "tcp", "PublicPort": 8080},
    ]
    assert shown["HostConfig"] == {"NetworkMode": "bridge"} and shown["Labels"] == {}
    assert shown["NetworkSettings"]["Networks"]["bridge"]["Aliases"] is None


def test_a_command_of_no_words() -> None:
    assert command([]) == ""


OLD = container(
    "old", id="1a" * 32, created="2026-01-01T00:00:00Z", state=State(status="exited", exit_code=3, started_at=STARTED)
)
NEW = container("new", id="1b" * 32, created="2026-01-03T00:00:00Z", image_id="sha256:other")
FRESH = container("fresh", id="2c" * 32, created="2026-01-02T00:00:00Z", state=State())
EVERYONE = [OLD, NEW, FRESH]


def lookup(ref: str) -> Container:
    for each in EVERYONE:
        if each.name == ref:
            return each
    raise NotFound(f"No such container: {ref}")


def image(ref: str) -> str:
    if ref != "box":
        raise NotFound(f"No such image: {ref}")
    return "sha256:" + "cd" * 32


LOOKUPS = Lookups(lookup, image, lambda each: ["/data"] if each.name == "old" else [])


def names(filters: dict[str, list[str]], everything: bool = True, limit: int = 0) -> list[str]:
    return [each.name for each in selected(EVERYONE, Filters(filters), LOOKUPS, everything, limit)]


def test_newest_first_and_only_running_ones_unless_asked() -> None:
    assert names({}) == ["new", "fresh", "old"]
    assert names({}, everything=False) == ["new"]
    assert names({}, everything=False, limit=2) == ["new", "fresh"]
    assert names({"status": ["exited", "created"]}, everything=False) == ["fresh", "old"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"name": ["^/?(new|old)$"]}, ["new", "old"]),
        ({"name": ["re"]}, ["fresh"]),
        ({"id": ["1a", "2c"]}, ["fresh", "old"]),
        ({"exited": ["3"]}, ["old"]),
        ({"exited": ["0"]}, []),
        ({"before": ["fresh"]}, ["old"]),
        ({"since": ["old"]}, ["new", "fresh"]),
        ({"ancestor": ["box"]}, ["fresh", "old"]),
        ({"ancestor": ["nothing"]}, []),
        ({"volume": ["/data"]}, ["old"]),
        ({"network": ["bridge"], "name": ["new"]}, ["new"]),
        ({"network": ["n1"], "name": ["new"]}, ["new"]),
        ({"network": ["other"]}, []),
        ({"publish": ["8080"]}, ["new"]),
        ({"publish": ["8000-8100/tcp"]}, ["new"]),
        ({"publish": ["80"]}, []),
        ({"publish": ["8080/udp"]}, []),
        ({"expose": ["50-60/udp"]}, ["new"]),
        ({"expose": ["80"]}, ["new"]),
        ({"expose": ["8080"]}, []),
        ({"health": ["none"]}, ["new", "fresh", "old"]),
        ({"health": ["healthy"]}, []),
        ({"is-task": ["false"]}, ["new", "fresh", "old"]),
        ({"is-task": ["true"]}, []),
    ],
)
def test_filters(filters: dict[str, list[str]], found: list[str]) -> None:
    assert names(filters) == found


@pytest.mark.parametrize(
    "filters", [{"status": ["asleep"]}, {"exited": ["x"]}, {"publish": ["x"]}, {"is-task": ["perhaps"]}]
)
def test_filters_that_cannot_be(filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidParameter, match=r"^invalid filter '"):
        names(filters)


def test_before_a_container_that_is_not_there() -> None:
    with pytest.raises(NotFound, match=r"^No such container: nobody$"):
        names({"before": ["nobody"]})
