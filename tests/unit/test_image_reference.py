from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.images.reference import Reference, id_prefix, is_id, is_loopback, parse, parse_target

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("a/b/c", "docker.io/a/b/c", "a/b/c"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:2", "localhost:5000/app:2", "localhost:5000/app:2"),
        ("registry.example:5000/a/b", "registry.example:5000/a/b", "registry.example:5000/a/b"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("HOST/app", "HOST/app", "HOST/app"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("docker.io/my.host/a", "docker.io/my.host/a", "docker.io/my.host/a"),
    ],
)
def test_dockers_spellings(text: str, full: str, familiar: str) -> None:
    reference = parse(text)
    assert str(reference) == full
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid reference format"),
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        ("busybox:", "invalid reference format"),
        ("busybox:-a", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("busybox@sha256:12", "invalid reference format"),
        ("busy box", "invalid reference format"),
        ("../etc", "invalid reference format"),
        ("a/../b", "invalid reference format"),
        ("busybox:" + "t" * 129, "invalid reference format"),
        ("busybox\n", "invalid reference format"),
        ("ab" * 32, "invalid repository name (" + "ab" * 32 + "), cannot specify 64-byte hexadecimal strings"),
        ("a" * 250, "repository name must not be more than 255 characters"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        parse(text)
    assert str(raised.value) == words


def test_a_new_name_has_a_tag_and_no_digest() -> None:
    assert parse_target("app").familiar == "app:latest"
    with pytest.raises(InvalidParameter, match="refusing to create a tag with a digest reference"):
        parse_target(f"app@{DIGEST}")


def test_ids() -> None:
    assert is_id(DIGEST) and is_id(DIGEST.removeprefix("sha256:"))
    assert not is_id("abc")
    assert id_prefix("abc") == id_prefix("sha256:abc") == "abc"
    assert id_prefix("busybox") == id_prefix("a" * 65) == id_prefix("") == ""


@pytest.mark.parametrize("domain", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]", "[::1]:80"])
def test_registries_of_this_machine(domain: str) -> None:
    assert is_loopback(domain)


@pytest.mark.parametrize(
    "domain", ["docker.io", "localhost.example", "128.0.0.1:5000", "127.0.0.1.example", "[::2]:80"]
)
def test_registries_of_others(domain: str) -> None:
    assert not is_loopback(domain)


parts = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-)[a-z0-9]{1,5}){0,2}", fullmatch=True)
domains = st.sampled_from(["docker.io", "localhost", "localhost:5000", "quay.example", "127.0.0.1:5000"])
references = st.builds(
    Reference,
    domain=domains,
    path=st.lists(parts, min_size=2, max_size=4).map("/".join),
    tag=st.from_regex(r"(|[A-Za-z0-9_][A-Za-z0-9_.-]{0,10})", fullmatch=True),
    digest=st.sampled_from(["", DIGEST]),
)


@given(references)
def test_what_users_are_shown_means_the_same(reference: Reference) -> None:
    assert parse(reference.familiar) == reference
    assert parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidParameter:
        return
    assert parse(str(reference)) == reference
    assert ".." not in reference.path and not set(str(reference)) & set(" \n\0")
