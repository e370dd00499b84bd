"""docker cp against our API: out of and into containers that run and that do not, through links, volumes and beyond."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .docker_cli import IMAGE, Docker, docker_host
from .host import disposable_host


@pytest.fixture(scope="module")
def ring() -> Iterator[Docker]:
    """One host for all tests of this module."""
    with disposable_host() as host, docker_host(host) as docker:
        yield docker


@pytest.fixture
def docker(ring: Docker) -> Iterator[Docker]:
    """docker, on a host without containers."""
    yield ring
    ring.clean()


@pytest.fixture
def place(ring: Docker, request: pytest.FixtureRequest) -> Path:
    """A directory of the host that both sides see: `shown` is its path inside."""
    found = ring.host.scratch / "".join(each for each in request.node.name if each.isalnum())
    found.mkdir()
    return found


@pytest.fixture(params=["running", "stopped", "created"])
def web(docker: Docker, request: pytest.FixtureRequest) -> str:
    """A container, with a volume at /data and a directory of the host at /srv, read-only."""
    shared = docker.host.scratch / "shared"
    shared.mkdir(exist_ok=True)
    (shared / "page").write_text("hello\n")
    words = ("-v", "data:/data", "-v", f"{shared}:/srv:ro", "--name", "web", IMAGE, "sleep", "1000")
    if request.param == "created":
        docker("create", *words)
    else:
        docker("run", "-d", *words)
        docker("exec", "web", "sh", "-c", "mkdir -p /a/b; echo one >/a/one; echo two >/a/b/two; ln -s one /a/link")
        docker(
            "exec",
            "web",
            "sh",
            "-c",
            "ln /a/one /a/same; ln -s /etc/passwd /a/abroad; chmod 4750 /a/b; echo v >/data/v",
        )
    if request.param == "stopped":
        docker("stop", "-t", "0", "web")
    return str(request.param)


def tree(place: Path) -> list[str]:
    command = ["find", ".", "-mindepth", "1", "-printf", "%P %y %m %s %l\\n"]
    return sorted(subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout.splitlines())


def test_out_of_a_container(docker: Docker, web: str, place: Path) -> None:
    if web == "created":
        docker("cp", "web:/bin/busybox", str(place))
        assert (place / "busybox").stat().st_size == Path("/bin/busybox").stat().st_size
        docker("cp", "web:/srv/page", str(place / "copied"))
        assert (place / "copied").read_text() == "hello\n"
        return
    docker("cp", "web:/a", str(place))
    assert [line.rsplit(" ", 2)[0] + " " + line.rsplit(" ", 1)[1] for line in tree(place)] == [
        "a d 755 ",
        "a/abroad l 777 /etc/passwd",
        "a/b d 4750 ",
        "a/b/two f 644 ",
        "a/link l 777 one",
        "a/one f 644 ",
        "a/same f 644 ",
    ]
    assert (place / "a/b/two").read_text() == "two\n" and os.path.samefile(place / "a/one", place / "a/same")
    docker("cp", "web:/a/.", str(place / "inner"))
    assert sorted(os.listdir(place / "inner")) == ["abroad", "b", "link", "one", "same"]
    # volumes and binds are there, also where nothing runs
    docker("cp", "web:/data/v", str(place))
    docker("cp", "web:/srv/page", str(place / "page"))
    assert ((place / "v").read_text(), (place / "page").read_text()) == ("v\n", "hello\n")
    docker("cp", "-L", "web:/a/link", str(place / "followed"))
    assert (place / "followed").read_text() == "one\n" and not (place / "followed").is_symlink()
    docker("cp", "web:/a/link", str(place / "link"))
    assert os.readlink(place / "link") == "one"
    with tarfile.open(fileobj=io.BytesIO(docker("cp", "web:/a/b", "-").encode()), mode="r|") as archive:
        assert [member.name for member in archive] == ["b", "b/two"]


def test_into_a_container(docker: Docker, web: str, place: Path) -> None:
    source = place / "site"
    (source / "sub").mkdir(parents=True)
    (source / "index").write_text("index\n")
    (source / "sub/tool").write_text("#!/bin/sh\necho ran\n")
    (source / "sub/tool").chmod(0o755)
    (source / "link").symlink_to("index")
    docker("cp", str(source), "web:/opt-new")
    docker("cp", str(source), "web:/tmp")
    docker("cp", str(source / "index"), "web:/data/renamed")
    docker("cp", str(source / "index"), "web:/etc/issue")
    with_archive = subprocess.run(["tar", "-C", str(source), "-c", "index"], capture_output=True, check=True).stdout
    docker("cp", "-", "web:/root", stdin=with_archive.decode())
    if web != "running":
        docker("start", "web")
    shown = docker("exec", "web", "sh", "-c", "cat /opt-new/link /tmp/site/index /data/renamed /etc/issue /root/index")
    assert shown == "\n".join(["index"] * 5)
    assert docker("exec", "web", "/opt-new/sub/tool") == "ran"
    assert docker("exec", "web", "readlink", "/tmp/site/link") == "index"


def test_a_volume_that_was_written_into_before_the_start(docker: Docker, place: Path) -> None:
    (place / "config").write_text("x\n")
    docker("create", "--name", "web", "-v", "fresh:/etc", IMAGE, "cat", "/etc/config", "/etc/passwd")
    docker("cp", str(place / "config"), "web:/etc/config")
    assert docker("start", "-a", "web").splitlines()[0] == "x"


@pytest.mark.usefixtures("web")
def test_what_is_refused(docker: Docker, place: Path) -> None:
    (place / "file").write_text("x\n")
    (place / "directory").mkdir()
    assert "No such container:path: web:/none" in docker.fails("cp", "web:/none", str(place)).stderr
    assert "No such container" in docker.fails("cp", "nobody:/etc", str(place)).stderr
    assert docker.fails("cp", str(place / "file"), "web:/nowhere/deep/file").stderr
    assert "read-only" in docker.fails("cp", str(place / "file"), "web:/srv/new").stderr
    assert not (docker.host.scratch / "shared/new").exists()
    assert "cannot" in docker.fails("cp", str(place / "directory"), "web:/etc/passwd").stderr


def test_a_read_only_container(docker: Docker, place: Path) -> None:
    (place / "file").write_text("x\n")
    for name, verb in (("up", ("run", "-d")), ("made", ("create",))):
        docker(*verb, "--read-only", "-v", f"{name}:/data", "--name", name, IMAGE, "sleep", "1000")
        assert "container rootfs is marked read-only" in docker.fails("cp", str(place / "file"), f"{name}:/tmp").stderr
        docker("cp", str(place / "file"), f"{name}:/data/file")
        docker("cp", f"{name}:/data/file", str(place / name))
        assert (place / name).read_text() == "x\n"


@pytest.mark.usefixtures("web")
def test_links_lead_nowhere_but_into_the_container(docker: Docker, place: Path) -> None:
    """Links of the container's, absolute and with dots, as directories of what is written and read."""
    secret = place / "secret"
    secret.mkdir()
    (secret / "key").write_text("private\n")
    (place / "links").mkdir()
    deep = "../" * 12
    for name, to in (("absolute", str(secret)), ("dots", deep + str(secret).lstrip("/")), ("proc", "/proc/1/root")):
        (place / "links" / name).symlink_to(to)
    docker("cp", str(place / "links") + "/.", "web:/root")
    for name in ("absolute", "dots"):
        assert "No such container:path" in docker.fails("cp", f"web:/root/{name}/key", str(place / "got")).stderr
        docker.fails("cp", str(place / "links/absolute"), f"web:/root/{name}/planted")
        assert os.listdir(secret) == ["key"]
    assert not (place / "got").exists()
    # an archive with a link and then something "in" it
    for target in (str(secret), "/tmp"):
        evil = io.BytesIO()
        with tarfile.open(fileobj=evil, mode="w") as archive:
            jump = tarfile.TarInfo("jump")
            jump.type, jump.linkname = tarfile.SYMTYPE, target
            archive.addfile(jump)
            member = tarfile.TarInfo("jump/planted")
            member.size = 2
            archive.addfile(member, io.BytesIO(b"x\n"))
        if target == "/tmp":
            docker("cp", "-", "web:/root", stdin=evil.getvalue().decode())
        else:
            docker.fails("cp", "-", "web:/root", stdin=evil.getvalue().decode())
    assert os.listdir(secret) == ["key"] and not os.path.exists(docker.host.file("/tmp/planted"))
    docker("cp", "web:/tmp/planted", str(place / "inside"))
    assert (place / "inside").read_text() == "x\n"
    # and one with a name that leads out
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../outside"))
    assert "leads out of" in docker.fails("cp", "-", "web:/root", stdin=out.getvalue().decode()).stderr


def test_owners(docker: Docker, place: Path) -> None:
    (place / "file").write_text("x\n")
    os.chown(place / "file", 33, 44)
    docker("run", "-d", "--name", "web", "--user", "12:34", IMAGE, "sleep", "1000")
    docker("cp", "-a", str(place / "file"), "web:/tmp/archived")
    assert docker("exec", "web", "stat", "-c", "%u:%g", "/tmp/archived") == "12:34"


def test_a_large_file_arrives_whole_while_the_container_goes_on(docker: Docker, place: Path) -> None:
    docker("run", "-d", "--name", "web", IMAGE, "sh", "-c", "while :; do date >/tmp/growing; done")
    docker("exec", "web", "sh", "-c", "head -c 50000000 /dev/urandom >/root/big; md5sum /root/big >/root/sum")
    docker("cp", "web:/root", str(place))
    docker("cp", "web:/tmp", str(place))
    said = subprocess.run(["md5sum", str(place / "root/big")], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == (place / "root/sum").read_text().split()[0]
    docker("cp", str(place / "root/big"), "web:/root/back")
    assert docker("exec", "web", "md5sum", "/root/back").split()[0] == said.split()[0]


def test_nothing_is_left_mounted(docker: Docker, place: Path) -> None:
    docker("create", "--name", "web", "-v", "data:/data", IMAGE, "true")
    before = docker.host.run("cat", "/proc/self/mountinfo")
    docker("cp", "web:/etc", str(place))
    assert docker.host.run("cat", "/proc/self/mountinfo") == before
    assert json.loads(docker("inspect", "web"))[0]["State"]["Status"] == "created"
    assert docker("start", "-a", "web") == ""
