"""How the keys of `--sysctl` are spelled.  Pure."""

from __future__ import annotations


def dotted(key: str) -> str:
    """Both spellings are in use; with slashes, dots belong to a name (sysctl(8))."""
    first_dot, first_slash = key.find("."), key.find("/")
    if first_slash < 0 or 0 <= first_dot < first_slash:
        return key
    return key.replace(".", "\0").replace("/", ".").replace("\0", "/")
