"""One network of pynet's, containers of nerdctl and podman on it: each finds each by name, through DNS alone."""

from collections.abc import Iterator

import pytest

from .host import CommandFailed, Host, Service
from .image import IMAGE
from .nerdctl import Nerdctl
from .ours import pynet, start_dns
from .podman import Podman
from .polling import wait_until
from .probes import Runs, addresses

pytestmark = pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)


@pytest.fixture(scope="module")
def name_server(host: Host) -> Iterator[Service]:
    """`pynetd dns`, for this module."""
    service = start_dns(host)
    yield service
    service.stop()


@pytest.fixture(scope="module")
def podman_with_image(host: Host) -> Podman:
    """A podman that has the image."""
    podman = Podman(host)
    podman.set_up()
    return podman


@pytest.fixture
def podman(podman_with_image: Podman) -> Iterator[Podman]:
    """podman, which removes at the end of the test what the test made."""
    yield podman_with_image
    podman_with_image.clean()


@pytest.fixture
def mynet(host: Host, name_server: Service, nerdctl: Nerdctl, podman: Podman) -> Iterator[str]:
    """A network with names."""
    name_server.alive()
    pynet(host, "create", "mynet", "--dns", "--subnet", "10.63.0.0/24")
    # this ring's podman has a directory of its own for networks
    shown = host.file("/etc/cni/podman.d/mynet.conflist")
    shown.write_bytes(host.file("/etc/cni/net.d/mynet.conflist").read_bytes())
    yield "mynet"
    nerdctl.clean()
    podman.clean()
    shown.unlink()
    pynet(host, "rm", "mynet")


def lookup(run: Runs, name: str) -> list[str]:
    """The IPv4 addresses that nslookup finds; it asks the resolver and never reads /etc/hosts."""
    try:
        answer = run("nslookup", "-type=a", name)
    except CommandFailed:
        return []
    lines = answer.split("\n\n", 1)[-1].splitlines()
    return [line.split()[-1] for line in lines if line.startswith("Address")]


def own_address(run: Runs) -> str:
    return str(addresses(run)[0].ip)


def test_containers_of_both_engines_find_each_other(nerdctl: Nerdctl, podman: Podman, mynet: str) -> None:
    """nerdctl's with its resolv.conf untouched, podman's with ours."""
    web = nerdctl.serve("web", "--net", mynet, "--hostname", "web-host")
    peer = nerdctl.serve("peer", "--net", mynet)
    shop = podman.serve("shop", "--network", f"{mynet}:alias=store")
    assert "127.0.0.11" not in web.run("cat", "/etc/resolv.conf")
    assert "nameserver 127.0.0.11" in shop.run("cat", "/etc/resolv.conf")
    everyone = {"web": web, "peer": peer, "shop": shop}
    for asker in everyone.values():
        for name, asked in everyone.items():
            assert lookup(asker.run, name) == [own_address(asked.run)]
            assert lookup(asker.run, f"{name}.{mynet}") == [own_address(asked.run)]
        assert lookup(asker.run, "store") == [own_address(shop.run)]
        assert lookup(asker.run, "web-host") == [own_address(web.run)]
        assert lookup(asker.run, "nobody") == []


def test_ctrs_containers_belong(nerdctl: Nerdctl, mynet: str) -> None:
    """ctr takes the first list by name, and leaves resolv.conf to the image, whose file is empty here."""
    web = nerdctl.serve("web", "--net", mynet)
    ctr = nerdctl.containerd.ctr
    shown = ctr("run", "--rm", "--cni", IMAGE, "task", "nslookup", "-type=a", "web", "10.63.0.1")
    assert f"Address: {own_address(web.run)}" in shown
    shown = ctr("run", "--rm", "--cni", IMAGE, "task", "nslookup", "-type=a", "task", "10.63.0.1")
    assert "Address: 10.63.0." in shown
    assert lookup(web.run, "task") == []


def test_names_go_with_their_containers(nerdctl: Nerdctl, mynet: str) -> None:
    """Stopped, killed, started again."""
    web, peer = nerdctl.serve("web", "--net", mynet), nerdctl.serve("peer", "--net", mynet)
    assert lookup(peer.run, "web") == [own_address(web.run)]
    nerdctl("stop", "web")
    assert lookup(peer.run, "web") == []
    nerdctl("start", "web")
    assert lookup(peer.run, "web") == [own_address(web.run)]
    nerdctl("kill", "web")
    wait_until(lambda: not lookup(peer.run, "web"), "the name of a killed container to go")


def test_a_network_without_names_is_as_before(nerdctl: Nerdctl, host: Host, mynet: str) -> None:
    """Names do not cross networks."""
    pynet(host, "create", "plain", "--subnet", "10.64.0.0/24")
    try:
        nerdctl.serve("web", "--net", mynet)
        outside = nerdctl.serve("outside", "--net", "plain")
        assert lookup(outside.run, "web") == []
    finally:
        nerdctl.clean()
        pynet(host, "rm", "plain")
