"""`--change` of an import: Dockerfile instructions that change an image's configuration.  Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence

from netd.failure import InvalidParameter
from netd.runtime.images.model import ImageConfig

_PORT = re.compile(r"([0-9]+)(?:-([0-9]+))?(?:/(tcp|udp|sctp))?", re.ASCII)


def apply(changes: Sequence[str], config: ImageConfig) -> None:
    """Changes `config` by each in turn; InvalidParameter names the instruction."""
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise InvalidParameter(f"{word.upper() or repr(change)} is not a valid change command")
        rest = rest.strip()
        if not rest and word.upper() not in ("CMD", "ENTRYPOINT"):
            raise InvalidParameter(f"{word.upper()} requires at least one argument")
        try:
            instruction(config, rest)
        except ValueError as error:
            raise InvalidParameter(f"{change}: {error}") from error


def _command(text: str) -> list[str]:
    """An array is executed as it is, anything else by a shell."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return ["/bin/sh", "-c", text] if text else []


def _cmd(config: ImageConfig, rest: str) -> None:
    config.cmd = _command(rest)


def _entrypoint(config: ImageConfig, rest: str) -> None:
    config.entrypoint = _command(rest)


def _env(config: ImageConfig, rest: str) -> None:
    variables = dict(entry.partition("=")[::2] for entry in config.env or [])
    variables.update(_pairs(rest))
    config.env = [f"{name}={value}" for name, value in variables.items()]


def _label(config: ImageConfig, rest: str) -> None:
    config.labels = {**(config.labels or {}), **_pairs(rest)}


def _expose(config: ImageConfig, rest: str) -> None:
    ports = dict(config.exposed_ports or {})
    for word in rest.split():
        found = _PORT.fullmatch(word.lower())
        if not found:
            raise ValueError(f"invalid containerPort: {word}")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 0 < first <= last <= 65535:
            raise ValueError(f"invalid containerPort: {word}")
        ports.update({f"{port}/{found[3] or 'tcp'}": {} for port in range(first, last + 1)})
    config.exposed_ports = ports


def _volume(config: ImageConfig, rest: str) -> None:
    words = json.loads(rest) if rest.startswith("[") else rest.split()
    if not all(isinstance(word, str) and word.startswith("/") for word in words):
        raise ValueError("VOLUME takes absolute paths")
    config.volumes = {**(config.volumes or {}), **{word: {} for word in words}}


def _user(config: ImageConfig, rest: str) -> None:
    config.user = _single(rest)


def _workdir(config: ImageConfig, rest: str) -> None:
    base = config.working_dir or "/"
    config.working_dir = rest if rest.startswith("/") else f"{base.rstrip('/')}/{rest}"


def _stop_signal(config: ImageConfig, rest: str) -> None:
    config.stop_signal = _single(rest)


def _single(rest: str) -> str:
    if len(rest.split()) != 1:
        raise ValueError("takes exactly one argument")
    return rest


def _pairs(rest: str) -> dict[str, str]:
    """NAME=VALUE …, with quotes as in a shell; or the old form NAME VALUE."""
    words = shlex.split(rest)
    if "=" not in words[0]:
        name, _, value = rest.partition(" ")
        if not value.strip():
            raise ValueError("must have two arguments")
        return {name: value.strip()}
    pairs = [word.partition("=") for word in words]
    for name, equals, _value in pairs:
        if not equals or not name:
            raise ValueError(f"can't find = in {name!r}: must be of the form: name=value")
    return {name: value for name, _equals, value in pairs}


_INSTRUCTIONS: dict[str, Callable[[ImageConfig, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "LABEL": _label,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "USER": _user,
    "WORKDIR": _workdir,
    "STOPSIGNAL": _stop_signal,
}
