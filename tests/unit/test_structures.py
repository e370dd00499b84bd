"""Structures are learnt one at a time: what msgspec cannot bear is two threads' first use of one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from netd.structures import from_json, from_values

ROOT = Path(__file__).resolve().parents[2]

TWO_FIRST_USES = """
import threading
import msgspec
from netd.structures import from_json

learning, learnt = threading.Event(), threading.Event()

def int_later():
    learning.set()
    learnt.wait(0.2)
    return int

class Inner(msgspec.Struct):
    size: "int_later()"

class Outer(msgspec.Struct):
    first: int
    inner: Inner
    last: int

def use():
    assert from_json(b'{"first": 1, "inner": {"size": 2}, "last": 3}', Outer).inner.size == 2
    learnt.set()

threads = [threading.Thread(target=use) for _ in range(2)]
threads[0].start()
learning.wait()
threads[1].start()
for each in threads:
    each.join()
print("alive")
"""


class Inner(msgspec.Struct):
    size: int


class Outer(msgspec.Struct):
    inner: Inner
    names: list[str] = []


def test_first_uses_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_FIRST_USES], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


def test_both_read_the_same() -> None:
    expected = Outer(Inner(7), ["a"])
    assert from_json(b'{"inner": {"size": 7}, "names": ["a"]}', Outer) == expected
    assert from_values({"inner": {"size": 7}, "names": ["a"]}, Outer) == expected
    assert from_json(b'[{"size": 7}]', list[Inner]) == [Inner(7)]


def test_both_name_what_does_not_fit() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.inner\.size"):
        from_json(b'{"inner": {"size": "7"}}', Outer)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.inner\.size"):
        from_values({"inner": {"size": "7"}}, Outer)
    with pytest.raises(msgspec.DecodeError):
        from_json(b"{", Outer)


def test_nobody_goes_another_way() -> None:
    """Types without a structure in them have nothing to learn."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "netd").rglob("*.py")
        if path.name != "structures.py"
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"msgspec.convert", "msgspec.json.decode", "msgspec.json.Decoder"}
        and any(
            name.id not in {"dict", "list", "str", "bool", "Any"}
            for each in call.keywords
            if each.arg == "type"
            for name in ast.walk(each.value)
            if isinstance(name, ast.Name)
        )
    ]
    assert found == []
