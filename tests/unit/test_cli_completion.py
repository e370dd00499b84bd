"""Completion: made from the parser, and correct for the shells themselves."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from netd.cli.commands import ALIASES, names
from netd.cli.completion import bash, commands, spellings, zsh
from netd.cli.main import main

_FAKE = """\
#!/bin/sh
case $1 in
ls) printf 'alpha\\nbeta\\n' ;;
ps) printf 'web\\ndb\\n' ;;
*) echo busybox:latest ;;
esac
"""


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of a line; `pynet ls` answers with two networks, `ps` with two containers,
    `image ls` with one image."""
    fake = folder / "pynet"
    fake.write_text(_FAKE)
    fake.chmod(0o755)
    script = folder / "completion"
    script.write_text(bash(commands()))
    # readline makes words of = and :, but the last one is not empty after them
    words = [word for part in line.split(" ") for word in (re.findall("[^=:]+|[=:]+", part) or [""])]
    program = f"""
        source {script}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1}
        _pynet 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{folder}:/usr/bin:/bin"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, env={"PATH": path})
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pynet cre", ["create"]),
        ("pynet ins", ["inspect", "install"]),
        ("pynet rm ", ["alpha", "beta"]),
        ("pynet inspect al", ["alpha"]),
        ("pynet create --isol", ["--isolation"]),
        ("pynet create --isolation is", ["isolated"]),
        ("pynet create --label ", []),
        ("pynet completion z", ["zsh"]),
        ("pynet prune --d", ["--dry-run"]),
        ("pynet ex", ["exec"]),
        ("pynet container re", ["restart", "rename"]),
        ("pynet image lo", ["load"]),
        ("pynet exec -it ", ["web", "db"]),
        ("pynet logs w", ["web"]),
        ("pynet container inspect d", ["db"]),
        ("pynet port w", ["web"]),
        ("pynet port a", ["add"]),
        ("pynet port add ", ["web", "db"]),
        ("pynet connect ", ["alpha", "beta", "web", "db"]),
        ("pynet run --network al", ["alpha"]),
        ("pynet run --net b", ["beta"]),
        ("pynet run --link ", ["web", "db"]),
        ("pynet run --pull n", ["never"]),
        ("pynet run --name ", []),
        ("pynet run b", ["busybox:latest"]),
        ("pynet run --gw", ["--gw-priority"]),
        ("pynet image rm bu", ["busybox:latest"]),
        ("pynet create --driver=mac", ["macvlan"]),
        ("pynet create --ipam-driver=", ["host-local", "dhcp"]),
        ("pynet run --network=al", ["alpha"]),
        ("pynet create -o mode=", []),
        ("pynet run --name x busybox:la", ["latest"]),
        ("pynet image rm busybox:", ["latest"]),
    ],
)
def test_bash(line: str, expected: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == expected


def test_a_file_is_completed_where_one_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "archive.tar").touch()
    assert completed(f"pynet image load --input {tmp_path}/arch", tmp_path) == [f"{tmp_path}/archive.tar"]
    assert completed(f"pynet image import {tmp_path}/arch", tmp_path) == [f"{tmp_path}/archive.tar"]


def test_every_flag_of_every_command_is_offered() -> None:
    found = commands()
    script_bash, script_zsh = bash(found), zsh(found)
    assert set(found) | ALIASES == set(names())
    for name, chosen in found.items():
        assert f"'{name}')" in script_bash and f"'{name}')" in script_zsh
        for flag in chosen.flags:
            if flag.help:
                assert set(flag.names) <= set(spellings(chosen))
        assert " ".join(spellings(chosen)) in script_bash and " ".join(spellings(chosen)) in script_zsh


def test_zsh_script_is_well_formed(tmp_path: Path) -> None:
    """Its quoting and nesting are those of bash too, which is the shell that every machine has."""
    out = io.StringIO()
    assert main(["completion", "zsh"], out=out) == 0
    script = tmp_path / "_pynet"
    script.write_text(out.getvalue())
    assert out.getvalue().startswith("#compdef pynet\n")
    shell = shutil.which("zsh") or "bash"
    subprocess.run([shell, "-n", str(script)], check=True, capture_output=True)
