from __future__ import annotations

from pathlib import Path

import pytest

from netd.failure import Failure
from netd.runtime.images.names import Names
from netd.runtime.images.reference import parse

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
APP, OTHER = parse("app:1"), parse("quay.example/other:2")
DIGEST = parse("app@sha256:" + "d" * 64)


def test_names_are_on_the_disk(tmp_path: Path) -> None:
    path = str(tmp_path / "names.json")
    Names(path, [ONE, TWO]).change({APP: ONE, DIGEST: ONE, OTHER: TWO})
    names = Names(path, [ONE, TWO])
    assert names.get(APP) == names.get(DIGEST) == ONE
    assert names.get(parse("app:2")) is None
    assert names.of(ONE) == [APP, DIGEST]
    assert names.table() == {ONE: [APP, DIGEST], TWO: [OTHER]}


def test_a_name_moves_and_goes(tmp_path: Path) -> None:
    path = str(tmp_path / "names.json")
    names = Names(path, [ONE, TWO])
    names.change({APP: ONE})
    names.change({APP: TWO})
    assert names.of(ONE) == [] and names.of(TWO) == [APP]
    names.change({}, [APP, OTHER])
    assert Names(path, [ONE, TWO]).table() == {}


def test_names_of_images_that_are_gone_mean_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "names.json")
    Names(path, [ONE, TWO]).change({APP: ONE, OTHER: TWO})
    assert Names(path, [TWO]).table() == {TWO: [OTHER]}


def test_with_tag_and_digest_the_digest_counts(tmp_path: Path) -> None:
    names = Names(str(tmp_path / "names.json"), [ONE])
    names.change({DIGEST: ONE})
    assert names.get(parse(f"app:other@{DIGEST.digest}")) == ONE


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(b'{"names": {"docker.io/libr')
    with pytest.raises(Failure, match=r"names\.json is damaged"):
        Names(str(path), [ONE])
