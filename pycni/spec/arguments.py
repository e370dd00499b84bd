"""CNI_ARGS (contract 1.12)."""

from __future__ import annotations

from pycni.spec.errors import CniError

_TRUTH = {"1": True, "true": True, "0": False, "false": False}


def parse(text: str, known: tuple[str, ...]) -> dict[str, str]:
    """The pairs of `K=V;K=V` whose keys the plugin knows, case-sensitive; the last one wins.

    CniError for a malformed pair, and for unknown keys unless IgnoreUnknown is true."""
    values: dict[str, str] = {}
    unknown: list[str] = []
    ignore = False
    for pair in text.split(";") if text else ():
        parts = pair.split("=")
        if len(parts) != 2:
            raise CniError(f'ARGS: invalid pair "{pair}"')
        key, value = parts
        if key == "IgnoreUnknown":
            truth = _TRUTH.get(value.lower())
            if truth is None:
                raise CniError(
                    f'ARGS: error parsing value of pair "{pair}": boolean unmarshal error: invalid input {value}'
                )
            ignore = truth
        elif key in known:
            values[key] = value
        else:
            unknown.append(pair)
    if unknown and not ignore:
        listed = " ".join(f'"{pair}"' for pair in unknown)
        raise CniError(f"ARGS: unknown args [{listed}]")
    return values
