"""The grammar of the command line: docker's (that of Go's pflag), read from tables.  Pure.

    --flag VALUE  --flag=VALUE  -f VALUE  -fVALUE  -f=VALUE  --switch  --switch=false  -it (switches together)  --

Tables instead of `argparse`: importing that and building a parser of seventy flags costs 20 ms, which is a fifth of
what `pynet run` may take in all.  Help, usage errors and completion come from the same tables.
"""

from __future__ import annotations

from pycni.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")

SWITCH, TEXT, LIST, NUMBER = "switch", "text", "list", "number"


class UsageError(Exception):
    """The command line cannot be understood; the text names the flag or argument."""


class HelpAsked(Exception):
    """`--help`, or `-h` where that is no flag of the command."""


class Flag(Record):
    """One flag.  `names` are its spellings, the long one to be shown last; the value is found under that name with `_`
    for `-`.  `choices` are the only values, `completes` what a shell offers ("container", "network", "image", "dir",
    "file"); `group` the heading in `--help`; a flag without `help` and `metavar` is not shown there.

    Values: SWITCH bool, TEXT str, NUMBER int, LIST list of str; `default` where not given."""

    names: tuple[str, ...]
    kind: str = TEXT
    metavar: str = ""
    help: str = ""
    default: object = ""
    choices: tuple[str, ...] = ()
    completes: str = ""
    group: str = "Flags"
    store: str = ""

    @property
    def long(self) -> str:
        return self.names[-1]

    @property
    def dest(self) -> str:
        return self.store or self.long.lstrip("-").replace("-", "_")


class Argument(Record):
    """A positional argument: `count` is "one", "optional", "some" (one or more) or "any"."""

    dest: str
    metavar: str
    count: str = "one"
    choices: tuple[str, ...] = ()
    completes: str = ""


class Command(Record):
    """`name` as typed after `pynet`; `function` is "module:function" below netd.cli.  With `interspersed` False
    everything after the first positional argument belongs to somebody else's command line.  `exclusive` are sets of
    flags (long names) of which one may be given; `usage_status` and `failed_status` the exit statuses of a wrong
    command line and of an error."""

    name: str
    summary: str
    function: str
    flags: tuple[Flag, ...] = ()
    arguments: tuple[Argument, ...] = ()
    details: str = ""
    interspersed: bool = True
    exclusive: tuple[tuple[str, ...], ...] = ()
    usage_status: int = 2
    failed_status: int = 1


class Arguments:
    """A parsed command line: an attribute for every flag and argument.  `given` are the flags that were there."""

    given: frozenset[str]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, values: dict[str, object], given: Sequence[str] = ()) -> None:
        self.__dict__.update(values)
        self.given = frozenset(given)


def switch(*names: str, help: str = "", default: object = False, group: str = "Flags", store: str = "") -> Flag:  # noqa: A002
    """A flag without a value."""
    return Flag(names, SWITCH, "", help, default, (), "", group, store)


def text(names: str, metavar: str, help: str = "", **more: Any) -> Flag:  # noqa: A002
    """A flag with one value; the last one counts.  `names` are separated by blanks."""
    return Flag(tuple(names.split()), TEXT, metavar, help, **more)


def many(names: str, metavar: str, help: str = "", **more: Any) -> Flag:  # noqa: A002
    """A flag that may be given several times."""
    return Flag(tuple(names.split()), LIST, metavar, help, (), **more)


def number(names: str, metavar: str, help: str = "", **more: Any) -> Flag:  # noqa: A002
    """A flag with a whole number."""
    return Flag(tuple(names.split()), NUMBER, metavar, help, **{"default": None, **more})


def parse(command: Command, words: Sequence[str]) -> Arguments:
    """Reads what follows the command's name; UsageError, HelpAsked."""
    reader = _Reader(command.flags, words, command.interspersed)
    reader.read()
    for group in command.exclusive:
        present = [flag for flag in group if flag in reader.given]
        if len(present) > 1:
            raise UsageError(f"{present[0]} and {present[1]} exclude each other")
    _positional(command, reader.rest, reader.values)
    return Arguments(reader.values, reader.given)


class _Reader:
    """Takes flags out of the words; what is left is in `rest`."""

    def __init__(self, flags: Sequence[Flag], words: Sequence[str], interspersed: bool) -> None:
        self.values: dict[str, object] = {}
        self.given: list[str] = []
        self.rest: list[str] = []
        self._names: dict[str, Flag] = {}
        self._words = list(words)
        self._interspersed = interspersed
        for flag in flags:
            self.values.setdefault(flag.dest, [] if flag.kind is LIST else flag.default)
            for name in flag.names:
                self._names[name] = flag

    def read(self) -> None:
        words = self._words
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            if word == "--":
                self.rest += words[position:]
                return
            if len(word) < 2 or word[0] != "-":
                self.rest.append(word)
                if not self._interspersed:
                    self.rest += words[position:]
                    return
            elif word[1] == "-":
                position += self._long(word, words[position : position + 1])
            else:
                position += self._short(word, words[position : position + 1])

    def _long(self, word: str, following: Sequence[str]) -> int:
        """How many of the following words were taken."""
        name, equals, value = word.partition("=")
        flag = self._find(name, word)
        if equals or flag.kind is SWITCH:
            self._set(flag, name, value if equals else "true")
            return 0
        if not following:
            raise UsageError(f"{name}: a value is missing")
        self._set(flag, name, following[0])
        return 1

    def _short(self, word: str, following: Sequence[str]) -> int:
        letters = word[1:]
        for index, letter in enumerate(letters):
            name = f"-{letter}"
            flag = self._find(name, word)
            value = letters[index + 1 :]
            if value.startswith("="):
                self._set(flag, name, value[1:])
                return 0
            if flag.kind is SWITCH:
                self._set(flag, name, "true")
                continue
            if not value and not following:
                raise UsageError(f"{name}: a value is missing")
            self._set(flag, name, value or following[0])
            return 0 if value else 1
        return 0

    def _find(self, name: str, word: str) -> Flag:
        flag = self._names.get(name)
        if flag is None and name in ("--help", "-h"):
            raise HelpAsked
        if flag is None:
            inside = f" in {word}" if len(word) > 2 and word[1] != "-" else ""
            raise UsageError(f"unknown flag {name}{inside}")
        return flag

    def _set(self, flag: Flag, name: str, value: str) -> None:
        self.given.append(flag.long)
        if flag.kind is SWITCH:
            if value not in _TRUE and value not in _FALSE:
                raise UsageError(f"{name}={value}: must be true or false")
            self.values[flag.dest] = (value in _TRUE) != flag.long.startswith("--no-") if flag.store else value in _TRUE
        elif flag.kind is NUMBER:
            self.values[flag.dest] = _whole(name, value)
        else:
            if flag.choices and value not in flag.choices:
                raise UsageError(f"{name} {value!r}: one of {', '.join(flag.choices)}")
            if flag.kind is LIST:
                held = self.values[flag.dest]
                assert isinstance(held, list)
                held.append(value)
            else:
                self.values[flag.dest] = value


def _whole(name: str, value: str) -> int:
    digits = value[1:] if value[:1] in ("-", "+") else value
    if not (digits.isascii() and digits.isdigit()):
        raise UsageError(f"{name} {value!r}: must be a whole number")
    return int(value)


def _positional(command: Command, rest: Sequence[str], values: dict[str, object]) -> None:
    left = list(rest)
    missing = []
    for argument in command.arguments:
        if argument.count in ("some", "any"):
            values[argument.dest], taken = left, bool(left)
            left = []
        else:
            taken = bool(left)
            values[argument.dest] = left.pop(0) if left else ""
        if not taken and argument.count in ("one", "some"):
            missing.append(argument.metavar)
        _choose(argument, values[argument.dest])
    if missing:
        raise UsageError(f"missing {' '.join(missing)}")
    if left:
        raise UsageError(f"unexpected argument {left[0]!r}")


def _choose(argument: Argument, value: object) -> None:
    if argument.choices and value and value not in argument.choices:
        raise UsageError(f"{argument.metavar} {value!r}: one of {', '.join(argument.choices)}")
