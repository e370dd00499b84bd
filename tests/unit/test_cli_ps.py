"""`pynet ps` against a scripted daemon: what it asks for, its forms, ports in ranges, times as docker says them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_script import ID, OTHER, Script
from pynet_shell import Shell, pynet

from netd.cli import moments, ports_text

__all__ = ["pynet"]


def port(private: int, public: int = 0, ip: str = "", kind: str = "tcp") -> dict[str, Any]:
    return {"PrivatePort": private, "Type": kind, **({"PublicPort": public, "IP": ip} if public else {})}


def listed(**more: Any) -> dict[str, Any]:
    return {
        "Id": ID,
        "Names": ["/web", "/app/db"],
        "Image": "busybox:latest",
        "Command": "httpd -f -h /www -p 80",
        "Created": 1,
        "Status": "Up 5 minutes",
        "State": "running",
        "Ports": [port(80, 8080, "0.0.0.0"), port(80, 8080, "::")],
        "Labels": {"b": "2", "a": "1"},
        "NetworkSettings": {"Networks": {"mynet": {}, "other": {}}},
        "Mounts": [{"Name": "data", "Source": "/x"}, {"Source": "/host"}],
        **more,
    }


def test_ps(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/json", [listed(), listed(Id=OTHER, Image=f"sha256:{OTHER}", Command="sh", Ports=[])])
    status, out, err = pynet("ps")
    assert (status, err) == (0, "") and said.query("GET /containers/json") == {}
    heading, first, second = out.splitlines()
    assert heading.split("  ")[0] == "CONTAINER ID" and "PORTS" in heading and heading.endswith("NAMES")
    assert first.startswith('c0ffee000000   busybox:latest   "httpd -f -h /www -p…"')
    assert "Up 5 minutes   0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   web" in first
    assert second.startswith('decaf0000000   decaf0000000     "sh"')


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["-a"], {"all": "1"}),
        (["-l"], {"all": "1", "limit": "1"}),
        (["-n", "3"], {"all": "1", "limit": "3"}),
        (
            ["--filter", "label=a=b", "--filter", "status=exited", "--filter", "label=c"],
            {"filters": '{"label":["a=b","c"],"status":["exited"]}'},
        ),
    ],
)
def test_what_ps_asks_for(said: Script, pynet: Shell, words: list[str], asked: dict[str, str]) -> None:
    said.on("GET /containers/json", [])
    assert pynet("ps", *words)[0] == 0
    assert said.query("GET /containers/json") == asked


def test_ps_in_other_forms(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/json", [listed()])
    assert pynet("ps", "-q")[1] == "c0ffee000000\n"
    assert pynet("ps", "-q", "--no-trunc")[1] == f"{ID}\n"
    assert (
        pynet("ps", "--no-trunc", "--format", "{{.Names}} {{.Command}}")[1] == 'web,app/db "httpd -f -h /www -p 80"\n'
    )
    assert pynet("ps", "--format", "{{.Labels}} {{.Networks}} {{.Mounts}}")[1] == "a=1,b=2 mynet,other data,/host\n"
    assert pynet("ps", "--format", "table {{.Names}}\\t{{.State}}")[1] == "NAMES   STATE\nweb     running\n"
    assert json.loads(pynet("container", "ls", "--format", "json")[1])["ID"] == "c0ffee000000"
    assert pynet("ps", "--format", "{{.Nope}}")[0] == 1
    assert pynet("ps", "--filter", "x")[2] == "pynet: --filter 'x': expected KEY=VALUE\n"


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""),
        ([port(80)], "80/tcp"),
        ([port(82), port(80), port(81), port(90)], "80-82/tcp, 90/tcp"),
        ([port(80, 8080, "0.0.0.0"), port(9000)], "0.0.0.0:8080->80/tcp, 9000/tcp"),
        (
            [port(n, 8000 + n, ip) for ip in ("::", "0.0.0.0") for n in (82, 80, 81)],
            "0.0.0.0:8080-8082->80-82/tcp, [::]:8080-8082->80-82/tcp",
        ),
        ([port(80, 8080, "0.0.0.0"), port(81, 9000, "0.0.0.0")], "0.0.0.0:8080->80/tcp, 0.0.0.0:9000->81/tcp"),
        ([port(53, 53, "0.0.0.0", "udp"), port(53, 53, "0.0.0.0")], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"),
        ([port(80, 80, "0.0.0.0"), port(81, 81, "127.0.0.1")], "0.0.0.0:80->80/tcp, 127.0.0.1:81->81/tcp"),
    ],
)
def test_ports_in_ranges(ports: list[dict[str, Any]], text: str) -> None:
    assert ports_text.summary(ports) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 90, "3 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_times_as_docker_says_them(seconds: float, text: str) -> None:
    assert moments.ago(seconds) == text
