"""`pynet image` against a scripted daemon, and what a pull shows with and without a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from api_script import ID, OTHER, Request, Script
from cli_process import piped, pynet_terminal
from pynet_shell import Shell, pynet

from netd.cli.image_get import split
from netd.cli.progress import Table, size

__all__ = ["pynet"]

IMAGE = {
    "Id": f"sha256:{ID}",
    "RepoTags": ["busybox:1", "example.org:5000/team/busybox:latest"],
    "RepoDigests": ["busybox@sha256:abc"],
    "Created": 1,
    "Size": 1_980_000,
    "Labels": None,
}


def test_image_ls(said: Script, pynet: Shell) -> None:
    said.on("GET /images/json", [IMAGE, {**IMAGE, "Id": f"sha256:{OTHER}", "RepoTags": None, "RepoDigests": None}])
    lines = [line.split() for line in pynet("image", "ls")[1].splitlines()]
    assert lines[0] == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [line[:3] for line in lines[1:]] == [
        ["busybox", "1", "c0ffee000000"],
        ["example.org:5000/team/busybox", "latest", "c0ffee000000"],
        ["<none>", "<none>", "decaf0000000"],
    ]
    assert pynet("image", "ls", "-q")[1] == "c0ffee000000\ndecaf0000000\n"
    assert "sha256:abc" in pynet("image", "ls", "--digests")[1]
    pynet("image", "ls", "busy*")
    assert said.query("GET /images/json") == {"filters": '{"reference":["busy*"]}'}


def test_image_rm_and_inspect(said: Script, pynet: Shell) -> None:
    said.on("DELETE /images/team/app", [{"Untagged": "team/app:latest"}, {"Deleted": "sha256:1"}])
    said.on("GET /images/team/app/json", {"Id": "sha256:1"})
    assert pynet("image", "rm", "-f", "team/app") == (0, "Untagged: team/app:latest\nDeleted: sha256:1\n", "")
    assert said.query("DELETE /images/team/app") == {"force": "1"}
    assert pynet("image", "inspect", "-f", "{{.Id}}", "team/app", "gone")[:2] == (1, "sha256:1\n")
    assert pynet("image", "rm", "-f", "gone") == (0, "", "")
    assert pynet("image", "rm", "gone")[0] == 1


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("busybox", ("busybox", "latest")),
        ("busybox:1", ("busybox", "1")),
        ("example.org:5000/app", ("example.org:5000/app", "latest")),
        ("example.org:5000/app:2", ("example.org:5000/app", "2")),
        ("app@sha256:abc", ("app", "sha256:abc")),
    ],
)
def test_references(reference: str, parts: tuple[str, str]) -> None:
    assert split(reference) == parts


PULLING = (
    {"status": "Pulling from app", "id": "1"},
    {"status": "Downloading", "id": "aa", "progressDetail": {"current": 500_000, "total": 1_000_000}},
    {"status": "Downloading", "id": "aa", "progressDetail": {"current": 1_000_000, "total": 1_000_000}},
    {"status": "Waiting", "id": "bb"},
    {"status": "Pull complete", "id": "aa", "progressDetail": {}},
    {"status": "Status: Downloaded \x1b[31mapp"},
)


def lines(request: Request) -> None:
    request.chunks(*(json.dumps(item).encode() + b"\r\n" for item in PULLING))


def test_pull_without_a_terminal(said: Script, pynet: Shell) -> None:
    said.on("POST /images/create", lines)
    assert pynet("image", "pull", "app")[1].splitlines() == [
        "1: Pulling from app",
        "bb: Waiting",
        "aa: Pull complete",
        "Status: Downloaded  [31mapp",
    ]
    assert pynet("image", "pull", "-q", "app") == (0, "app\n", "")
    said.on("POST /images/create", lambda request: request.chunks(b'{"errorDetail":{"message":"denied"},"error":"x"}'))
    assert pynet("image", "pull", "app") == (1, "", "pynet: denied\n")
    assert pynet("image", "pull", "--platform", "linux/s390x", "app")[2].startswith(
        "pynet: --platform linux/s390x: only images for linux/"
    )


def test_pull_on_a_terminal(said: Script, tmp_path: Path) -> None:
    said.on("POST /images/create", lines)
    with pynet_terminal(tmp_path, "image", "pull", "app") as terminal:
        assert terminal.end() == 0
        screen = rendered(terminal.seen.decode())
    assert screen == ["1: Pulling from app", "aa: Pull complete", "bb: Waiting", "Status: Downloaded  [31mapp"]
    assert b"aa: Downloading [===============>              ] 500kB/1MB" in terminal.seen


def rendered(text: str) -> list[str]:
    """What a terminal shows in the end: only the few sequences the table uses."""
    rows, row, position = [""], 0, 0
    while text:
        if text.startswith("\x1b["):
            end = next(index for index in range(2, len(text)) if text[index].isalpha())
            count, kind = int(text[2:end] or "1"), text[end]
            row += {"A": -count, "B": count}.get(kind, 0)
            rows[row] = "" if kind == "K" else rows[row]
            text = text[end + 1 :]
            continue
        letter, text = text[0], text[1:]
        if letter == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif letter == "\r":
            position = 0
        else:
            rows[row] = rows[row][:position] + letter + rows[row][position + 1 :]
            position += 1
    return rows[:-1]


def test_a_table_never_wraps() -> None:
    stream = io.StringIO()
    table = Table(stream)
    table.take({"id": "aa", "status": "x" * 500})
    table.take({"id": "aa", "status": "y" * 500})
    assert max(map(len, stream.getvalue().split("\x1b[2K"))) < 100


def test_load_and_import(said: Script, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"tar" * 100_000)
    loaded = b'{"stream":"Loaded image: busybox:1\\n"}\n'
    said.on("POST /images/load", lambda request: request.chunks(loaded))
    done = piped(tmp_path, "image", "load", "-i", str(archive))
    assert (done.returncode, done.stdout) == (0, b"Loaded image: busybox:1\n")
    assert said.requests[-1].body == archive.read_bytes()
    assert piped(tmp_path, "image", "load", stdin=b"abc").returncode == 0
    assert said.requests[-1].body == b"abc"
    done = piped(tmp_path, "image", "load", "-i", "/nonexistent")
    assert (done.returncode, done.stderr) == (1, b"pynet: /nonexistent: no such file or directory\n")

    said.on(
        "POST /images/create", lambda request: request.chunks(b'{"status":"Loading","id":"a"}\n{"status":"sha256:1"}\n')
    )
    words = ["image", "import", "-c", "CMD sh", "-c", "ENV A=1", "-m", "mine", "-", "app:2"]
    assert piped(tmp_path, *words, stdin=b"root").stdout == b"sha256:1\n"
    assert said.query("POST /images/create") == {
        "fromSrc": "-",
        "repo": "app",
        "tag": "2",
        "message": "mine",
        "changes": ["CMD sh", "ENV A=1"],
    }
    assert said.requests[-1].body == b"root"


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0B"), (999, "999B"), (1234, "1.23kB"), (1_980_000, "1.98MB"), (999_999_999, "1000MB")]
)
def test_sizes(amount: int, text: str) -> None:
    assert size(amount) == text
