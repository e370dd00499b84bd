"""Completion for bash and zsh, made from the argument parser so that it cannot fall behind it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from netd.cli.context import Context
from pycni.record import Record

_PATH_FLAGS = ("--netconf-dir", "--run-dir", "--cache-dir", "--lease-dir", "--cni-path", "--dest", "--unit-dir")
_VALUES = {
    "--isolation": ("same-bridge", "isolated", "open"),
    "--firewall": ("auto", "iptables", "nftables"),
    "--driver": ("bridge",),
    "-d": ("bridge",),
}


class Word(Record):
    """What can follow a command: its flags, those of them that take a value, and its positional arguments' choices;
    `networks` when they are network names."""

    flags: tuple[str, ...]
    valued: tuple[str, ...]
    choices: tuple[str, ...]
    networks: bool
    summary: str


def completion(context: Context, arguments: argparse.Namespace) -> int:
    """Prints the script for one shell."""
    from netd.cli.arguments import build_parser

    words = commands(build_parser())
    context.out.write(bash(words) if arguments.shell == "bash" else zsh(words))
    return 0


def commands(parser: argparse.ArgumentParser) -> dict[str, Word]:
    """Every command with what can follow it; aliases are left out."""
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}
    return {name: _word(child, summaries[name]) for name, child in subparsers.choices.items() if name in summaries}


def _word(parser: argparse.ArgumentParser, summary: str) -> Word:
    flags: list[str] = []
    valued: list[str] = []
    choices: list[str] = []
    networks = False
    for action in parser._actions:
        flags.extend(action.option_strings)
        if action.option_strings:
            valued.extend(action.option_strings if action.nargs is None else ())
        else:
            choices.extend(str(item) for item in action.choices or ())
            networks = networks or action.dest in ("network", "networks")
    return Word(tuple(flags), tuple(valued), tuple(choices), networks, summary)


_LIST_NAMES = "pynet ls --format '{{.Name}}' 2>/dev/null"


def bash(words: Mapping[str, Word]) -> str:
    """For `source <(pynet completion bash)`."""
    cases = "".join(_bash_case(name, word) for name, word in words.items())
    values = "".join(f"        {flag}) options='{' '.join(texts)}' ;;\n" for flag, texts in _VALUES.items())
    valued = sorted({flag for word in words.values() for flag in word.valued} - set(_PATH_FLAGS) - set(_VALUES))
    return f"""\
# bash completion for pynet; made by `pynet completion bash`
_pynet() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} options=
    COMPREPLY=()
    case $previous in
        {"|".join(_PATH_FLAGS)}) compopt -o filenames; COMPREPLY=($(compgen -d -- "$current")); return ;;
{values}        {"|".join(valued)}) return ;;
    esac
    if [[ -z $options ]]; then
        if (( COMP_CWORD == 1 )); then
            options='{" ".join(words)} --help --version'
        else
            case ${{COMP_WORDS[1]}} in
{cases}            esac
        fi
    fi
    COMPREPLY=($(compgen -W "$options" -- "$current"))
}}
complete -F _pynet pynet
"""


def _bash_case(name: str, word: Word) -> str:
    rest = f"$({_LIST_NAMES})" if word.networks else " ".join(word.choices)
    flags = f"options='{' '.join(word.flags)}'"
    return f"""\
                {name}) if [[ $current == -* ]]; then {flags}; else options="{rest}"; fi ;;
"""


def zsh(words: Mapping[str, Word]) -> str:
    """For `source <(pynet completion zsh)`, or a file `_pynet` in fpath."""
    described = "".join(f"            '{name}:{_quoted(word.summary)}'\n" for name, word in words.items())
    cases = "".join(_zsh_case(name, word) for name, word in words.items())
    return f"""\
#compdef pynet
# zsh completion for pynet; made by `pynet completion zsh`
_pynet() {{
    local -a commands names
    if (( CURRENT == 2 )); then
        commands=(
{described}        )
        _describe command commands
        return
    fi
    case ${{words[2]}} in
{cases}    esac
}}
compdef _pynet pynet
"""


def _zsh_case(name: str, word: Word) -> str:
    rest = ""
    if word.networks:
        rest = f" && names=($({_LIST_NAMES})) && compadd -a names"
    elif word.choices:
        rest = f" && compadd {' '.join(word.choices)}"
    values = "".join(_zsh_value(flag) for flag in word.valued if flag in (*_PATH_FLAGS, *_VALUES))
    free = [flag for flag in word.valued if flag not in (*_PATH_FLAGS, *_VALUES)]
    silent = f"                {'|'.join(free)}) ;;\n" if free else ""
    plain = f"[[ $PREFIX != -* ]]{rest}" if rest else "[[ $PREFIX != -* ]]"
    return f"""\
        {name})
            case ${{words[CURRENT-1]}} in
{values}{silent}                *) {{ {plain}; }} || compadd -- {_joined(word.flags)} ;;
            esac ;;
"""


def _zsh_value(flag: str) -> str:
    action = "_files -/" if flag in _PATH_FLAGS else f"compadd {_joined(_VALUES[flag])}"
    return f"                {flag}) {action} ;;\n"


def _joined(words: Sequence[str]) -> str:
    return " ".join(words)


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace(":", "\\:")
