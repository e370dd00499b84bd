"""Frozen value types for the plugin path.

`dataclasses` costs 11 ms of CPU to import (it pulls `inspect` and `re`), more than the interpreter itself, and every
plugin that runs without the engine would pay it.  `Record` gives type checkers the same picture (PEP 681) for nothing.

A subclass declares its fields as annotations, in order; a class-level value is the field's default and must be
immutable.  Records are compared by type and value, are hashable, and cannot be changed after construction.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        return lambda cls: cls


@dataclass_transform(frozen_default=True, eq_default=True)
class Record:
    """Base of all value types; see the module's docstring."""

    _fields: ClassVar[tuple[str, ...]] = ()
    _required: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        own = [
            name
            for name, kind in cls.__dict__.get("__annotations__", {}).items()
            if not (kind.startswith("ClassVar") or name.startswith("_"))
        ]
        cls._fields = cls._fields + tuple(name for name in own if name not in cls._fields)
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))

    if not TYPE_CHECKING:

        def __init__(self, *values, **named):
            fields = self._fields
            if len(values) == len(fields) and not named:
                self.__dict__.update(zip(fields, values, strict=True))
                return
            if len(values) > len(fields):
                raise TypeError(f"{type(self).__name__} takes {len(fields)} values, got {len(values)}")
            state = self.__dict__
            for name, value in zip(fields, values, strict=False):
                state[name] = value
            for name, value in named.items():
                if name in state:
                    raise TypeError(f"{type(self).__name__} got {name!r} twice")
                if name not in fields:
                    raise TypeError(f"{type(self).__name__} has no field {name!r}")
                state[name] = value
            if len(state) < len(fields):
                missing = self._required.difference(state)
                if missing:
                    raise TypeError(f"{type(self).__name__} misses {', '.join(sorted(missing))}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._fields])

    def replace(self, **changes: object) -> Self:
        """A copy with some fields changed."""
        for name in changes:
            if name not in self._fields:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(changes)
        return copy

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({inner})"
