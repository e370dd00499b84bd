"""Calling plugins by name: finding them, running other people's, calling ours in place (contract 1.13).

A file in the plugin directories that is our launcher, under whatever name and whether hard link or copy, stands for
code that is loaded here already; executing it would only come back to where we are.  What to call then is injected:
this module knows no plugin.  Both ways give a `Completed`, so errors and results cannot differ between them.
"""

from __future__ import annotations

import os
import stat

from pycni.execute import Completed, execute
from pycni.spec import jsontext, result
from pycni.spec.errors import CniError, ConfigError, DecodingFailure, DelegateError
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from pycni.spec.request import Request
    from pycni.spec.result import Result

    InPlace = Callable[[str, Mapping[str, str], bytes], Completed | None]
    Execute = Callable[[str, Mapping[str, str], bytes], Completed]

LAUNCHER_MARK = b"PYCNI-LAUNCHER-CONFIG"
"""Stands in the launcher's file, in C and in Python; `pynet install` writes settings behind it."""

_LAUNCHER_LIMIT = 2 << 20
"""Bytes.  A static launcher has less than one megabyte; larger files are not ours and need not be read."""
_KNOWN_FILES = 1024
_known: dict[tuple[int, int, int, int], bool] = {}


def find_in_path(plugin: str, directories: Sequence[str]) -> str:
    """The path of the first regular file of this name; CniError with the reference's text when there is none."""
    if not plugin:
        raise CniError("no plugin name provided")
    if "/" in plugin:
        raise CniError(f"invalid plugin name: {plugin}")
    if not directories:
        raise CniError("no paths provided")
    for directory in directories:
        path = os.path.normpath(os.path.join(directory, plugin))
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                return path
        except (OSError, ValueError):
            continue
    raise CniError(f'failed to find plugin "{plugin}" in path [{" ".join(directories)}]')


def is_ours(path: str) -> bool:
    """Whether the file is our launcher.  Remembered for as long as the file does not change; an unreadable one is not
    ours."""
    try:
        state = os.stat(path)
        key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        known = _known.get(key)
        if known is None:
            if len(_known) >= _KNOWN_FILES:
                _known.clear()
            known = _known[key] = state.st_size <= _LAUNCHER_LIMIT and _has_mark(path)
        return known
    except OSError:
        return False


def _has_mark(path: str) -> bool:
    with open(path, "rb") as file:
        return LAUNCHER_MARK in file.read(_LAUNCHER_LIMIT)


class Invoker:
    """How plugins are called on behalf of one caller.

    `in_place` gets a name, an environment and the input, and runs our plugin of that name; None when there is none, or
    for a caller who wants files executed.  `run` executes a file; the engine gives one that does so in the caller's
    network namespace.  `pass_on` gets what a successful plugin wrote to its standard error."""

    def __init__(
        self, pass_on: Callable[[bytes], None], in_place: InPlace | None = None, run: Execute = execute
    ) -> None:
        self._pass_on = pass_on
        self._in_place = in_place
        self._run = run

    def call(self, plugin: str, directories: Sequence[str], environment: Mapping[str, str], stdin: bytes) -> bytes:
        """The plugin's standard output; DelegateError when it fails, CniError when there is none of that name."""
        path = find_in_path(plugin, directories)
        completed = None
        if self._in_place is not None and is_ours(path):
            completed = self._in_place(plugin, environment, stdin)
        if completed is None:
            completed = self._run(path, environment, stdin)
        if completed.failure:
            raise plugin_error(completed)
        if completed.stderr:
            self._pass_on(completed.stderr)
        return completed.stdout

    def delegate(self, command: str, plugin: str, request: Request, version: str) -> Result | None:
        """Have another plugin serve a command for the same request; the result of an ADD, else None.

        It gets the caller's environment but for CNI_COMMAND, and the exact input.  `version` is the configuration's
        cniVersion, for a result that does not name its own."""
        environment = {**request.environment, "CNI_COMMAND": command}
        stdout = self.call(plugin, request.path, environment, request.stdin)
        return parse_result(read_result(stdout, version)) if command == "ADD" else None


def plugin_error(completed: Completed) -> DelegateError:
    """What a failed plugin said, as the error to hand on."""
    if not completed.stdout:
        if completed.stderr:
            return DelegateError(0, f"netplugin failed: {quote(completed.stderr)}")
        return DelegateError(0, f"netplugin failed with no error message: {completed.failure}")
    try:
        body = jsontext.loads(completed.stdout)
        if body is None:
            return DelegateError(0, "")
        if not isinstance(body, dict):
            raise ValueError("the error is not a JSON object")
        section = Section(body)
        return DelegateError(section.integer("code", unsigned=True), section.string("msg"), section.string("details"))
    except (ValueError, ConfigError) as error:
        said = quote(completed.stdout)
        return DelegateError(0, f"netplugin failed but error parsing its diagnostic message {said}: {error}")


def read_result(stdout: bytes, version: str) -> dict[str, Any]:
    """An ADD's output as the object it is.  `null` is an empty one; without a version of its own it gets `version`,
    the configuration's.  CniError when it is no object."""
    try:
        body = jsontext.loads(stdout)
    except ValueError as error:
        raise CniError(f"failed to unmarshal raw result: {error}") from None
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise CniError("failed to unmarshal raw result: it is not a JSON object")
    if not body.get("cniVersion"):
        body["cniVersion"] = version or "0.1.0"
    return body


def parse_result(body: dict[str, Any]) -> Result:
    """A result object, laid out as its cniVersion says; CniError when it is not one."""
    section = Section(body)
    try:
        return result.parse(section, section.string("cniVersion"))
    except DecodingFailure as error:
        raise CniError(error.msg) from None


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f"}
_ESCAPES.update({"\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"})


def quote(data: bytes) -> str:
    """Output in double quotes, as Go's %q shows it; bytes that are not UTF-8 become \\xNN."""
    return f'"{"".join(map(_quote_character, data.decode("utf-8", "surrogateescape")))}"'


def _quote_character(character: str) -> str:
    number = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x20 or number == 0x7F:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
