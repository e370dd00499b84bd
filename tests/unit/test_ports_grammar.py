"""`-p` and `--expose`, against the grammar as it is written down (contract docker 1.9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.ports.grammar import PublishedPort, parse_expose, parse_fixed, parse_publish, parse_publishes
from pycni.spec.address import Address

ports = st.integers(1, 65535)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
protocols = st.sampled_from(["", "/tcp", "/udp", "/sctp", "/TCP", "/Udp"])


@st.composite
def ranges(draw: st.DrawFn, longest: int = 20) -> tuple[int, int]:
    low = draw(ports)
    return low, draw(st.integers(low, min(65535, low + longest)))


def spelled(pair: tuple[int, int], always: bool = False) -> str:
    low, high = pair
    return str(low) if low == high and not always else f"{low}-{high}"


def written(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@given(ranges(), protocols)
def test_container_ports_alone_leave_the_host_port_open(inside: tuple[int, int], protocol: str) -> None:
    exposed, bindings = parse_publish(spelled(inside) + protocol)
    suffix = protocol.lower() or "/tcp"
    assert exposed == [f"{port}{suffix}" for port in range(inside[0], inside[1] + 1)]
    assert bindings == {port: [{"HostIp": "", "HostPort": ""}] for port in exposed}


@given(st.one_of(st.just(""), addresses.map(str)), ports, ports, protocols)
def test_one_port(address: str, outside: int, inside: int, protocol: str) -> None:
    head = f"{written(address)}:" if address else ""
    exposed, bindings = parse_publish(f"{head}{outside}:{inside}{protocol}")
    assert exposed == [f"{inside}{protocol.lower() or '/tcp'}"]
    (found,) = bindings[exposed[0]]
    assert found == {"HostIp": str(Address.parse(address)) if address else "", "HostPort": str(outside)}


@given(addresses.map(str), ports)
def test_an_address_without_a_host_port(address: str, inside: int) -> None:
    _, bindings = parse_publish(f"{written(address)}::{inside}")
    assert bindings == {f"{inside}/tcp": [{"HostIp": str(Address.parse(address)), "HostPort": ""}]}


@given(ranges(), ports)
def test_a_range_for_one_container_port_is_a_choice(outside: tuple[int, int], inside: int) -> None:
    _, bindings = parse_publish(f"{spelled(outside, always=True)}:{inside}")
    assert bindings == {f"{inside}/tcp": [{"HostIp": "", "HostPort": spelled(outside)}]}


@given(st.integers(1, 60000), st.integers(1, 60000), st.integers(2, 30))
def test_equal_ranges_pair_up(outside: int, inside: int, count: int) -> None:
    _, bindings = parse_publish(f"{outside}-{outside + count - 1}:{inside}-{inside + count - 1}/udp")
    assert [(port, each[0]["HostPort"]) for port, each in bindings.items()] == [
        (f"{inside + n}/udp", str(outside + n)) for n in range(count)
    ]


@given(ranges(), ranges())
def test_unequal_ranges_are_refused(outside: tuple[int, int], inside: tuple[int, int]) -> None:
    lengths = outside[1] - outside[0], inside[1] - inside[0]
    text = f"{spelled(outside)}:{spelled(inside)}"
    if lengths[0] == lengths[1] or lengths[1] == 0:
        parse_publish(text)
        return
    with pytest.raises(InvalidParameter) as caught:
        parse_publish(text)
    assert caught.value.msg == f"-p {text}: {lengths[0] + 1} host ports for {lengths[1] + 1} container ports"


@given(st.text(st.sampled_from("0123456789abcdef:.-/[]tcpuds "), max_size=24))
def test_anything_is_read_or_refused_naming_the_flag(text: str) -> None:
    try:
        exposed, bindings = parse_publish(text, "--publish")
    except InvalidParameter as error:
        assert error.status == 400
        assert error.msg.startswith(f"--publish {text}: ")
        return
    assert exposed == list(bindings)
    assert all(len(each) == 1 for each in bindings.values())
    # what was read can be written and read again
    for port, (each,) in bindings.items():
        head = f"{written(each['HostIp'])}:" if each["HostIp"] else ""
        middle = f"{each['HostPort']}:" if each["HostPort"] or head else ""
        assert parse_publish(f"{head}{middle}{port}") == ([port], {port: [each]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no container port"),
        ("80:", "no container port"),
        ("127.0.0.1:80", "host port '127.0.0.1' is not a number from 1 to 65535"),
        ("http:80", "host port 'http' is not a number from 1 to 65535"),
        ("80:http", "container port 'http' is not a number from 1 to 65535"),
        ("0", "container port '0' is not a number from 1 to 65535"),
        ("65536:80", "host port '65536' is not a number from 1 to 65535"),
        ("8010-8000:80", "host port '8010-8000': a range begins with its lower end"),
        ("8000-:80", "no host port"),
        ("localhost:80:80", "invalid IP address: localhost"),
        ("[::1:80:80", "invalid IP address: [::1"),
        ("fe80::1%eth0:80:80", "invalid IP address: fe80::1%eth0"),
        ("80/icmp", "protocol icmp: one of tcp, udp, sctp"),
        ("80/", "protocol missing: one of tcp, udp, sctp"),
        ("８０", "container port '８０' is not a number from 1 to 65535"),
    ],
)
def test_what_is_wrong_is_named(text: str, reason: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_publish(text)
    assert caught.value.msg == f"-p {text}: {reason}"


@pytest.mark.parametrize(
    ("text", "address"),
    [("::1:80:80", "::1"), ("[::1]:80:80", "::1"), ("[10.0.0.1]:80:80", "10.0.0.1"), (":80:80", "")],
)
def test_brackets_are_usual_and_not_needed(text: str, address: str) -> None:
    assert parse_publish(text)[1] == {"80/tcp": [{"HostIp": address, "HostPort": "80"}]}


def test_host_port_0_is_any() -> None:
    assert parse_publish("0:80")[1] == parse_publish("80")[1]


def test_several_flags_together() -> None:
    exposed, bindings = parse_publishes(["8080:80", "127.0.0.1:81:80", "53/udp"])
    assert exposed == ["80/tcp", "53/udp"]
    assert bindings == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "81"}],
        "53/udp": [{"HostIp": "", "HostPort": ""}],
    }


def test_expose() -> None:
    assert parse_expose("80") == ["80/tcp"]
    assert parse_expose("7000-7002/UDP") == ["7000/udp", "7001/udp", "7002/udp"]
    for text, reason in (
        ("80:80", "a host port is published with -p"),
        ("x", "port 'x' is not a number from 1 to 65535"),
        ("9-8", "port '9-8': a range begins with its lower end"),
    ):
        with pytest.raises(InvalidParameter) as caught:
            parse_expose(text)
        assert caught.value.msg == f"--expose {text}: {reason}"


def test_a_cni_plugin_takes_fixed_ports_only() -> None:
    assert parse_fixed("8080:80") == (PublishedPort(8080, 80),)
    assert parse_fixed("[::1]:8080-8081:80-81/udp") == (
        PublishedPort(8080, 80, "udp", Address.parse("::1")),
        PublishedPort(8081, 81, "udp", Address.parse("::1")),
    )
    assert parse_fixed("10.0.0.1:8080:80")[0].as_mapping() == {
        "hostPort": 8080,
        "containerPort": 80,
        "protocol": "tcp",
        "hostIP": "10.0.0.1",
    }
    for text in ("80", "8000-8010:80"):
        with pytest.raises(InvalidParameter) as caught:
            parse_fixed(text)
        assert caught.value.msg == f"-p {text}: one host port is needed for container port 80/tcp"
