"""One network, three engines: containers of pynet, nerdctl and podman find and reach each other.  Pods, nerdctl's
containers and bare namespaces are connected and disconnected live."""

from collections.abc import Iterator

import pytest

from .containerd import Containerd
from .crictl import Crictl
from .host import LAN, CommandFailed, Host
from .image import IMAGE
from .nerdctl import Nerdctl
from .ours import command, pynet, start_api, start_dns
from .podman import Podman
from .polling import wait_until
from .probes import Runs, addresses, fetch, gateway, serve_command
from .questions import lookup
from .runtime import Runtime

pytestmark = pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)


@pytest.fixture(scope="module")
def daemons(host: Host, containerds: dict[str, Containerd]) -> Iterator[Runtime]:
    """The rest of pynetd beside the engine that this host has, for this module."""
    # not where it is usually: its tasks are found by its shims
    assert containerds["2.1"].state == "/run/containerd"
    assert not host.file("/run/containerd/io.containerd.runtime.v2.task").exists()
    start_dns(host)
    start_api(host)
    runtime = Runtime(host)
    runtime.load_image()
    yield runtime
    runtime.clean()
    for service in host.services:
        if service.name in ("pynetd-api", "pynetd-dns") and service.running:
            service.stop()


@pytest.fixture(scope="module")
def podman_with_image(host: Host) -> Podman:
    podman = Podman(host)
    podman.set_up()
    return podman


@pytest.fixture
def town(daemons: Runtime, nerdctl: Nerdctl, podman_with_image: Podman, host: Host) -> Iterator[Runtime]:
    """Two networks that podman is shown too; everything goes at the end, containers first."""
    shown = host.file("/etc/cni/podman.d/mynet.conflist")
    pynet(host, "create", "mynet", "--subnet", "10.63.0.0/24")
    pynet(host, "create", "second", "--subnet", "10.64.0.0/24")
    shown.write_bytes(host.file("/etc/cni/net.d/mynet.conflist").read_bytes())
    yield daemons
    nerdctl.clean()
    podman_with_image.clean()
    shown.unlink()
    daemons.clean()


def found(run: Runs, name: str) -> list[str]:
    """What the container's own nslookup finds."""
    try:
        answer = run("nslookup", "-type=a", name)
    except CommandFailed:
        return []
    return [line.split()[-1] for line in answer.split("\n\n", 1)[-1].splitlines() if line.startswith("Address")]


def address(run: Runs, device: str = "eth0") -> str:
    return str(addresses(run, device)[0].ip)


SCRIPT = """
for name in "$@"; do
    address=$(nslookup -type=a "$name" 2>/dev/null | awk '/^Address/ { if (n++) print $NF }')
    echo "$name" $address ${address:+$(timeout -s KILL 5 wget -qO- "http://$name/" 2>/dev/null)}
done
"""
"""All names in one go: each with the addresses that the container's own resolver finds, and what it says by HTTP."""


def test_each_finds_each(town: Runtime, nerdctl: Nerdctl, podman_with_image: Podman) -> None:
    """By name, alias, host name and name.network; and reaches it; and forgets it once it has gone."""
    everyone = {
        "ours": town.serve("ours", "--network", "name=mynet,alias=ours-alias", "--hostname", "ours-host"),
        "nerd": nerdctl.serve("nerd", "--net", "mynet", "--hostname", "nerd-host"),
        "pod": podman_with_image.serve("pod", "--network", "mynet:alias=pod-alias"),
    }
    names = {"ours-alias": "ours", "ours-host": "ours", "nerd-host": "nerd", "pod-alias": "pod"}
    names |= {form: name for name in everyone for form in (name, f"{name}.mynet")}
    expected = {form: [form, address(everyone[name].run), name] for form, name in names.items()}

    def known(asker: str) -> dict[str, list[str]]:
        said = everyone[asker].run("sh", "-c", SCRIPT, "sh", *names, "nobody")
        return {line.split()[0]: line.split() for line in said.splitlines()}

    for asker in everyone:
        wait_until(
            lambda asker=asker: known(asker) == {**expected, "nobody": ["nobody"]}, f"{asker} to reach everybody"
        )
    nerdctl("rm", "-f", "nerd")
    nerdctl.containers.remove("nerd")
    town("container", "rm", "-f", "ours")
    assert known("pod") == {form: expected[form] if name == "pod" else [form] for form, name in names.items()} | {
        "nobody": ["nobody"]
    }


def test_addresses_are_given_once(town: Runtime, nerdctl: Nerdctl, podman_with_image: Podman) -> None:
    """One lease store for all engines."""
    seen = {
        address(town.serve("one", "--network", "mynet").run),
        address(nerdctl.serve("two", "--net", "mynet").run),
        address(podman_with_image.serve("three", "--network", "mynet").run),
    }
    assert seen == {"10.63.0.2", "10.63.0.3", "10.63.0.4"}
    refusal = town.fails("run", "-d", "--name", "four", "--network", "mynet", "--ip", "10.63.0.3", IMAGE, status=125)
    assert "Address already in use" in refusal


def test_a_running_container_of_nerdctl(town: Runtime, nerdctl: Nerdctl, host: Host) -> None:
    """nerdctl has no such command: another network, its names, a published port; and away again."""
    ours = town.serve("ours", "--network", "second")
    web = nerdctl.serve("web", "--net", "mynet")
    assert found(ours.run, "web") == []
    said = town("connect", "--alias", "site", "-p", "8093:80", "second", "nerdctl:web")
    assert said.split()[0] == "eth1"
    for again in ("second", "mynet"):
        refusal = town.fails("connect", again, "nerdctl:web")
        assert f"endpoint with name nerdctl:web already exists in network {again}" in refusal
    assert web.run("ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
    for name in ("web", "site", "web.second"):
        assert found(ours.run, name) == [address(web.run, "eth1")]
    assert fetch(ours.run, "site") == "web"
    assert fetch(web.run, address(ours.run)) == "ours"
    assert lookup(lambda *argv: host.run("nsenter", f"--target={web.pid}", "--net", *argv), "ours") == [
        [address(ours.run)]
    ]
    assert fetch(host.neighbour, LAN, 8093) == "web"
    assert town("disconnect", "second", "nerdctl:web") == "eth1\n"
    assert found(ours.run, "site") == found(ours.run, "web") == []
    assert web.run("ls", "/sys/class/net").split() == ["eth0", "lo"]
    assert gateway(web.run) == "10.63.0.1"
    assert "not connected" in town.fails("disconnect", "second", "nerdctl:web")
    # what is left connected goes with the container, its address when the daemon next looks
    town("connect", "--ip", "10.64.0.50", "second", "nerdctl:web")
    nerdctl("rm", "-f", "web")
    nerdctl.containers.remove("web")
    wait_until(lambda: found(ours.run, "web") == [], "the name to go")
    (api,) = (service for service in host.services if service.name == "pynetd-api" and service.running)
    api.stop()
    start_api(host)
    taker = town.start("taker", "--network", "second", "--ip", "10.64.0.50")
    assert address(taker.run) == "10.64.0.50"


def test_one_containerd_of_several(town: Runtime, nerdctl: Nerdctl, containerds: dict[str, Containerd]) -> None:
    nerdctl.serve("web", "--net", "mynet")
    words = (command("pynet"), "connect", "second", "nerdctl:web")
    with pytest.raises(CommandFailed, match="nerdctl:web not found among the running ones"):
        town.host.run(*words, env={"CONTAINERD_ADDRESS": containerds["1.6"].address})
    assert town.host.run(*words, env={"CONTAINERD_ADDRESS": containerds["2.1"].address}).split()[0] == "eth1"


def test_a_pod(town: Runtime, containerds: dict[str, Containerd], host: Host) -> None:
    containerd = containerds["2.1"]
    host.write(f"{containerd.cri_lists}/10-pods.conflist", POD_LIST)
    crictl = Crictl(containerd)
    try:
        wait_until(lambda: '"lastCNILoadStatus": "OK"' in crictl("info"), "containerd to see the list", 20)
        pod = crictl.pod("front")
        pod.start("web", *serve_command("pod"))
        ours = town.serve("ours", "--network", "mynet")
        said = town("connect", "--alias", "front", "mynet", f"cri:{pod.id}")
        device, joined = said.split()
        assert found(ours.run, "front") == [joined.partition("/")[0]]
        assert fetch(ours.run, "front") == "pod"
        assert town("disconnect", "mynet", f"cri:{pod.id[:13]}") == f"{device}\n"
        assert found(ours.run, "front") == []
    finally:
        crictl.clean()
        host.file(f"{containerd.cri_lists}/10-pods.conflist").unlink()


POD_LIST = """
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni-pods", "isGateway": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.65.0.0/24"}]]}}]}
"""


def test_a_bare_namespace(town: Runtime, host: Host) -> None:
    """Whoever made it."""
    ours = town.serve("ours", "--network", "mynet")
    host.run("ip", "netns", "add", "bare")
    inside = ("ip", "netns", "exec", "bare")
    try:
        said = town("connect", "--alias", "bare", "--ip", "10.63.0.99", "mynet", "ns:/run/netns/bare")
        assert said == "eth0 10.63.0.99/24\n"
        assert found(ours.run, "bare") == ["10.63.0.99"]
        assert fetch(lambda *argv: host.run(*inside, *argv), address(ours.run)) == "ours"
        assert lookup(lambda *argv: host.run(*inside, *argv), "ours") == [[address(ours.run)]]
        assert town("disconnect", "mynet", "ns:/run/netns/bare") == "eth0\n"
        assert found(ours.run, "bare") == []
    finally:
        host.run("ip", "netns", "del", "bare")
