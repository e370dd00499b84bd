"""The files the name server reads."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from dns_town import attachment
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.facts import Owner
from pycni.names import Attachment, Attachments, decode, encode, is_domain_name
from pycni.spec.address import Address
from pycni.spec.errors import CniError, StoreError

words = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=12)
addresses = st.builds(lambda each: Address.parse(str(each)), st.ip_addresses())


@given(
    st.builds(
        Attachment,
        st.builds(Owner, words, words, words),
        words,
        netns=words,
        port=st.integers(0, 65535),
        names=st.lists(words).map(tuple),
        addresses=st.lists(addresses).map(tuple),
        gateways=st.lists(addresses).map(tuple),
        domain=words,
        external=st.booleans(),
        priority=st.integers(-5, 5),
        links=st.lists(st.tuples(words, words)).map(tuple),
        servers=st.lists(words).map(tuple),
        ndots=st.booleans(),
    )
)
def test_what_is_written_is_read(each: Attachment) -> None:
    assert decode(encode(each)) == each


@given(st.one_of(st.binary(max_size=60), st.sampled_from([b"{}", b'{"version":1}', b'{"version":1,"owner":3}'])))
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, CniError)):
        decode(text)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("web", True), ("web_1.a-b", True), ("w" * 63, True), ("w" * 64, False), ("", False), ("a..b", False),
        (".a", False), ("a b", False), ("a\n", False), ("ü" * 31, True), ("ü" * 32, False),
        (".".join(["w" * 50] * 4), True), (".".join(["w" * 50] * 5), False),
    ],
)  # fmt: skip
def test_domain_names(name: str, valid: bool) -> None:
    assert is_domain_name(name) is valid


def test_a_directory_of_attachments(tmp_path: Path) -> None:
    store = Attachments(str(tmp_path))
    assert store.names() == []
    one, two = attachment("n1", ("web",), "10.0.0.1"), attachment("n1", ("web",), network="two", ifname="eth1")
    first, second = store.put(one), store.put(two)
    assert sorted(store.of_sandbox("n1")) == sorted([first, second])
    assert store.of_sandbox("n") == []
    assert store.of_owner(one.owner) == [first]
    assert list(store.of_network("two")) == [(second, two)]
    assert store.read(first) == one
    store.put(one.replace(names=("web", "www")))
    assert store.read(first) == one.replace(names=("web", "www"))
    assert len(store.names()) == 2
    store.remove(first)
    store.remove(first)
    assert store.read(first) is None
    assert store.names() == [second]


def test_an_attachment_is_in_one_sandbox(tmp_path: Path) -> None:
    """A container that died without DEL and starts again has a new namespace."""
    store = Attachments(str(tmp_path))
    old = attachment("n1", ("web",))
    store.put(old)
    key = store.put(old.replace(sandbox="n2"))
    assert store.names() == [key]
    assert store.of_sandbox("n2") == [key]


def test_damaged_files_and_drafts_are_no_attachments(tmp_path: Path) -> None:
    store = Attachments(str(tmp_path))
    key = store.put(attachment("n1", ("web",)))
    path = tmp_path / "dns" / key
    (tmp_path / "dns" / (key + "~")).write_text("half")
    assert store.names() == [key]
    for text in ("", "[]", '{"version": 2}', encode(attachment("n1", ("a b",))), '{"version":1,"owner":{}}'):
        path.write_text(text)
        assert store.read(key) is None
    assert path.stat().st_mode & 0o077 == 0o044  # the directory is what keeps others out
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_drafts_of_killed_writers_are_swept_and_only_those_of_the_network(tmp_path: Path) -> None:
    store = Attachments(str(tmp_path))
    store.sweep("mynet")
    mine, other = store.put(attachment("n1", ("web",))), store.put(attachment("n1", ("web",), network="other"))
    for key in (mine, other):
        (tmp_path / "dns" / f"{key}~").touch()
    store.sweep("mynet")
    assert sorted(os.listdir(tmp_path / "dns")) == sorted([mine, other, f"{other}~"])


def test_the_lock_holds_off_others(tmp_path: Path) -> None:
    store = Attachments(str(tmp_path))
    held = store.lock()
    other = os.open(tmp_path / "dns" / ".lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert store.names() == []


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "dns").write_text("")
    store = Attachments(str(tmp_path))
    with pytest.raises(StoreError, match=r"locking .*/dns: "):
        store.lock()
    with pytest.raises(StoreError, match=r"writing .*/dns/n1\."):
        store.put(attachment("n1", ("web",)))
