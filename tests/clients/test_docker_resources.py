"""docker stats, update, history and prune against our API, with containers that do something."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from .docker_cli import IMAGE, Docker, docker_host
from .host import disposable_host
from .polling import wait_until


@pytest.fixture(scope="module")
def ring() -> Iterator[Docker]:
    """One host for all tests of this module."""
    with disposable_host() as host, docker_host(host) as docker:
        yield docker


@pytest.fixture
def docker(ring: Docker) -> Iterator[Docker]:
    """docker, on a host without containers."""
    yield ring
    ring.clean()


def figures(docker: Docker, *names: str) -> dict[str, dict[str, str]]:
    said = docker("stats", "--no-stream", "--format", "{{json .}}", *names)
    return {row["Name"]: row for row in map(json.loads, said.splitlines())}


def raw(docker: Docker, name: str, query: str) -> dict[str, object]:
    """The API's own answer."""
    url = f"http://docker/v1.41/containers/{name}/stats?{query}"
    said = docker.host.run("curl", "-sS", "--max-time", "20", "--unix-socket", "/run/pynet/api.sock", url)
    return dict(json.loads(said))


def test_stats(docker: Docker) -> None:
    docker.run("busy", "-m", "200m", "--pids-limit", "50", "--", "sh", "-c", "while :; do :; done")
    docker.run("idle", "--", "sh", "-c", "sleep 1000 & sleep 1000 & wait")
    docker.run("hosts", "--network", "host")
    docker("create", "--name", "made", IMAGE)
    seen = figures(docker, "busy", "idle", "hosts", "made")
    busy, idle, hosts, made = (seen[name] for name in ("busy", "idle", "hosts", "made"))
    assert 5 < float(busy["CPUPerc"].rstrip("%")) < 130 and float(idle["CPUPerc"].rstrip("%")) < 20
    assert busy["MemUsage"].endswith(" / 200MiB") and busy["PIDs"] == "1" and idle["PIDs"] == "3"
    assert hosts["NetIO"] == "0B / 0B" and made["PIDs"] in ("0", "--")
    found = raw(docker, "busy", "stream=0")
    assert found["name"] == "/busy" and found["pids_stats"] == {"current": 1, "limit": 50}
    memory, cpu, before = found["memory_stats"], found["cpu_stats"], found["precpu_stats"]
    assert isinstance(memory, dict) and memory["limit"] == 200 << 20 and 0 < memory["usage"] < 200 << 20
    assert isinstance(cpu, dict) and isinstance(before, dict)
    assert cpu["cpu_usage"]["total_usage"] > before["cpu_usage"]["total_usage"] > 0
    assert cpu["system_cpu_usage"] > before["system_cpu_usage"] > 0
    assert raw(docker, "busy", "stream=0&one-shot=1")["preread"] == "0001-01-01T00:00:00Z"


def test_traffic_is_counted(docker: Docker) -> None:
    docker("network", "create", "mynet")
    docker.run("web", "--network", "mynet", "--", "sh", "-c", "head -c 3000000 /dev/zero >/big; httpd -f -h /")
    docker.run("reader", "--network", "mynet")
    read = "wget -qO /dev/null http://web/big && echo read || true"
    wait_until(lambda: docker("exec", "reader", "sh", "-c", read) == "read", "web to answer")
    networks = raw(docker, "reader", "stream=0&one-shot=1")["networks"]
    assert isinstance(networks, dict) and list(networks) == ["eth0"] and networks["eth0"]["rx_bytes"] > 3_000_000


def test_stats_go_on_until_the_container_is_removed(docker: Docker) -> None:
    docker.run("web")
    url = "http://docker/containers/web/stats"
    words = ["curl", "-sSN", "--max-time", "30", "--unix-socket", "/run/pynet/api.sock", url]
    inside = ["nsenter", f"--target={docker.host.pid}", "--mount", "--net", "--pid", "--", *words]
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout is not None
        first, second = json.loads(reading.stdout.readline()), json.loads(reading.stdout.readline())
        assert first["precpu_stats"]["cpu_usage"]["total_usage"] == 0 and second["preread"] == first["read"]
        docker("rm", "-f", "web")
        for line in reading.stdout:
            last = json.loads(line)
            assert last["id"] == first["id"]
        assert reading.wait() == 0


def limits(docker: Docker, name: str) -> dict[str, str]:
    """What the kernel has."""
    pid = docker("inspect", "-f", "{{.State.Pid}}", name)
    lines = docker.host.run("cat", f"/proc/{pid}/cgroup").splitlines()
    # the host sees only its own part of the machine's groups
    groups = {
        name: path[path.index("/pynet/") :]
        for _, name, path in (line.split(":", 2) for line in lines)
        if name != "" and "/pynet/" in path
    }
    files = {
        "memory": f"memory{groups['memory']}/memory.limit_in_bytes",
        "swap": f"memory{groups['memory']}/memory.memsw.limit_in_bytes",
        "quota": f"cpu{groups['cpu']}/cpu.cfs_quota_us",
        "shares": f"cpu{groups['cpu']}/cpu.shares",
        "pids": f"pids{groups['pids']}/pids.max",
        "cpus": f"cpuset{groups['cpuset']}/cpuset.cpus",
    }
    return {key: docker.host.run("cat", f"/sys/fs/cgroup/{path}").strip() for key, path in files.items()}


def test_update_of_a_running_container(docker: Docker) -> None:
    docker.run("web", "-m", "64m", "--cpus", "0.5", "--pids-limit", "20")
    before = limits(docker, "web")
    assert (before["memory"], before["quota"], before["pids"]) == (str(64 << 20), "50000", "20")
    assert docker("update", "-m", "100m", "--cpus", "1", "--pids-limit", "30", "--cpuset-cpus", "0", "web") == "web"
    after = limits(docker, "web")
    assert (after["memory"], after["swap"], after["quota"]) == (str(100 << 20), str(200 << 20), "100000")
    assert (after["pids"], after["cpus"]) == ("30", "0")
    docker("update", "-c", "512", "--memory", "300m", "--memory-swap", "-1", "--pids-limit", "-1", "web")
    after = limits(docker, "web")
    assert (after["memory"], after["shares"], after["quota"], after["pids"]) == (str(300 << 20), "512", "100000", "max")
    # and so it stays
    docker("restart", "-t", "0", "web")
    assert limits(docker, "web") == after
    shown = docker.inspect("web")["HostConfig"]
    assert (shown["Memory"], shown["MemorySwap"], shown["NanoCpus"], shown["CpuShares"]) == (300 << 20, -1, 10**9, 512)


def test_update_of_the_restart_policy(docker: Docker) -> None:
    docker.run("web", "--", "sh", "-c", "sleep 1000 & wait")
    docker("update", "--restart", "on-failure:3", "web")
    assert docker.inspect("web")["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    docker("exec", "web", "sh", "-c", "kill -9 $(pidof sleep | tr ' ' '\\n' | head -n 1); kill -TERM 1 || true")
    docker("update", "--restart", "no", "web")
    assert docker.inspect("web")["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_what_update_refuses(docker: Docker) -> None:
    docker.run("web", "-m", "64m", "--rm")
    before = limits(docker, "web")
    for flags, text in (
        (("-m", "1m"), "Minimum memory limit allowed is 6MB"),
        (("-m", "500m"), "Memory limit should be smaller than already set memoryswap limit"),
        (("--cpus", "1000"), "Range of CPUs is from 0.01"),
        (("--cpuset-cpus", "4000"), "Requested CPUs are not available"),
        (("--restart", "always"), "AutoRemove is enabled"),
    ):
        assert text in docker.fails("update", *flags, "web").stderr
    assert limits(docker, "web") == before
    assert "No such container: nobody" in docker.fails("update", "-m", "64m", "nobody").stderr


def test_update_of_a_container_that_does_not_run(docker: Docker) -> None:
    docker("create", "--name", "web", IMAGE, "sleep", "1000")
    docker("update", "-m", "64m", "web")
    docker("start", "web")
    assert limits(docker, "web")["memory"] == str(64 << 20)


def test_history(docker: Docker) -> None:
    said = docker("history", "--no-trunc", "--format", "{{json .}}", IMAGE)
    (step,) = map(json.loads, said.splitlines())
    assert step["ID"] == docker("image", "inspect", "-f", "{{.Id}}", IMAGE) and step["Size"] != "0B"
    docker.host.run("sh", "-c", "cd / && tar -c bin/true 2>/dev/null | cat >/run/true.tar")
    docker("import", "-m", "made here", "-c", "CMD /bin/true", "/run/true.tar", "other:1")
    assert "made here" in docker("history", "other:1")
    assert "No such image" in docker.fails("history", "nothing:1").stderr
    docker("rmi", "other:1")


def test_prune(docker: Docker) -> None:
    docker("create", "--name", "made", IMAGE)
    docker.run("web")
    assert docker.inspect("made")["Id"] in docker("container", "prune", "-f")
    assert docker("ps", "-aq", "--no-trunc") == docker.inspect("web")["Id"]
    docker.host.run("sh", "-c", "cd / && tar -c bin/true 2>/dev/null | cat >/run/true.tar")
    docker("import", "/run/true.tar", "gone:1")
    docker("rmi", "gone:1")
    nameless = docker("import", "/run/true.tar").splitlines()[-1]
    assert nameless in docker("image", "prune", "-f")
    assert docker("images", "-q", "--no-trunc") == docker("image", "inspect", "-f", "{{.Id}}", IMAGE)
    assert "docker image prune" not in docker("image", "prune", "-af")
