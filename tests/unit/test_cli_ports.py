"""`pynet port` against a scripted daemon: published ports, and those changed while the container runs."""

from __future__ import annotations

from api_script import Script
from pynet_shell import Shell, pynet

__all__ = ["pynet"]

PORTS = {
    "443/tcp": None,
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
}


def test_port(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/web/json", {"NetworkSettings": {"Ports": PORTS}})
    assert pynet("port", "web")[1] == "53/udp -> 127.0.0.1:5353\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert pynet("port", "web", "80")[1] == "0.0.0.0:8080\n[::]:8080\n"
    assert pynet("container", "port", "web", "53/udp")[1] == "127.0.0.1:5353\n"
    assert pynet("port", "web", "443") == (1, "", "pynet: container web publishes no port 443/tcp\n")
    assert pynet("port", "web", "x")[2].startswith("pynet: PORT x: ")


def test_ports_are_changed_live(said: Script, pynet: Shell) -> None:
    said.on("POST /containers/web/ports", {"Ports": PORTS})
    said.on("GET /containers/web/json", {"NetworkSettings": {"Ports": PORTS}})
    status, out, _ = pynet("port", "add", "web", "127.0.0.1:8443:443", "9000")
    assert status == 0 and "80/tcp -> 0.0.0.0:8080\n" in out
    assert said.body("POST /containers/web/ports") == {
        "Add": {
            "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
            "9000/tcp": [{"HostIp": "", "HostPort": ""}],
        }
    }
    assert pynet("port", "rm", "web", "8080:80")[0] == 0
    assert said.body("POST /containers/web/ports") == {"Remove": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}
    assert pynet("port", "add", "web", "x:80")[2].startswith("pynet: port add x:80: ")
