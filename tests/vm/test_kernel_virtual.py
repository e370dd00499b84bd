"""The real kernel keeps the contract about devices on top of others that the in-memory one is tested by; Debian's, too,
whose names are looked for in both namespaces.  Its taps need a device file that the guest has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.register_assert_rewrite("virtual_contract")

import virtual_contract  # noqa: E402

from pycni.kernel.namespace import Namespace  # noqa: E402

globals().update(
    {name: each for name, each in vars(virtual_contract).items() if name.startswith("test_") and "tap" not in name}
)


@pytest.fixture
def make(netns: Callable[[], Any]) -> Callable[[], Namespace]:
    return lambda: netns().namespace()
