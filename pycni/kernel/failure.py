"""The kernel's error numbers as text, in the form the reference prints them."""

from __future__ import annotations

from os import strerror


def errno_text(number: int) -> str:
    """`file exists` for 17: the C library's text, lower case at its start as in Go."""
    text = strerror(number)
    return text[:1].lower() + text[1:]
