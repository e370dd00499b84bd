"""Images in docker's shapes, and the spans and credentials that come with requests for them."""

from __future__ import annotations

import base64
import time

import pytest

from netd.api.containers import until_ns
from netd.api.filters import Filters
from netd.api.image_view import inspect, item, reference_matches
from netd.api.images import _auth, _reference
from netd.failure import InvalidParameter
from netd.runtime.images.model import Image, ImageConfig

IMAGE = Image(
    id="sha256:" + "ab" * 32,
    repo_tags=["box:1", "localhost:5000/team/box:latest"],
    repo_digests=["box@sha256:" + "cd" * 32],
    created="2026-01-02T03:04:05Z",
    size=1234,
    config=ImageConfig(cmd=["sh"]),
)


def test_inspect_and_item() -> None:
    shown = inspect(IMAGE)
    assert shown["Id"] == IMAGE.id and shown["RootFS"] == {"Type": "layers", "Layers": []}
    assert shown["Config"]["Cmd"] == ["sh"] and shown["Config"]["Labels"] == {} and shown["Size"] == 1234
    listed = item(IMAGE)
    assert listed["Created"] == 1767323045 and listed["RepoTags"] == IMAGE.repo_tags and listed["Containers"] == -1


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("box", True),
        ("box:1", True),
        ("box:2", False),
        ("b*", True),
        ("*/*/box", True),
        ("*box:latest", False),
        ("localhost:5000/team/box", True),
        ("team/box", False),
    ],
)
def test_reference_patterns(pattern: str, hit: bool) -> None:
    assert reference_matches(IMAGE, [pattern]) is hit


def test_a_tag_may_be_a_digest() -> None:
    assert _reference("box", "") == "box"
    assert _reference("box", "1") == "box:1"
    assert _reference("box", "sha256:00") == "box@sha256:00"


def test_credentials() -> None:
    def header(text: bytes) -> str:
        return base64.urlsafe_b64encode(text).decode()

    assert _auth("") is None
    assert _auth(header(b"{}")) is None
    assert _auth(header(b"null")) is None
    assert _auth(header(b'{"username":"u","password":"p","email":""}')) == {"username": "u", "password": "p"}
    assert _auth(header(b'{"username":"u"}').rstrip("=")) == {"username": "u"}
    for bad in ("%%%", header(b"["), header(b"[]")):
        with pytest.raises(InvalidParameter, match=r"^X-Registry-Auth: "):
            _auth(bad)


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("1h30m", 5400), ("5s500ms", 5.5), ("24h", 86400)])
def test_until_may_be_a_span_before_now(text: str, seconds: float) -> None:
    before = time.time_ns()
    found = until_ns(Filters({"until": [text]}))
    after = time.time_ns()
    assert found is not None and before <= found + int(seconds * 10**9) <= after


def test_until_may_be_a_moment() -> None:
    assert until_ns(Filters({"until": ["1700000000"]})) == 1_700_000_000 * 10**9
    assert until_ns(Filters({})) is None


@pytest.mark.parametrize("texts", [["soon"], ["10m5"], ["1m", "2m"]])
def test_until_that_cannot_be(texts: list[str]) -> None:
    with pytest.raises(InvalidParameter):
        until_ns(Filters({"until": texts}))
