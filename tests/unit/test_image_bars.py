from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netd.runtime.images.bars import Bars, Unpacking
from netd.runtime.images.manifest import Descriptor

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SHORT_A, SHORT_B = "a" * 12, "b" * 12

# as skopeo 1.9.3 draws on a terminal of 200 columns
DRAWN = (
    "Getting image source signatures\r\n"
    f"Copying blob {SHORT_A} [>-----------------------------] 8.0b / 20.0MiB\r\n"
    f"Copying blob {SHORT_B} [>-----------------------------] 8.0b / 1.0KiB\r\n"
    f"\x1b[2A\x1b[JCopying blob {SHORT_A} [==============>---------------] 10.0MiB / 20.0MiB\r\n"
    f"Copying blob {SHORT_B} done  \r\n"
    f"\x1b[2A\x1b[JCopying blob {SHORT_A} done  \r\nCopying blob {SHORT_B} done  \r\n"
    "Writing manifest to image destination\r\n"
)


def layers() -> list[Descriptor]:
    return [Descriptor(A, size=20 << 20), Descriptor(B, size=1 << 10)]


def told(pieces: list[str], present: set[str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    bars = Bars(layers(), present or set(), found.append)
    for piece in pieces:
        bars.feed(piece)
    bars.finish()
    return found


def test_bars_become_dockers_objects() -> None:
    found = told([DRAWN])
    assert [(each["id"], each["status"], each["progressDetail"].get("current")) for each in found] == [
        (SHORT_A, "Pulling fs layer", None),
        (SHORT_B, "Pulling fs layer", None),
        (SHORT_A, "Downloading", 8),
        (SHORT_B, "Downloading", 8),
        (SHORT_A, "Downloading", 10 << 20),
        (SHORT_B, "Download complete", None),
        (SHORT_A, "Download complete", None),
    ]
    assert found[2]["progressDetail"]["total"] == 20 << 20


def test_a_layer_that_is_there() -> None:
    found = told([DRAWN], {A})
    assert [each["status"] for each in found if each["id"] == SHORT_A] == ["Already exists"]


@given(st.lists(st.integers(0, len(DRAWN)), max_size=8))
def test_pieces_of_any_size_tell_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(DRAWN)]
    pieces = [DRAWN[start:end] for start, end in pairwise(edges)]
    # control sequences may be cut in two, which costs a bar and never more
    final = {(each["id"], each["status"]) for each in told(pieces)}
    assert {(SHORT_A, "Download complete"), (SHORT_B, "Download complete")} <= final


@given(st.text(max_size=200))
def test_any_other_words_are_passed_over(text: str) -> None:
    assert [each["status"] for each in told([text])][2:] == ["Download complete"] * 2


def test_unpacking_follows_umoci() -> None:
    found: list[dict[str, Any]] = []
    unpacking = Unpacking(layers(), found.append, "Extracting", "Pull complete")
    unpacking.line("   • unpacking rootfs ...")
    unpacking.at(5)  # nothing is being unpacked yet
    unpacking.line(f"   • unpack layer: {A}")
    unpacking.at(7 << 20)
    unpacking.line(f"   • unpack layer: {B}")
    unpacking.line(f"   • unpack layer: sha256:{'c' * 64}")
    unpacking.finish()
    unpacking.finish()
    assert [(each["id"], each["status"], each["progressDetail"].get("current")) for each in found] == [
        (SHORT_A, "Extracting", 0),
        (SHORT_A, "Extracting", 7 << 20),
        (SHORT_A, "Pull complete", None),
        (SHORT_B, "Extracting", 0),
        (SHORT_B, "Pull complete", None),
    ]
