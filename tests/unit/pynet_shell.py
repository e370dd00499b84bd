"""`pynet` in the test's own process, for commands that need no stream or terminal of their own."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from netd.cli.main import main


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
