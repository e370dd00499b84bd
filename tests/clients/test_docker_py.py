"""docker-py 7 on our daemon: what a program sees."""

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import EndpointConfig, IPAMConfig, IPAMPool, NetworkingConfig

from .containerd import image_archive
from .docker_cli import IMAGE
from .host import Host, disposable_host
from .ours import API_SOCKET, install_ours, start_api, start_dns
from .polling import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with disposable_host() as host:
        install_ours(host, "/opt/cni/bin")
        start_dns(host)
        start_api(host)
        yield host


@pytest.fixture(scope="module")
def ring(host: Host) -> Iterator[DockerClient]:
    """One client for all tests, its version found out from the server's."""
    client = DockerClient(base_url=f"unix://{host.file(API_SOCKET)}", version="auto", timeout=60)
    (image,) = client.images.load(image_archive(host).read_bytes())
    assert IMAGE in image.tags
    yield client
    client.close()


@pytest.fixture
def client(ring: DockerClient) -> Iterator[DockerClient]:
    yield ring
    for container in ring.containers.list(all=True):
        container.remove(force=True)
    for network in ring.networks.list(filters={"type": "custom"}):
        network.remove()


def start(client: DockerClient, command: Any = ("sleep", "1000"), **options: Any) -> Container:
    return client.containers.run(IMAGE, list(command), detach=True, **options)


def received(raw: Any) -> bytes:
    """All that comes on a raw connection, which docker-py leaves to its user to close."""
    data = b""
    while piece := raw.read(4096):
        data += piece
    raw._sock.close()
    raw.close()
    return data


def test_the_server_introduces_itself(client: DockerClient) -> None:
    assert client.ping() is True
    assert client.api.api_version == "1.50"
    assert client.version()["Os"] == "linux"
    assert client.info()["OSType"] == "linux"


def test_run_gives_output_or_the_failure(client: DockerClient) -> None:
    assert client.containers.run(IMAGE, ["echo", "hello"], remove=True) == b"hello\n"
    assert client.containers.run(IMAGE, ["sh", "-c", "echo a; echo b >&2"], stderr=True, stdout=False) == b"b\n"
    with pytest.raises(ContainerError) as raised:
        client.containers.run(IMAGE, ["sh", "-c", "echo no >&2; exit 4"], remove=True)
    assert raised.value.exit_status == 4 and raised.value.stderr == b"no\n"
    with pytest.raises(ImageNotFound):
        client.containers.create("nothing:1", "true")


def test_a_containers_life(client: DockerClient) -> None:
    container = start(client, name="web", labels={"a": "b"}, environment={"COLOUR": "red"}, hostname="site")
    assert container.status in ("created", "running")
    container.reload()
    assert container.status == "running" and container.attrs["Config"]["Hostname"] == "site"
    assert [each.name for each in client.containers.list(filters={"label": "a=b"})] == ["web"]
    assert container.exec_run(["sh", "-c", "echo $COLOUR"]).output == b"red\n"
    assert container.top()["Titles"][0] in ("UID", "USER", "PID")
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.rename("other")
    container.stop(timeout=1)
    assert container.wait()["StatusCode"] in (137, 143)
    container.start()
    container.restart(timeout=0)
    container.kill("SIGKILL")
    assert container.wait() == {"StatusCode": 137}
    container.remove()
    with pytest.raises(NotFound):
        client.containers.get("other")


def test_execs(client: DockerClient) -> None:
    container = start(client)
    both = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    assert both.exit_code == 3 and both.output == (b"out\n", b"err\n")
    pieces = container.exec_run(["sh", "-c", "echo one; echo two"], stream=True).output
    assert b"".join(pieces) == b"one\ntwo\n"
    raw = container.exec_run(["cat"], stdin=True, socket=True).output
    raw._sock.sendall(b"through")
    raw._sock.shutdown(1)
    assert received(raw) == b"\x01\0\0\0\0\0\0\x07through"
    container.stop(timeout=0)
    with pytest.raises(APIError) as raised:
        container.exec_run("true")
    assert raised.value.status_code == 409


def test_logs_as_a_whole_and_followed(client: DockerClient) -> None:
    container = start(client, ["sh", "-c", "mkfifo /tmp/go; echo one; cat /tmp/go; echo two >&2"])
    wait_until(lambda: container.logs() == b"one\n", "the first line")
    followed = container.logs(stream=True, follow=True)
    assert next(followed) == b"one\n"
    container.exec_run(["sh", "-c", "echo between >/tmp/go"])
    assert b"".join(followed) == b"between\ntwo\n"
    assert container.logs(stdout=False) == b"two\n"
    assert container.logs(tail=1, timestamps=True).endswith(b"Z two\n")


def test_attach(client: DockerClient) -> None:
    container = client.containers.create(IMAGE, ["sh", "-c", "read x; echo got $x"], stdin_open=True)
    raw = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    raw._sock.sendall(b"it\n")
    assert received(raw) == b"\x01\0\0\0\0\0\0\x07got it\n"
    assert container.wait() == {"StatusCode": 0}
    assert container.attach(logs=True, stream=False) == b"got it\n"


def test_a_wait_is_registered_once_the_answer_has_begun(client: DockerClient) -> None:
    container = client.containers.create(IMAGE, ["sh", "-c", "exit 5"])

    def waiting(condition: str) -> Any:
        url = client.api._url("/containers/{0}/wait", container.id)
        # returns with the head of the answer
        return client.api._post(url, params={"condition": condition}, stream=True)

    with waiting("next-exit") as ending:
        container.start()
        assert ending.json() == {"StatusCode": 5}
    with waiting("removed") as removal:
        container.remove()
        assert removal.json() == {"StatusCode": 5}


def test_networks(client: DockerClient) -> None:
    pool = IPAMPool(subnet="10.99.8.0/24", gateway="10.99.8.254")
    network = client.networks.create("mynet", ipam=IPAMConfig(pool_configs=[pool]), labels={"a": "b"}, internal=True)
    assert network.attrs["IPAM"]["Config"] == [{"Subnet": "10.99.8.0/24", "Gateway": "10.99.8.254"}]
    assert network.attrs["Internal"] is True and network.attrs["Labels"] == {"a": "b"}
    with pytest.raises(APIError) as raised:
        client.networks.create("mynet")
    assert raised.value.status_code == 409
    wishes = {"mynet": EndpointConfig("1.50", ipv4_address="10.99.8.7", aliases=["site"])}
    container = start(client, name="web", network="mynet", networking_config=wishes)
    container.reload()
    shown = container.attrs["NetworkSettings"]["Networks"]["mynet"]
    assert shown["IPAddress"] == "10.99.8.7" and shown["IPAMConfig"] == {"IPv4Address": "10.99.8.7"}
    assert "site" in shown["Aliases"] and shown["Links"] is None and shown["DriverOpts"] is None
    other = start(client, name="client")
    network.connect(other, aliases=["back"])
    network.reload()
    assert sorted(each.name for each in network.containers) == ["client", "web"]
    assert other.exec_run("ping -c 1 -W 5 site").exit_code == 0
    network.disconnect(other)
    network.reload()
    assert [each.name for each in network.containers] == ["web"]
    with pytest.raises(APIError):
        network.disconnect(other)
    with pytest.raises(APIError) as raised:
        network.remove()
    assert raised.value.status_code == 403


def test_create_with_an_unknown_network(client: DockerClient) -> None:
    config = NetworkingConfig({"nowhere": EndpointConfig("1.50")})
    made = client.api.create_container(
        IMAGE, "true", networking_config=config, host_config=client.api.create_host_config(network_mode="nowhere")
    )
    with pytest.raises(NotFound, match="network nowhere not found"):
        client.api.start(made["Id"])
    state = client.api.inspect_container(made["Id"])["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    assert "network nowhere not found" in state["Error"]


def test_ports(client: DockerClient) -> None:
    container = start(client, ports={"80/tcp": 8081, "81/tcp": None, "82/udp": ("127.0.0.1", 8082)})
    container.reload()
    ports = container.ports
    assert ports["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "8081"}, {"HostIp": "::", "HostPort": "8081"}]
    assert ports["82/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "8082"}]
    assert 1024 < int(ports["81/tcp"][0]["HostPort"]) < 65536
    change = {"Add": {"83/tcp": [{"HostPort": "8083"}]}, "Remove": {"80/tcp": None}}
    url = client.api._url("/containers/{0}/ports", container.id)
    bound = client.api._result(client.api._post_json(url, data=change), True)["Ports"]
    assert "80/tcp" not in bound or not bound["80/tcp"]
    assert bound["83/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": "8083"}
    container.reload()
    assert container.ports["83/tcp"] == bound["83/tcp"]


def test_images(client: DockerClient) -> None:
    image = client.images.get(IMAGE)
    assert image.attrs["Architecture"] in ("amd64", "arm64")
    assert image.tag("mine", "2") is True
    assert "mine:2" in {tag for each in client.images.list() for tag in each.tags}
    client.images.remove("mine:2")
    with pytest.raises(ImageNotFound):
        client.images.get("mine:2")
    with pytest.raises(APIError):
        client.images.load(io.BytesIO(b"no archive at all" * 1000))
    assert client.ping()


def test_events(client: DockerClient) -> None:
    since = int(time.time())
    container = start(client, ["true"], name="eventful", labels={"a": "b"})
    container.wait()
    container.remove()
    wait_until(lambda: _actions(client, since)[-1:] == ["destroy"], "the last event")
    assert _actions(client, since) == ["create", "start", "die", "destroy"]


def _actions(client: DockerClient, since: int) -> list[str]:
    found = client.events(
        since=since, until=int(time.time()) + 1, filters={"container": "eventful", "type": "container"}, decode=True
    )
    return [each["Action"] for each in found]


def test_prune(client: DockerClient) -> None:
    container = start(client, ["true"])
    container.wait()
    client.networks.create("unused")
    assert client.containers.prune()["ContainersDeleted"] == [container.id]
    assert client.networks.prune() == {"NetworksDeleted": ["unused"]}
