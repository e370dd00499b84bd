"""Archives of trees: what is in them, and that nothing is read or written outside."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.files.beneath import make_directories, normal, open_beneath
from netd.files.reading import archive, go_mode, look
from netd.files.writing import How, unpack

PATHS = st.lists(st.sampled_from(["a", "b", "..", ".", "", "link", "up", "/"]), min_size=1, max_size=6).map("/".join)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "tree").mkdir()
    fd = os.open(tmp_path / "tree", os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def packed(*members: tuple[str, str | bytes | None]) -> io.BytesIO:
    """Name and content; None for a directory, "-> x" for a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.uid, member.gid = os.geteuid(), os.getegid()
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                out.addfile(member)
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content.removeprefix("-> ")
                out.addfile(member)
            else:
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return found.getnames()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PATHS, st.sampled_from([None, b"x", "-> ..", "-> /outside", "-> a", "-> ../../outside"]))))
def test_no_archive_writes_outside(members: list[tuple[str, str | bytes | None]]) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.mkdir(f"{home}/tree")
        os.mkdir(f"{home}/outside")
        root = os.open(f"{home}/tree", os.O_PATH | os.O_DIRECTORY)
        try:
            unpack(root, "/", packed(*members), How())
        except InvalidParameter:
            pass  # a part of it may be there, and all of it inside
        finally:
            os.close(root)
        assert sorted(os.listdir(home)) == ["outside", "tree"] and os.listdir(f"{home}/outside") == []


def test_there_and_back(root: int, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d/e").mkdir(parents=True)
    (tree / "d/file").write_text("text")
    (tree / "d/file").chmod(0o640)
    os.link(tree / "d/file", tree / "d/hard")
    (tree / "d/link").symlink_to("/d/file")
    os.mkfifo(tree / "d/pipe")
    os.utime(tree / "d/e", (1000, 1000))
    data = io.BytesIO()
    archive(root, "/d", data.write)
    assert names(data.getvalue()) == ["d", "d/e", "d/file", "d/hard", "d/link", "d/pipe"]
    data.seek(0)
    (tree / "to").mkdir()
    unpack(root, "/to", data, How(renamed="copy"))
    copy = tree / "to/copy"
    assert (copy / "file").read_text() == "text" and (copy / "file").stat().st_mode & 0o777 == 0o640
    assert os.path.samefile(copy / "file", copy / "hard") and os.readlink(copy / "link") == "/d/file"
    assert (copy / "e").stat().st_mtime == 1000
    inner = io.BytesIO()
    archive(root, "/d/.", inner.write)
    assert names(inner.getvalue())[:2] == [".", "./e"]


def test_kinds_are_kept_when_asked(root: int, tmp_path: Path) -> None:
    unpack(root, "/", packed(("a", None), ("a/b", b"x")), How())
    with pytest.raises(InvalidParameter, match="cannot overwrite directory"):
        unpack(root, "/", packed(("a", b"y")), How(keep_kinds=True))
    with pytest.raises(InvalidParameter, match="cannot overwrite non-directory"):
        unpack(root, "/", packed(("a/b", None)), How(keep_kinds=True))
    assert (tmp_path / "tree/a/b").read_text() == "x"
    unpack(root, "/", packed(("a", b"y")), How())
    assert (tmp_path / "tree/a").read_text() == "y"


def test_damage_and_absence(root: int) -> None:
    whole = packed(("a", b"x" * 2000)).getvalue()
    for data in (b"nonsense" * 200, whole[:1200]):
        with pytest.raises(InvalidParameter, match=r"damaged|unpacking"):
            unpack(root, "/", io.BytesIO(data), How())
    with pytest.raises(FileNotFoundError):
        unpack(root, "/none", packed(("a", b"x")), How())
    with pytest.raises(NotADirectoryError):
        unpack(root, "/a", packed(("a", b"x")), How())


def test_looks(root: int, tmp_path: Path) -> None:
    (tmp_path / "tree/d").mkdir(mode=0o1755)
    (tmp_path / "tree/d/link").symlink_to("../up")
    found = look(root, "/d/link")
    assert (found.name, found.link_target) == ("link", "/up") and found.mode & 1 << 27
    assert look(root, "/d").mode & 1 << 31 and look(root, "/").name == "/"
    assert go_mode(0o104755) == 0o755 | 1 << 23
    with pytest.raises(FileNotFoundError):
        look(root, "/d/link/")


@settings(deadline=None)
@given(PATHS)
def test_normal_paths(path: str) -> None:
    found = normal(path)
    assert found.startswith("/") and not found.startswith("//") and ".." not in found.split("/")
    assert normal(found) == found


def test_directories_are_made_within(root: int, tmp_path: Path) -> None:
    (tmp_path / "tree/link").symlink_to("/there")
    with pytest.raises(FileNotFoundError):
        make_directories(root, "/link/x")
    (tmp_path / "tree/there").mkdir()
    os.close(make_directories(root, "/link/x"))
    assert (tmp_path / "tree/there/x").is_dir()
    with pytest.raises(OSError):
        open_beneath(root, "/../" + str(tmp_path / "tree"), os.O_PATH)
