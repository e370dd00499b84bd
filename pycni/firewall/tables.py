"""A model of iptables' tables in the text that `iptables-save` prints; pure.

`Tables` is what a listing said, `Draft` is a set of changes to it: an overlay that answers questions as if they were
made, and the commands for `iptables-restore --noflush`.  A rule is the text after `-A <chain> `, in exactly the form
that iptables-save prints, so rules are compared as strings.
"""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.errors import FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str, str]
"""(table, chain)."""

BUILT_IN = frozenset({"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"})

_PLAIN = frozenset("_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def quoted(word: str) -> str:
    """A word as iptables-save prints it: bare when made of letters, digits, `_` and `-`, else in double quotes."""
    if word and _PLAIN.issuperset(word):
        return word
    for special in "\\\"'":
        word = word.replace(special, "\\" + special)
    return f'"{word}"'


class Command(Record):
    """One line of iptables-restore input: `verb` is -N, -A, -I, -D, -F or -X; `rule` is empty for chain verbs."""

    verb: str
    table: str
    chain: str
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.chain} {self.rule}".rstrip()


class Tables:
    """The chains of some tables of one address family.  A built-in chain that no listing showed counts as empty."""

    def __init__(self) -> None:
        self.chains: dict[Place, list[str]] = {}
        self.policies: dict[Place, str] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tables) and self.chains == other.chains

    def parse(self, text: str) -> None:
        """Take over every table of an `iptables-save` text; chains of a table named there are replaced."""
        table = ""
        for line in text.splitlines():
            if line.startswith("-A "):
                _, chain, rule = line.split(" ", 2)
                self.chains.setdefault((table, chain), []).append(rule)
            elif line.startswith(":"):
                chain, policy = line[1:].split(" ", 2)[:2]
                self.chains[table, chain] = []
                self.policies[table, chain] = policy
            elif line.startswith("*"):
                table = line[1:].strip()
                self.forget(table)

    def text(self, table: str) -> str:
        """One table in the form that `parse` reads."""
        lines = [f"*{table}"]
        for (of, chain), rules in self.chains.items():
            if of == table:
                lines.append(f":{chain} {self.policies.get((of, chain), '-')}")
                lines += [f"-A {chain} {rule}" for rule in rules]
        return "\n".join(lines)

    def forget(self, table: str) -> None:
        """Drop what is known of one table."""
        for place in [place for place in self.chains if place[0] == table]:
            del self.chains[place]
            self.policies.pop(place, None)

    def exists(self, table: str, chain: str) -> bool:
        return chain in BUILT_IN or (table, chain) in self.chains

    def rules(self, table: str, chain: str) -> list[str]:
        return self.chains.get((table, chain), [])


class Draft:
    """Changes to a `Tables`, made so far only here; every method does nothing when the change is already true."""

    def __init__(self, base: Tables) -> None:
        self.commands: list[Command] = []
        self._base = base
        self._changed: dict[Place, list[str] | None] = {}

    def exists(self, table: str, chain: str) -> bool:
        place = (table, chain)
        if place in self._changed:
            return self._changed[place] is not None
        return self._base.exists(table, chain)

    def rules(self, table: str, chain: str) -> list[str]:
        """The chain's rules with the changes so far; empty for a missing chain.  Not to be modified."""
        place = (table, chain)
        if place in self._changed:
            return self._changed[place] or []
        return self._base.rules(table, chain)

    def chains(self, table: str) -> list[str]:
        """The names of the table's chains that exist with the changes so far."""
        names = [chain for (of, chain) in self._base.chains if of == table and (of, chain) not in self._changed]
        return names + [c for (of, c), rules in self._changed.items() if of == table and rules is not None]

    def _own(self, table: str, chain: str) -> list[str]:
        place = (table, chain)
        rules = self._changed.get(place)
        if rules is None:
            rules = self._changed[place] = list(self._base.rules(table, chain))
        return rules

    def ensure_chain(self, table: str, chain: str) -> None:
        if not self.exists(table, chain):
            self._changed[table, chain] = []
            self.commands.append(Command("-N", table, chain))

    def append(self, table: str, chain: str, rule: str) -> None:
        """The rule is in the chain, at the end if it was not there."""
        if rule not in self.rules(table, chain):
            self._own(table, chain).append(rule)
            self.commands.append(Command("-A", table, chain, rule))

    def insert(self, table: str, chain: str, rule: str) -> None:
        """The rule is in the chain, first if it was not there."""
        if rule not in self.rules(table, chain):
            self._own(table, chain).insert(0, rule)
            self.commands.append(Command("-I", table, chain, rule))

    def delete(self, table: str, chain: str, rule: str) -> None:
        """The rule is not in the chain, however often it was."""
        while rule in self.rules(table, chain):
            self._own(table, chain).remove(rule)
            self.commands.append(Command("-D", table, chain, rule))

    def delete_jumps(self, table: str, chain: str, target: str) -> None:
        """No rule of the chain jumps to the target."""
        ending = f"-j {target}"
        for rule in [rule for rule in self.rules(table, chain) if rule.endswith(ending)]:
            self.delete(table, chain, rule)

    def drop_chain(self, table: str, chain: str) -> None:
        """The chain is absent; the caller has removed the jumps to it."""
        if self.exists(table, chain):
            if self.rules(table, chain):
                self.commands.append(Command("-F", table, chain))
            self._changed[table, chain] = None
            self.commands.append(Command("-X", table, chain))

    def tables(self) -> list[str]:
        """The tables that the commands touch, in order of first use."""
        return list(dict.fromkeys(command.table for command in self.commands))

    def deletions(self) -> tuple[dict[str, list[int]], list[str]] | None:
        """Of changes that only take away: per chain that stays, where the rules to delete stood before any change;
        and the chains to drop, in order.  None when something is added."""
        dropped = [command.chain for command in self.commands if command.verb == "-X"]
        positions: dict[str, list[int]] = {}
        left: dict[str, list[tuple[int, str]]] = {}
        for command in self.commands:
            if command.verb not in ("-D", "-F", "-X"):
                return None
            if command.verb != "-D" or command.chain in dropped:
                continue
            before = self._base.rules(command.table, command.chain)
            rules = left.setdefault(command.chain, list(enumerate(before)))
            found = next(index for index, (_, rule) in enumerate(rules) if rule == command.rule)
            positions.setdefault(command.chain, []).append(rules.pop(found)[0])
        return positions, dropped

    def length_before(self, table: str, chain: str) -> int:
        """How many rules the chain had before any change."""
        return len(self._base.rules(table, chain))

    def commit(self) -> None:
        """The kernel made the changes: so does the model."""
        for place, rules in self._changed.items():
            if rules is None:
                self._base.chains.pop(place, None)
            else:
                self._base.chains[place] = rules
        self._changed = {}
        self.commands = []


def restore_input(commands: Iterable[Command]) -> str:
    """Input for one `iptables-restore --noflush`: one block, so one kernel transaction, a table.

    FirewallError when a word would break out of its line."""
    blocks: dict[str, list[str]] = {}
    for command in commands:
        line = str(command)
        if not line.isprintable():
            raise FirewallError(f"control characters in iptables rule {line!r}")
        blocks.setdefault(command.table, []).append(line)
    return "".join(f"*{table}\n" + "\n".join(lines) + "\nCOMMIT\n" for table, lines in blocks.items())
