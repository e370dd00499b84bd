"""What stands between the braces of a template: fields, constants, variables, functions, parentheses and pipes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netd.networks.errors import InvalidRequest

Scope = dict[str, Any]
"""Variables by name; "$" is the whole object."""

Expression = Callable[[Any, Scope], Any]
"""From what `.` is and the variables to a value."""

_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\)(?:\.[A-Za-z_][A-Za-z0-9_]*)*|[(|]|[^\s"()|]+)')
_FIELD = re.compile(r"(\$[A-Za-z0-9_]*)?((?:\.[A-Za-z_][A-Za-z0-9_]*)*)")


class TemplateError(InvalidRequest):
    """The template cannot be understood, or names a field that does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(f"--format: {message}")


def words(text: str) -> list[str]:
    """The words of an action, at least one; a closing parenthesis has the fields that follow it."""
    found = []
    position = 0
    while match := _WORD.match(text, position):
        found.append(match[1])
        position = match.end()
    if not found or text[position:].strip():
        raise TemplateError(f"cannot read {{{{{text}}}}}")
    return found


def expression(given: Sequence[str], text: str) -> Expression:
    """Compiled; `text` is the whole action, for messages."""
    reader = _Reader(given, text)
    found = reader.pipeline()
    if reader.next is not None:
        raise reader.unreadable()
    return found


class _Reader:
    """Recursive descent; `next` is the word to be read, None at the end."""

    def __init__(self, given: Sequence[str], text: str) -> None:
        self._words = iter(given)
        self._text = text
        self.next = next(self._words, None)

    def unreadable(self) -> TemplateError:
        known = f"only fields and the functions {', '.join(sorted(_FUNCTIONS))} are known"
        return TemplateError(f"cannot read {{{{{self._text}}}}}: {known}")

    def pipeline(self) -> Expression:
        found = self._command(None)
        while self.next == "|":
            self._take()
            found = self._command(found)
        return found

    def _take(self) -> str:
        word = self.next
        if word is None:
            raise self.unreadable()
        self.next = next(self._words, None)
        return word

    def _command(self, last: Expression | None) -> Expression:
        """`last` is what comes out of the pipe: the function's last value."""
        if self.next not in _FUNCTIONS:
            if last is not None:
                raise self.unreadable()
            return self._operand()
        name = self._take()
        operands: list[Expression] = []
        while self.next is not None and self.next != "|" and not self.next.startswith(")"):
            operands.append(self._operand())
        if last is not None:
            operands.append(last)
        function, least, most = _FUNCTIONS[name]
        if not least <= len(operands) <= most:
            wanted = f"{least} value{'s' if least > 1 else ''}{' or more' if most > least else ''}"
            raise TemplateError(f"{{{{{self._text}}}}}: {name} takes {wanted}")
        return lambda value, scope: function(*(operand(value, scope) for operand in operands))

    def _operand(self) -> Expression:
        word = self._take()
        if word == "(":
            inner = self.pipeline()
            if self.next is None or not self.next.startswith(")"):
                raise self.unreadable()
            return _following(inner, self._take()[1:])
        if word.startswith('"'):
            try:
                constant = json.loads(word)
            except ValueError:
                raise self.unreadable() from None
            return lambda _value, _scope: constant
        if word.isascii() and word.isdigit():
            number = int(word)
            return lambda _value, _scope: number
        match = _FIELD.fullmatch(word)
        if word == ".":
            return lambda value, _scope: value
        if not match:
            raise self.unreadable()
        return _following(_variable(match[1]) if match[1] else lambda value, _scope: value, match[2])


def _variable(name: str) -> Expression:
    def look_up(_value: Any, scope: Scope) -> Any:
        if name not in scope:
            raise TemplateError(f"no variable {name} here")
        return scope[name]

    return look_up


def _following(start: Expression, fields: str) -> Expression:
    """`fields` is "" or ".A.B"."""
    if not fields:
        return start
    names = fields[1:].split(".")

    def follow(value: Any, scope: Scope) -> Any:
        found = start(value, scope)
        for name in names:
            if not isinstance(found, Mapping):
                raise TemplateError(f"{fields}: no fields in {text_of(found)!r}")
            if name not in found:
                raise TemplateError(f"no field {name!r} in {fields}; known are {', '.join(found)}")
            found = found[name]
        return found

    return follow


def text_of(value: Any) -> str:
    """As Go prints it: lists as [a b], maps as map[a:1], booleans in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{text_of(value[key])}' for key in sorted(value))}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(text_of(item) for item in value)}]"
    return str(value)


def _index(found: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(found, Mapping):
            found = found.get(key, "")
        elif isinstance(found, (list, tuple)) and isinstance(key, int) and key < len(found):
            found = found[key]
        else:
            raise TemplateError(f"index {key!r} is out of range")
    return found


def _join(items: Any, separator: Any) -> str:
    if not isinstance(items, (list, tuple)):
        raise TemplateError("join: not a list")
    return str(separator).join(text_of(item) for item in items)


def _length(value: Any) -> int:
    if not isinstance(value, (Mapping, list, tuple, str)):
        raise TemplateError(f"len: {text_of(value)!r} has no length")
    return len(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_ANY = 100
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "eq": (lambda first, *others: first in others, 2, _ANY),
    "index": (_index, 2, _ANY),
    "join": (_join, 2, 2),
    "json": (_json, 1, 1),
    "len": (_length, 1, 1),
    "lower": (lambda value: text_of(value).lower(), 1, 1),
    "ne": (lambda first, second: first != second, 2, 2),
    "not": (lambda value: not value, 1, 1),
    "println": (lambda *values: " ".join(map(text_of, values)) + "\n", 0, _ANY),
    "upper": (lambda value: text_of(value).upper(), 1, 1),
}
"""The function, and the least and the most of its values."""
