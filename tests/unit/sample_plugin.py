"""A plugin that notes its calls, and a configuration that every command takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.plan import ops
from pycni.skeleton import Context, Plugin
from pycni.spec.result import Interface, Result

CONFIG: dict[str, Any] = {"name": "net", "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}


class Sample:
    """A plugin that notes its calls; `outcome` is its ADD's result or what any handler raises."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outcome: Result | Exception = Result((Interface("eth0", "", NETNS),))
        self.plan: list[ops.Operation] = []
        names = ("check", "delete", "gc", "status")
        self.plugin = Plugin("sample", add=self._add, **{name: self._handler(name) for name in names})

    def _add(self, context: Context) -> Result:
        self.calls.append("add")
        context.transaction.apply(self.plan)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def _handler(self, name: str) -> Any:
        def handle(context: Context) -> None:
            self.calls.append(name)
            context.warn(f"a line from {name}")
            if isinstance(self.outcome, Exception):
                raise self.outcome

        return handle


def never_read() -> bytes:
    raise AssertionError("standard input was read")


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)
