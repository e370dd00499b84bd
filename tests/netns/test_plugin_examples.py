"""The example in each plugin's README is what happens, for those that run on any kernel."""

from __future__ import annotations

import pytest
from plugin_examples import check_example, names


@pytest.mark.parametrize("name", names(guest=False))
def test_the_readme_shows_what_happens(name: str) -> None:
    check_example(name)
