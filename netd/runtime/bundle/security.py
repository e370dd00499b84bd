"""`--security-opt`, in docker's grammar.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netd.failure import InvalidParameter
from netd.runtime.bundle.seccomp import parse
from pycni.record import Record

DEFAULT_PROFILE: Mapping[str, Any] = {}
"""Stands for the machine's own profile."""

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Security(Record):
    """`seccomp` None: unconfined; `apparmor` "" for what the engine runs under; `labels` are of SELinux, which we leave
    alone."""

    no_new_privileges: bool = False
    seccomp: Mapping[str, Any] | None = DEFAULT_PROFILE
    apparmor: str = ""
    labels: tuple[str, ...] = ()


def security(options: Sequence[str]) -> Security:
    """InvalidParameter names the option."""
    found = Security()
    for option in options:
        found = _with(found, option)
    return found


def _with(found: Security, option: str) -> Security:
    if option == "no-new-privileges":
        return found.replace(no_new_privileges=True)
    if option == "disable":
        return found.replace(labels=(*found.labels, option))
    # "key:value" is what it was before docker 1.11
    key, separator, value = option.partition("=" if "=" in option else ":")
    if not separator:
        raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
    match key:
        case "label":
            return found.replace(labels=(*found.labels, value))
        case "apparmor":
            return found.replace(apparmor="" if value == "unconfined" else value)
        case "seccomp":
            return found.replace(seccomp=_profile(value))
        case "no-new-privileges" if value in _TRUE + _FALSE:
            return found.replace(no_new_privileges=value in _TRUE)
    raise InvalidParameter(f'invalid --security-opt 2: "{option}"')


def _profile(value: str) -> Mapping[str, Any] | None:
    if value == "unconfined":
        return None
    return DEFAULT_PROFILE if value == "builtin" else parse(value, "--security-opt seccomp")
