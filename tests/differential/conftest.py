"""The pair of sides, shared by the tests of one process, and how many cases each test runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comparison import Comparison
from twin_pair import Pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture(scope="session")
def comparison(pair: Pair) -> Iterator[Comparison]:
    made = Comparison(pair)
    yield made
    print(f"\ndifferential: {made.cases} cases, {made.calls} plugin calls on both sides")
