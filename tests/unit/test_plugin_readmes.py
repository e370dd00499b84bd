"""Every plugin's README has an example, which tests/netns or tests/vm runs, and names the keys that are read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from plugin_examples import ROOT, WITHOUT, has_example, readme

from pycni.spec.section import Section
from pycni_plugins import NAMES

READERS = {name for name in vars(Section) if not name.startswith("_") and name not in ("path", "raw", "where")}

ELSEWHERE = {"ipam", "dns", "type", "CNI_ARGS", "args.cni", "runtimeConfig"}
"""What tables of keys name and pycni reads for every plugin."""

NOT_KEYS = {
    "dhcp": {"calls.py", "gob.py", "daemon.py"},
    "dnsname": {"server.py"},
}
"""Modules that read answers of a daemon instead of a configuration."""

ALSO = {"host-local": (ROOT / "pycni" / "ipam" / "ranges.py",)}
"""Modules that read a plugin's keys elsewhere."""


def test_every_plugin_has_an_example() -> None:
    assert [name for name in NAMES if not has_example(name)] == list(WITHOUT)


@pytest.mark.parametrize("plugin", NAMES)
def test_the_keys_of_the_readme_are_those_that_are_read(plugin: str) -> None:
    read, text = set(_read(plugin)), readme(plugin).read_text()
    assert {key for key in read if not re.search(rf"\b{re.escape(key)}\b", text)} - {"capabilities"} == set()
    listed = {key for key in _listed(text) if not key.startswith("-") and key not in ELSEWHERE}
    assert {key for key in listed if key.removesuffix("[]").rpartition(".")[2] not in read} == set()


def _read(plugin: str) -> Iterator[str]:
    """Every text with which the plugin asks a Section for a key, and the words of constants that hold keys."""
    yield from {"host-local": ["ranges"]}.get(plugin, [])  # by way of a function that takes the key
    for path in (*readme(plugin).parent.glob("*.py"), *ALSO.get(plugin, ())):
        if path.name in NOT_KEYS.get(plugin, ()):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
                yield from (each.value for each in node.args[:1] if isinstance(each, ast.Constant))  # type: ignore[misc]
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "KEYS" in node.targets[0].id:
                yield from ast.literal_eval(node.value)


def _listed(text: str) -> Iterator[str]:
    """The first column of tables of keys, whose heading says so."""
    inside = False
    for line in text.splitlines():
        first = line.split("|")[1] if line.startswith("|") else ""
        inside = bool(first) and (inside or first.strip() == "key")
        if inside:
            yield from re.findall(r"`([^`]+)`", first)
