"""`pynet container` and its short forms on containers that exist, against a scripted daemon."""

from __future__ import annotations

import json

import pytest
from api_script import ID, Script
from pynet_shell import Shell, pynet

__all__ = ["pynet"]


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
        (["container", "rm", "--link", "web/db"], "DELETE /containers/web%2Fdb", {"link": "1"}),
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
