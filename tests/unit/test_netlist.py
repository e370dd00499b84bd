"""Reading network lists: order, up-conversion, versions, switches, extra files, and errors that name file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pycni.netlist import NetworkList, NoSuchNetwork, find_list, parse_list, parse_single, read_directory, read_list
from pycni.spec.errors import CniError, ConfigError


def put(directory: Path, name: str, body: Any) -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return str(path)


def text(**keys: Any) -> bytes:
    body = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}], **keys}
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


def types(network: NetworkList) -> list[str]:
    return [each.type for each in network.plugins]


def test_a_whole_list() -> None:
    plugins = [
        {"type": "bridge", "bridge": "br0", "capabilities": {"ips": True, "mac": False}},
        {"type": "portmap", "name": "ports", "Capabilities": {"portMappings": True}},
    ]
    written = text(plugins=plugins, disableCheck="TRUE", disableGC=True, loadOnlyInlinedPlugins="false")
    network = parse_list(written, "/etc/x.conflist")
    assert (network.name, network.version, network.path, network.text) == ("net", "1.0.0", "/etc/x.conflist", written)
    assert (network.disable_check, network.disable_gc, network.only_inlined) == (True, True, False)
    assert [each.capabilities for each in network.plugins] == [("ips",), ("portMappings",)]
    assert [each.name for each in network.plugins] == ["", "ports"]
    assert [each.body for each in network.plugins] == plugins


@pytest.mark.parametrize(
    ("written", "versions", "chosen"),
    [
        ("0.4.0", None, "0.4.0"),
        (None, None, ""),
        ("0.4.0", ["0.3.1", "1.1.0", "1.0.0"], "1.1.0"),
        ("1.1.0", ["0.3.1"], "1.1.0"),
        (None, ["0.3.1", "0.4.0"], "0.4.0"),
        ("0.4.0", ["1.2.0", "1.0.0", "2.0.0"], "1.0.0"),
        ("0.4.0", ["7.0.0"], "0.4.0"),
        ("9.0.0", ["7.0.0"], "9.0.0"),
        ("0.4.0", [], "0.4.0"),
    ],
)
def test_the_highest_known_version_is_used(written: str | None, versions: list[str] | None, chosen: str) -> None:
    assert parse_list(text(cniVersion=written, cniVersions=versions)).version == chosen


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"{", "error parsing configuration: "),
        (b"[]", "error parsing configuration: it is not a JSON object"),
        (text(name=None), "missing network name"),
        (text(name="../x"), "invalid characters found in network name; ../x"),
        (text(name=7), "invalid configuration: key 'name': expected a string, got an integer"),
        (text(cniVersion=1.0), "invalid configuration: key 'cniVersion': expected a string, got a number"),
        (text(cniVersions=["x"]), 'failed to convert version part "x" of "x"'),
        (text(plugins=[]), "invalid configuration: key 'plugins': no plugins in list"),
        (text(plugins={}), "invalid configuration: key 'plugins': expected a list, got an object"),
        (text(plugins=["bridge"]), "invalid configuration: key 'plugins[0]': expected an object, got a string"),
        (text(plugins=[{"type": "a"}, {}]), "invalid configuration: key 'plugins[1].type': missing"),
        (
            text(plugins=[{"type": "a", "capabilities": {"ips": "yes"}}]),
            "invalid configuration: key 'plugins[0].capabilities.ips': expected a boolean, got a string",
        ),
        (text(disableGC="maybe"), "invalid configuration: key 'disableGC': expected true or false, got \"maybe\""),
        (text(disableCheck=1), "invalid configuration: key 'disableCheck': expected a boolean, got an integer"),
        (
            text(plugins=None, loadOnlyInlinedPlugins=True),
            "invalid configuration: key 'plugins': missing, and loadOnlyInlinedPlugins is true",
        ),
    ],
)
def test_errors_name_the_file_and_the_key(wrong: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_list(wrong, "/etc/cni/net.d/x.conflist")
    assert caught.value.msg.startswith(f"/etc/cni/net.d/x.conflist: {reason}")


def test_a_single_plugin_becomes_a_list_of_one() -> None:
    written = b'{"type": "bridge", "name": "net", "cniVersion": "0.3.1", "bridge": "a<b"}'
    network = parse_single(written, "/x.conf")
    assert (network.name, network.version, types(network), network.path) == ("net", "0.3.1", ["bridge"], "/x.conf")
    assert network.text == (
        b'{"cniVersion":"0.3.1","name":"net","plugins":'
        b'[{"bridge":"a\\u003cb","cniVersion":"0.3.1","name":"net","type":"bridge"}]}'
    )


@pytest.mark.parametrize("wrong", [b'{"name": "net"}', b'{"type": "bridge"}', b"nonsense"])
def test_a_single_plugin_needs_type_and_name(wrong: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^/x\.conf: "):
        parse_single(wrong, "/x.conf")


def test_lists_come_before_single_plugins_each_by_file_name(tmp_path: Path) -> None:
    put(tmp_path, "20.conflist", {"name": "b", "plugins": [{"type": "two"}]})
    put(tmp_path, "10.conflist", {"name": "a", "plugins": [{"type": "one"}]})
    put(tmp_path, "05.conf", {"name": "a", "type": "hidden"})
    put(tmp_path, "06.json", {"name": "c", "type": "three"})
    put(tmp_path, "01.txt", "not looked at")
    (tmp_path / "dir.conflist").mkdir()
    networks, errors = read_directory(str(tmp_path))
    assert [(each.name, types(each)) for each in networks] == [
        ("a", ["one"]), ("b", ["two"]), ("a", ["hidden"]), ("c", ["three"]),
    ]  # fmt: skip
    assert errors == []
    assert types(find_list(str(tmp_path), "a")) == ["one"]
    assert find_list(str(tmp_path), "c").path == str(tmp_path / "06.json")


def test_plugins_in_files_of_their_own_are_appended(tmp_path: Path) -> None:
    put(tmp_path, "net/20.conf", {"type": "third"})
    put(tmp_path, "net/10.conf", {"type": "second"})
    put(tmp_path, "net/30.conflist", "not looked at")
    put(tmp_path, "a.conflist", {"name": "net", "plugins": [{"type": "first"}]})
    assert types(find_list(str(tmp_path), "net")) == ["first", "second", "third"]
    put(tmp_path, "a.conflist", {"name": "net"})
    assert types(find_list(str(tmp_path), "net")) == ["second", "third"]
    put(tmp_path, "a.conflist", {"name": "net", "plugins": [{"type": "first"}], "loadOnlyInlinedPlugins": True})
    assert types(find_list(str(tmp_path), "net")) == ["first"]


def test_a_broken_extra_file_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, "net/20.conf", {"kind": "bridge"})
    listed = put(tmp_path, "a.conflist", {"name": "net"})
    with pytest.raises(ConfigError) as caught:
        read_list(listed)
    assert caught.value.msg == f"{path}: invalid configuration: key 'type': missing"


def test_a_list_without_any_plugin_is_none(tmp_path: Path) -> None:
    listed = put(tmp_path, "a.conflist", {"name": "net"})
    with pytest.raises(ConfigError, match="no plugin configs found"):
        read_list(listed)


def test_a_broken_file_hides_only_itself(tmp_path: Path) -> None:
    broken = put(tmp_path, "00.conflist", "{")
    gone = tmp_path / "01.conflist"
    gone.symlink_to("/nowhere")
    put(tmp_path, "10.conflist", {"name": "net", "plugins": [{"type": "bridge"}]})
    assert find_list(str(tmp_path), "net").name == "net"
    with pytest.raises(NoSuchNetwork) as caught:
        find_list(str(tmp_path), "other")
    assert caught.value.msg == (
        f'no net configuration with name "other" in {tmp_path}; '
        f"{broken}: error parsing configuration: {cause(broken)}; reading {gone}: no such file or directory"
    )


def cause(path: str) -> str:
    from pycni.spec import jsontext

    with pytest.raises(ValueError) as caught:
        jsontext.loads(Path(path).read_bytes())
    return str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        assert read_directory(str(directory)) == ([], [])
        with pytest.raises(NoSuchNetwork) as caught:
            find_list(str(directory), "net")
        assert caught.value.msg == f"no net configurations found in {directory}"


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = put(tmp_path, "file", "")
    with pytest.raises(CniError, match=f"reading networks from {path}: not a directory"):
        read_directory(path)
