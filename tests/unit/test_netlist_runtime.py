"""Running lists: what each plugin gets, in which order, and what happens when one fails (contract 1.15)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pycni.cache import Attachment, CacheEntry, ResultCache
from pycni.execute import Completed
from pycni.invoke import Invoker
from pycni.netlist import NetworkList, parse_list
from pycni.runtime import Runtime
from pycni.spec.errors import CniError, DelegateError, IncompatibleVersion, InvalidEnvironment, UnknownContainer

CONTAINER = Attachment("c1", "/ns", "eth0", (("A", "1"), ("B", "2")), {"ips": ["10.0.0.9"], "mac": "aa", "unused": 1})


class Plugins:
    """Programs `one`, `two`, `three` that answer what the test says, and what they were called with."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "bin"
        self.directory.mkdir()
        for name in ("one", "two", "three"):
            (self.directory / name).touch()
        self.calls: list[tuple[str, str, dict[str, str], dict[str, Any]]] = []
        self.failing: dict[tuple[str, str], Completed] = {}
        self.cache = ResultCache(str(tmp_path / "cache"))
        self.runtime = Runtime(
            ["/nowhere", str(self.directory)],
            Invoker(lambda _: None, None, self.run),
            {"PATH": "/bin", "CNI_NETNS": "old"},
            self.cache,
        )

    def run(self, path: str, environment: Mapping[str, str], stdin: bytes) -> Completed:
        name, command = path.rpartition("/")[2], environment["CNI_COMMAND"]
        config = json.loads(stdin)
        self.calls.append((command, name, dict(environment), config))
        if (command, name) in self.failing:
            return self.failing[command, name]
        if command != "ADD":
            return Completed()
        before = config.get("prevResult", {"interfaces": []})
        result = {
            "cniVersion": config["cniVersion"],
            "interfaces": [*before["interfaces"], {"name": name}],
            "extra": "kept",
        }
        return Completed("", json.dumps(result).encode())

    def fail(self, command: str, name: str, code: int = 11, msg: str = "no", details: str = "") -> None:
        body = {"code": code, "msg": msg, "details": details}
        self.failing[command, name] = Completed("exit status 1", json.dumps(body).encode())

    def order(self) -> list[str]:
        return [f"{command} {name}" for command, name, _, _ in self.calls]

    def configs(self) -> list[dict[str, Any]]:
        return [config for _, _, _, config in self.calls]


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    return Plugins(tmp_path)


def network(version: str = "1.1.0", **keys: Any) -> NetworkList:
    listed = [
        {"type": "one", "capabilities": {"ips": True, "mac": False}, "key": 1},
        {"type": "two", "name": "second", "capabilities": {"portMappings": True, "mac": True}},
        {"type": "three"},
    ]
    return parse_list(json.dumps({"cniVersion": version, "name": "net", "plugins": listed, **keys}).encode())


def names(result: Any) -> list[str]:
    return [each["name"] for each in result["interfaces"]]


def cached(plugins: Plugins) -> list[str]:
    return [each.attachment.container_id for each in plugins.cache.entries()]


def test_add_runs_in_order_and_hands_results_on(plugins: Plugins) -> None:
    result = plugins.runtime.add(network(), CONTAINER)
    assert [each.name for each in result.interfaces] == ["one", "two", "three"]
    assert plugins.order() == ["ADD one", "ADD two", "ADD three"]
    one, two, three = plugins.configs()
    assert one == {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "one",
        "key": 1,
        "capabilities": {"ips": True, "mac": False},
        "runtimeConfig": {"ips": ["10.0.0.9"]},
    }
    assert (two["name"], two["runtimeConfig"]) == ("net", {"mac": "aa"})
    assert names(two["prevResult"]) == ["one"]
    assert two["prevResult"]["extra"] == "kept"
    assert "runtimeConfig" not in three
    assert names(three["prevResult"]) == ["one", "two"]
    assert plugins.calls[0][2] == {
        "PATH": "/bin",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/ns",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=1;B=2",
        "CNI_PATH": f"/nowhere:{plugins.directory}",
    }
    (entry,) = plugins.cache.entries()
    assert (entry.network, entry.attachment, entry.config) == ("net", CONTAINER, network().text)
    assert names(entry.result) == ["one", "two", "three"]


def test_add_stops_at_the_first_error(plugins: Plugins) -> None:
    plugins.fail("ADD", "two", 11, "busy", "why")
    with pytest.raises(DelegateError) as caught:
        plugins.runtime.add(network(), CONTAINER)
    assert (caught.value.code, caught.value.msg) == (11, 'plugin type="two" name="second" failed (add): busy; why')
    assert plugins.order() == ["ADD one", "ADD two"]
    assert cached(plugins) == []


def test_a_missing_plugin_and_a_bad_result_name_the_plugin(plugins: Plugins) -> None:
    (plugins.directory / "three").unlink()
    with pytest.raises(DelegateError) as caught:
        plugins.runtime.add(network(), CONTAINER)
    paths = f"[/nowhere {plugins.directory}]"
    assert caught.value.msg == f'plugin type="three" failed (add): failed to find plugin "three" in path {paths}'
    plugins.failing["ADD", "one"] = Completed("", b"nonsense")
    with pytest.raises(DelegateError, match=r'plugin type="one" failed \(add\): failed to unmarshal raw result'):
        plugins.runtime.add(network(), CONTAINER)


@pytest.mark.parametrize(
    ("attachment", "kind"),
    [
        (Attachment("", "/ns", "eth0"), UnknownContainer),
        (Attachment("../x", "/ns", "eth0"), InvalidEnvironment),
        (Attachment("c1", "/ns", "a/b"), InvalidEnvironment),
        (Attachment("c1", "/ns", ""), InvalidEnvironment),
    ],
)
def test_bad_names_run_nothing(plugins: Plugins, attachment: Attachment, kind: type[CniError]) -> None:
    with pytest.raises(kind):
        plugins.runtime.add(network(), attachment)
    assert plugins.calls == []


def test_delete_runs_backwards_with_the_cached_result(plugins: Plugins) -> None:
    plugins.runtime.add(network(), CONTAINER)
    plugins.calls.clear()
    plugins.runtime.delete(network(), CONTAINER.replace(netns=""))
    assert plugins.order() == ["DEL three", "DEL two", "DEL one"]
    assert [names(each["prevResult"]) for each in plugins.configs()] == [["one", "two", "three"]] * 3
    assert plugins.calls[0][2]["CNI_NETNS"] == ""
    assert cached(plugins) == []
    plugins.calls.clear()
    plugins.runtime.delete(network(), CONTAINER)
    assert [("prevResult" in each) for each in plugins.configs()] == [False] * 3


def test_delete_goes_on_after_an_error_and_keeps_the_cache_for_the_next_try(plugins: Plugins) -> None:
    plugins.runtime.add(network(), CONTAINER)
    plugins.calls.clear()
    plugins.fail("DEL", "three", 5, "first")
    plugins.fail("DEL", "two", 6, "second")
    with pytest.raises(DelegateError) as caught:
        plugins.runtime.delete(network(), CONTAINER)
    assert (caught.value.code, caught.value.msg) == (
        5,
        'plugin type="three" failed (delete): first\nplugin type="two" name="second" failed (delete): second',
    )
    assert plugins.order() == ["DEL three", "DEL two", "DEL one"]
    assert cached(plugins) == ["c1"]
    plugins.failing.clear()
    plugins.runtime.delete(network(), CONTAINER)
    assert cached(plugins) == []


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1"])
def test_old_versions_delete_without_a_result(plugins: Plugins, version: str) -> None:
    plugins.cache.write(CacheEntry("net", CONTAINER, b"{}", {"cniVersion": "0.3.1", "interfaces": []}))
    plugins.runtime.delete(network(version), CONTAINER)
    assert [("prevResult" in each) for each in plugins.configs()] == [False] * 3
    assert cached(plugins) == []


@pytest.mark.parametrize(
    "result",
    [{"cniVersion": "9.9.9"}, {"cniVersion": "1.0.0", "ips": [{"address": "nonsense"}]}, {"cniVersion": 7}],
)
def test_a_cached_result_that_makes_no_sense_does_not_hinder_delete(plugins: Plugins, result: Any) -> None:
    plugins.cache.write(CacheEntry("net", CONTAINER, b"{}", result))
    plugins.runtime.delete(network(), CONTAINER)
    assert [("prevResult" in each) for each in plugins.configs()] == [False] * 3
    assert cached(plugins) == []


def test_a_torn_cache_file_does_not_hinder_delete(plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "cache" / "results").mkdir(parents=True)
    torn = tmp_path / "cache" / "results" / "net-c1-eth0"
    torn.write_text('{"kind":"cniCac')
    plugins.runtime.delete(network(), CONTAINER)
    assert len(plugins.calls) == 3
    assert not torn.exists()


def test_the_result_is_converted_when_the_list_changed_its_version(plugins: Plugins) -> None:
    plugins.runtime.add(network("0.4.0"), CONTAINER)
    plugins.calls.clear()
    plugins.runtime.check(network("1.1.0"), CONTAINER)
    assert plugins.configs()[0]["prevResult"] == {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "one"}, {"name": "two"}, {"name": "three"}],
    }


def test_check_runs_in_order_and_stops_with_the_plugins_own_error(plugins: Plugins) -> None:
    plugins.runtime.add(network(), CONTAINER)
    plugins.calls.clear()
    plugins.fail("CHECK", "two", 999, "gone")
    with pytest.raises(DelegateError) as caught:
        plugins.runtime.check(network(), CONTAINER)
    assert (caught.value.code, caught.value.msg) == (999, "gone")
    assert plugins.order() == ["CHECK one", "CHECK two"]
    assert names(plugins.configs()[0]["prevResult"]) == ["one", "two", "three"]


def test_check_needs_a_version_that_has_it(plugins: Plugins) -> None:
    with pytest.raises(IncompatibleVersion, match=r'version "0\.3\.1" does not support the CHECK command'):
        plugins.runtime.check(network("0.3.1"), CONTAINER)
    plugins.runtime.check(network(disableCheck=True), CONTAINER)
    assert plugins.calls == []


def test_check_says_when_the_cached_result_is_bad(plugins: Plugins) -> None:
    plugins.cache.write(CacheEntry("net", CONTAINER, b"{}", {"cniVersion": "9.9.9"}))
    with pytest.raises(CniError, match='failed to get network "net" cached result: unsupported CNI result version'):
        plugins.runtime.check(network(), CONTAINER)
    assert plugins.calls == []


def test_gc_deletes_what_the_cache_knows_then_asks_the_plugins(plugins: Plugins) -> None:
    for container in ("c1", "c2", "c3"):
        plugins.runtime.add(network(), CONTAINER.replace(container_id=container))
    plugins.runtime.add(parse_list(network().text.replace(b'"net"', b'"other"')), CONTAINER)
    plugins.calls.clear()
    plugins.runtime.gc(network(), [("c2", "eth0"), ("c9", "eth1")])
    deleted = [environment["CNI_CONTAINERID"] for command, _, environment, _ in plugins.calls if command == "DEL"]
    assert deleted == ["c1"] * 3 + ["c3"] * 3
    assert plugins.calls[0][2]["CNI_ARGS"] == "A=1;B=2"
    assert plugins.configs()[2]["runtimeConfig"] == {"ips": ["10.0.0.9"]}
    assert plugins.order()[6:] == ["GC one", "GC two", "GC three"]
    _, _, environment, config = plugins.calls[6]
    assert [environment[key] for key in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS")] == ["", "", "", ""]
    keep = [{"containerID": "c2", "ifname": "eth0"}, {"containerID": "c9", "ifname": "eth1"}]
    assert config["cni.dev/valid-attachments"] == config["cni.dev/attachments"] == keep
    assert (config["name"], config["cniVersion"], "runtimeConfig" in config) == ("net", "1.1.0", False)
    assert sorted((each.network, each.attachment.container_id) for each in plugins.cache.entries()) == [
        ("net", "c2"),
        ("other", "c1"),
    ]


def test_gc_collects_errors(plugins: Plugins) -> None:
    plugins.runtime.add(network(), CONTAINER)
    plugins.calls.clear()
    plugins.fail("DEL", "two", 5, "stuck")
    plugins.fail("GC", "one", 6, "cannot")
    with pytest.raises(DelegateError) as caught:
        plugins.runtime.gc(network(), [])
    assert (caught.value.code, caught.value.msg) == (
        5,
        'failed to delete stale attachment c1 eth0: plugin type="two" name="second" failed (delete): stuck\n'
        "failed to GC plugin one: cannot",
    )
    assert plugins.order() == ["DEL three", "DEL two", "DEL one", "GC one", "GC two", "GC three"]


def test_gc_of_old_and_unwilling_lists(plugins: Plugins) -> None:
    plugins.runtime.add(network("1.0.0"), CONTAINER)
    plugins.calls.clear()
    plugins.runtime.gc(network("1.0.0", disableGC=True), [])
    assert plugins.calls == []
    plugins.runtime.gc(network("1.0.0"), [])
    assert plugins.order() == ["DEL three", "DEL two", "DEL one"]


def test_status_stops_at_the_first_error(plugins: Plugins) -> None:
    plugins.runtime.status(network())
    assert plugins.order() == ["STATUS one", "STATUS two", "STATUS three"]
    plugins.calls.clear()
    plugins.fail("STATUS", "two", 50, "full")
    with pytest.raises(DelegateError) as caught:
        plugins.runtime.status(network())
    assert (caught.value.code, caught.value.msg) == (50, "full")
    assert plugins.order() == ["STATUS one", "STATUS two"]
    plugins.calls.clear()
    plugins.runtime.status(network("1.0.0"))
    assert plugins.calls == []
