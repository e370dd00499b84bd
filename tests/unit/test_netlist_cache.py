"""libcni's result cache: its format to the byte, who may read it, and names that collide."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from pycni.cache import Attachment, CacheEntry, ResultCache
from pycni.spec.errors import StoreError

RESULT = {"cniVersion": "1.0.0", "ips": [{"interface": 0, "address": "10.0.0.2/24"}], "dns": {"search": ["a<b"]}}
FULL = Attachment(
    "c1", "/run/ns", "eth0", (("K8S_POD", "x"), ("IgnoreUnknown", "1")), {"z": [1, 2], "aliases": {"b": 1, "a": "&"}}
)


def files(root: Path) -> list[str]:
    return sorted(each.name for each in (root / "results").iterdir())


def test_the_format_is_libcnis_to_the_byte(tmp_path: Path) -> None:
    ResultCache(str(tmp_path)).write(CacheEntry("net", FULL, b'{"name":"net"}', RESULT))
    path = tmp_path / "results" / "net-c1-eth0"
    assert path.read_text() == (
        '{"kind":"cniCacheV1","containerId":"c1","config":"eyJuYW1lIjoibmV0In0=","ifName":"eth0","networkName":"net",'
        '"netns":"/run/ns","cniArgs":[["K8S_POD","x"],["IgnoreUnknown","1"]],'
        '"capabilityArgs":{"aliases":{"a":"\\u0026","b":1},"z":[1,2]},'
        '"result":{"cniVersion":"1.0.0","dns":{"search":["a\\u003cb"]},"ips":[{"address":"10.0.0.2/24","interface":0}]}}'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert files(tmp_path) == ["net-c1-eth0"]


def test_empty_fields_are_left_out(tmp_path: Path) -> None:
    ResultCache(str(tmp_path)).write(CacheEntry("net", Attachment("c1", "", "eth0"), b"{}", {}))
    assert json.loads((tmp_path / "results" / "net-c1-eth0").read_text()).keys() == {
        "kind", "containerId", "config", "ifName", "networkName",
    }  # fmt: skip


def test_what_is_written_is_read_replaced_and_removed(tmp_path: Path) -> None:
    cache = ResultCache(str(tmp_path))
    assert cache.read("net", FULL) is None
    assert cache.entries() == []
    cache.write(CacheEntry("net", FULL, b"old", RESULT))
    entry = CacheEntry("net", FULL, bytes(range(256)), RESULT)
    cache.write(entry)
    assert cache.read("net", Attachment("c1", "elsewhere", "eth0")) == entry
    assert files(tmp_path) == ["net-c1-eth0"]
    cache.remove("net", FULL)
    cache.remove("net", FULL)
    assert files(tmp_path) == []


def test_a_name_that_collides_is_not_taken_for_ours(tmp_path: Path) -> None:
    cache = ResultCache(str(tmp_path))
    theirs = CacheEntry("a-b", Attachment("c", "", "eth0"), b"{}", RESULT)
    cache.write(theirs)
    ours = Attachment("b-c", "", "eth0")
    assert cache.read("a", ours) is None
    cache.remove("a", ours)
    assert cache.entries() == [theirs]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"kind":"other"}',
        b'{"kind":"cniCacheV1"}',
        b'{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"net","config":"***"}',
        b'{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"net","config":7}',
        b'{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"net","cniArgs":[1]}',
        b'{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"net","cniArgs":[["a"]]}',
        b"\xff\xff",
    ],
)
def test_an_illegible_file_is_told_from_a_missing_one_and_can_be_removed(tmp_path: Path, content: bytes) -> None:
    cache = ResultCache(str(tmp_path))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "net-c1-eth0").write_bytes(content)
    try:
        legible = cache.read("net", FULL) is not None
    except ValueError:
        legible = False
    assert not legible
    assert cache.entries() == []
    cache.remove("net", FULL)
    assert files(tmp_path) == []


def test_entries_of_one_container(tmp_path: Path) -> None:
    cache = ResultCache(str(tmp_path))
    for network, container, ifname in (
        ("n1", "c1", "eth0"),
        ("n2", "c1", "eth1"),
        ("n1", "c10", "eth0"),
        ("c1", "x", "eth0"),
    ):
        cache.write(CacheEntry(network, Attachment(container, "", ifname), b"{}", RESULT))
    (tmp_path / "results" / "junk-c1-eth0").write_text("junk")
    assert [(each.network, each.attachment.ifname) for each in cache.entries("c1")] == [("n1", "eth0"), ("n2", "eth1")]
    assert len(cache.entries()) == 4


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results" / "net-c1-eth0").mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        ResultCache(str(tmp_path)).write(CacheEntry("net", FULL, b"{}", RESULT))
    assert caught.value.msg == f"writing cached result {tmp_path}/results/net-c1-eth0: is a directory"
    assert files(tmp_path) == ["net-c1-eth0"]


def test_a_configuration_of_any_size_survives(tmp_path: Path) -> None:
    cache = ResultCache(str(tmp_path))
    config = json.dumps({"x": "y" * 100_000}).encode()
    cache.write(CacheEntry("net", FULL, config, RESULT))
    body: dict[str, Any] = json.loads((tmp_path / "results" / "net-c1-eth0").read_text())
    assert base64.b64decode(body["config"]) == config
    found = cache.read("net", FULL)
    assert found is not None
    assert found.config == config
