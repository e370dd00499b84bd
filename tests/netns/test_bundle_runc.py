"""A bundle of ours, run by runc: is the process really what docker's would be?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundle_house import CGROUPS, House
from conftest import PrivateNetns

from netd.failure import InvalidParameter
from netd.runtime.bundle.host import this_host
from netd.runtime.model import Device, Mount, TmpfsOptions, Ulimit
from netd.runtime.opened import Opened

MB = 1 << 20


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


def status(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def limit(house: House, *files: str, **wanted: object) -> str:
    """What the container's own control group says: the file of version 1, or that of version 2."""
    path = files[0] if this_host().cgroup_version == 1 else files[1]
    return house.ask("cat", f"/sys/fs/cgroup/{path}", **wanted).strip()


def test_docker_s_capabilities_and_seccomp(house: House) -> None:
    found = status(house.ask("cat", "/proc/self/status"))
    assert {found[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"00000000a80425fb"}
    assert found["CapInh"] == found["CapAmb"] == "0" * 16
    assert found["Seccomp"] == "2" and found["NoNewPrivs"] == "0"


def test_capabilities_added_and_dropped(house: House) -> None:
    added = int(status(house.ask("cat", "/proc/self/status", cap_add=["NET_ADMIN"], cap_drop=["MKNOD"]))["CapEff"], 16)
    assert added == (0xA80425FB | 1 << 12) & ~(1 << 27)
    assert int(status(house.ask("cat", "/proc/self/status", cap_drop=["ALL"]))["CapBnd"], 16) == 0
    ran = house.run(house.container("touch /tmp/x && chmod 600 /tmp/x && mknod /tmp/y c 1 3", cap_drop=["ALL"]))
    assert ran.code != 0


def test_privileged(house: House) -> None:
    found = status(house.ask("cat", "/proc/self/status", privileged=True))
    assert int(found["CapEff"], 16) == sum(1 << number for number in this_host().capabilities)
    assert found["Seccomp"] == "0"
    house.ask(
        "mount -t tmpfs none /tmp && touch /tmp/x && test -c /dev/null && test -w /proc/sys/kernel/msgmax",
        privileged=True,
    )
    assert int(house.ask("ls /dev | wc -l", privileged=True)) > int(house.ask("ls /dev | wc -l"))


def test_devices(house: House) -> None:
    """The loop control device, which no container has by default, and may not be opened where it is made by hand."""
    asked = [Device("/dev/loop-control", "/dev/mine", "r")]
    ran = house.run(house.container("head -c 0 /dev/mine && ! echo >/dev/mine", devices=asked))
    assert ran.code == 0 and "Operation not permitted" in ran.err, ran
    house.ask("test ! -e /dev/loop-control")
    ran = house.run(house.container("busybox mknod /tmp/c c 10 237 && head -c 0 /tmp/c"))
    assert ran.code == 1 and "Operation not permitted" in ran.err, ran


def test_what_is_hidden_and_what_is_locked(house: House) -> None:
    assert house.ask("cat /proc/keys /proc/timer_list | wc -c").strip() == "0"
    assert house.ask("ls /sys/firmware | wc -l").strip() == "0"
    for path in (
        "/proc/sys/kernel/msgmax",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/ksm/run",
        "/proc/irq/default_smp_affinity",
    ):
        ran = house.run(house.container(f"echo 1 2>/dev/null >{path}"))
        assert ran.code != 0, path
    open_ = house.ask("cat /proc/keys | wc -c", masked_paths=[], readonly_paths=[]).strip()
    assert int(open_) > 0


def test_system_calls_that_are_refused(house: House) -> None:
    """A new user namespace needs no capability: only the profile is in the way."""
    assert "Operation not permitted" in house.run(house.container("unshare", "-U", "true")).err
    assert house.run(house.container("unshare", "-U", "true", security_opt=["seccomp=unconfined"])).code == 0
    assert house.run(house.container("unshare", "-U", "true", cap_add=["SYS_ADMIN"])).code == 0
    assert house.run(house.container("mount -t tmpfs none /tmp")).code != 0
    assert house.run(house.container("mount -t tmpfs none /tmp", cap_add=["SYS_ADMIN"])).code == 0


def test_a_profile_of_ones_own(house: House) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }
    option = f"seccomp={json.dumps(profile)}"
    assert house.run(house.container("touch /tmp/x && ! mkdir /tmp/y", security_opt=[option])).code == 0


def test_no_new_privileges(house: House) -> None:
    assert status(house.ask("cat", "/proc/self/status", security_opt=["no-new-privileges"]))["NoNewPrivs"] == "1"


@pytest.mark.parametrize(
    ("user", "groups", "said"),
    [
        ("web", [], "uid=33(web) gid=33(web) groups=33(web),44(log)"),
        ("web:log", [], "uid=33(web) gid=44(log) groups=44(log)"),
        ("1000:1000", ["log"], "uid=1000 gid=1000 groups=1000,44(log)"),
        ("", [], "uid=0(root) gid=0(root) groups=0(root)"),
    ],
)
def test_users(house: House, user: str, groups: list[str], said: str) -> None:
    shown = house.ask("id", config={"user": user}, group_add=groups).strip().split("groups=")
    assert (shown[0], sorted(shown[1].split(","))) == (
        said.split("groups=")[0],
        sorted(said.split("groups=")[1].split(",")),
    )


def test_a_user_s_home_and_capabilities(house: House) -> None:
    said = house.ask(
        "echo $HOME; grep CapEff /proc/self/status; touch /etc/x 2>&1 || echo refused", config={"user": "web"}
    )
    assert said.splitlines()[:2] == ["/srv", "CapEff:\t0000000000000000"] and said.endswith("refused\n")


def test_a_user_that_the_image_lacks(house: House) -> None:
    with pytest.raises(InvalidParameter, match="unable to find user joe: no matching entries in passwd file"):
        house.run(house.container("true", config={"user": "joe"}))


def test_a_user_that_the_container_has_added(house: House) -> None:
    container = house.container("echo 'new:x:77:77::/:/bin/sh' >>/etc/passwd")
    assert house.run(container).code == 0
    container.config.user, container.argv = "new", ["id", "-u"]
    assert house.run(container).out == "77\n"


def test_environment_directory_and_names(house: House) -> None:
    config = {"env": ["PATH=/bin", "A=b c"], "working_dir": "/made/here", "domainname": "example.test"}
    said = house.ask("pwd; echo $A; hostname; echo $HOSTNAME; cat /proc/sys/kernel/domainname", config=config)
    assert said == "/made/here\nb c\nweb\nweb\nexample.test\n"


def test_the_hosts_name(house: House) -> None:
    assert house.ask("hostname", uts_mode="host").strip() == os.uname().nodename


def test_ulimits(house: House) -> None:
    said = house.ask("ulimit -Sn; ulimit -Hn", ulimits=[Ulimit("nofile", 100, 200)])
    assert said == "100\n200\n"


def test_memory(house: House) -> None:
    assert limit(house, "memory/memory.limit_in_bytes", "memory.max", memory=32 * MB) == str(32 * MB)
    ran = house.run(house.container("tail", "/dev/zero", memory=16 * MB, memory_swap=16 * MB))
    assert ran.code == 137, ran


def test_processors(house: House) -> None:
    quota = limit(house, "cpu/cpu.cfs_quota_us", "cpu.max", nano_cpus=500_000_000)
    assert quota in ("50000", "50000 100000")
    quota = limit(house, "cpu/cpu.cfs_quota_us", "cpu.max", cpu_period=50_000, cpu_quota=20_000)
    assert quota in ("20000", "20000 50000")
    assert house.ask("grep Cpus_allowed_list /proc/self/status", cpuset_cpus="0").split() == ["Cpus_allowed_list:", "0"]


def test_rules_for_devices(house: House) -> None:
    script = "mknod /nothing c 200 7 && : < /nothing"
    assert "Operation not permitted" in house.run(house.container(script)).err
    # past the rules the kernel finds that there is none
    allowed = house.container(script, device_cgroup_rules=["c 200:* r"])
    assert "No such device or address" in house.run(allowed).err


def test_memory_as_a_file_system_by_mount(house: House) -> None:
    mount = Mount("tmpfs", target="/small", tmpfs_options=TmpfsOptions(1 << 20, 0o700))
    assert house.ask("stat -c %a /small; df -k /small | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2", mounts=[mount]) == (
        "700\n1024\n"
    )


def test_processes(house: House) -> None:
    assert limit(house, "pids/pids.max", "pids.max", pids_limit=20) == "20"
    ran = house.run(house.container("for n in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo all", pids_limit=5))
    assert "all" not in ran.out and "Resource temporarily unavailable" in ran.err, ran


def test_the_control_group_is_our_own(house: House) -> None:
    container = house.container("cat", "/proc/self/cgroup")
    container.host_config.cgroup_parent = ""
    if this_host().cgroup_version == 1:
        assert f"/pynet/{container.id}" in house.run(container).out
    assert not any(os.path.exists(f"{CGROUPS}/{each}/pynet/{container.id}") for each in os.listdir(CGROUPS))


def test_read_only(house: House) -> None:
    container = house.container(
        "touch /x || touch /etc/hosts || touch /tmp/y || touch /run/z /data/new && mkdir /dev/shm/w && stat -c %a /run",
        readonly_rootfs=True,
        tmpfs={"/run": "size=1m,mode=700"},
        binds=["data:/data"],
    )
    ran = house.run(container, house.opened(hosts="127.0.0.1 localhost\n"))
    assert ran.err.count("Read-only file system") == 3 and ran.out == "700\n", ran


def test_the_generated_files(house: House) -> None:
    opened = house.opened(hosts="10.0.0.2 web\n", resolv_conf="nameserver 127.0.0.11\n", hostname_file="web\n")
    container = house.container("cat /etc/hosts /etc/resolv.conf /etc/hostname; echo more >>/etc/hosts")
    assert house.run(container, opened).out == "10.0.0.2 web\nnameserver 127.0.0.11\nweb\n"
    with open(opened.hosts, encoding="utf-8") as stream:
        assert stream.read().endswith("more\n")


def test_shared_memory_and_sysctls(house: House) -> None:
    said = house.ask(
        "df -k /dev/shm | tail -n 1; cat /proc/sys/kernel/shmmni", shm_size=8 * MB, sysctls={"kernel.shmmni": "123"}
    )
    assert said.split()[1] == "8192" and said.split()[-1] == "123"


def test_a_network_namespace(house: House, netns: Callable[[], PrivateNetns]) -> None:
    ns = netns()
    ns.run(["ip", "link", "add", "mine", "type", "veth", "peer", "other"])
    container = house.container("ls", "/sys/class/net")
    ran = house.run(container, Opened(ns.path, "", "", "", "web"))
    assert sorted(ran.out.split()) == ["lo", "mine", "other"], ran


def test_binds(house: House, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "file").write_text("text")
    container = house.container(
        "cat /in/file /one; touch /in/new; touch /ro/x || touch /ro/deep/x || echo locked; stat -c %F /made",
        binds=[f"{source}:/in", f"{source}/file:/one:ro", f"{source}:/ro:ro", f"{tmp_path}/missing:/made"],
    )
    ran = house.run(container)
    assert ran.out == "texttextlocked\ndirectory\n", ran
    assert (source / "new").exists() and (tmp_path / "missing").is_dir()


def test_a_missing_source_of_a_mount(house: House) -> None:
    with pytest.raises(InvalidParameter, match="bind source path does not exist: /no/such"):
        house.container("true", mounts=[Mount("bind", "/no/such", "/x")])


def test_a_new_volume_gets_what_the_image_has(house: House) -> None:
    show = "stat -c '%u:%g %a' /data /data/page; cat /data/page; readlink /data/soft; test /data/page -ef /data/hard"
    assert house.ask(show, binds=["mine:/data"]) == "33:44 2750\n33:33 640\nfrom the imagepage\n"
    # it is the volume's from now on, whoever mounts it
    house.ask("echo changed >/data/page", binds=["mine:/data"])
    assert house.ask("cat /elsewhere/page", binds=["mine:/elsewhere:ro"]) == "changed\n"
    assert house.ask("ls /data", binds=["plain:/data:nocopy"]) == ""
    assert house.ask("ls", "/data", config={"volumes": {"/data": {}}}) == "hard\npage\nsoft\n"


def test_a_volume_that_was_emptied_stays_so(house: House) -> None:
    container = house.container("rm -r /data/page /data/soft /data/hard", binds=["mine:/data"])
    assert house.run(container).code == 0
    container.argv = ["ls", "/data"]
    assert house.run(container).out == ""


def test_a_volume_through_a_link_of_the_image(house: House) -> None:
    """/away leads to the image's own /etc, not to the host's."""
    said = house.ask("ls /away/", binds=["mine:/away"])
    assert said.split() == ["group", "passwd"]


def test_an_exec(house: House) -> None:
    container = house.container(
        "sleep", "600", config={"user": "web", "env": ["PATH=/bin", "A=1"]}, ulimits=[Ulimit("nofile", 99, 99)]
    )
    house.start(container)
    assert house.execute(container, "id", "-un").out == "web\n"
    assert house.execute(container, "sh", "-c", "echo $A $B; pwd; ulimit -n", env=["B=2"], working_dir="/srv").out == (
        "1 2\n/srv\n99\n"
    )
    plain = status(house.execute(container, "cat", "/proc/self/status", user="root").out)
    assert plain["CapEff"] == "00000000a80425fb" and plain["Seccomp"] == "2"
    every = status(house.execute(container, "cat", "/proc/self/status", user="0", privileged=True).out)
    assert int(every["CapEff"], 16) == sum(1 << number for number in this_host().capabilities)
    with pytest.raises(InvalidParameter, match="unable to find user joe"):
        house.execute(container, "true", user="joe")
