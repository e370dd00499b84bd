"""Private network namespaces for tests of the real kernel.

`netns()` makes a namespace with lo down and returns it; all of them are gone at the end of the test, however it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netns.private_netns import PrivateNetns, factory

from pycni.kernel.netns import THREAD_NETNS

__all__ = ["PrivateNetns", "netns"]


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Callable[[], PrivateNetns]]:
    """A factory of private namespaces."""
    with factory(tmp_path) as make:
        yield make


@pytest.fixture(autouse=True)
def _thread_stays_home() -> Iterator[None]:
    """The test's thread ends in the namespace it began in."""
    before = os.stat(THREAD_NETNS).st_ino
    yield
    assert os.stat(THREAD_NETNS).st_ino == before
