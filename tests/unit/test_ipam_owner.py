"""What a lease file says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.ipam.owner import content_of, owner_of, trimmed

NAMES = st.text(st.sampled_from("abc019_.-"), min_size=1, max_size=15).map(lambda text: f"c{text}"[:15])


@pytest.mark.parametrize(
    ("content", "owner"),
    [
        (b"c1\r\neth0", ("c1", "eth0")),
        (b"c1\neth0\n", ("c1", "eth0")),
        (b"c1", ("c1", "")),
        (b" c1\r\n", ("c1", "")),
        (b"c1\0\0\0", ("c1", "")),
        (b"c1\r\net\0\0", ("c1", "et")),
        (b"", None),
        (bytes(512), None),
        (b"\r\neth0", ("eth0", "")),
        (b"\xffc1\r\neth0", None),
        (b"c1\0\0\r\neth0", None),
        (b"c1\r\n-c1/\r\n", None),
        (b"c1\r\nlonger-than-a-name-can-be", None),
        (b"c1\r\neth/0", None),
        (b"-c1", None),
    ],
)
def test_owners(content: bytes, owner: tuple[str, str] | None) -> None:
    assert owner_of(content) == owner


@given(NAMES, NAMES)
def test_what_is_written_is_read(container_id: str, ifname: str) -> None:
    content = content_of(container_id, ifname)
    assert owner_of(content) == (container_id, ifname) and trimmed(content) == content


@given(NAMES, NAMES, st.integers(0, 40), st.integers(0, 10))
def test_a_part_of_it_never_names_another_interface_than_it_begins(
    container_id: str, ifname: str, length: int, zeros: int
) -> None:
    """A shortened file says nothing, or a part of what it said."""
    owner = owner_of(content_of(container_id, ifname)[:length] + bytes(zeros))
    assert owner is None or (container_id.startswith(owner[0]) and ifname.startswith(owner[1]))
    assert (owner is None) == (length == 0)
