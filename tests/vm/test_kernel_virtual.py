"""The real kernel keeps the contract about all devices on top of others that the in-memory one is tested by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.register_assert_rewrite("virtual_contract")

from virtual_contract import *  # noqa: E402, F403

from pycni.kernel.namespace import Namespace  # noqa: E402


@pytest.fixture
def make(netns: Callable[[], Any]) -> Callable[[], Namespace]:
    return lambda: netns().namespace()
