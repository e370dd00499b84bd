"""The in-memory kernel keeps the contract about traffic control, rules and copies of routes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("traffic_contract")

from traffic_contract import *  # noqa: E402, F403

from pycni.kernel.memory import MemoryKernel, MemoryNamespace  # noqa: E402


@pytest.fixture
def make() -> Callable[[], MemoryNamespace]:
    return MemoryKernel().create
