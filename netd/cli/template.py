"""The part of Go's template language that `--format` users type.

    {{.Name}} {{.IPAM.Driver}} {{json .}} {{json .Labels}} {{index .Labels "a.b"}} {{join .Subnets ", "}}
    {{(index .Ports "80/tcp" 0).HostPort}} {{.Name | upper}} {{len .Subnets}} {{println .Name}}
    {{range .Subnets}}{{.}} {{end}} {{range $port, $bound := .Ports}}{{$port}} {{end}} {{$.Name}}
    {{if eq .Driver "bridge"}}…{{else}}…{{end}} {{with .Labels}}…{{end}}

`\\t` and `\\n` in the text mean tab and newline, as in docker; `{{-` and `-}}` trim.  A template is compiled once; a
field that the object lacks is an error naming it, never an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from netd.cli.template_expression import Expression, Scope, TemplateError, expression, text_of, words

__all__ = ["Template", "TemplateError"]

Renderer = Callable[[Any, Scope], str]

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_VARIABLE = re.compile(r"\$[A-Za-z0-9_]+")


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
        return self._render(value, {"$": value})

    def _block(self) -> tuple[Renderer, str]:
        """Renderers up to `end` or `else`, and which of them it was; "" at the end of the text."""
        parts: list[Renderer] = []
        while self._position < len(self._tokens):
            is_action, text = self._tokens[self._position]
            self._position += 1
            if not is_action:
                parts.append(lambda _value, _scope, text=text: text)  # type: ignore[misc]
                continue
            found = words(text)
            if found in (["end"], ["else"]):
                return _sequence(parts), found[0]
            if found[0] in ("range", "if", "with"):
                parts.append(self._branch(found, text))
            else:
                shown = expression(found, text)
                parts.append(lambda value, scope, shown=shown: text_of(shown(value, scope)))  # type: ignore[misc]
        return _sequence(parts), ""

    def _branch(self, found: list[str], text: str) -> Renderer:
        names, rest = _variables(found[1:], text) if found[0] == "range" else ([], found[1:])
        condition = expression(rest, text)
        body, ending = self._block()
        otherwise: Renderer = _sequence([])
        if ending == "else":
            otherwise, ending = self._block()
        if ending != "end":
            raise TemplateError(f"{{{{{text}}}}} without {{{{end}}}}")
        if found[0] == "range":
            return _loop(condition, names, body, otherwise, text)
        within = found[0] == "with"

        def branch(value: Any, scope: Scope) -> str:
            chosen = condition(value, scope)
            return body(chosen if within else value, scope) if chosen else otherwise(value, scope)

        return branch


def _variables(found: list[str], text: str) -> tuple[list[str], list[str]]:
    """The names before `:=`, at most two, and what is after it."""
    if ":=" not in found:
        return [], found
    cut = found.index(":=")
    names = " ".join(found[:cut]).replace(",", " ").split()
    if not 1 <= len(names) <= 2 or not all(_VARIABLE.fullmatch(name) for name in names):
        raise TemplateError(f"cannot read {{{{{text}}}}}")
    return names, found[cut + 1 :]


def _loop(condition: Expression, names: list[str], body: Renderer, otherwise: Renderer, text: str) -> Renderer:
    def loop(value: Any, scope: Scope) -> str:
        shown = []
        for key, item in _items(condition(value, scope), text):
            mine = dict(zip(names, (key, item) if len(names) == 2 else (item,), strict=False))
            shown.append(body(item, scope | mine))
        return "".join(shown) if shown else otherwise(value, scope)

    return loop


def _items(found: Any, text: str) -> Iterator[tuple[Any, Any]]:
    """(key, value) of a map in the keys' order, (index, value) of a list."""
    if isinstance(found, Mapping):
        return iter([(key, found[key]) for key in sorted(found)])
    if found is not None and not isinstance(found, (list, tuple)):
        raise TemplateError(f"{{{{{text}}}}}: not a list")
    return iter(enumerate(found or ()))


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


def _sequence(parts: Sequence[Renderer]) -> Renderer:
    return lambda value, scope: "".join(part(value, scope) for part in parts)
