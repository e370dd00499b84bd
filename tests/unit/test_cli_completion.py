"""Completion: made from the parser, and correct for the shells themselves."""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
from pathlib import Path

import pytest

from netd.cli.arguments import build_parser
from netd.cli.completion import bash, commands, zsh
from netd.cli.main import _COMMANDS, main


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of a line; `pynet ls` answers with two networks."""
    fake = folder / "pynet"
    fake.write_text("#!/bin/sh\nprintf 'alpha\\nbeta\\n'\n")
    fake.chmod(0o755)
    script = folder / "completion"
    script.write_text(bash(commands(build_parser())))
    words = line.split(" ")
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
    ],
)
def test_bash(line: str, expected: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == expected


def test_every_flag_of_every_command_is_offered() -> None:
    parser = build_parser()
    found = commands(parser)
    script_bash, script_zsh = bash(found), zsh(found)
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    assert set(found) <= set(subparsers.choices) == set(_COMMANDS)
    for name, child in subparsers.choices.items():
        if name not in found:
            continue
        for action in child._actions:
            for flag in action.option_strings:
                assert flag in found[name].flags
                assert flag in script_bash and flag in script_zsh


def test_zsh_script_is_well_formed(tmp_path: Path) -> None:
    """Its quoting and nesting are those of bash too, which is the shell that every machine has."""
    out = io.StringIO()
    assert main(["completion", "zsh"], out=out) == 0
    script = tmp_path / "_pynet"
    script.write_text(out.getvalue())
    assert out.getvalue().startswith("#compdef pynet\n")
    shell = shutil.which("zsh") or "bash"
    subprocess.run([shell, "-n", str(script)], check=True, capture_output=True)
