"""Laws of the frozen value types."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.record import Record


class Point(Record):
    x: int
    y: int = 0


class Tagged(Point):
    tag: str = "none"


class Twin(Record):
    x: int
    y: int = 0


class Retyped(Point):
    """Redeclares a field: its place stays, it gets a default."""

    x: int = 7


def test_fields_by_position_by_name_and_by_default() -> None:
    assert (Point(1, 2).x, Point(1, 2).y) == (1, 2)
    assert Point(y=2, x=1) == Point(1, 2)
    assert Point(1) == Point(1, 0)
    assert Point(1).y == 0


def test_inherited_fields_come_first() -> None:
    made = Tagged(1, 2, "t")
    assert (made.x, made.y, made.tag) == (1, 2, "t")
    assert Tagged(1) == Tagged(1, 0, "none")


def test_a_redeclared_field_keeps_its_place() -> None:
    assert Retyped() == Retyped(7, 0)
    assert Retyped(1, 2).y == 2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Point(), "Point misses x"),
        (lambda: Point(y=1), "Point misses x"),
        (lambda: Point(1, 2, 3), "Point takes 2 values, got 3"),
        (lambda: Point(1, x=2), "Point got 'x' twice"),
        (lambda: Point(1, z=2), "Point has no field 'z'"),
        (lambda: Point(1).replace(z=2), "Point has no field 'z'"),
    ],
)
def test_wrong_arguments_are_named(make: object, text: str) -> None:
    with pytest.raises(TypeError, match=f"^{text}$"):
        make()  # type: ignore[operator]


def test_frozen() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point is frozen: cannot set 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"Point is frozen: cannot set 'other'"):
        point.other = 2  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"Point is frozen: cannot delete 'x'"):
        del point.x
    assert point == Point(1, 0)


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_equality_and_hash_follow_the_values(a: int, b: int, c: int, d: int) -> None:
    assert (Point(a, b) == Point(c, d)) == ((a, b) == (c, d))
    assert Point(a, b) != Twin(a, b)
    assert Point(a, b) != Tagged(a, b)
    assert Point(a, b) != (a, b)
    if Point(a, b) == Point(c, d):
        assert hash(Point(a, b)) == hash(Point(c, d))


@given(st.integers(), st.integers())
def test_an_explicit_default_equals_an_implicit_one(x: int, y: int) -> None:
    assert Point(x, 0) == Point(x)
    assert hash(Point(x, 0)) == hash(Point(x))
    assert Point(x).replace(y=y) == Point(x, y)
    assert Point(x, y).replace() == Point(x, y)


def test_replace_keeps_the_type_and_the_original() -> None:
    tagged = Tagged(1, 2, "t")
    changed = tagged.replace(y=3)
    assert type(changed) is Tagged
    assert (changed, tagged) == (Tagged(1, 3, "t"), Tagged(1, 2, "t"))


def test_repr_can_be_read_back() -> None:
    assert repr(Tagged(1, tag="a'b")) == """Tagged(x=1, y=0, tag="a'b")"""
    assert eval(repr(Tagged(1, tag="a'b"))) == Tagged(1, tag="a'b")


def test_copies_are_equal() -> None:
    tagged = Tagged(1, 2, "t")
    assert copy.deepcopy(tagged) == tagged
    assert pickle.loads(pickle.dumps(tagged)) == tagged


def test_a_record_with_an_unhashable_value_has_no_hash() -> None:
    with pytest.raises(TypeError, match=r"unhashable"):
        hash(Point([]))  # type: ignore[arg-type]
