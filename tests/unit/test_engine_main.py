"""pynetd's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import netd
from netd.engine.main import Options, UsageError, main, parse


def test_defaults() -> None:
    assert parse([]) == parse(["engine"]) == Options("/run/pynet", "/run/pynet/cni.sock", 4)


def test_options_in_both_spellings() -> None:
    expected = Options("/r", "/s", 8)
    assert parse(["--run-dir", "/r", "--socket", "/s", "--workers", "8"]) == expected
    assert parse(["engine", "--run-dir=/r", "--socket=/s", "--workers=8"]) == expected
    assert parse(["--no-restore"]).restore is False
    assert parse(["--run-dir=/r"]).socket == "/r/cni.sock"


@pytest.mark.parametrize(
    "arguments",
    [["dns"], ["--socket"], ["--socket", "s"], ["--run-dir="], ["--workers", "0"], ["--workers=65"], ["--workers=x"]],
)
def test_what_is_not_understood(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        parse(arguments)
    assert main(arguments) == 2
    assert "usage: pynetd" in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pynetd {netd.VERSION} (CNI plugins v1.9.1)\n"
    assert main(["engine", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: pynetd [engine]")


def test_the_version_is_the_distribution_s() -> None:
    project = Path(netd.__file__).resolve().parent.parent / "pyproject.toml"
    assert f'\nversion = "{netd.VERSION}"\n' in project.read_text()
