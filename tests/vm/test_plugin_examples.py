"""The example in each plugin's README is what happens, for those that need drivers."""

from __future__ import annotations

import pytest
from plugin_examples import check_example, names


@pytest.mark.parametrize("name", names(guest=True))
def test_the_readme_shows_what_happens(name: str) -> None:
    check_example(name)
