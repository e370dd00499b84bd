"""What a process that serves many calls remembers of configurations: but for prevResult, that of a network is the same
for each of its containers, and need not be checked and taken apart again."""

from __future__ import annotations

from pycni.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycni.spec.request import Config

    Text = tuple[bytes, bytes | None, Config, dict[object, Any]]

_WORTH_KEEPING = 1 << 16
"""Characters; nobody's configuration is longer, but somebody may send one."""


_RESULTS = 16
"""As many calls as an engine serves at once, and some."""


class Memory:
    """The last configuration of each plugin, the last text of each plugin and command, and the last previous results.
    Thread-safe."""

    __slots__ = ("_known", "_previous", "_texts")

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Config]] = {}
        self._texts: dict[tuple[str, str], Text] = {}
        self._previous: dict[bytes, tuple[Any, dict[object, Any]]] = {}

    def recall(self, plugin: str, raw: dict[str, Any]) -> Config | None:
        """What was made of an equal object."""
        known = self._known.get(plugin)
        # compared as text: of dictionaries also those are equal in which 1 stands for true
        return known[1] if known is not None and known[0] == repr(raw) else None

    def keep(self, plugin: str, raw: dict[str, Any], config: Config) -> None:
        """`config` passed all checks."""
        text = repr(raw)
        if len(text) < _WORTH_KEEPING:
            self._known[plugin] = text, config.for_call(None, {})

    def recall_text(self, plugin: str, command: str, stdin: bytes) -> Config | None:
        """The configuration of this call, when its text differs from the kept one in prevResult's value only.

        JSON has no context: with one value for another in its place, a document stays one and means the same but for
        that value."""
        known = self._texts.get((plugin, command))
        if known is None:
            return None
        before, after, config, memo = known
        if after is None:
            return config.for_call(None, memo) if stdin == before else None
        if not (stdin.startswith(before) and stdin.endswith(after)):
            return None
        try:
            previous, previous_memo = self._recall_previous(stdin[len(before) : len(stdin) - len(after)])
        except ValueError:  # said of the whole text, the words are the right ones
            return None
        return None if previous is None else config.for_call(previous, memo, previous_memo)

    def _recall_previous(self, text: bytes) -> tuple[Any, dict[object, Any]]:
        """As decoded, and what plugins made of it: those of a chain that add nothing to a result get the same text.
        ValueError."""
        known = self._previous.get(text)
        if known is None:
            known = jsontext.loads(text), {}
            if len(text) < _WORTH_KEEPING:
                if len(self._previous) >= _RESULTS:
                    self._previous.clear()
                self._previous[text] = known
        return known

    def keep_text(self, plugin: str, command: str, stdin: bytes, raw: dict[str, Any], config: Config) -> None:
        """`stdin` is the text of `raw`, out of which a prevResult was taken, and passed all checks for the command."""
        parts = _around_previous(stdin, raw)
        if parts is not None and len(stdin) < _WORTH_KEEPING:
            self._texts[plugin, command] = *parts, config.for_call(None, {}), config.text_memo


def _around_previous(stdin: bytes, raw: dict[str, Any]) -> tuple[bytes, bytes | None] | None:
    """What stands before and after prevResult's value; all and None where there is no such key, None where it is not
    certain."""
    text = stdin.decode()
    _, key, rest = text.partition('"prevResult"')
    if not key:
        return (stdin, None) if "\\" not in text else None  # no escapes, so it is not spelt with any either
    value = rest.lstrip(" \t\n\r")
    if not value.startswith(":"):
        return None  # not the key
    after = jsontext.after_value(value[1:])
    before = text[: 1 - len(value)]
    probe = jsontext.loads(f"{before}null{after}")
    if probe.pop("prevResult", 0) is not None or repr(probe) != repr(raw):
        return None  # another object's, or there is one more
    return before.encode(), after.encode()
