"""Amounts as docker's users write them."""

from __future__ import annotations

import os

from netd.failure import InvalidParameter

_PROCESSORS = {"x86_64": ("amd64", "x86_64", "x86-64"), "aarch64": ("arm64", "aarch64", "arm64/v8")}
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def memory(flag: str, text: str) -> int:
    """Bytes of `512m`, `1.5g`, `64kb`, `1gib`; InvalidParameter."""
    number = text.strip().lower().rstrip("bkmgtpi")
    unit = text.strip().lower()[len(number) :]
    short = unit[:1] if unit[1:] in ("", "b", "ib") else "?"
    try:
        amount = float(number) if number.replace(".", "", 1).isdecimal() and number.isascii() else -1.0
    except ValueError:
        amount = -1.0
    if amount < 0 or short not in _UNITS:
        raise InvalidParameter(f"{flag} {text!r}: expected bytes, such as 512m or 2g")
    return int(amount * _UNITS[short])


def memory_or_unlimited(flag: str, text: str) -> int:
    """The same, and -1."""
    return -1 if text == "-1" else memory(flag, text)


def cpus(flag: str, text: str) -> int:
    """Billionths of a processor of `1.5`; InvalidParameter."""
    whole, _, part = text.partition(".")
    if not (text.isascii() and (whole + part).isdecimal() and len(part) <= 9):
        raise InvalidParameter(f"{flag} {text!r}: expected a number of processors, such as 1.5")
    return int(whole or "0") * 1_000_000_000 + int(part.ljust(9, "0"))


def ulimit(flag: str, text: str) -> dict[str, object]:
    """{"Name", "Soft", "Hard"} of `nofile=1024:2048` or `nofile=1024`, -1 for no limit; InvalidParameter."""
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    numbers = [soft, hard if colon else soft]
    if not name or not equals or not all(part == "-1" or (part.isascii() and part.isdecimal()) for part in numbers):
        raise InvalidParameter(f"{flag} {text!r}: expected NAME=SOFT[:HARD], such as nofile=1024:2048")
    found = [int(part) for part in numbers]
    if found[1] != -1 and (found[0] == -1 or found[0] > found[1]):
        raise InvalidParameter(f"{flag} {text!r}: the soft limit is above the hard one")
    return {"Name": name, "Soft": found[0], "Hard": found[1]}


def check_platform(flag: str, text: str) -> None:
    """InvalidParameter unless it is `linux` and this machine's processor, whose images we have."""
    system, slash, processor = text.lower().partition("/")
    if not slash:
        system, processor = ("linux", system) if system != "linux" else (system, "")
    here = _PROCESSORS.get(os.uname().machine, (os.uname().machine,))
    if system != "linux" or (processor and processor not in here):
        raise InvalidParameter(f"{flag} {text}: only images for linux/{here[0]}, this machine's own, can be run")


def restart_policy(flag: str, text: str) -> dict[str, object]:
    """{"Name", "MaximumRetryCount"} of `on-failure:3`; InvalidParameter."""
    name, colon, count = text.partition(":")
    known = ("no", "always", "unless-stopped", "on-failure")
    if name not in known:
        raise InvalidParameter(f"{flag} {text!r}: one of {', '.join(known)} (on-failure:3 for three times)")
    if colon and (name != "on-failure" or not (count.isascii() and count.isdecimal())):
        raise InvalidParameter(f"{flag} {text!r}: a number of times goes with on-failure only, as in on-failure:3")
    return {"Name": name, "MaximumRetryCount": int(count or "0")}
