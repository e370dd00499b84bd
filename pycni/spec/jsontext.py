"""JSON text in and out, in the form Go's encoder writes it (contract 1.4, 1.7, 1.10).

Importing the standard `json` costs 5 ms of CPU, because its decoder compiles regular expressions.  The C scanner and
string encoder below it cost nothing; they are private to CPython, so `json` is the way out where they are missing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

if TYPE_CHECKING:

    def _quote_c(text: str) -> str: ...
    def _make_scanner(options: _ScannerOptions) -> Callable[[str, int], tuple[Any, int]]: ...
else:
    try:
        from _json import encode_basestring as _quote_c
        from _json import make_scanner as _make_scanner
    except ImportError:  # an interpreter without the accelerator
        from json.encoder import py_encode_basestring as _quote_c
        from json.scanner import py_make_scanner as _make_scanner

_SPACE = " \t\n\r"
_GO_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


class _ScannerOptions:
    strict = True
    object_hook = None
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: dict[str, str]

    def __init__(self, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> None:
        self.object_pairs_hook = pairs_hook
        self.memo = {}


_scan = _make_scanner(_ScannerOptions())


def loads(text: str | bytes, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """One JSON document.  `pairs_hook` sees each object as its list of pairs, duplicates included.

    ValueError with a reason for anything that is not exactly one document."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    start = len(text) - len(text.lstrip(_SPACE))
    if start == len(text):
        raise ValueError("unexpected end of JSON input")
    scan = _scan if pairs_hook is None else _make_scanner(_ScannerOptions(pairs_hook))
    try:
        value, end = scan(text, start)
    except StopIteration as stop:
        if stop.value >= len(text):
            raise ValueError("unexpected end of JSON input") from None
        raise ValueError(f"invalid character {text[stop.value]!r} at offset {stop.value}") from None
    except SystemError:
        # the C scanner raises its error through json.decoder, but only where somebody has imported that
        import json.decoder

        json.decoder.JSONDecoder().decode(text)
        raise
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    rest = text[end:].lstrip(_SPACE)
    if rest:
        raise ValueError(f"invalid character {rest[0]!r} after top-level value")
    return _mended(value) if "\\ud" in text or "\\uD" in text else value


def after_value(text: str) -> str:
    """What follows the value that `text` begins with, perhaps after blanks; ValueError when there is none."""
    try:
        return text[_scan(text, len(text) - len(text.lstrip(_SPACE)))[1] :]
    except StopIteration as stop:
        raise ValueError(f"no value at offset {stop.value}") from None


def _mended(value: Any) -> Any:
    """The value with every half of a surrogate pair replaced by U+FFFD, as Go decodes it: a text that holds one could
    not be written anywhere."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_mended, value))
    return value


def quote(text: str) -> str:
    """A JSON string literal with Go's HTML-safe escapes."""
    return escaped(_quote_c(text))


literal = _quote_c
"""A JSON string literal before Go's escapes, for who gives the whole document to `escaped`."""


def escaped(text: str) -> str:
    """With Go's escapes.  What it escapes occurs nowhere in JSON but in strings, so a whole document can be done at
    once."""
    for char, escape in _GO_ESCAPES:
        if char in text:
            text = text.replace(char, escape)
    return text


def dumps(value: Any, indent: int = 0, sort_keys: bool = False) -> str:
    """JSON text; compact with `indent` 0, else indented by that many spaces a level like Go's MarshalIndent.

    TypeError for values JSON has no form for."""
    parts: list[str] = []
    _write(value, parts.append, indent, sort_keys, "\n" if indent else "")
    return escaped("".join(parts))


def _write(value: Any, put: Callable[[str], None], indent: int, sort_keys: bool, line: str) -> None:
    if isinstance(value, str):
        put(_quote_c(value))
    elif isinstance(value, dict):
        _write_object(value, put, indent, sort_keys, line)
    elif isinstance(value, list | tuple):
        before = "[" + line + " " * indent
        for item in value:
            put(before)
            _write(item, put, indent, sort_keys, line + " " * indent)
            before = "," + line + " " * indent
        put(line + "]" if value else "[]")
    elif value is None:
        put("null")
    elif isinstance(value, bool):
        put("true" if value else "false")
    elif isinstance(value, int | float):
        put(repr(value))
    else:
        raise TypeError(f"JSON has no form for {type(value).__name__}")


def _write_object(value: dict[Any, Any], put: Callable[[str], None], indent: int, sort_keys: bool, line: str) -> None:
    inner = line + " " * indent
    colon = ": " if indent else ":"
    before = "{" + inner
    for key in sorted(value) if sort_keys else value:
        item = value[key]
        if type(item) is str:
            put(f"{before}{_quote_c(str(key))}{colon}{_quote_c(item)}")
        else:
            put(before + _quote_c(str(key)) + colon)
            _write(item, put, indent, sort_keys, inner)
        before = "," + inner
    put(line + "}" if value else "{}")
