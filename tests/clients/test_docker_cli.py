"""What a user of the docker command line sees on our daemon."""

import json
import time
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
    """docker, on a host without containers and networks."""
    yield ring
    ring.clean()


def test_versions_are_agreed_upon(docker: Docker) -> None:
    shown = json.loads(docker("version", "--format", "{{json .}}"))
    assert shown["Server"]["ApiVersion"] == "1.50"
    assert shown["Client"]["ApiVersion"] == "1.41"
    assert json.loads(docker("info", "--format", "{{json .}}"))["OSType"] == "linux"


def test_run_shows_output_and_gives_the_exit_status(docker: Docker) -> None:
    assert docker("run", "--rm", IMAGE, "echo", "hello") == "hello"
    failure = docker.fails("run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (failure.status, failure.stdout, failure.stderr) == (7, "out\n", "err\n")
    assert docker("ps", "-aq") == ""


def test_run_takes_standard_input_to_its_end(docker: Docker) -> None:
    text = "line\n" * 20000
    assert docker("run", "--rm", "-i", IMAGE, "wc", "-l", stdin=text).strip() == "20000"
    assert docker("run", "--rm", "-i", IMAGE, "cat", stdin=text) == text.rstrip("\n")


def test_run_with_a_terminal(docker: Docker) -> None:
    assert docker("run", "--rm", "-t", IMAGE, "tty").strip() == "/dev/pts/0"


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ((IMAGE, "/etc"), 126, "permission denied"),
        ((IMAGE, "no-such-program"), 127, "executable file not found"),
        (("--network", "nowhere", IMAGE, "true"), 125, "network nowhere not found"),
        (("--name", "-", IMAGE, "true"), 125, "Invalid container name"),
    ],
)
def test_what_cannot_be_run(docker: Docker, words: tuple[str, ...], status: int, text: str) -> None:
    failure = docker.fails("run", "--rm", *words)
    assert failure.status == status
    assert text in failure.stderr


def test_an_unknown_image_is_pulled_and_the_failure_told(docker: Docker) -> None:
    failure = docker.fails("run", "--rm", "127.0.0.1:1/nothing:1", "true")
    assert failure.status == 125
    assert "Unable to find image '127.0.0.1:1/nothing:1' locally" in failure.stderr


def test_the_life_of_a_container_in_the_background(docker: Docker) -> None:
    container = docker.run(
        "web", "--label", "a=b", "--", "sh", "-c", "echo started; trap 'exit 3' TERM; sleep 1000 & wait"
    )
    row = docker("ps", "--format", '{{.ID}}|{{.Image}}|{{.Names}}|{{.Status}}|{{.Label "a"}}').split("|")
    assert row[:3] == [container[:12], IMAGE, "web"] and row[3].startswith("Up ") and row[4] == "b"
    wait_until(lambda: docker("logs", "web") == "started", "the log")
    assert docker("inspect", "-f", "{{.State.Running}} {{.Name}}", "web") == "true /web"
    assert "sleep 1000" in docker("top", "web")
    docker("pause", "web")
    assert docker("ps", "--format", "{{.Status}}").endswith("(Paused)")
    docker("unpause", "web")
    docker("rename", "web", "site")
    assert docker("stop", "site") == "site"
    assert docker("ps", "-q") == ""
    assert docker("ps", "-a", "--format", "{{.Status}}").startswith("Exited (3) ")
    docker("start", "site")
    assert docker("ps", "-q") == container[:12]
    docker("restart", "-t", "1", "site")
    docker("kill", "site")
    assert docker("wait", "site") == "137"
    assert docker("rm", "site") == "site"
    assert docker.fails("inspect", "site").stderr.strip() == "Error: No such object: site"


def test_exec(docker: Docker) -> None:
    docker.run("web", "-e", "COLOUR=red")
    assert docker("exec", "web", "sh", "-c", "echo $COLOUR") == "red"
    assert docker("exec", "-i", "web", "cat", stdin="through") == "through"
    assert docker("exec", "-t", "web", "tty").strip().startswith("/dev/pts/")
    assert docker("exec", "-w", "/tmp", "-u", "nobody", "web", "sh", "-c", "pwd; id -un") == "/tmp\nnobody"
    failure = docker.fails("exec", "web", "sh", "-c", "exit 9")
    assert failure.status == 9
    assert docker.fails("exec", "web", "no-such-program").status in (126, 127)
    docker("exec", "-d", "web", "touch", "/tmp/made")
    wait_until(lambda: docker("exec", "web", "ls", "/tmp") == "made", "the file made by the exec in the background")
    docker("stop", "-t", "0", "web")
    assert "is not running" in docker.fails("exec", "web", "true").stderr


def test_logs_are_followed_to_the_end(docker: Docker) -> None:
    docker.run("web", "--", "sh", "-c", "mkfifo /tmp/go; echo ready; cat /tmp/go; echo last")
    wait_until(lambda: docker("logs", "web") == "ready", "the first line")
    with docker.background("logs", "-f", "web") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "ready\n"
        docker("exec", "web", "sh", "-c", "echo between >/tmp/go")
        assert following.stdout.readline() == "between\n"
        assert following.stdout.readline() == "last\n"
        assert following.wait(20) == 0
    assert docker("logs", "-t", "--tail", "1", "web").endswith("Z last")


def test_attach_shows_what_comes_and_its_end_is_not_the_containers(docker: Docker) -> None:
    docker.run("web", "--", "sh", "-c", "while :; do echo tick; usleep 50000; done")
    with docker.background("attach", "--no-stdin", "--sig-proxy=false", "web") as attached:
        assert attached.stdout is not None
        assert [attached.stdout.readline() for _ in range(3)] == ["tick\n"] * 3
    assert docker("ps", "--format", "{{.Names}}") == "web"


def test_networks(docker: Docker) -> None:
    made = docker("network", "create", "--label", "a=b", "--subnet", "10.99.7.0/24", "mynet")
    assert docker("network", "ls", "-q", "--no-trunc", "--filter", "label=a=b") == made
    assert docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "mynet") == "10.99.7.1"
    assert "already exists" in docker.fails("network", "create", "mynet").stderr.replace(
        "exists already", "already exists"
    )
    docker.run("web", "--network", "mynet", "--network-alias", "site", "--ip", "10.99.7.20")
    docker.run("client", "--network", "mynet")
    assert docker("exec", "client", "nslookup", "-type=a", "site").count("10.99.7.20") == 1
    assert docker("exec", "client", "ping", "-c", "1", "-W", "5", "web")
    (attached,) = json.loads(docker("network", "inspect", "mynet"))
    assert sorted(each["Name"] for each in attached["Containers"].values()) == ["client", "web"]
    assert "10.99.7.20/24" in {each["IPv4Address"] for each in attached["Containers"].values()}
    assert docker.fails("network", "rm", "mynet").status == 1
    docker("network", "disconnect", "mynet", "client")
    assert docker.fails("exec", "client", "ping", "-c", "1", "-W", "2", "10.99.7.20").status == 1
    docker("network", "connect", "--alias", "back", "mynet", "client")
    assert docker("exec", "web", "ping", "-c", "1", "-W", "5", "back")
    docker("rm", "-f", "web", "client")
    assert docker("network", "rm", "mynet") == "mynet"
    assert docker.fails("network", "inspect", "mynet").stderr.strip() == "Error: No such network: mynet"


def test_published_ports(docker: Docker) -> None:
    docker.run("web", "-p", "8080:80", "-p", "127.0.0.1::81", "--", "httpd", "-f", "-p", "80", "-h", "/etc")
    lines = docker("port", "web").splitlines()
    assert "80/tcp -> 0.0.0.0:8080" in lines
    assert any(line.startswith("81/tcp -> 127.0.0.1:") for line in lines)
    assert docker("port", "web", "80/tcp").splitlines()[0] == "0.0.0.0:8080"
    assert "0.0.0.0:8080->80/tcp" in docker("ps", "--format", "{{.Ports}}")
    assert "root" in docker.host.neighbour("busybox", "wget", "-qO-", "http://192.168.250.2:8080/passwd")
    failure = docker.fails("run", "-d", "--name", "other", "-p", "8080:80", IMAGE)
    assert failure.status == 125
    assert "port is already allocated" in failure.stderr
    assert docker("ps", "-a", "--filter", "name=other", "--format", "{{.Status}}") == "Created"


def test_images(docker: Docker) -> None:
    assert IMAGE in docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    docker("tag", IMAGE, "mine:1")
    assert docker("images", "-q", "mine") == docker("images", "-q", IMAGE)
    assert docker("run", "--rm", "mine:1", "echo", "tagged") == "tagged"
    assert docker("rmi", "mine:1") == "Untagged: mine:1"
    assert "No such image: mine:1" in docker.fails("rmi", "mine:1").stderr
    assert json.loads(docker("image", "inspect", IMAGE))[0]["Config"]["Cmd"] == ["sleep", "infinity"]


def test_import(docker: Docker) -> None:
    docker.host.run(
        "sh", "-c", "mkdir -p /run/root/bin && cp /bin/busybox /run/root/bin/ && tar -C /run/root -cf /run/root.tar ."
    )
    docker("import", "--change", 'CMD ["/bin/busybox","echo","imported"]', "/run/root.tar", "small:1")
    assert docker("run", "--rm", "small:1") == "imported"
    docker("rmi", "small:1")


def test_events(docker: Docker) -> None:
    docker("network", "create", "eventful")
    # those since a moment, and then what comes: so nothing depends on when the listener is there
    listen = ("events", "--since", str(int(time.time())), "--filter", "container=events1", "--filter", "type=container")
    with docker.background(*listen, "--format", "{{.Action}}") as listening:
        assert listening.stdout is not None
        docker("run", "--rm", "--name", "events1", "--network", "eventful", IMAGE, "true")
        seen: list[str] = []
        while "destroy" not in seen:
            seen.append(listening.stdout.readline().strip())
    assert seen == ["create", "attach", "start", "die", "destroy"]
    # the command line sends whole seconds
    soon = str(int(time.time()) + 1)
    past = docker(
        "events", "--since", "1h", "--until", soon, "--format", "{{.Type}} {{.Action}}", "--filter", "network=eventful"
    )
    assert past.splitlines() == ["network create", "network connect", "network disconnect"]


def test_prune(docker: Docker) -> None:
    docker("run", "--name", "done", IMAGE, "true")
    docker.run("going")
    docker("network", "create", "unused")
    assert docker("container", "prune", "-f").splitlines()[0] == "Deleted Containers:"
    assert docker("ps", "-a", "--format", "{{.Names}}") == "going"
    assert docker("network", "prune", "-f").split() == ["Deleted", "Networks:", "unused"]
