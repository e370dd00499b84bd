"""Every plugin's README has an example, which tests/netns or tests/vm runs."""

from __future__ import annotations

from plugin_examples import WITHOUT, has_example

from pycni_plugins import NAMES


def test_every_plugin_has_an_example() -> None:
    assert [name for name in NAMES if not has_example(name)] == list(WITHOUT)
