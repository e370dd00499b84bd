"""Commands on containers and images against a scripted daemon, and what they print."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from api_script import Request, Script
from cli_process import piped, pynet_terminal

from netd.cli import moments, ports_text
from netd.cli.image_get import split
from netd.cli.main import main
from netd.cli.progress import Table, size
from netd.failure import InvalidParameter

ID = "c0ffee" + 58 * "0"
OTHER = "decaf0" + 58 * "0"


class Shell:
    """`pynet` in this process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        environ = {"PYNET_RUN_DIR": str(self._directory)}
        status = main(words, environ=environ, out=out, err=err, stdin=io.StringIO(stdin))
        return status, out.getvalue(), err.getvalue()


@pytest.fixture
def pynet(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def port(private: int, public: int = 0, ip: str = "", kind: str = "tcp") -> dict[str, Any]:
    return {"PrivatePort": private, "Type": kind, **({"PublicPort": public, "IP": ip} if public else {})}


def listed(**more: Any) -> dict[str, Any]:
    return {
        "Id": ID,
        "Names": ["/web", "/app/db"],
        "Image": "busybox:latest",
        "Command": "httpd -f -h /www -p 80",
        "Created": 1,
        "Status": "Up 5 minutes",
        "State": "running",
        "Ports": [port(80, 8080, "0.0.0.0"), port(80, 8080, "::")],
        "Labels": {"b": "2", "a": "1"},
        "NetworkSettings": {"Networks": {"mynet": {}, "other": {}}},
        "Mounts": [{"Name": "data", "Source": "/x"}, {"Source": "/host"}],
        **more,
    }


# --- ps


def test_ps(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/json", [listed(), listed(Id=OTHER, Image=f"sha256:{OTHER}", Command="sh", Ports=[])])
    status, out, err = pynet("ps")
    assert (status, err) == (0, "") and said.query("GET /containers/json") == {}
    heading, first, second = out.splitlines()
    assert heading.split("  ")[0] == "CONTAINER ID" and "PORTS" in heading and heading.endswith("NAMES")
    assert first.startswith('c0ffee000000   busybox:latest   "httpd -f -h /www -p…"')
    assert "Up 5 minutes   0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   web" in first
    assert second.startswith('decaf0000000   decaf0000000     "sh"')


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["-a"], {"all": "1"}),
        (["-l"], {"all": "1", "limit": "1"}),
        (["-n", "3"], {"all": "1", "limit": "3"}),
        (
            ["--filter", "label=a=b", "--filter", "status=exited", "--filter", "label=c"],
            {"filters": '{"label":["a=b","c"],"status":["exited"]}'},
        ),
    ],
)
def test_what_ps_asks_for(said: Script, pynet: Shell, words: list[str], asked: dict[str, str]) -> None:
    said.on("GET /containers/json", [])
    assert pynet("ps", *words)[0] == 0
    assert said.query("GET /containers/json") == asked


def test_ps_in_other_forms(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/json", [listed()])
    assert pynet("ps", "-q")[1] == "c0ffee000000\n"
    assert pynet("ps", "-q", "--no-trunc")[1] == f"{ID}\n"
    assert (
        pynet("ps", "--no-trunc", "--format", "{{.Names}} {{.Command}}")[1] == 'web,app/db "httpd -f -h /www -p 80"\n'
    )
    assert pynet("ps", "--format", "{{.Labels}} {{.Networks}} {{.Mounts}}")[1] == "a=1,b=2 mynet,other data,/host\n"
    assert pynet("ps", "--format", "table {{.Names}}\\t{{.State}}")[1] == "NAMES   STATE\nweb     running\n"
    assert json.loads(pynet("container", "ls", "--format", "json")[1])["ID"] == "c0ffee000000"
    assert pynet("ps", "--format", "{{.Nope}}")[0] == 1
    assert pynet("ps", "--filter", "x")[2] == "pynet: --filter 'x': expected KEY=VALUE\n"


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""),
        ([port(80)], "80/tcp"),
        ([port(82), port(80), port(81), port(90)], "80-82/tcp, 90/tcp"),
        ([port(80, 8080, "0.0.0.0"), port(9000)], "0.0.0.0:8080->80/tcp, 9000/tcp"),
        (
            [port(n, 8000 + n, ip) for ip in ("::", "0.0.0.0") for n in (82, 80, 81)],
            "0.0.0.0:8080-8082->80-82/tcp, [::]:8080-8082->80-82/tcp",
        ),
        ([port(80, 8080, "0.0.0.0"), port(81, 9000, "0.0.0.0")], "0.0.0.0:8080->80/tcp, 0.0.0.0:9000->81/tcp"),
        ([port(53, 53, "0.0.0.0", "udp"), port(53, 53, "0.0.0.0")], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"),
        ([port(80, 80, "0.0.0.0"), port(81, 81, "127.0.0.1")], "0.0.0.0:80->80/tcp, 127.0.0.1:81->81/tcp"),
    ],
)
def test_ports_in_ranges(ports: list[dict[str, Any]], text: str) -> None:
    assert ports_text.summary(ports) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 90, "3 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_times_as_docker_says_them(seconds: float, text: str) -> None:
    assert moments.ago(seconds) == text


# --- those that exist


def test_actions_go_on_after_a_failure(said: Script, pynet: Shell) -> None:
    said.on("POST /containers/web/stop", None)
    said.on("POST /containers/db/stop", lambda request: request.answer(status=304))
    said.on("POST /containers/gone/stop", lambda request: request.refuse(404, "No such container: gone"))
    assert pynet("stop", "-t", "1", "-s", "INT", "web", "gone", "db") == (
        1,
        "web\ndb\n",
        "pynet: No such container: gone\n",
    )
    assert said.query("POST /containers/web/stop") == {"t": "1", "signal": "INT"}


@pytest.mark.parametrize(
    ("words", "asked", "values"),
    [
        (["start", "web"], "POST /containers/web/start", {}),
        (["container", "start", "web"], "POST /containers/web/start", {}),
        (["restart", "-t", "0", "web"], "POST /containers/web/restart", {"t": "0"}),
        (["kill", "-s", "HUP", "web"], "POST /containers/web/kill", {"signal": "HUP"}),
        (["container", "pause", "web"], "POST /containers/web/pause", {}),
        (["container", "unpause", "web"], "POST /containers/web/unpause", {}),
        (["container", "rename", "web", "www"], "POST /containers/web/rename", {"name": "www"}),
        (["container", "rm", "-fv", "web"], "DELETE /containers/web", {"force": "1", "v": "1"}),
        (["image", "tag", "a/b:1", "example.org:5000/c"], "POST /images/a/b:1/tag", None),
    ],
)
def test_one_call(said: Script, pynet: Shell, words: list[str], asked: str, values: dict[str, str] | None) -> None:
    escaped = asked.replace("b:1", "b%3A1")
    said.on(escaped, None)
    assert pynet(*words)[::2] == (0, "")
    assert said.asked == [escaped]
    assert said.query(escaped) == ({"repo": "example.org:5000/c", "tag": "latest"} if values is None else values)


def test_rm_force_is_content_with_absence(said: Script, pynet: Shell) -> None:
    said.on("DELETE /containers/web", lambda request: request.refuse(404, "No such container: web"))
    assert pynet("container", "rm", "-f", "web") == (0, "", "")
    assert pynet("container", "rm", "web") == (1, "", "pynet: No such container: web\n")


def test_wait(said: Script, pynet: Shell) -> None:
    said.on("POST /containers/web/wait", lambda request: request.chunks(b'{"StatusCode":3}\n'))
    assert pynet("wait", "web", "web") == (0, "3\n3\n", "")


def test_inspect(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/web/json", {"Id": ID, "State": {"Running": True}})
    status, out, err = pynet("container", "inspect", "web", "gone")
    assert status == 1 and json.loads(out) == [{"Id": ID, "State": {"Running": True}}]
    assert err == "pynet: not in the script: GET /containers/gone/json\n"
    assert pynet("container", "inspect", "-f", "{{.State.Running}}", "web") == (0, "true\n", "")


def test_top(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/web/top", {"Titles": ["PID", "CMD"], "Processes": [["1", "httpd"]]})
    assert pynet("container", "top", "web", "-o", "pid,cmd") == (0, "PID   CMD\n1     httpd\n", "")
    assert said.query("GET /containers/web/top") == {"ps_args": "-o pid,cmd"}


def test_prune_asks(said: Script, pynet: Shell) -> None:
    said.on("POST /containers/prune", {"ContainersDeleted": [ID], "SpaceReclaimed": 0})
    assert pynet("container", "prune", stdin="n\n")[0] == 0 and said.asked == []
    assert pynet("container", "prune", stdin="y\n")[1].endswith(f"Deleted Containers:\n{ID}\n")
    assert pynet("container", "prune", "-f", "--filter", "label=x")[1] == f"Deleted Containers:\n{ID}\n"
    assert said.query("POST /containers/prune") == {"filters": '{"label":["x"]}'}


# --- port


PORTS = {
    "443/tcp": None,
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
}


def test_port(said: Script, pynet: Shell) -> None:
    said.on("GET /containers/web/json", {"NetworkSettings": {"Ports": PORTS}})
    assert pynet("port", "web")[1] == "53/udp -> 127.0.0.1:5353\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert pynet("port", "web", "80")[1] == "0.0.0.0:8080\n[::]:8080\n"
    assert pynet("container", "port", "web", "53/udp")[1] == "127.0.0.1:5353\n"
    assert pynet("port", "web", "443") == (1, "", "pynet: container web publishes no port 443/tcp\n")
    assert pynet("port", "web", "x")[2].startswith("pynet: PORT x: ")


def test_ports_are_changed_live(said: Script, pynet: Shell) -> None:
    said.on("POST /containers/web/ports", {"Ports": PORTS})
    said.on("GET /containers/web/json", {"NetworkSettings": {"Ports": PORTS}})
    status, out, _ = pynet("port", "add", "web", "127.0.0.1:8443:443", "9000")
    assert status == 0 and "80/tcp -> 0.0.0.0:8080\n" in out
    assert said.body("POST /containers/web/ports") == {
        "Add": {
            "443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8443"}],
            "9000/tcp": [{"HostIp": "", "HostPort": ""}],
        }
    }
    assert pynet("port", "rm", "web", "8080:80")[0] == 0
    assert said.body("POST /containers/web/ports") == {"Remove": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}
    assert pynet("port", "add", "web", "x:80")[2].startswith("pynet: port add x:80: ")


# --- connect


def test_connect_and_disconnect_containers_of_ours(said: Script, pynet: Shell) -> None:
    said.on("POST /networks/mynet/connect", None)
    said.on("POST /networks/mynet/disconnect", None)
    words = ["--ip", "10.0.0.9", "--alias", "www", "--gw-priority", "3", "--driver-opt", "a=b"]
    assert pynet("connect", *words, "mynet", "web") == (0, "", "")
    assert said.body("POST /networks/mynet/connect") == {
        "Container": "web",
        "EndpointConfig": {
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "Aliases": ["www"],
            "GwPriority": 3,
            "DriverOpts": {"a": "b"},
        },
    }
    assert pynet("disconnect", "-f", "mynet", "web") == (0, "", "")
    assert said.body("POST /networks/mynet/disconnect") == {"Container": "web", "Force": True}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "80:80", "mynet", "web"], "--publish goes with ns:, nerdctl: and cri: containers only; pynet port add"),
        (["--ip6", "fd00::1", "mynet", "ns:/x"], "--ip6 goes with containers of pynet run only"),
        (["--ip", "x", "mynet", "web"], "--ip x: invalid IP address: x"),
    ],
)
def test_connect_names_the_flag(pynet: Shell, words: list[str], message: str) -> None:
    status, _, err = pynet("connect", *words)
    assert status == 1 and err.startswith(f"pynet: {message}")


def test_a_container_where_a_network_was_expected(said: Script, pynet: Shell, tmp_path: Path) -> None:
    said.on("GET /containers/web/json", {"Id": ID})
    for verb in ("inspect", "rm"):
        status, _, err = pynet(verb, "--netconf-dir", str(tmp_path), "web")
        assert (status, err) == (
            1,
            f"pynet: network web not found; there is a container web: pynet container {verb} web\n",
        )
        assert pynet(verb, "--netconf-dir", str(tmp_path), "db")[2] == "pynet: network db not found\n"


# --- logs


def test_logs(said: Script, tmp_path: Path) -> None:
    def frames(request: Request) -> None:
        pieces = [(1, b"out\n"), (2, b"err\n")]
        request.chunks(*(bytes([n, 0, 0, 0, 0, 0, 0, len(text)]) + text for n, text in pieces))

    said.on("GET /containers/web/json", {"Id": ID, "Config": {"Tty": False}})
    said.on(f"GET /containers/{ID}/logs", frames)
    done = piped(tmp_path, "logs", "-ft", "--tail", "5", "--since", "2026-01-02T03:04:05Z", "web")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    assert said.query(f"GET /containers/{ID}/logs") == {
        "stdout": "1",
        "stderr": "1",
        "follow": "1",
        "timestamps": "1",
        "tail": "5",
        "since": "1767323045.000000000",
    }
    said.on("GET /containers/web/json", {"Id": ID, "Config": {"Tty": True}})
    said.on(f"GET /containers/{ID}/logs", lambda request: request.chunks(b"plain\r\n"))
    assert piped(tmp_path, "logs", "web").stdout == b"plain\r\n"
    assert piped(tmp_path, "logs", "-n", "x", "web").stderr.startswith(b"pynet: --tail 'x': expected a number")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("1767323045", "1767323045"),
        ("1.5", "1.5"),
        ("10m", "400.000000000"),
        ("10m30s", "370.000000000"),
        ("0.1h", "640.000000000"),
        ("1970-01-01T01:00:00+01:00", "0.000000000"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert moments.seconds_of("--since", text, 1000.0) == expected


@pytest.mark.parametrize("text", ["yesterday", "10", "m", "1.2.3s", "10 m", "5x"])
def test_what_is_no_moment(text: str) -> None:
    if text == "10":
        assert moments.seconds_of("--since", text, 0.0) == "10"
        return
    with pytest.raises(InvalidParameter, match="--since"):
        moments.seconds_of("--since", text, 0.0)


# --- images


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
