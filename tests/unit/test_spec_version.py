"""Spec versions: comparison, and the gate of each command (contract 1.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.spec import version
from pycni.spec.errors import DecodingFailure, IncompatibleVersion

FIREWALL = ("0.4.0", "1.0.0", "1.1.0")
GATED = {"CHECK": (0, 4, 0), "GC": (1, 1, 0), "STATUS": (1, 1, 0)}
ALL_LISTED = '["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]'


@given(st.lists(st.integers(0, 999), min_size=1, max_size=3))
def test_one_to_three_numbers(numbers: list[int]) -> None:
    padded = (*numbers, 0, 0)[:3]
    assert version.parse(".".join(map(str, numbers))) == padded


def test_an_empty_version_is_the_oldest() -> None:
    assert version.parse("") == (0, 1, 0)


@pytest.mark.parametrize("text", ["abc", "1.0.0.0", "1..0", "1.0.x", " 1.0.0", "1.0.0\n", ".", "1.٣", "9" * 5000, "+1"])
def test_not_a_version(text: str) -> None:
    with pytest.raises(DecodingFailure) as caught:
        version.parse(text)
    assert caught.value.code == 6


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
@pytest.mark.parametrize("wanted", version.ALL)
def test_the_gate_of_every_command_and_version(command: str, wanted: str) -> None:
    if version.parse(wanted) >= GATED.get(command, (0, 0, 0)):
        version.require(command, wanted, version.ALL)
        return
    with pytest.raises(IncompatibleVersion) as caught:
        version.require(command, wanted, version.ALL)
    assert (caught.value.code, caught.value.msg, caught.value.details) == (
        1,
        f"config version does not allow {command}",
        "",
    )


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("wanted", ["1.2.0", "0.5.0", "1.0", "1.1.0 ", "abc", "1.0.0.0"])
def test_attach_and_detach_compare_the_text(command: str, wanted: str) -> None:
    with pytest.raises(IncompatibleVersion) as caught:
        version.require(command, wanted, version.ALL)
    assert caught.value.code == 1
    assert caught.value.msg == "incompatible CNI versions"
    assert caught.value.details == f'config is "{wanted}", plugin supports {ALL_LISTED}'


def test_a_missing_version_is_the_oldest_one() -> None:
    version.require("ADD", "", version.ALL)
    with pytest.raises(IncompatibleVersion) as caught:
        version.require("ADD", "", FIREWALL)
    assert caught.value.details == 'config is "0.1.0", plugin supports ["0.4.0" "1.0.0" "1.1.0"]'
    with pytest.raises(IncompatibleVersion, match=r"^config version does not allow CHECK$"):
        version.require("CHECK", "", version.ALL)


@pytest.mark.parametrize("command", ["CHECK", "GC", "STATUS"])
@pytest.mark.parametrize(
    ("wanted", "supported", "message"),
    [
        ("2.0.0", version.ALL, "plugin version does not allow {}"),
        ("1.1.0", ("0.4.0", "1.0.0"), "plugin version does not allow {}"),
        ("1.1", version.ALL, "incompatible CNI versions"),
    ],
)
def test_the_gates_second_and_third_question(
    command: str, wanted: str, supported: tuple[str, ...], message: str
) -> None:
    with pytest.raises(IncompatibleVersion) as caught:
        version.require(command, wanted, supported)
    assert caught.value.msg == message.format(command)


@pytest.mark.parametrize("command", ["CHECK", "GC", "STATUS"])
def test_what_cannot_be_compared_is_a_decoding_failure(command: str) -> None:
    with pytest.raises(DecodingFailure):
        version.require(command, "abc", version.ALL)
