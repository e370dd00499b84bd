"""The detach keys: their spelling, and finding them in input that comes in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.api.detach import Detector, parse
from netd.failure import InvalidParameter


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("CTRL-Z,x", b"\x1ax"), ("a,b,c", b"abc"), ("ctrl-[,ctrl-@", b"\x1b\x00")],
)
def test_spelling(text: str, keys: bytes) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "a,", "ctrl-ab", "é"])
def test_no_keys(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^Invalid detach keys \("):
        parse(text)


FEW = st.sampled_from([b"a", b"b"])


@given(
    st.lists(FEW, min_size=1, max_size=4).map(b"".join), st.lists(st.lists(FEW, max_size=5).map(b"".join), max_size=8)
)
def test_found_wherever_pieces_begin_and_nothing_else_is_lost(keys: bytes, pieces: list[bytes]) -> None:
    detector = Detector(keys)
    passed, found = b"", False
    for piece in pieces:
        more, found = detector.feed(piece)
        passed += more
        if found:
            break
    whole = b"".join(pieces)
    assert found == (keys in whole)
    if found:
        assert passed == whole[: whole.index(keys)]
    else:
        held = whole[len(passed) :]
        assert whole.startswith(passed) and keys.startswith(held) and len(held) < len(keys)
