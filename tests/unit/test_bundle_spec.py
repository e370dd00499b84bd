from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from netd.failure import InvalidParameter, Unavailable
from netd.runtime.bundle import check, mount_points, process_spec, spec
from netd.runtime.bundle.capabilities import DEFAULT
from netd.runtime.bundle.checking import check as check_on
from netd.runtime.bundle.host import Host, this_host
from netd.runtime.bundle.spec import process_spec as process_on
from netd.runtime.bundle.spec import spec as spec_on
from netd.runtime.images.manifest import this_platform
from netd.runtime.images.model import Image, ImageConfig
from netd.runtime.model import Container, ContainerConfig, Device, ExecOptions, HostConfig, Mount, Ulimit
from netd.runtime.opened import Opened
from netd.runtime.places import RuntimePlaces

HOST = Host(
    cpu_count=2,
    cpus="0-1",
    capabilities=frozenset(range(41)),
    kernel=(6, 1),
    machine="x86_64",
    init="/usr/bin/catatonit",
)
IMAGE = Image(id="sha256:" + "1" * 64, architecture=this_platform().architecture, config=ImageConfig())
PLACES = RuntimePlaces(root="/var/lib/pynet")
OPENED = Opened("/run/netns/x", "/run/hosts", "/run/resolv", "/run/hostname", "web", ("DB_PORT=tcp://10.0.0.1:1",))
ID = "ab" * 32


@pytest.fixture
def rootfs(tmp_path: Path) -> str:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nadm:x:4:web\n")
    return str(tmp_path)


def container(config: dict[str, Any] | None = None, argv: list[str] | None = None, **wanted: Any) -> Container:
    return Container(ID, "web", "", ContainerConfig(**(config or {})), HostConfig(**wanted), argv=argv or ["true"])


def made(rootfs: str, which: Container | None = None, opened: Opened = OPENED, host: Host = HOST) -> dict[str, Any]:
    return spec_on(which or container(), IMAGE, rootfs, opened, PLACES, host)


def mount_at(found: dict[str, Any], destination: str) -> dict[str, Any]:
    (mount,) = [mount for mount in found["mounts"] if mount["destination"] == destination]
    return dict(mount)


def test_dockers_defaults(rootfs: str) -> None:
    found = made(rootfs)
    assert found["process"] == {
        "terminal": False,
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "args": ["true"],
        "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=web",
            "DB_PORT=tcp://10.0.0.1:1",
        ],
        "cwd": "/",
        "capabilities": {
            kind: [*found["process"]["capabilities"]["bounding"]] for kind in ("bounding", "effective", "permitted")
        },
        "noNewPrivileges": False,
        "rlimits": [],
    }
    assert set(found["process"]["capabilities"]["bounding"]) == set(DEFAULT)
    assert found["root"] == {"path": rootfs, "readonly": False}
    assert found["hostname"] == "web"
    linux = found["linux"]
    assert [each["type"] for each in linux["namespaces"]] == ["mount", "pid", "ipc", "uts", "cgroup", "network"]
    assert linux["namespaces"][-1]["path"] == "/run/netns/x"
    assert linux["cgroupsPath"] == f"/pynet/{ID}"
    assert linux["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}
    assert {"/proc/kcore", "/sys/firmware"} <= set(linux["maskedPaths"])
    assert "/proc/sys" in linux["readonlyPaths"]
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert [mount["destination"] for mount in found["mounts"]] == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
        "/etc/resolv.conf", "/etc/hostname", "/etc/hosts",
    ]  # fmt: skip
    assert "size=67108864" in mount_at(found, "/dev/shm")["options"]
    assert mount_at(found, "/etc/hosts") == {
        "destination": "/etc/hosts",
        "type": "bind",
        "source": "/run/hosts",
        "options": ["rbind", "rprivate", "rw"],
    }


def test_privileged(rootfs: str) -> None:
    found = made(rootfs, container(privileged=True, cap_drop=["ALL"]))
    assert len(found["process"]["capabilities"]["effective"]) == 41
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & set(found["linux"])
    assert found["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "/dev/null" in [device["path"] for device in found["linux"]["devices"]]
    assert "rw" in mount_at(found, "/sys")["options"]
    assert "cgroup" in [each["type"] for each in found["linux"]["namespaces"]], "as docker with version 2"


def test_devices(rootfs: str) -> None:
    found = made(rootfs, container(devices=[Device("/dev/full", "/dev/mine", "r"), Device("/dev/zero")]))
    assert [(each["path"], each["type"], each["major"], each["minor"]) for each in found["linux"]["devices"]] == [
        ("/dev/mine", "c", 1, 7),
        ("/dev/zero", "c", 1, 5),
    ]
    assert found["linux"]["resources"]["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "r"},
        {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
    ]
    for path, why in (("/dev/no-such", "no such file or directory"), ("/etc/passwd", "not a device node")):
        with pytest.raises(InvalidParameter) as raised:
            made(rootfs, container(devices=[Device(path)]))
        assert str(raised.value) == (f'error gathering device information while adding custom device "{path}": {why}')


def test_the_hosts_own_namespaces(rootfs: str) -> None:
    found = made(rootfs, container(uts_mode="host"), Opened("", "", "", "", "machine"), HOST.replace(cgroup_version=1))
    assert [each["type"] for each in found["linux"]["namespaces"]] == ["mount", "pid", "ipc"]
    assert "hostname" not in found
    assert "HOSTNAME=machine" in found["process"]["env"]
    assert not any(mount["destination"].startswith("/etc/") for mount in found["mounts"])


def test_a_profile_of_apparmor_without_apparmor(rootfs: str) -> None:
    asked = container(security_opt=["apparmor=mine"])
    assert made(rootfs, asked, OPENED, HOST)["process"]["apparmorProfile"] == "mine"
    assert "apparmorProfile" not in made(rootfs, asked, OPENED, HOST.replace(apparmor=False))["process"]


def test_flags_become_keys(rootfs: str) -> None:
    found = made(
        rootfs,
        container(
            {"tty": True, "user": "web:adm", "working_dir": "/srv", "env": ["A=1"], "domainname": "example"},
            cap_add=["NET_ADMIN"],
            cap_drop=["CHOWN"],
            readonly_rootfs=True,
            security_opt=["no-new-privileges", "seccomp=unconfined", "apparmor=mine"],
            ulimits=[Ulimit("nofile", 1, 2)],
            memory=64 << 20,
            pids_limit=9,
            oom_score_adj=300,
            group_add=["7"],
            sysctls={"kernel.shmmax": "1", "net.ipv4.ip_forward": "1", "fs/mqueue/msg_max": "20"},
            shm_size=1 << 20,
            cgroup_parent="mine/deep",
            masked_paths=[],
            readonly_paths=["/proc/irq"],
            init=True,
        ),
    )
    process, linux = found["process"], found["linux"]
    assert process["terminal"] and process["env"][-2:] == ["DB_PORT=tcp://10.0.0.1:1", "A=1"]
    assert "TERM=xterm" in process["env"]
    assert process["user"] == {"uid": 33, "gid": 4, "additionalGids": [4, 7]}
    assert process["cwd"] == "/srv"
    assert process["args"] == ["/sbin/docker-init", "--", "true"]
    # not root: the bounding set alone
    assert list(process["capabilities"]) == ["bounding"]
    assert "CAP_NET_ADMIN" in process["capabilities"]["bounding"]
    assert "CAP_CHOWN" not in process["capabilities"]["bounding"]
    assert process["noNewPrivileges"] and process["apparmorProfile"] == "mine" and process["oomScoreAdj"] == 300
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    assert "seccomp" not in linux
    assert linux["sysctl"] == {"kernel.shmmax": "1", "fs.mqueue.msg_max": "20", "kernel.domainname": "example"}
    assert linux["cgroupsPath"] == f"/mine/deep/{ID}"
    assert linux["maskedPaths"] == [] and linux["readonlyPaths"] == ["/proc/irq"]
    assert linux["resources"]["memory"]["limit"] == 64 << 20 and linux["resources"]["pids"] == {"limit": 9}
    assert found["root"]["readonly"]
    assert mount_at(found, "/etc/hosts")["options"][-1] == "ro"
    assert "size=1048576" in mount_at(found, "/dev/shm")["options"]
    assert mount_at(found, "/sbin/docker-init")["source"] == "/usr/bin/catatonit"


def test_the_users_mounts_take_the_place_of_ours(rootfs: str) -> None:
    found = made(rootfs, container(binds=["/src/hosts:/etc/hosts:ro", "/dev:/dev", "data:/data"], tmpfs={"/run": ""}))
    assert mount_at(found, "/etc/hosts")["source"] == "/src/hosts"
    assert mount_at(found, "/etc/hosts")["options"] == ["rbind", "ro", "rro", "rprivate"]
    assert mount_at(found, "/dev")["type"] == "bind"
    assert not [mount for mount in found["mounts"] if mount["destination"].startswith("/dev/")]
    assert mount_at(found, "/data")["source"] == "/var/lib/pynet/volumes/data/_data"
    assert mount_at(found, "/run")["type"] == "tmpfs"
    older = made(rootfs, container(binds=["/src:/dst:ro"]), host=HOST.replace(kernel=(5, 10)))
    assert mount_at(older, "/dst")["options"] == ["rbind", "ro", "rprivate"]


def test_a_link_in_the_image_does_not_lead_out_of_it(rootfs: str) -> None:
    os.unlink(f"{rootfs}/etc/passwd")
    os.symlink("/etc/shadowed", f"{rootfs}/etc/passwd")
    Path(rootfs, "etc/shadowed").write_text("web:x:77:77::/:/bin/sh\n")
    assert made(rootfs, container({"user": "web"}))["process"]["user"]["uid"] == 77
    os.unlink(f"{rootfs}/etc/passwd")
    os.symlink("/../../../../../../../../etc/passwd", f"{rootfs}/etc/passwd")
    with pytest.raises(InvalidParameter, match="unable to find user root"):
        made(rootfs, container({"user": "root"}))


def test_a_pipe_in_the_place_of_passwd_is_not_waited_for(rootfs: str) -> None:
    os.unlink(f"{rootfs}/etc/passwd")
    os.mkfifo(f"{rootfs}/etc/passwd")
    assert made(rootfs)["process"]["user"]["uid"] == 0


@pytest.mark.parametrize(
    ("asked", "own", "score"), [(0, 0, None), (0, 500, None), (0, -500, 0), (7, 0, 7), (7, 7, None)]
)
def test_oom_score(rootfs: str, asked: int, own: int, score: int | None) -> None:
    found = made(rootfs, container(oom_score_adj=asked), host=HOST.replace(oom_score_adj=own))
    assert found["process"].get("oomScoreAdj") == score


def test_a_profile_of_ones_own(rootfs: str) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    found = made(rootfs, container(security_opt=[f"seccomp={json.dumps(profile)}"]))
    assert found["linux"]["seccomp"]["syscalls"] == profile["syscalls"]


def test_an_exec(rootfs: str) -> None:
    which = container({"user": "web", "env": ["A=1"], "working_dir": "/srv"}, ulimits=[Ulimit("nofile", 1, 2)])
    options = ExecOptions(cmd=["id"], env=["A=2", "B=3"], tty=True)
    process = process_on(which, IMAGE, options, rootfs, OPENED, HOST)
    assert process["args"] == ["id"] and process["cwd"] == "/srv" and process["user"]["uid"] == 33
    assert process["env"][-2:] == ["A=2", "B=3"] and "TERM=xterm" in process["env"] and process["terminal"]
    assert "effective" not in process["capabilities"] and process["rlimits"]
    root = process_on(
        which, IMAGE, ExecOptions(cmd=["id"], user="root", privileged=True, working_dir="/"), rootfs, OPENED, HOST
    )
    assert root["user"]["uid"] == 0 and root["cwd"] == "/" and len(root["capabilities"]["effective"]) == 41


def test_a_few_milliseconds(rootfs: str) -> None:
    spec(container(), IMAGE, rootfs, OPENED, PLACES)
    best = min(_seconds(lambda: spec(container(), IMAGE, rootfs, OPENED, PLACES)) for _ in range(20))
    assert best < 0.003
    best = min(_seconds(lambda: process_spec(container(), IMAGE, ExecOptions(), rootfs, OPENED)) for _ in range(20))
    assert best < 0.003


def _seconds(call: Any) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


@pytest.mark.parametrize(
    ("config", "wanted", "words"),
    [
        ({"working_dir": "srv"}, {}, "the working directory 'srv' is invalid, it needs to be an absolute path"),
        ({"env": ["=x"]}, {}, "invalid environment variable: =x"),
        ({"cmd": ["a\0b"]}, {}, "'a\\x00b' holds a null character"),
        ({}, {"cap_add": ["FLY"]}, 'invalid CapAdd: unknown capability: "CAP_FLY"'),
        ({}, {"devices": [Device("/dev/null", "/dev/null", "rx")]}, "invalid device mode: rx"),
        ({}, {"devices": [Device("/dev/null", "null")]}, "null is not an absolute path"),
        ({}, {"uts_mode": "mine"}, "invalid UTS mode: mine"),
        ({}, {"cgroup_parent": "../up"}, "invalid cgroup parent: ../up"),
        ({}, {"sysctls": {"vm.swappiness": "1"}}, "sysctl 'vm.swappiness=1' is not allowed"),
        ({}, {"security_opt": ["x"]}, 'invalid --security-opt 1: "x"'),
        ({}, {"memory": 1}, "Minimum memory limit allowed is 6MB (--memory)"),
        ({}, {"binds": ["/a:/b", "/c:/b"]}, "Duplicate mount point: /b"),
        (
            {},
            {"mounts": [Mount("bind", "/no/such/source", "/b")]},
            'invalid mount config for type "bind": bind source path does not exist: /no/such/source',
        ),
        ({}, {"ipc_mode": "host"}, "--ipc host: this engine has no such function"),
        ({}, {"pid_mode": "container:x"}, "--pid container:x: this engine has no such function"),
        ({}, {"cgroupns_mode": "host"}, "--cgroupns host: this engine has no such function"),
        ({}, {"runtime": "runsc"}, "--runtime runsc: this engine has no such function"),
        ({}, {"volumes_from": ["a", "b"]}, "--volumes-from a,b: this engine has no such function"),
    ],
)
def test_check_names_what_is_wrong(config: dict[str, Any], wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        check_on(ContainerConfig(**config), HostConfig(**wanted), IMAGE, HOST)
    assert str(raised.value) == words


def test_check_warns() -> None:
    foreign = Image(id=IMAGE.id, architecture="s390x")
    (warning,) = check_on(ContainerConfig(), HostConfig(), foreign, HOST)
    assert "(linux/s390x) does not match the detected host platform" in warning
    (warning,) = check_on(ContainerConfig(), HostConfig(security_opt=["label=user:me"]), IMAGE, HOST)
    assert "SELinux" in warning
    assert check(ContainerConfig(), HostConfig(), IMAGE) == []


def test_init_needs_a_program() -> None:
    assert check_on(ContainerConfig(), HostConfig(init=True), IMAGE, HOST) == []
    with pytest.raises(Unavailable, match="--init: none of docker-init, catatonit and tini-static is installed"):
        check_on(ContainerConfig(), HostConfig(init=True), IMAGE, HOST.replace(init=""))


def test_this_host_is_what_it_says() -> None:
    host = this_host()
    assert host.cpu_count == os.cpu_count() and 0 in host.capabilities and host.kernel >= (5, 0)
    assert host is this_host()


def test_mounts_of_an_inspect() -> None:
    (found,) = mount_points(PLACES, container(binds=["data:/data"]))
    assert found["Source"] == "/var/lib/pynet/volumes/data/_data"
