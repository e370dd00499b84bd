"""The pair of sides, shared by the tests of one process, and how many cases each test runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from comparison import Comparison
from twin_pair import Pair

_COMPARISON = pytest.StashKey[Comparison]()


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture(scope="session")
def comparison(pair: Pair, pytestconfig: pytest.Config) -> Comparison:
    made = pytestconfig.stash[_COMPARISON] = Comparison(pair)
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The line that scripts/differential adds up, and the keys, in the directory it names."""
    made = config.stash.get(_COMPARISON, None)
    if made is not None:
        directory = os.environ.get("PYCNI_DIFFERENTIAL_KEYS")
        if directory:
            Path(directory, f"keys-{os.getpid()}.json").write_text(json.dumps(made.keys))
        terminalreporter.write_line(f"differential: {made.cases} cases, {made.calls} plugin calls on both sides")
