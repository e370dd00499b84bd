"""What the command line says of itself."""

from __future__ import annotations

import pytest

from netd.cli.arguments import USAGE_ERROR, build_parser


def test_a_commands_usage_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["connect", "--help"])
    assert capsys.readouterr().out.startswith("usage: pynet connect [-h] ")


def test_a_mistake_names_the_command_and_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["completion", "fish"])
    assert ended.value.code == USAGE_ERROR
    said = capsys.readouterr().err
    assert said.startswith("pynet: completion: ") and said.endswith("(see pynet completion --help)\n")
