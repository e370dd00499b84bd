"""Spec versions: order, support, and the gate a request must pass (contract 1.5)."""

from __future__ import annotations

from pycni.spec.errors import DecodingFailure, IncompatibleVersion

ALL = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
CURRENT = ALL[-1]

_SINCE = {"CHECK": (0, 4, 0), "GC": (1, 1, 0), "STATUS": (1, 1, 0)}


def parse(text: str) -> tuple[int, int, int]:
    """`1.0.0` as numbers; missing parts are 0 and an empty text is 0.1.0.  DecodingFailure for anything else."""
    if not text:
        return (0, 1, 0)
    parts = text.split(".")
    if len(parts) > 3:
        raise DecodingFailure(f'invalid version "{text}": too many parts')
    numbers = []
    for part in parts:
        # longer than any version, and longer than int() converts
        if not (part.isascii() and part.removeprefix("-").isdigit()) or len(part) > 18:
            raise DecodingFailure(f'failed to convert version part "{part}" of "{text}": invalid syntax')
        numbers.append(int(part))
    major, minor, micro = (*numbers, 0, 0)[:3]
    return (major, minor, micro)


def require(command: str, version: str, supported: tuple[str, ...]) -> None:
    """The version gate of one command.  `version` is the configuration's, empty when missing.

    IncompatibleVersion when the plugin cannot serve it; DecodingFailure when it cannot be compared."""
    since = _SINCE.get(command)
    if since is not None:
        wanted = parse(version)
        if wanted < since:
            raise IncompatibleVersion(f"config version does not allow {command}")
        if not any(parse(each) >= wanted for each in supported):
            raise IncompatibleVersion(f"plugin version does not allow {command}")
    if (version or "0.1.0") not in supported:
        listed = " ".join(f'"{each}"' for each in supported)
        raise IncompatibleVersion(
            "incompatible CNI versions", f'config is "{version or "0.1.0"}", plugin supports [{listed}]'
        )
