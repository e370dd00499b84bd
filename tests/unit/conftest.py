"""Settings for hypothesis: a machine that others use, too, may keep any example waiting, so none has a deadline.  And
the daemon that the tests of `pynet` talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_script import Script, script
from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture
def said(tmp_path: Path) -> Iterator[Script]:
    """A daemon that answers as the test tells it to, where `pynet` with PYNET_RUN_DIR=tmp_path finds it."""
    with script(tmp_path) as made:
        yield made
