"""`pynet connect` and `disconnect` of the daemon's own containers, against a scripted daemon."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_script import ID, Script
from pynet_shell import Shell, pynet

__all__ = ["pynet"]


def test_connect_and_disconnect_containers_of_ours(said: Script, pynet: Shell) -> None:
    said.on("POST /networks/mynet/connect", None)
    said.on("POST /networks/mynet/disconnect", None)
    words = ["--ip", "10.0.0.9", "--alias", "www", "--gw-priority", "3", "--driver-opt", "a=b"]
    assert pynet("connect", *words, "mynet", "web") == (0, "", "")
    assert said.body("POST /networks/mynet/connect") == {
        "Container": "web",
        "EndpointConfig": {
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "Aliases": ["www"],
            "GwPriority": 3,
            "DriverOpts": {"a": "b"},
        },
    }
    assert pynet("disconnect", "-f", "mynet", "web") == (0, "", "")
    assert said.body("POST /networks/mynet/disconnect") == {"Container": "web", "Force": True}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "80:80", "mynet", "web"], "--publish goes with ns:, nerdctl: and cri: containers only; pynet port add"),
        (["--ip6", "fd00::1", "mynet", "ns:/x"], "--ip6 goes with containers of pynet run only"),
        (["--ip", "x", "mynet", "web"], "--ip x: invalid IP address: x"),
    ],
)
def test_connect_names_the_flag(pynet: Shell, words: list[str], message: str) -> None:
    status, _, err = pynet("connect", *words)
    assert status == 1 and err.startswith(f"pynet: {message}")


def test_a_container_where_a_network_was_expected(said: Script, pynet: Shell, tmp_path: Path) -> None:
    said.on("GET /containers/web/json", {"Id": ID})
    for verb in ("inspect", "rm"):
        status, _, err = pynet(verb, "--netconf-dir", str(tmp_path), "web")
        assert (status, err) == (
            1,
            f"pynet: network web not found; there is a container web: pynet container {verb} web\n",
        )
        assert pynet(verb, "--netconf-dir", str(tmp_path), "db")[2] == "pynet: network db not found\n"
