"""The request: order of checks, validation, and the keys all configurations share (contract 1.1 to 1.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.spec.errors import CniError, ConfigError, DecodingFailure, InvalidEnvironment, InvalidNetworkConfig
from pycni.spec.request import check_network_name, is_name, parse_config, parse_environment
from pycni.spec.result import Dns, Interface

FULL = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin:/other",
}
TABLE_ORDER = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"]
REQUIRED = {
    "ADD": {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"},
    "CHECK": {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"},
    "DEL": {"CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"},
    "GC": {"CNI_PATH"},
    "STATUS": {"CNI_PATH"},
    "VERSION": set(),
    "unknown": set(),
}


def refused(environment: dict[str, str]) -> InvalidEnvironment:
    with pytest.raises(InvalidEnvironment) as caught:
        parse_environment(environment)
    assert caught.value.code == 4
    return caught.value


def test_a_whole_request() -> None:
    request = parse_environment({**FULL, "CNI_ARGS": "K=V", "OTHER": "kept for delegates"})
    assert (request.command, request.container_id, request.netns, request.ifname) == (
        "ADD",
        "c1",
        "/run/netns/x",
        "eth0",
    )
    assert (request.arguments, request.path) == ("K=V", ("/opt/cni/bin", "/other"))
    assert not request.netns_override
    assert request.environment["OTHER"] == "kept for delegates"


@pytest.mark.parametrize("command", REQUIRED)
@given(data=st.data())
def test_missing_variables_are_listed_in_table_order(command: str, data: st.DataObject) -> None:
    """Whatever is left out, and whether it is absent or empty."""
    gone = data.draw(st.sets(st.sampled_from(TABLE_ORDER[1:])))
    empty = data.draw(st.booleans())
    environment = {**FULL, "CNI_ARGS": "", "CNI_COMMAND": command}
    for name in gone:
        environment[name] = ""
        if not empty:
            del environment[name]
    missing = [name for name in TABLE_ORDER if name in gone & REQUIRED[command]]
    if missing:
        assert refused(environment).msg == f"required env variables [{','.join(missing)}] missing"
    else:
        assert parse_environment(environment).command == command


def test_a_bad_variable_wins_over_a_missing_one() -> None:
    error = refused({"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "bad id"})
    assert (error.msg, error.details) == ("invalid characters in containerID", "bad id")
    assert refused({"CNI_COMMAND": "ADD", "CNI_IFNAME": "a/b"}).msg == (
        "interface name contains / or : or whitespace characters"
    )


def test_the_first_bad_variable_wins() -> None:
    assert refused({**FULL, "CNI_IFNAME": "..", "CNI_CONTAINERID": "-"}).msg == "invalid characters in containerID"


def test_without_a_command() -> None:
    assert refused({}).msg == "required env variables [CNI_COMMAND] missing"


@pytest.mark.parametrize("command", ["GC", "STATUS", "VERSION", "add"])
def test_variables_a_command_does_not_need_are_not_looked_at(command: str) -> None:
    request = parse_environment(
        {"CNI_COMMAND": command, "CNI_CONTAINERID": "/../", "CNI_IFNAME": "a b", "CNI_PATH": "p"}
    )
    assert request.command == command


@pytest.mark.parametrize("text", ["a", "0", "A.b_c-d", "x" * 300, "9.."])
def test_good_names(text: str) -> None:
    assert is_name(text)
    check_network_name(text)
    assert parse_environment({**FULL, "CNI_CONTAINERID": text}).container_id == text


@pytest.mark.parametrize("text", [".a", "-a", "_a", "a/b", "../x", "a b", "a\n", "é", "a\0", "a:b", "ａ"])
def test_bad_names(text: str) -> None:
    error = refused({**FULL, "CNI_CONTAINERID": text})
    assert (error.msg, error.details) == ("invalid characters in containerID", text)
    with pytest.raises(InvalidNetworkConfig) as caught:
        check_network_name(text)
    assert (caught.value.code, caught.value.msg, caught.value.details) == (
        7,
        "invalid characters found in network name",
        text,
    )


@pytest.mark.parametrize("text", ["a", "eth0.100", "x" * 15, "é" * 7, "...", "a@b"])
def test_good_interface_names(text: str) -> None:
    assert parse_environment({**FULL, "CNI_IFNAME": text}).ifname == text


@pytest.mark.parametrize(
    ("text", "message", "details"),
    [
        ("x" * 16, "interface name is too long", "interface name should be less than 16 characters"),
        ("é" * 8, "interface name is too long", "interface name should be less than 16 characters"),
        (".", "interface name is . or ..", ""),
        ("..", "interface name is . or ..", ""),
        ("a/b", "interface name contains / or : or whitespace characters", ""),
        ("a:1", "interface name contains / or : or whitespace characters", ""),
        ("a b", "interface name contains / or : or whitespace characters", ""),
        ("a\n", "interface name contains / or : or whitespace characters", ""),
        ("a\u00a0b", "interface name contains / or : or whitespace characters", ""),
        ("a\u2003b", "interface name contains / or : or whitespace characters", ""),
        ("a\x01", "interface name contains unprintable characters", ""),
        ("a\udcff", "interface name contains unprintable characters", ""),
    ],
)
def test_bad_interface_names(text: str, message: str, details: str) -> None:
    error = refused({**FULL, "CNI_IFNAME": text})
    assert (error.msg, error.details) == (message, details)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", True),
        ("true", True),
        ("TRUE", True),
        ("True", True),
        ("0", False),
        ("", False),
        ("yes", False),
        ("01", False),
    ],
)
def test_netns_override(value: str, expected: bool) -> None:
    assert parse_environment({**FULL, "CNI_NETNS_OVERRIDE": value}).netns_override is expected


@pytest.mark.parametrize(
    ("stdin", "code", "message"),
    [
        (b"", 6, "error unmarshall network config: unexpected end of JSON input"),
        (b"{", 6, "error unmarshall network config: "),
        (b"[]", 6, "error unmarshall network config: the configuration is not a JSON object"),
        (b'"x"', 6, "error unmarshall network config: the configuration is not a JSON object"),
        (b"{} {}", 6, "error unmarshall network config: invalid character '{' after top-level value"),
        (b"\xff", 6, "error unmarshall network config: 'utf-8' codec"),
        (b'{"name":5}', 6, "error unmarshall network config: invalid configuration: key 'name': expected a string"),
        (b"{}", 7, "missing network name"),
        (b"null", 7, "missing network name"),
        (b'{"name":""}', 7, "missing network name"),
        (b'{"name":null}', 7, "missing network name"),
        (b'{"name":"a\\n"}', 7, "invalid characters found in network name"),
        (b'{"name":"../x"}', 7, "invalid characters found in network name"),
    ],
)
def test_a_configuration_that_cannot_be_used(stdin: bytes, code: int, message: str) -> None:
    with pytest.raises(CniError) as caught:
        parse_config(stdin)
    assert caught.value.code == code
    assert caught.value.msg.startswith(message)


def config(**keys: Any) -> Any:
    return parse_config(json.dumps({"name": "n", **keys}).encode())


def test_shared_keys() -> None:
    made = config(
        cniVersion="1.0.0",
        type="bridge",
        ipam={"type": "host-local"},
        runtimeConfig={"mac": "m"},
        args={"cni": {"ips": ["1.2.3.4"]}},
    )
    assert (made.name, made.version, made.type, made.ipam_type) == ("n", "1.0.0", "bridge", "host-local")
    assert made.runtime.string("mac") == "m"
    assert made.args.strings("ips") == ["1.2.3.4"]


def test_shared_keys_in_other_letter_case() -> None:
    made = parse_config(b'{"NAME":"n","CniVersion":"1.0.0","IPAM":{"Type":"x"},"RUNTIMECONFIG":{"Mac":"m"}}')
    assert (made.name, made.version, made.ipam_type, made.runtime.string("mac")) == ("n", "1.0.0", "x", "m")


def test_absent_keys() -> None:
    made = config()
    assert (made.version, made.type, made.ipam, made.ipam_type) == ("", "", None, "")
    assert made.dns_override() is None
    assert made.prev_result() is None
    assert config(ipam=None, prevResult=None, dns=None, args=None, runtimeConfig=None).ipam_type == ""


@pytest.mark.parametrize("key", ["ipam", "runtimeConfig", "args"])
def test_a_shared_key_of_the_wrong_type_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"^invalid configuration: key '{key}': expected an object, got a list$"):
        config(**{key: []})


def test_the_last_duplicate_wins() -> None:
    assert parse_config(b'{"name":"first","name":"last"}').name == "last"


@pytest.mark.parametrize(
    ("dns", "expected"),
    [
        ({}, None),
        ({"domain": ""}, None),
        ({"nameservers": None}, None),
        ({"nameservers": []}, Dns()),
        ({"search": []}, Dns()),
        ({"options": ["ndots:1"]}, Dns(options=("ndots:1",))),
        ({"domain": "d"}, Dns(domain="d")),
        ({"nameservers": ["1.1.1.1"], "search": ["a", "b"]}, Dns(("1.1.1.1",), "", ("a", "b"))),
    ],
)
def test_dns_says_something_even_when_it_is_an_empty_list(dns: dict[str, Any], expected: Dns | None) -> None:
    assert config(dns=dns).dns_override() == expected


def test_prev_result_takes_the_configurations_version() -> None:
    previous = {"interfaces": [{"name": "eth0"}]}
    assert config(cniVersion="1.0.0", prevResult=previous).prev_result().interfaces == (Interface("eth0"),)
    previous_of_family = {**previous, "cniVersion": "1.1.0"}
    assert config(cniVersion="1.0.0", prevResult=previous_of_family).prev_result().interfaces == (Interface("eth0"),)


@pytest.mark.parametrize(
    ("version", "previous", "listed"),
    [
        ("1.0.0", "0.4.0", "1.0.0 1.1.0"),
        ("0.4.0", "1.0.0", "0.3.0 0.3.1 0.4.0"),
        ("", "0.3.0", " 0.1.0 0.2.0"),
        ("0.2.0", "9.9.9", " 0.1.0 0.2.0"),
        ("1.1.0", "", "1.0.0 1.1.0"),
        ("0.3.1", "", "0.3.0 0.3.1 0.4.0"),
    ],
)
def test_prev_result_of_another_family(version: str, previous: str, listed: str) -> None:
    with pytest.raises(CniError) as caught:
        config(cniVersion=version, prevResult={"cniVersion": previous}).prev_result()
    assert caught.value.msg == (
        f'could not parse prevResult: result type supports [{listed}] but unmarshalled CNIVersion is "{previous}"'
    )
    assert caught.value.code == 999


def test_a_bad_key_in_prev_result_is_named() -> None:
    with pytest.raises(CniError, match=r"^could not parse prevResult: .*key 'prevResult\.ips\[0\]\.address'"):
        config(cniVersion="1.0.0", prevResult={"ips": [{"address": "10.0.0.1"}]}).prev_result()


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_valid_attachments(key: str) -> None:
    listed = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c2", "ifname": "eth1"}]
    assert config(**{key: listed}).valid_attachments() == {("c1", "eth0"), ("c2", "eth1")}


@pytest.mark.parametrize("empty", [None, []])
def test_no_valid_attachments(empty: Any) -> None:
    """libcni writes null for an empty list; the newer key counts when both are there."""
    assert config(**{"cni.dev/valid-attachments": empty}).valid_attachments() == frozenset()
    both = {"cni.dev/valid-attachments": empty, "cni.dev/attachments": [{"containerID": "c", "ifname": "e"}]}
    assert config(**both).valid_attachments() == frozenset()


def test_without_the_list_of_valid_attachments_nothing_is_freed() -> None:
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'cni\.dev/valid-attachments': "):
        config().valid_attachments()


@given(st.binary(max_size=40))
def test_any_input_is_a_configuration_or_a_cni_error(stdin: bytes) -> None:
    try:
        assert parse_config(stdin).name
    except (DecodingFailure, InvalidNetworkConfig, ConfigError) as error:
        assert error.msg
