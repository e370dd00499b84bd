"""What leases mean for a container, what a configuration asks for, and the daemon's command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.dhcp import answers, client4, client6
from netd.dhcp.attachment import MAX_ID, Origin
from netd.dhcp.flags import Options, UsageError, duration, parse
from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError
from pycni.spec.request import parse_config
from pycni.spec.result import Dns, IpConfig
from pycni_plugins.dhcp import config

MASK = b"\xff\xff\xff\0"
ROUTER = b"\x0a\0\0\1"
DEFAULT = Prefix.parse("0.0.0.0/0")


def lease(**options: bytes) -> client4.Lease:
    found = {1: MASK, 3: ROUTER, **{int(code[1:]): value for code, value in options.items()}}
    return client4.Lease(b"\x0a\0\0\x09", ROUTER, bytes(6), 0.0, 60, 30, 50, {k: v for k, v in found.items() if v})


def keys(args: str = "", **ipam: Any) -> config.Keys:
    body = {"cniVersion": "1.1.0", "name": "net", "ipam": {"type": "dhcp", **ipam}}
    return config.parse(parse_config(json.dumps(body).encode()), args)


def route(destination: str, gateway: str, **more: Any) -> Route:
    return Route(Prefix.parse(destination), Address.parse(gateway), **more)


def test_the_usual_answer() -> None:
    found = answers.result(keys(), lease(), None)
    assert found.ips == (IpConfig(Prefix.parse("10.0.0.9/24"), Address.parse("10.0.0.1")),)
    assert found.routes == (route("0.0.0.0/0", "10.0.0.1"),) and found.dns == Dns()


def test_without_a_router_there_is_no_gateway_and_no_route() -> None:
    found = answers.result(keys(), lease(o3=b""), None)
    assert found.ips[0].gateway is None and found.routes == ()


@pytest.mark.parametrize("mask", [b"", b"\xff\xff\xff", b"\xff\0\xff\0"])
def test_without_a_usable_mask_there_is_no_answer(mask: bytes) -> None:
    with pytest.raises(CniError, match=r"^DHCP option Subnet Mask not found in DHCPACK$"):
        answers.result(keys(), lease(o1=mask), None)


def test_classless_routes_are_the_only_ones() -> None:
    # RFC 3442's examples of a destination: 10.17.0.0/16, one address, everything
    value = b"\x10\x0a\x11\x0a\0\0\2" + b"\x20\x0a\x1b\x81\x01\0\0\0\0" + b"\0\x0a\0\0\3"
    found = answers.routes4(lease(o121=value, o33=b"\x0a\2\0\0\x0a\0\0\3"), 7)
    assert found == (
        route("10.17.0.0/16", "10.0.0.2", priority=7),
        route("10.27.129.1/32", "0.0.0.0", priority=7, scope=253),
        route("0.0.0.0/0", "10.0.0.3", priority=7),
    )


def test_classful_routes_come_before_the_default() -> None:
    value = b"\x0a\2\0\0\x0a\0\0\3" + b"\xac\x10\0\0\x0a\0\0\4" + b"\xc0\xa8\1\0\x0a\0\0\5" + b"\1\2\3"
    assert answers.routes4(lease(o33=value), 0) == (
        route("10.2.0.0/8", "10.0.0.3"),
        route("172.16.0.0/16", "10.0.0.4"),
        route("192.168.1.0/24", "10.0.0.5"),
        route("0.0.0.0/0", "10.0.0.1"),
    )


@given(st.binary(max_size=40))
def test_any_classless_option_is_read_whole_or_not_at_all(value: bytes) -> None:
    found = answers._classless(value)
    assert not found or sum(5 + (each.destination.length + 7) // 8 for each in found) == len(value)


def test_names_are_reported_when_they_were_asked_for() -> None:
    given_ = lease(o6=b"\x0a\0\0\2\x0a\0\0\3", o15=b"example.org\0", o119=b"\1a\7example\0\1b\0")
    assert answers.result(keys(), given_, None).dns == Dns()
    asked = keys(request=[{"option": "6"}, {"option": "15"}, {"option": "119"}])
    assert asked.request == (6, 15, 119, 3, 1)
    expected = Dns(("10.0.0.2", "10.0.0.3"), "example.org", ("a.example", "b"))
    assert answers.result(asked, given_, None).dns == expected
    broken = lease(o6=b"\1", o15=b"two words", o119=b"\x05ab")
    assert answers.result(asked, broken, None).dns == Dns()


def test_ipv6_adds_an_address_and_names() -> None:
    six = client6.Lease(b"\xfd" + bytes(14) + b"\1", b"s", 0.0, 10, 20, 5, 8, {23: bytes(15) + b"\1", 24: b"\1a\0"})
    found = answers.result(keys(family="dual"), lease(), six)
    assert [str(each.address) for each in found.ips] == ["10.0.0.9/24", "fd00::1/128"]
    assert found.ips[1].gateway is None
    assert found.dns == Dns(("::1",), "", ("a",)) and len(found.routes) == 1
    assert answers.result(keys(family="ipv6"), None, six).routes == ()


# --- configuration ---------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    assert keys() == config.Keys("ipv4", (), (3, 1), 0, False)


def test_what_is_sent_and_asked_for() -> None:
    found = keys(
        "CLASS=green;odd;X=a=b",
        provide=[
            {"option": "host-name", "value": "web"},
            {"option": "60", "value": "blue", "fromArg": "CLASS"},
            {"option": "77", "fromArg": "none"},
            {"option": "user-class", "fromArg": "X"},
        ],
        request=[{"option": "routers"}, {"skipDefault": True}, {"option": "121"}],
        priority=5,
    )
    assert found.provide == ((12, b"web"), (60, b"blue"), (60, b"green"), (77, b"a=b"))
    assert (found.request, found.priority) == ((3, 121), 5)


@pytest.mark.parametrize(
    ("ipam", "text"),
    [
        ({"request": [{"option": "x"}]}, 'Can not parse option "x"'),
        ({"request": [{"option": "256"}]}, 'Can not parse option "256"'),
        ({"provide": [{"option": "-1", "value": "a"}]}, 'Can not parse option "-1"'),
        ({"provide": [{"option": "12", "value": "é" * 128}]}, 'value too long for option "12"'),
        ({"family": "ipx"}, "'ipam.family': 'ipx' is none of ipv4, ipv6, dual"),
        ({"priority": -1}, "'ipam.priority': -1 is negative"),
        ({"rapidCommit": "yes"}, "'ipam.rapidCommit': expected a boolean"),
        ({"provide": "all"}, "'ipam.provide': expected a list"),
    ],
)
def test_what_is_refused(ipam: dict[str, Any], text: str) -> None:
    with pytest.raises(CniError) as error:
        keys(**ipam)
    assert text in error.value.msg


def test_a_configuration_without_ipam() -> None:
    with pytest.raises(CniError, match="IPAM config missing 'ipam' key"):
        config.parse(parse_config(b'{"name": "net"}'), "")


def test_where_the_daemon_is() -> None:
    def where(ipam: dict[str, Any], run_dir: str) -> str:
        return config.socket_path(parse_config(json.dumps({"name": "net", "ipam": ipam}).encode()), run_dir)

    assert where({}, "/run/pynet") == "/run/cni/dhcp.sock"
    assert where({}, "/run/other") == "/run/other/dhcp.sock"
    assert where({"daemonSocketPath": "/x"}, "/run/other") == "/x"


# --- who a container is ----------------------------------------------------------------------------------------------


def origin(container_id: str = "c1", network: str = "net", ifname: str = "eth0") -> Origin:
    return Origin(container_id, network, ifname, "/n", "", "{}")


def test_ids_are_the_reference_s_and_steady() -> None:
    assert origin().client_id == b"\0c1/net/eth0"
    assert len(origin("c" * 300).client_id) == MAX_ID + 1
    first, second = origin(), origin(ifname="eth1")
    assert first.duid == second.duid and first.iaid != second.iaid
    assert len(first.duid) == 18 and first.duid[:2] == b"\0\4" and first.duid[8] >> 4 == 8
    assert origin("c2").duid != first.duid


# --- flags -----------------------------------------------------------------------------------------------------------


def test_flags_are_the_reference_s() -> None:
    assert parse([]) == Options(socketpath="/run/cni/dhcp.sock")
    found = parse(
        [
            *("-socketpath", "/s", "--pidfile=/p", "-hostprefix", "/h", "-broadcast"),
            *("-timeout=2s", "--resendmax", "1m30s", "-resendtimeout", "1.5h"),
        ]
    )
    assert (found.socketpath, found.pidfile, found.hostprefix, found.broadcast) == ("/s", "/p", "/h", True)
    assert (found.timing.timeout, found.timing.resend_max, found.timing.resend_timeout) == (2, 90, 5400)
    assert parse(["-broadcast=false"]).broadcast is False
    assert parse(["-run-dir", "/r"]).socketpath == "/r/dhcp.sock"


@pytest.mark.parametrize(
    "words",
    [
        ["x"], ["-x"], ["-socketpath"], ["-timeout", "2"], ["-timeout", "0s"], ["-timeout", "-1s"], ["-broadcast=2"],
        ["-pidfile", "relative"], ["-run-dir", "relative"], ["---timeout", "1s"],
    ],
)  # fmt: skip
def test_a_wrong_command_line(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(words)


@given(st.integers(0, 59), st.integers(0, 59), st.integers(1, 999))
def test_durations(minutes: int, seconds: int, milliseconds: int) -> None:
    expected = minutes * 60 + seconds + milliseconds / 1000
    assert duration(f"{minutes}m{seconds}s{milliseconds}ms") == pytest.approx(expected)
