from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.bundle.environment import environment
from netd.runtime.bundle.users import User, find_user

PASSWD = """root:x:0:0:root:/root:/bin/sh

# a comment
web:x:33:34:web:/srv:/bin/false
nobody:x:65534:65534
bad:x:y:z
99:x:7:8::/:
"""
GROUP = "root:x:0:\nadm:x:4:root,web\nweb:x:34:\nlog:x:5:web\nshort:x:9\nbad:x:y:web\n"


@pytest.mark.parametrize(
    ("spec", "more", "user"),
    [
        ("", [], User(0, 0, (0, 4))),
        ("root", [], User(0, 0, (0, 4))),
        ("0", [], User(0, 0, (0, 4))),
        ("web", [], User(33, 34, (34, 4, 5))),
        ("33", [], User(33, 34, (34, 4, 5))),
        ("web:log", [], User(33, 5, (5,))),
        ("web:77", [], User(33, 77, (77,))),
        ("web:", [], User(33, 34, (34, 4, 5))),
        ("1000", [], User(1000, 0, (0,))),
        ("1000:1001", [], User(1000, 1001, (1001,))),
        (":5", [], User(0, 5, (5,))),
        # a number is a uid even where somebody is called so
        ("99", [], User(99, 0, (0,))),
        ("web", ["log", "77", "34"], User(33, 34, (34, 4, 5, 77))),
        ("1000", ["short"], User(1000, 0, (0, 9))),
    ],
)
def test_as_docker_looks_it_up(spec: str, more: list[str], user: User) -> None:
    assert find_user(spec, PASSWD, GROUP, more) == user


@pytest.mark.parametrize(
    ("spec", "more", "words"),
    [
        ("joe", [], "unable to find user joe: no matching entries in passwd file"),
        ("bad", [], "unable to find user bad: no matching entries in passwd file"),
        ("web:joe", [], "unable to find group joe: no matching entries in group file"),
        ("web", ["joe"], "unable to find group joe: no matching entries in group file"),
        ("-1", [], "uids and gids must be in range 0-2147483647"),
        ("2147483648", [], "uids and gids must be in range 0-2147483647"),
        ("1:4294967295", [], "uids and gids must be in range 0-2147483647"),
    ],
)
def test_refusals(spec: str, more: list[str], words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        find_user(spec, PASSWD, GROUP, more)
    assert str(raised.value) == words


def test_an_image_without_the_files() -> None:
    assert find_user("", "", "") == User(0, 0, (0,))
    assert find_user("5:6", "", "") == User(5, 6, (6,))


@given(st.text(max_size=30), st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_looked_up_or_refused(spec: str, passwd: str, group: str) -> None:
    try:
        user = find_user(spec, passwd, group)
    except InvalidParameter:
        return
    assert user.gid in user.groups and user.uid >= 0


def test_the_environment_is_dockers() -> None:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert environment("web", False, (), []) == [path, "HOSTNAME=web"]
    assert environment("web", True, ("DB_PORT=1",), ["A=1", "PATH=/bin", "A=2=3"]) == [
        "PATH=/bin",
        "HOSTNAME=web",
        "TERM=xterm",
        "DB_PORT=1",
        "A=2=3",
    ]
    assert environment("web", True, (), ["TERM", "NONE"]) == [path, "HOSTNAME=web"]
