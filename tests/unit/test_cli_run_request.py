"""From `run`'s flags to the body of POST /containers/create; pure but for the files that flags name."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.cli import amounts, detach_keys
from netd.cli.flags import parse
from netd.cli.run_commands import RUN
from netd.cli.run_request import create_body
from netd.failure import InvalidParameter


def body(line: str, environ: dict[str, str] | None = None) -> dict[str, Any]:
    arguments = parse(RUN, [*shlex.split(line), "busybox"])
    return create_body(arguments, environ or {}, ("stdout", "stderr"))


def host(line: str) -> dict[str, Any]:
    config: dict[str, Any] = body(line)["HostConfig"]
    return config


def endpoints(line: str) -> dict[str, Any]:
    config: dict[str, Any] = body(line)["NetworkingConfig"]["EndpointsConfig"]
    return config


def test_the_least() -> None:
    assert body("") == {
        "Image": "busybox",
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkingConfig": {"EndpointsConfig": {}},
        "HostConfig": {"NetworkMode": "default"},
    }


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("-h web.example.org --domainname x", "Hostname", "web.example.org"),
        ("-u 1000:100", "User", "1000:100"),
        ("-w /srv", "WorkingDir", "/srv"),
        ("-t", "Tty", True),
        ("-i", "OpenStdin", True),
        ("--entrypoint /bin/sh", "Entrypoint", ["/bin/sh"]),
        ("--entrypoint ''", "Entrypoint", [""]),
        ("--stop-signal INT", "StopSignal", "INT"),
        ("--stop-timeout 0", "StopTimeout", 0),
        ("-l a=b --label c", "Labels", {"a": "b", "c": ""}),
        ("-p 8080:80 -p 127.0.0.1::53/udp --expose 9000", "ExposedPorts", {"80/tcp": {}, "53/udp": {}, "9000/tcp": {}}),
        ("-v /data", "Volumes", {"/data": {}}),
        ("--mac-address 02:42:ac:11:00:02", "MacAddress", "02:42:ac:11:00:02"),
    ],
)
def test_config(line: str, key: str, value: object) -> None:
    assert body(line)[key] == value


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("--rm", "AutoRemove", True),
        ("--privileged", "Privileged", True),
        ("--read-only", "ReadonlyRootfs", True),
        ("--cap-add NET_ADMIN --cap-add SYS_TIME", "CapAdd", ["NET_ADMIN", "SYS_TIME"]),
        ("--cap-drop ALL", "CapDrop", ["ALL"]),
        ("-m 512m", "Memory", 512 << 20),
        ("--memory 1.5g", "Memory", 3 << 29),
        ("--memory-swap -1", "MemorySwap", -1),
        ("--shm-size 64kb", "ShmSize", 64 << 10),
        ("--cpus 1.5", "NanoCpus", 1_500_000_000),
        ("--cpus .25", "NanoCpus", 250_000_000),
        ("-c 512", "CpuShares", 512),
        ("--cpuset-cpus 0-1", "CpusetCpus", "0-1"),
        ("--cpuset-mems 0", "CpusetMems", "0"),
        ("--cpu-period 50000", "CpuPeriod", 50000),
        ("--cpu-quota 25000", "CpuQuota", 25000),
        ("--pids-limit -1", "PidsLimit", -1),
        ("--ulimit nofile=1024:2048", "Ulimits", [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]),
        ("--ulimit core=-1", "Ulimits", [{"Name": "core", "Soft": -1, "Hard": -1}]),
        ("--restart on-failure:3", "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        ("--restart always", "RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}),
        ("--dns 192.0.2.1 --dns fd00::1", "Dns", ["192.0.2.1", "fd00::1"]),
        ("--dns-search .", "DnsSearch", ["."]),
        ("--dns-opt ndots:1 --dns-option rotate", "DnsOptions", ["ndots:1", "rotate"]),
        ("--add-host a:192.0.2.1 --add-host b=fd00::1", "ExtraHosts", ["a:192.0.2.1", "b:fd00::1"]),
        ("--add-host me:host-gateway --add-host 'c:[fd00::1]'", "ExtraHosts", ["me:host-gateway", "c:fd00::1"]),
        ("--sysctl net.core.somaxconn=5", "Sysctls", {"net.core.somaxconn": "5"}),
        ("--init", "Init", True),
        ("-P", "PublishAllPorts", True),
        ("--uts host", "UTSMode", "host"),
        ("--security-opt no-new-privileges", "SecurityOpt", ["no-new-privileges"]),
        ("--security-opt seccomp=unconfined", "SecurityOpt", ["seccomp=unconfined"]),
        ("--security-opt label=disable --security-opt systempaths=unconfined", "SecurityOpt", ["label=disable"]),
        ("--security-opt systempaths=unconfined", "MaskedPaths", []),
        ("--security-opt systempaths=unconfined", "ReadonlyPaths", []),
        (f"--platform linux/{os.uname().machine}", "NetworkMode", "default"),
        ("-p 127.0.0.1:8080:80", "PortBindings", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
        ("-v /a:/b:ro -v data:/c", "Binds", ["/a:/b:ro", "data:/c"]),
        ("--tmpfs /run:size=64m --tmpfs /tmp", "Tmpfs", {"/run": "size=64m", "/tmp": ""}),
        ("--mount type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700", "Tmpfs", {"/x": "size=1m,mode=700"}),
        (
            "--mount type=bind,src=/a,dst=/b,readonly",
            "Mounts",
            [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}],
        ),
        (
            "--mount source=data,target=/b",
            "Mounts",
            [{"Type": "volume", "Source": "data", "Target": "/b", "ReadOnly": False}],
        ),
    ],
)
def test_host_config(line: str, key: str, value: object) -> None:
    assert host(line)[key] == value


def test_a_relative_source_is_one_of_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert host("-v ./a:/b -v ../c:/d")["Binds"] == [f"{tmp_path}/a:/b", f"{tmp_path.parent}/c:/d"]


@pytest.mark.parametrize("mode", ["host", "none", "bridge", "container:web", "default"])
def test_modes_without_an_endpoint(mode: str) -> None:
    assert host(f"--net {mode}")["NetworkMode"] == mode
    assert endpoints(f"--network {mode}") == {}


def test_what_is_asked_of_the_default_network_is_said_to_it() -> None:
    """The daemon refuses it in docker's words."""
    assert endpoints("--network-alias www") == {"default": {"Aliases": ["www"]}}
    assert endpoints("--network bridge --ip 10.0.0.2") == {"bridge": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}}}


def test_the_default_network_beside_others() -> None:
    assert endpoints("--network bridge --network a") == {"bridge": {}, "a": {}}


def test_networks() -> None:
    line = "--network a --ip 10.1.0.9 --ip6 fd00::9 --network-alias x --net-alias y --link db:sql --gw-priority -1"
    line += " --link-local-ip 169.254.1.1 --network name=b,alias=z,gw-priority=7,mac-address=02:00:00:00:00:01"
    line += " --network name=c,ip=10.3.0.9,ip6=fd03::9,link=db,link-local-ip=fe80::9,driver-opt=k=v=w"
    assert host(line)["NetworkMode"] == "a"
    assert endpoints(line) == {
        "a": {
            "IPAMConfig": {"IPv4Address": "10.1.0.9", "IPv6Address": "fd00::9", "LinkLocalIPs": ["169.254.1.1"]},
            "Aliases": ["x", "y"],
            "Links": ["db:sql"],
            "GwPriority": -1,
        },
        "b": {"Aliases": ["z"], "MacAddress": "02:00:00:00:00:01", "GwPriority": 7},
        "c": {
            "IPAMConfig": {"IPv4Address": "10.3.0.9", "IPv6Address": "fd03::9", "LinkLocalIPs": ["fe80::9"]},
            "Links": ["db"],
            "DriverOpts": {"k": "v=w"},
        },
    }
    assert "Links" not in host(line)
    assert host("--link db:sql")["Links"] == ["db:sql"]
    assert endpoints("--link db:sql") == endpoints("--network bridge --link db:sql") == {}


def test_environment(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("# comment\n\nA=1\n  B=two words\nHERE\nABSENT\n")
    line = f"--env-file {env_file} -e A=2 -e HERE -e ABSENT -e EMPTY="
    assert body(line, {"HERE": "x"})["Env"] == [
        "A=1",
        "B=two words",
        "HERE=x",
        "A=2",
        "HERE=x",
        "ABSENT",
        "EMPTY=",
    ]
    label_file = tmp_path / "labels"
    label_file.write_text("a=1\nb=2\n")
    assert body(f"--label-file {label_file} -l b=3")["Labels"] == {"a": "1", "b": "3"}


def test_a_seccomp_profile_is_sent_as_its_content(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}\n')
    assert host(f"--security-opt seccomp={profile}")["SecurityOpt"] == ['seccomp={"defaultAction": "SCMP_ACT_ALLOW"}']


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--memory 12x", "--memory '12x': expected bytes, such as 512m or 2g"),
        ("-m -5", "--memory '-5': expected bytes"),
        ("-m 1kbb", "--memory '1kbb'"),
        ("-m .", "--memory '.'"),
        ("--cpus one", "--cpus 'one': expected a number of processors"),
        ("--ulimit nofile", "--ulimit 'nofile': expected NAME=SOFT[:HARD]"),
        ("--ulimit nofile=2:1", "--ulimit 'nofile=2:1': the soft limit is above the hard one"),
        ("--restart sometimes", "--restart 'sometimes': one of no, always"),
        ("--restart always:3", "--restart 'always:3': a number of times goes with on-failure only"),
        ("--rm --restart always", "--rm and --restart exclude each other"),
        ("-p 80:81:82:83", "-p 80:81:82:83: "),
        ("--expose 80:80", "--expose 80:80: a host port is published with -p"),
        ("--dns name.example", "--dns name.example: an address is needed"),
        ("--add-host web", "--add-host 'web': expected NAME:ADDRESS"),
        ("--add-host web:x", "--add-host web x: an address is needed"),
        ("--sysctl net.x", "--sysctl 'net.x': expected KEY=VALUE"),
        ("--label =x", "--label '=x': expected KEY=VALUE"),
        ("-e =x", "--env '=x': expected NAME=VALUE or NAME"),
        ("--env-file /nonexistent", "--env-file /nonexistent: no such file"),
        ("--security-opt seccomp=/nonexistent", "--security-opt seccomp=/nonexistent: no such file"),
        ("--platform linux/s390x", "--platform linux/s390x: only images for linux/"),
        ("--platform windows", "--platform windows: only images for linux/"),
        ("--ip fd00::1", "--ip fd00::1: an IPv4 address is needed"),
        ("--ip6 10.0.0.1", "--ip6 10.0.0.1: an IPv6 address is needed"),
        ("--ip x", "--ip x: invalid IP address"),
        ("--mac-address x", "--mac-address x: "),
        ("--network ''", "--network '': expected a network"),
        ("--network a,b", "--network 'a,b': expected a network, or name="),
        ("--network ip=10.0.0.1", "--network ip=10.0.0.1: name=NETWORK is missing"),
        ("--network name=a,colour=red", "--network name=a,colour=red: 'colour' is not one of name, ip"),
        ("--network name=a,name=b", "--network name=a,name=b: name given twice"),
        ("--network name=a,gw-priority=x", "--network name=a,gw-priority=x: gw-priority 'x': must be a whole number"),
        ("--network name=a,ip=x", "--network name=a,ip=x: ip x: invalid IP address"),
        ("--network name=a,ip=10.0.0.1 --ip 10.0.0.2", "--network name=a,ip=10.0.0.1: --ip says ip a second time"),
        ("--network a --network host", "--network host: cannot be combined with other networks"),
        ("--network none --network a", "--network none: cannot be combined with other networks"),
        ("--network a --network a", "--network a: given twice"),
        ("-v a:b", "-v a:b: 'b' must be an absolute path below /"),
        ("-v /a:/", "-v /a:/: '/' must be an absolute path below /"),
        ("-v /a:/b:ro:x", "-v /a:/b:ro:x: expected [SOURCE:]TARGET[:OPTIONS]"),
        ("-v :/b", "-v :/b: expected"),
        ("--mount colour=red", "--mount colour=red: 'colour' is not one of type, source"),
        ("--mount type=bind,src=/a", "--mount type=bind,src=/a: target must be an absolute path"),
        ("--mount type=bind,src=a,dst=/b", "source must be an absolute path"),
        ("--mount type=bind,src=/a,dst=/b,ro=maybe", "readonly must be true or false"),
        ("--mount type=bind,src=/a,dst=/b,tmpfs-size=1", "tmpfs-size goes with type=tmpfs only"),
        ("--mount type=tmpfs,src=/a,dst=/b", "a tmpfs has no source"),
        ("--tmpfs run", "--tmpfs run: 'run' must be an absolute path"),
    ],
)
def test_a_mistake_names_the_flag(line: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        body(line)
    assert message in str(caught.value)


@given(st.integers(0, 1 << 60))
def test_memory_in_bytes_is_itself(amount: int) -> None:
    if amount < 1 << 53:
        assert amounts.memory("-m", str(amount)) == amount
    for unit, size in (("k", 10), ("MB", 20), ("gib", 30)):
        if amount < 1 << 20:
            assert amounts.memory("-m", f"{amount}{unit}") == amount << size


@given(st.text(max_size=8))
def test_amounts_are_read_or_refused(text: str) -> None:
    for read in (amounts.memory, amounts.memory_or_unlimited, amounts.cpus):
        try:
            assert read("--flag", text) >= -1
        except InvalidParameter as error:
            assert str(error).startswith("--flag ")


KEYS = detach_keys.parse("")


def test_detach_keys() -> None:
    assert KEYS == b"\x10\x11"
    assert detach_keys.parse("ctrl-a,x,ctrl-@,ctrl-],ctrl-_") == b"\x01x\x00\x1d\x1f"
    for text in ("ctrl-", "ctrl-é", "ab", "a,,b"):
        with pytest.raises(InvalidParameter, match="--detach-keys"):
            detach_keys.parse(text)


@given(st.lists(st.binary(max_size=6)), st.sampled_from([KEYS, b"a", b"aab", b"\x10\x10\x11"]))
def test_everything_but_the_keys_is_passed_on(pieces: list[bytes], keys: bytes) -> None:
    watch, passed = detach_keys.Watch(keys), b""
    for piece in pieces:
        passed += watch.feed(piece)
        if watch.found:
            break
    typed = b"".join(pieces)
    if keys in typed:
        assert watch.found and passed == typed[: typed.index(keys)]
    else:
        assert not watch.found
        held = typed[len(passed) :]
        assert typed.startswith(passed) and keys.startswith(held) and len(held) < len(keys)
