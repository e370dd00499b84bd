"""`--filter K=V` for the API; pure."""

from __future__ import annotations

from netd.failure import InvalidParameter
from pycni.spec.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def as_query(texts: Iterable[str]) -> str:
    """The `filters` parameter, "" without any; which keys there are the daemon knows (contract 4.1)."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidParameter(f"--filter {text!r}: expected KEY=VALUE")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return dumps(found) if found else ""
