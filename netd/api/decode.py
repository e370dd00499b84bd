"""JSON bodies as structures, null read as Go reads it: the field keeps its default (contract docker 4.1).

docker-py sends null for whatever was not set, and docker's own server cannot tell that from absence.  A null that a
type names itself (`str | None`) stays one: `{"80/tcp": null}` is a port without bindings.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from netd.structures import from_json, from_values

T = TypeVar("T")


def decode(body: bytes, kind: type[T]) -> T:
    """msgspec.ValidationError with the path of a value of a wrong type, msgspec.DecodeError for what is no JSON."""
    if b"null" not in body:
        return from_json(body, kind)
    return from_values(_settled(msgspec.json.decode(body), kind), kind)


def _settled(value: Any, kind: Any) -> Any:
    """The value with the nulls left out that `kind` has no place for."""
    alternatives = _alternatives(kind)
    if isinstance(value, dict):
        for each in alternatives:
            if isinstance(each, type) and issubclass(each, msgspec.Struct):
                fields = _fields(each)
                return {
                    key: _settled(item, fields.get(key, Any))
                    for key, item in value.items()
                    if item is not None or _nullable(fields.get(key, Any))
                }
            if get_origin(each) is dict:
                item_kind = get_args(each)[1]
                # Go's zero value of a string
                empty = "" if item_kind is str else None
                return {key: empty if item is None else _settled(item, item_kind) for key, item in value.items()}
    if isinstance(value, list):
        for each in alternatives:
            if get_origin(each) is list:
                return [_settled(item, get_args(each)[0]) for item in value]
    return value


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _nullable(kind: Any) -> bool:
    return kind in (Any, object) or NoneType in _alternatives(kind)


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Types by the names on the wire."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
