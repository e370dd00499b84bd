"""Completion for bash and zsh, made from the commands' tables so that it cannot fall behind them."""

from __future__ import annotations

from netd.cli.commands import ALIASES, GROUPS, PATHS, command, names, verbs
from netd.cli.flags import LIST, SWITCH, Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netd.cli.context import Context
    from netd.cli.flags import Arguments

_LISTS = {
    "network": "pynet ls --format '{{.Name}}' 2>/dev/null",
    "container": "pynet ps -a --format '{{.Names}}' 2>/dev/null",
    "image": "pynet image ls --format '{{.Repository}}:{{.Tag}}' 2>/dev/null",
}
"""What prints the names that can be completed; silent and empty where pynetd does not run."""


def completion(context: Context, arguments: Arguments) -> int:
    """Prints the script for one shell."""
    found = commands()
    context.out.write(bash(found) if arguments.shell == "bash" else zsh(found))
    return 0


def commands() -> dict[str, Command]:
    """Every command with what can follow it; aliases are left out."""
    return {name: command(name) for name in names() if name not in ALIASES}


def spellings(chosen: Command) -> tuple[str, ...]:
    """The flags that a shell offers."""
    shown = (flag for flag in (*chosen.flags, *PATHS) if flag.help or flag.metavar or flag in PATHS)
    return ("--help", *(name for flag in shown for name in flag.names))


def _valued(chosen: Command) -> list[Flag]:
    return [flag for flag in (*chosen.flags, *PATHS) if flag.kind != SWITCH]


def _first_words(found: Mapping[str, Command]) -> list[str]:
    return list(dict.fromkeys(name.partition(" ")[0] for name in found))


# --- bash


def bash(found: Mapping[str, Command]) -> str:
    """For `source <(pynet completion bash)`."""
    cases = "".join(_bash_case(name, chosen) for name, chosen in found.items())
    two = "|".join(_two_words(found))
    return f"""\
# bash completion for pynet; made by `pynet completion bash`
_pynet() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=
    local -i at=COMP_CWORD
    # bash makes words of = and :, and what is offered takes the place of what comes after them
    while (( at > 1 )) && [[ $current == [=:]* || ${{COMP_WORDS[at-1]}} == [=:] ]]; do
        at+=-1
        current=${{COMP_WORDS[at]}}$current
    done
    previous=${{COMP_WORDS[at-1]}}
    [[ $current != --*=* ]] || previous=${{current%%=*}} current=${{current#*=}}
    COMPREPLY=()
    _pynet_offer
    [[ $current != *:* ]] || COMPREPLY=("${{COMPREPLY[@]#"${{current%:*}}:"}}")
}}
_pynet_offer() {{
    local options= command=
    _pynet_names() {{
        case $1 in
{"".join(f"            {kind}) {program} ;;{chr(10)}" for kind, program in _LISTS.items())}        esac
    }}
    if (( COMP_CWORD == 1 )); then
        options='{" ".join(_first_words(found))} --help --version'
    elif (( COMP_CWORD == 2 )) && [[ ' {" ".join(GROUPS)} ' == *" ${{COMP_WORDS[1]}} "* ]]; then
        case ${{COMP_WORDS[1]}} in
{"".join(f"            {group}) options='{' '.join(verbs(group))}' ;;{chr(10)}" for group in GROUPS)}        esac
    else
        command=${{COMP_WORDS[1]}}
        case "$command ${{COMP_WORDS[2]}}" in
            {two}) (( COMP_CWORD > 2 )) && command="$command ${{COMP_WORDS[2]}}" ;;
        esac
        case $command in
{cases}        esac
    fi
    COMPREPLY=($(compgen -W "$options" -- "$current"))
}}
complete -F _pynet pynet
"""


def _two_words(found: Mapping[str, Command]) -> list[str]:
    return [f"'{name}'" for name in found if " " in name]


def _bash_case(name: str, chosen: Command) -> str:
    flags = "".join(f"                    {_bash_flag(flag)}" for flag in _valued(chosen))
    rest = _bash_rest(name, chosen)
    return f"""\
            '{name}')
                case $previous in
{flags}                esac
                if [[ $current == -* ]]; then options='{" ".join(spellings(chosen))}'; else {rest}; fi ;;
"""


def _bash_flag(flag: Flag) -> str:
    pattern = "|".join(flag.names)
    if flag.choices:
        return f"{pattern}) COMPREPLY=($(compgen -W '{' '.join(flag.choices)}' -- \"$current\")); return ;;\n"
    if flag.completes in ("dir", "file"):
        kind = "-d" if flag.completes == "dir" and flag.kind != LIST else "-f"
        return f'{pattern}) compopt -o filenames; COMPREPLY=($(compgen {kind} -- "$current")); return ;;\n'
    if flag.completes:
        words = f"$(_pynet_names {flag.completes})"
        return f'{pattern}) COMPREPLY=($(compgen -W "{words}" -- "$current")); return ;;\n'
    return f"{pattern}) return ;;\n"


def _bash_rest(name: str, chosen: Command) -> str:
    words = [choice for argument in chosen.arguments for choice in argument.choices]
    words += [f"$(_pynet_names {kind})" for kind in _kinds(chosen)]
    if any(argument.completes == "file" for argument in chosen.arguments):
        return 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); return'
    # `pynet port` is a command, and has some
    return f'options="{" ".join([*words, *(verbs(name) if " " not in name else ())])}"'


def _kinds(chosen: Command) -> Sequence[str]:
    """Which names its arguments take."""
    kinds = (argument.completes for argument in chosen.arguments)
    return tuple(dict.fromkeys(kind for kind in kinds if kind in _LISTS))


# --- zsh


def zsh(found: Mapping[str, Command]) -> str:
    """For `source <(pynet completion zsh)`, or a file `_pynet` in fpath."""
    cases = "".join(_zsh_case(name, chosen) for name, chosen in found.items())
    groups = "".join(_zsh_group(group) for group in GROUPS)
    return f"""\
#compdef pynet
# zsh completion for pynet; made by `pynet completion zsh`
_pynet_names() {{
    local -a names
    case $1 in
{"".join(f'        {kind}) names=(${{(f)"$({program})"}}) ;;{chr(10)}' for kind, program in _LISTS.items())}    esac
    compadd -a names
}}
_pynet() {{
    local -a commands
    local command=${{words[2]}}
    if (( CURRENT == 2 )); then
        commands=(
{"".join(_zsh_described(name, found) for name in _first_words(found))}        )
        _describe command commands
        return
    fi
    if (( CURRENT == 3 )); then
        case $command in
{groups}        esac
    fi
    case "$command ${{words[3]}}" in
        {"|".join(_two_words(found))}) (( CURRENT > 3 )) && command="$command ${{words[3]}}" ;;
    esac
    local flag=${{words[CURRENT-1]}}
    if [[ $PREFIX == --*=* ]]; then
        flag=${{PREFIX%%=*}}
        compset -P 1 '*='
    fi
    case $command in
{cases}    esac
}}
compdef _pynet pynet
"""


def _zsh_described(name: str, found: Mapping[str, Command]) -> str:
    summary = GROUPS[name] if name in GROUPS else found[name].summary
    return f"            '{name}:{_quoted(summary)}'\n"


def _zsh_group(group: str) -> str:
    lines = "".join(
        f"                '{verb}:{_quoted(command(f'{group} {verb}').summary)}'\n" for verb in verbs(group)
    )
    return f"""\
            {group})
                commands=(
{lines}                )
                _describe command commands
                return ;;
"""


def _zsh_case(name: str, chosen: Command) -> str:
    values = "".join(f"                {_zsh_flag(flag)}" for flag in _valued(chosen))
    words = [choice for argument in chosen.arguments for choice in argument.choices]
    words += verbs(name) if " " not in name else ()
    actions = [f"compadd {' '.join(words)}"] if words else []
    actions += [f"_pynet_names {kind}" for kind in _kinds(chosen)]
    if any(argument.completes == "file" for argument in chosen.arguments):
        actions.append("_files")
    rest = f"{{ {'; '.join(actions)}; }}" if actions else "return"
    return f"""\
        '{name}')
            case $flag in
{values}                *) if [[ $PREFIX == -* ]]; then compadd -- {" ".join(spellings(chosen))}; else {rest}; fi ;;
            esac ;;
"""


def _zsh_flag(flag: Flag) -> str:
    pattern = "|".join(flag.names)
    if flag.choices:
        return f"{pattern}) compadd {' '.join(flag.choices)} ;;\n"
    if flag.completes in ("dir", "file"):
        return f"{pattern}) _files{' -/' if flag.completes == 'dir' and flag.kind != LIST else ''} ;;\n"
    return f"{pattern}) _pynet_names {flag.completes} ;;\n" if flag.completes else f"{pattern}) ;;\n"


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''").replace(":", "\\:")
