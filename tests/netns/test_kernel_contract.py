"""The real kernel, through Namespace, keeps the contract that the in-memory one is tested by."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import PrivateNetns

pytest.register_assert_rewrite("address_contract", "kernel_contract", "kernel_pair", "link_contract")

from address_contract import *  # noqa: E402, F403
from kernel_contract import *  # noqa: E402, F403
from link_contract import *  # noqa: E402, F403

from pycni.kernel.namespace import Namespace  # noqa: E402


@pytest.fixture
def make(netns: Callable[[], PrivateNetns]) -> Callable[[], Namespace]:
    return lambda: netns().namespace()
