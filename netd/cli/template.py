"""The part of Go's template language that `--format` users type.

    {{.Name}} {{.IPAM.Driver}} {{json .}} {{json .Labels}} {{index .Labels "a.b"}} {{join .Subnets ", "}}
    {{upper .Name}} {{lower .Name}} {{len .Subnets}} {{range .Subnets}}{{.}} {{end}} {{if .Internal}}…{{else}}…{{end}}

`\\t` and `\\n` in the text mean tab and newline, as in docker; `{{-` and `-}}` trim.  A template is compiled once; a
field that the object lacks is an error naming it, never an empty string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netd.networks.errors import InvalidRequest

Renderer = Callable[[Any], str]

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s"]+)')
_FIELD = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_]*)+")


class TemplateError(InvalidRequest):
    """The template cannot be understood, or names a field that does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(f"--format: {message}")


class Template:
    """A compiled template; TemplateError when it is malformed."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text.replace("\\t", "\t").replace("\\n", "\n"))
        self._position = 0
        self._render, ending = self._block()
        if ending:
            raise TemplateError(f"{{{{{ending}}}}} without a beginning")

    def render(self, value: Any) -> str:
        """The text for one object; TemplateError for a field it does not have."""
        return self._render(value)

    def _block(self) -> tuple[Renderer, str]:
        """Renderers up to `end` or `else`, and which of them it was; "" at the end of the text."""
        parts: list[Renderer] = []
        while self._position < len(self._tokens):
            is_action, text = self._tokens[self._position]
            self._position += 1
            if not is_action:
                parts.append(lambda _value, text=text: text)  # type: ignore[misc]
                continue
            words = _words(text)
            if words[0] in ("end", "else"):
                return _sequence(parts), words[0]
            if words[0] in ("range", "if"):
                parts.append(self._branch(words))
            else:
                expression = _expression(words, text)
                parts.append(lambda value, expression=expression: _text(expression(value)))  # type: ignore[misc]
        return _sequence(parts), ""

    def _branch(self, words: list[str]) -> Renderer:
        condition = _expression(words[1:], " ".join(words))
        body, ending = self._block()
        otherwise: Renderer = _sequence([])
        if ending == "else":
            otherwise, ending = self._block()
        if ending != "end":
            raise TemplateError(f"{{{{{' '.join(words)}}}}} without {{{{end}}}}")
        if words[0] == "if":
            return lambda value: body(value) if condition(value) else otherwise(value)

        def loop(value: Any) -> str:
            items = condition(value)
            if isinstance(items, Mapping):
                items = [items[key] for key in sorted(items)]
            if items is not None and (isinstance(items, str) or not isinstance(items, Sequence)):
                raise TemplateError(f"{{{{{' '.join(words)}}}}}: not a list")
            return "".join(body(item) for item in items) if items else otherwise(value)

        return loop


def _tokens(text: str) -> list[tuple[bool, str]]:
    """(is an action, text) pairs."""
    tokens: list[tuple[bool, str]] = []
    end = 0
    trim = False
    for match in _ACTION.finditer(text):
        literal = text[end : match.start()]
        literal = literal.lstrip() if trim else literal
        tokens.append((False, literal.rstrip() if match[1] else literal))
        tokens.append((True, match[2].strip()))
        end, trim = match.end(), bool(match[3])
    rest = text[end:]
    if "{{" in rest:
        raise TemplateError(f"unclosed action: {rest[rest.index('{{') :]}")
    tokens.append((False, rest.lstrip() if trim else rest))
    return tokens


def _words(text: str) -> list[str]:
    words = []
    position = 0
    while match := _WORD.match(text, position):
        words.append(match[1])
        position = match.end()
    if not words or text[position:].strip():
        raise TemplateError(f"cannot read {{{{{text}}}}}")
    return words


def _sequence(parts: Sequence[Renderer]) -> Renderer:
    return lambda value: "".join(part(value) for part in parts)


def _expression(words: Sequence[str], text: str) -> Callable[[Any], Any]:
    operands = [_operand(word, text) for word in words if word not in _FUNCTIONS]
    if len(words) == 1 and len(operands) == 1:
        return operands[0]
    if not words or words[0] not in _FUNCTIONS or len(operands) != len(words) - 1:
        raise TemplateError(f"cannot read {{{{{text}}}}}: {_known()}")
    function, arity = _FUNCTIONS[words[0]]
    if len(operands) != arity:
        raise TemplateError(f"{{{{{text}}}}}: {words[0]} takes {arity} value{'s' if arity > 1 else ''}")
    return lambda value: function(*(operand(value) for operand in operands))


def _operand(word: str, text: str) -> Callable[[Any], Any]:
    if word == ".":
        return lambda value: value
    if word.startswith('"'):
        constant = json.loads(word)
        return lambda _value: constant
    if word.isascii() and word.isdigit():
        number = int(word)
        return lambda _value: number
    if not _FIELD.fullmatch(word):
        raise TemplateError(f"cannot read {word!r} in {{{{{text}}}}}: {_known()}")
    names = word[1:].split(".")

    def follow(value: Any) -> Any:
        for name in names:
            if not isinstance(value, Mapping):
                raise TemplateError(f"{word}: no fields in {_text(value)!r}")
            if name not in value:
                raise TemplateError(f"no field {name!r} in {word}; known are {', '.join(value)}")
            value = value[name]
        return value

    return follow


def _known() -> str:
    return f"only fields and the functions {', '.join(sorted(_FUNCTIONS))} are known"


def _index(container: Any, key: Any) -> Any:
    if isinstance(container, Mapping):
        return container.get(key, "")
    if isinstance(container, Sequence) and isinstance(key, int) and key < len(container):
        return container[key]
    raise TemplateError(f"index {key!r} is out of range")


def _join(items: Any, separator: Any) -> str:
    if not isinstance(items, (list, tuple)):
        raise TemplateError("join: not a list")
    return str(separator).join(_text(item) for item in items)


def _text(value: Any) -> str:
    """As Go prints it: lists as [a b], maps as map[a:1], booleans in lower case."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(_text(item) for item in value)}]"
    return str(value)


_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "json": (lambda value: json.dumps(value, ensure_ascii=False), 1),
    "index": (_index, 2),
    "join": (_join, 2),
    "upper": (lambda value: _text(value).upper(), 1),
    "lower": (lambda value: _text(value).lower(), 1),
    "len": (lambda value: len(value), 1),
}
