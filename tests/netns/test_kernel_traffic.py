"""The real kernel keeps the contract about traffic control, rules and copies of routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.register_assert_rewrite("traffic_contract")

from traffic_contract import *  # noqa: E402, F403

from pycni.kernel.namespace import Namespace  # noqa: E402


@pytest.fixture
def make(netns: Callable[[], Any]) -> Callable[[], Namespace]:
    return lambda: netns().namespace()
