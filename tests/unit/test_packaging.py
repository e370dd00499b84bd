"""What an installed wheel contains and which names it claims."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from interpreter import ROOT

GENERAL = {"plugins", "launcher", "tests", "scripts", "docs"}
"""Top-level folders whose names are too general to claim for a distribution."""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages_on_disk() -> set[str]:
    """Every directory with an __init__.py below the four packaged tops, under its import name."""
    found = set()
    for top in ("pycni", "pycni_plugins", "netd", "pycni_launcher"):
        for init in (ROOT / top).resolve().rglob("__init__.py"):
            parts = init.parent.relative_to((ROOT / top).resolve()).parts
            found.add(".".join((top, *(part.replace("-", "_") for part in parts))))
    return found


def test_every_package_is_listed_and_every_listed_one_exists() -> None:
    listed = project()["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    assert set(listed) == packages_on_disk()


def test_directories_with_code_are_packages() -> None:
    """A folder without an __init__.py would work from the checkout and be missing from the wheel."""
    bare = {
        str(path.parent.relative_to(ROOT))
        for top in ("pycni", "plugins", "netd", "launcher")
        for path in (ROOT / top).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


def test_no_name_as_general_as_plugins_is_claimed() -> None:
    tops = {name.partition(".")[0] for name in project()["tool"]["setuptools"]["packages"]}
    assert tops == {"pycni", "pycni_plugins", "pycni_launcher", "netd"}
    assert not tops & GENERAL
    assert "py-modules" not in project()["tool"]["setuptools"]


def test_the_links_beside_the_folders() -> None:
    assert (ROOT / "pycni_plugins").readlink().name == "plugins"
    assert (ROOT / "pycni_launcher").readlink().name == "launcher"
    assert (ROOT / "plugins/host_local").readlink().name == "host-local"
    assert (ROOT / "plugins/host_device").readlink().name == "host-device"


def test_every_plugin_folder_is_a_plugin_that_can_be_loaded() -> None:
    from pycni_plugins import NAMES, UnknownPlugin, load

    folders = {path.name for path in (ROOT / "plugins").iterdir() if (path / "plugin.py").exists()}
    assert {name.replace("_", "-") for name in folders} == set(NAMES)
    for name in NAMES:
        assert load(name).name == name
    with pytest.raises(UnknownPlugin, match=r'^no plugin is called "../bridge"$'):
        load("../bridge")


def test_scripts_point_at_functions_of_the_listed_packages() -> None:
    listed = set(project()["tool"]["setuptools"]["packages"])
    for target in project()["project"]["scripts"].values():
        module = target.partition(":")[0]
        assert module.rpartition(".")[0] in listed


def test_the_script_files_start_functions_of_the_listed_packages() -> None:
    (path,) = project()["tool"]["setuptools"]["script-files"]
    lines = (ROOT / path).read_text().splitlines()
    assert lines[0] == "#!python", "what pip replaces by the interpreter"
    assert "from netd.cli.main import entry" in lines and lines[-1] == "entry()"
