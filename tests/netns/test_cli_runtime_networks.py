"""Networks of containers on the real runtime: connecting them live, ports, other engines' containers, names."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pynet_runtime import IMAGE, RuntimeSandbox, host, machine

__all__ = ["host", "machine"]


def test_a_namespace_is_not_connected_without_plugins(host: RuntimeSandbox) -> None:
    host.ok("ip netns add other")
    done = host.run("pynet connect mynet ns:/run/netns/other")
    missing = 'network mynet: failed to find plugin "bridge" in path [/opt/cni/bin]'
    assert (done.returncode, done.stderr) == (1, f"pynet: {missing}; `pynet install` puts ours there\n")
    assert host.ok("ls /var/lib/cni/results 2>/dev/null || true") == ""
    host.ok("ip netns del other")


def test_networks_live(host: RuntimeSandbox) -> None:
    host.ok("pynet create other --subnet 10.72.0.0/24")
    try:
        host.ok(f"pynet run -d --name web --network mynet -p 8080:80 {IMAGE} httpd -f -h /etc")
        host.ok(f"pynet run -d --name client --network other {IMAGE}")
        assert host.run("pynet exec client nslookup web").returncode == 1
        assert host.ok("pynet connect --alias www --ip 10.72.0.99 other web") == ""
        for name in ("web", "www", "10.72.0.99"):
            assert host.ok(f"pynet exec client wget -qO- http://{name}/hostname") == host.ok("pynet ps -q | tail -1")
        assert host.ok("pynet disconnect other web") == ""
        assert host.run("pynet exec client nslookup www").returncode == 1
        done = host.run("pynet disconnect other web")
        assert done.returncode == 1 and "other" in done.stderr
    finally:
        host.run("pynet container rm -f web client")
        host.ok("pynet rm other")


def test_the_daemons_own_networks(host: RuntimeSandbox) -> None:
    """They are listed and inspected as docker's are, beside a list of the same name."""
    host.ok("mkdir -p /etc/cni/net.d")
    nerdctls = {"cniVersion": "1.0.0", "name": "bridge", "nerdctlID": "ab" * 32, "plugins": [{"type": "bridge"}]}
    host.ok(f"echo '{json.dumps(nerdctls)}' >/etc/cni/net.d/nerdctl-bridge.conflist")
    host.ok(f"pynet run -d --name one {IMAGE}")
    host.ok(f"pynet run -d --name two --network host {IMAGE}")
    try:
        rows = [json.loads(line) for line in host.ok("pynet ls --format json").splitlines()]
        rows = [row for row in rows if row["Name"] != "mynet"]
        shown = [(row["Name"], row["Driver"], row["Owner"], row["Containers"]) for row in rows]
        assert shown == [
            ("bridge", "bridge", "pynet", 1),
            ("bridge", "bridge", "nerdctl", 0),
            ("host", "host", "pynet", 1),
            ("none", "null", "pynet", 0),
        ]
        assert rows[0]["Subnet"] == "172.17.0.0/16" and rows[0]["Bridge"] == "pynet0"
        # every field that a list's has
        assert {frozenset(row) for row in rows} == {frozenset(rows[1])}
        (ours, nones, theirs) = json.loads(host.ok(f"pynet inspect bridge none {rows[1]['ID']}"))
        assert [each["Name"] for each in ours["Containers"].values()] == ["one"] and theirs["Owner"] == "nerdctl"
        assert set(ours) == set(theirs) == set(nones) and ours["Gateway"] == "172.17.0.1"
        assert host.ok(f"pynet inspect -f '{{{{.Name}}}}' {ours['Id']}") == "bridge\n"
        assert host.ok("pynet ls -q --filter driver=null --no-trunc") == f"{nones['Id']}\n"
        assert rows[1]["ID"] in host.ok("pynet ls -q --filter dangling=true").split()
        assert nones["Id"][:12] not in host.ok("pynet ls -q --filter dangling=true").split()
        for force in ("", "-f"):
            done = host.run(f"pynet rm {force} host")
            assert (done.returncode, done.stderr) == (1, "pynet: host is a pre-defined network and cannot be removed\n")
        host.kill("api")
        assert host.ok("pynet ls --format '{{.Name}} {{.Owner}}'").splitlines()[0] == "bridge nerdctl"
        assert json.loads(host.ok("pynet inspect bridge"))[0]["Owner"] == "nerdctl"
        assert host.run("pynet inspect host").stderr == "pynet: network host not found; pynetd does not run\n"
        host.start("api")
    finally:
        host.ok("rm -f /etc/cni/net.d/nerdctl-bridge.conflist")
        host.ok("pynet container rm -f one two")


def test_ports_live(host: RuntimeSandbox) -> None:
    host.ok(f"pynet run -d --name web --network mynet -p 8080:80 {IMAGE} httpd -f -h /etc")
    assert host.ok("pynet port web 80") == "0.0.0.0:8080\n[::]:8080\n"
    assert "80/tcp -> 127.0.0.1:8443\n" in host.ok("pynet port add web 127.0.0.1:8443:80")
    for port in (8080, 8443):
        assert host.ok(f"curl -sf --max-time 5 http://127.0.0.1:{port}/hostname") == host.ok("pynet ps -q")
    done = host.run("pynet port add web 8080:81")
    assert done.returncode == 1 and "8080" in done.stderr
    assert host.ok("pynet port rm web 8080:80") == "80/tcp -> 127.0.0.1:8443\n"
    assert host.run("curl -sf --max-time 2 http://127.0.0.1:8080/hostname").returncode != 0
    assert host.ok("curl -sf --max-time 5 http://127.0.0.1:8443/hostname") == host.ok("pynet ps -q")


@pytest.fixture
def guest(host: RuntimeSandbox) -> Iterator[str]:
    """A namespace as nerdctl leaves it: a process in it, a bundle of containerd's that names it.  Its first part."""
    host.ok("ip netns add guest")
    sleeper = host.process("ip netns exec guest sleep 600")
    host.until("ip netns pids guest | grep .")
    for owner, task, name in (("default", "aabbcc112233", "old"), ("k8s.io", "ddeeff445566", "")):
        bundle = f"/run/containerd/io.containerd.runtime.v2.task/{owner}/{task}"
        host.ok(f"mkdir -p {bundle}; ip netns pids guest | tr -d '\\n' >{bundle}/init.pid")
        host.ok(f"cat >{bundle}/config.json", json.dumps({"annotations": {"nerdctl/name": name} if name else {}}))
    yield "/run/netns/guest"
    sleeper.kill()
    sleeper.communicate()
    host.ok("ip netns del guest; rm -r /run/containerd")


@pytest.mark.parametrize("target", ["ns:/run/netns/guest", "nerdctl:old", "nerdctl:aabbcc", "cri:ddeeff445566"])
def test_containers_of_other_engines_join(host: RuntimeSandbox, guest: str, target: str) -> None:
    host.ok("pynet install --no-systemd")
    host.ok(f"pynet run -d --name web --network mynet {IMAGE} httpd -f -h /etc")
    host.ok(f"pynet run -d --name client --network mynet {IMAGE}")
    said = host.ok(f"pynet connect -p 8081:80 --alias guest --ip 10.71.0.77 mynet {target}")
    assert said == "eth0 10.71.0.77/24\n"
    inspected = json.loads(host.ok("pynet container inspect web"))[0]
    address = inspected["NetworkSettings"]["Networks"]["mynet"]["IPAddress"]
    fetch = f"ip netns exec {guest.rpartition('/')[2]} curl -sf --max-time 5 http://{address}/hostname"
    assert host.ok(fetch) == f"{inspected['Id'][:12]}\n"
    assert "Address: 10.71.0.77\n" in host.ok("pynet exec client nslookup guest")
    if target == "nerdctl:old":
        assert "Address: 10.71.0.77\n" in host.ok("pynet exec client nslookup old")
    assert host.ok(f"pynet disconnect mynet {target}") == "eth0\n"
    assert host.run("pynet exec client nslookup guest").returncode == 1
    done = host.run(f"pynet disconnect mynet {target}")
    assert done.returncode == 1 and "is not connected to network mynet" in done.stderr


@pytest.mark.parametrize("target", ["nerdctl:absent", "cri:absent", "ns:relative", "ns:/run/netns/absent"])
def test_a_container_of_another_engine_that_is_not_there(host: RuntimeSandbox, target: str) -> None:
    done = host.run(f"pynet connect mynet {target}")
    assert done.returncode == 1 and target.partition(":")[2] in done.stderr


def test_the_name_server_is_looked_into_and_its_log_switched(host: RuntimeSandbox) -> None:
    host.ok("pynet dns reset")
    host.ok(f"pynet run -d --name web --network mynet {IMAGE} sleep 600")
    host.ok("pynet exec web nslookup web")
    seen = json.loads(host.ok("pynet dns status --json"))
    assert (seen["attachments"], seen["query_log"]) == (1, False)
    assert seen["counters"]["answered"] >= 1
    host.ok("pynet dns log on")
    assert "query log:          on\n" in host.ok("pynet dns status")
    host.ok("pynet dns log off")
    host.ok("pynet dns reset")
    assert json.loads(host.ok("pynet dns status --json"))["counters"] == {}
    refused = host.run("pynet dns log maybe")
    assert refused.returncode == 2 and "maybe" in refused.stderr
