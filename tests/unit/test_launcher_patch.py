"""Settings written into a launcher's file, and what cannot be written there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launchers import KINDS, source

from pycni_launcher import patch
from pycni_launcher.patch import LauncherError, configure, settings_of

printable = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"\\'), min_size=1, max_size=60
)
settings = st.dictionaries(st.sampled_from(patch.KEYS), printable, max_size=5)


@pytest.mark.parametrize("kind", KINDS)
@given(first=settings, second=settings)
def test_settings_come_back_and_replace_each_other(kind: str, first: dict[str, str], second: dict[str, str]) -> None:
    once = configure(source(kind), first)
    assert settings_of(once) == first
    again = configure(once, second)
    assert settings_of(again) == second
    assert configure(again, first) == configure(configure(again, second), first)
    assert kind == "twin" or len(again) == len(source(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["", "a\nb", 'a"b', "a\\b", "a\0b"])
def test_values_the_launcher_could_not_read_back_are_refused(kind: str, value: str) -> None:
    with pytest.raises(LauncherError, match="socket"):
        configure(source(kind), {"socket": value})


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_settings_are_refused(kind: str) -> None:
    with pytest.raises(LauncherError, match="'colour'"):
        configure(source(kind), {"colour": "red"})


def test_the_block_of_the_c_launcher_does_not_grow() -> None:
    with pytest.raises(LauncherError, match="4094 bytes"):
        configure(source("c"), {"socket": "/" + "s" * 4090})
    assert len(configure(source("c"), {"socket": "/" + "s" * 4000})) == len(source("c"))


def test_the_twin_names_its_interpreter_in_its_first_line() -> None:
    configured = configure(source("twin"), {"interpreter": "/opt/py/bin/python3"})
    assert configured.startswith(b"#!/opt/py/bin/python3 -IS\n")
    with pytest.raises(LauncherError, match="space"):
        configure(source("twin"), {"interpreter": "/opt/my python"})


@pytest.mark.parametrize("data", [b"", b"\x7fELF" + bytes(5000), b"#!/bin/sh\n", patch.MARKER, b"#!x\n" + patch.MARKER])
def test_other_files_are_not_touched(data: bytes) -> None:
    with pytest.raises(LauncherError):
        configure(data, {})
    with pytest.raises(LauncherError):
        settings_of(data)
