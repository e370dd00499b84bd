from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.bundle.capabilities import ALL, DEFAULT, NAMES, effective, names

EVERY = frozenset(range(41))


def test_the_numbers_are_the_kernels() -> None:
    numbers = {}
    with open("/usr/include/linux/capability.h", encoding="utf-8") as stream:
        for line in stream:
            words = line.split()
            if len(words) == 3 and words[1].startswith("CAP_") and words[2].isdecimal():
                numbers[words[1]] = int(words[2])
    assert {name: number for number, name in enumerate(NAMES)} == numbers


def test_dockers_fourteen() -> None:
    assert set(effective([], [], False, EVERY)) == set(DEFAULT)
    assert len(DEFAULT) == 14
    # the mask that docker's containers show in /proc/self/status
    assert sum(1 << NAMES.index(name) for name in DEFAULT) == 0xA80425FB


@pytest.mark.parametrize("spelling", ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_net_admin"])
def test_spellings(spelling: str) -> None:
    assert "CAP_NET_ADMIN" in effective([spelling], [], False, EVERY)
    assert "CAP_NET_RAW" in effective([], [], False, EVERY)
    assert "CAP_NET_ADMIN" not in effective([ALL], [spelling], False, EVERY)


def test_all() -> None:
    assert effective(["all"], [], False, EVERY) == list(NAMES)
    assert effective([], ["ALL"], False, EVERY) == []
    assert effective(["CHOWN"], ["ALL"], False, EVERY) == ["CAP_CHOWN"]
    assert effective(["ALL"], ["CHOWN"], False, EVERY) == [name for name in NAMES if name != "CAP_CHOWN"]


def test_privileged_is_all_that_there_is() -> None:
    assert effective([], ["ALL"], True, EVERY - {24}) == [name for name in NAMES if name != "CAP_SYS_RESOURCE"]


def test_what_we_lack_ourselves_cannot_be_given() -> None:
    without = EVERY - {24}
    assert "CAP_SYS_RESOURCE" not in effective(["ALL"], [], False, without)
    with pytest.raises(InvalidParameter) as raised:
        effective(["SYS_RESOURCE"], [], False, without)
    assert str(raised.value) == (
        "invalid CapAdd: capability not supported by your kernel or not available in the current environment: "
        '"CAP_SYS_RESOURCE"'
    )
    assert "CAP_CHOWN" not in effective([], [], False, without - {0})


def test_unknown_ones_are_named() -> None:
    with pytest.raises(InvalidParameter, match='invalid CapAdd: unknown capability: "CAP_FLY"'):
        effective(["fly"], [], False, EVERY)
    with pytest.raises(InvalidParameter, match='invalid CapDrop: unknown capability: "CAP_FLY"'):
        effective([], ["CAP_FLY"], False, EVERY)


some = st.lists(st.sampled_from(NAMES), max_size=6)


@given(some, some)
def test_never_more_than_asked_for(add: list[str], drop: list[str]) -> None:
    got = effective(add, drop, False, EVERY)
    assert set(got) == (set(DEFAULT) - set(drop)) | set(add)
    assert got == sorted(got, key=NAMES.index)
    assert names(EVERY) == list(NAMES)
