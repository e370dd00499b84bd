"""What `pynet gc` hears from the engines of a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netd.networks.gc_engines import engines

LIVES, ENDED, FRESH = (letter * 64 for letter in "abc")


@pytest.mark.parametrize("told", ["", "no JSON", "{}", '[{"Names": []}]', "[1]"])
def test_an_engine_that_cannot_be_understood_says_nothing(tmp_path: Path, told: str) -> None:
    found = engines(_podman(tmp_path, told), str(tmp_path / "run"), str(tmp_path / "root"))
    assert (found.running, found.stopped) == ({}, {})


def test_podman(tmp_path: Path) -> None:
    told = [
        {"Id": LIVES, "State": "running", "Names": ["lives"]},
        {"Id": ENDED, "State": "exited", "Names": ["ended"]},
        {"Id": FRESH, "State": "created", "Names": None},
    ]
    found = engines(_podman(tmp_path, json.dumps(told)), str(tmp_path / "run"), str(tmp_path / "root"))
    assert found.running == {
        LIVES: "container lives of podman",
        FRESH: f"container {FRESH[:12]} of podman",
    }
    assert found.stopped == {ENDED: "container ended of podman"}


def _podman(folder: Path, told: str) -> dict[str, str]:
    """An environment with a podman that says this, and with a containerd that has nothing."""
    program = folder / "bin/podman"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nwhile read -r line; do echo "$line"; done <{folder}/told\n[ -s {folder}/told ]\n')
    program.chmod(0o755)
    (folder / "told").write_text(f"{told}\n" if told else "")
    return {"PATH": str(program.parent), "CONTAINERD_ADDRESS": f"{folder}/containerd.sock"}
