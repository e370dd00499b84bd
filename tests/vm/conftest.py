"""Tests that need another kernel: run in the guest of `scripts/vm`, or natively where the kernel has what they need.

The guest is emulated: a process costs a tenth of a second there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from netns.conftest import _thread_stays_home  # noqa: F401  # a fixture
from netns.private_netns import PrivateNetns, factory

for module in ("real_machine", "twins"):
    pytest.register_assert_rewrite(module)


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Callable[[], PrivateNetns]]:
    """A factory of private namespaces with lo up."""
    with factory(tmp_path, lo_up=True) as make:
        yield make
