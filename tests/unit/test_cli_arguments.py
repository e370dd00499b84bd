"""The grammar of the command line: docker's, and every mistake named."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interpreter import ROOT

from netd.cli.commands import ALIASES, GROUPS, command, names
from netd.cli.flags import Argument, Command, HelpAsked, UsageError, many, number, parse, switch, text
from netd.cli.help import of_command, of_group, overview
from netd.cli.main import USAGE_ERROR, main

FLAGS = (
    switch("-d", "--detach"),
    switch("-i", "--interactive"),
    switch("-t", "--tty"),
    text("--name", "NAME"),
    many("-p --publish", "PORT"),
    number("--gw-priority", "N"),
    switch("--systemd", store="systemd", default=None),
    switch("--no-systemd", store="systemd", default=None),
)
IMAGE = (Argument("image", "IMAGE"), Argument("words", "COMMAND", "any"))
RUN = Command("run", "run", "run:run", FLAGS, IMAGE, interspersed=False)
LS = Command("ls", "list", "ls:ls", FLAGS, (Argument("names", "NAME", "some"),), exclusive=(("--tty", "--detach"),))


def values(command: Command, line: str) -> dict[str, object]:
    return vars(parse(command, line.split()))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-it busybox", {"interactive": True, "tty": True, "detach": False}),
        ("-dp 80 busybox", {"detach": True, "publish": ["80"]}),
        ("-p8080:80 -p=81 --publish=82 --publish 83 busybox", {"publish": ["8080:80", "81", "82", "83"]}),
        ("--name web --name=other busybox", {"name": "other"}),
        ("--name= busybox", {"name": ""}),
        ("--detach=false -t=true busybox", {"detach": False, "tty": True}),
        ("--gw-priority -5 busybox", {"gw_priority": -5}),
        ("busybox ls -l --name x", {"image": "busybox", "words": ["ls", "-l", "--name", "x"], "name": ""}),
        ("busybox -- sh", {"words": ["--", "sh"]}),
        ("-d -- busybox -d", {"detach": True, "image": "busybox", "words": ["-d"]}),
        ("busybox --help", {"words": ["--help"]}),
        ("--name --help busybox", {"name": "--help"}),
        ("--systemd x", {"systemd": True}),
        ("--no-systemd x", {"systemd": False}),
        ("--no-systemd=false x", {"systemd": True}),
        ("x", {"systemd": None, "gw_priority": None, "publish": [], "words": []}),
    ],
)
def test_docker_reads_it_like_this(line: str, expected: dict[str, object]) -> None:
    found = values(RUN, line)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nope x", "unknown flag --nope"),
        ("--nope=1 x", "unknown flag --nope"),
        ("-z x", "unknown flag -z"),
        ("-dz x", "unknown flag -z in -dz"),
        ("--name", "--name: a value is missing"),
        ("-p", "-p: a value is missing"),
        ("--tty=maybe x", "--tty=maybe: must be true or false"),
        ("--gw-priority high x", "--gw-priority 'high': must be a whole number"),
        ("", "missing IMAGE"),
        ("-d", "missing IMAGE"),
    ],
)
def test_a_mistake_is_named(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(RUN, line.split())
    assert str(caught.value) == message


def test_flags_between_arguments_where_the_command_is_ours() -> None:
    assert values(LS, "a -d b")["names"] == ["a", "b"]
    with pytest.raises(UsageError, match="--tty and --detach exclude each other"):
        parse(LS, ["-t", "-d", "a"])
    with pytest.raises(UsageError, match="missing NAME"):
        parse(LS, [])
    with pytest.raises(UsageError, match="unexpected argument 'b'"):
        parse(Command("x", "x", "x:x", (), (Argument("one", "ONE"),)), ["a", "b"])


def test_help_is_a_flag_of_every_command() -> None:
    for words in (["--help"], ["-d", "-h"], ["-dh"]):
        with pytest.raises(HelpAsked):
            parse(RUN, words)
    hostname = RUN.replace(flags=(text("-h --hostname", "NAME"),))
    assert vars(parse(hostname, ["-h", "web", "busybox"]))["hostname"] == "web"


@given(
    st.lists(
        st.sampled_from(["-d", "-it", "-p", "80", "--name", "x", "--name=y", "--", "busybox", "-", ""]), max_size=8
    )
)
def test_every_word_is_read_or_refused(words: list[str]) -> None:
    try:
        found = vars(parse(RUN, words))
    except UsageError:
        return
    publish, image = found["publish"], found["image"]
    assert isinstance(publish, list) and isinstance(image, str)
    assert found["words"] == words[len(words) - len(found["words"]) :]  # type: ignore[arg-type]
    assert image in words


def typed(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return main(words, out=out, err=err, environ={"PYNET_RUN_DIR": "/nonexistent"}), out.getvalue(), err.getvalue()


def test_help_of_a_command_is_that_of_its_flag() -> None:
    for words in ("create", "image", "image ls", "container run", "port"):
        assert typed("help", *words.split()) == typed(*words.split(), "--help")
    assert typed("help", "create")[1].startswith("usage: pynet create ")
    assert typed("help") == typed("--help")
    assert typed("help", "frob")[2] == "pynet: 'frob' is no command (see pynet --help)\n"


def test_a_mistake_names_the_command_and_its_help() -> None:
    status, out, err = typed("completion", "fish")
    assert (status, out) == (USAGE_ERROR, "")
    assert err == "pynet: completion: SHELL 'fish': one of bash, zsh (see pynet completion --help)\n"
    assert typed("run", "--nope") == (125, "", "pynet: run: unknown flag --nope (see pynet run --help)\n")
    assert typed("--frob", "x")[::2] == (2, "pynet: unknown flag --frob (see pynet --help)\n")
    assert typed("frob")[2] == "pynet: 'frob' is no command (see pynet --help)\n"
    assert "container: 'frob' is no command of it; there are create, run" in typed("container", "frob")[2]
    assert typed("--run-dir")[2] == "pynet: --run-dir: a value is missing (see pynet --help)\n"


def test_every_command_explains_itself() -> None:
    for name in names():
        chosen = command(name)
        page = of_command(name, chosen)
        assert page.startswith(f"usage: pynet {name}")
        for flag in chosen.flags:
            assert not flag.help or flag.long in page
        assert max(map(len, page.splitlines())) <= 120
        assert typed(*name.split(), "--help") == (0, page, "")


def test_the_overview_names_every_command() -> None:
    page = overview()
    for name in set(names()) - ALIASES:
        word = name.split()[-1]
        assert word in page
    for group in GROUPS:
        assert typed(group, "--help") == (0, of_group(group), "")
        assert typed(group)[0] == USAGE_ERROR
    assert typed("--help") == (0, page, "") == typed("help")
    assert typed() == (USAGE_ERROR, page, "")
    assert max(map(len, page.splitlines())) <= 120


def test_port_is_a_command_and_has_some() -> None:
    assert command("port").function == "port:show"
    status, _, err = typed("port", "add", "web")
    assert (status, err) == (2, "pynet: port add: missing [IP:][HOST:]PORT[/PROTO] (see pynet port add --help)\n")


def test_paths_before_and_after_the_command() -> None:
    for words in (("--run-dir", "/nowhere", "ps"), ("--run-dir=/nowhere", "ps"), ("ps", "--run-dir", "/nowhere")):
        status, _, err = typed(*words)
        assert (status, err.partition(";")[0]) == (1, "pynet: pynetd does not run (there is no /nowhere/api.sock)")
        assert err.endswith("; start it with: pynetd &\n")


HEAVY = {"argparse", "collections", "dataclasses", "email", "enum", "http", "inspect", "json", "re", "socket", "typing"}


def test_running_a_container_imports_nothing_heavy() -> None:
    """`pynet run` may take 35 ms before it asks the daemon; argparse alone is 20."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from netd.cli import main, run, run_commands, session, exec, attach, client
status = main.main(["--run-dir", "/nonexistent", "run", "--rm", "-p", "80:80", "-v", "/a:/b", "-m", "1g", "busybox"])
assert status == 125
print(*sys.modules)
"""
    python = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(python, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "netd.ports.grammar" in loaded and "netd.cli.volume_arguments" in loaded
    assert loaded & HEAVY == set()
    assert len(loaded) < 75
