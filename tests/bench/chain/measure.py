"""The runs: every contestant takes its turn in every round, so all feel the same neighbours."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from .contestants import CONTESTANTS, Contestant, contestant
from .figures import Series
from .private_host import BenchError

__all__ = ["Run", "Samples", "existing", "interleaved", "overhead", "parallel"]

WIDTH = 20
POPULATING_WIDTH = 4


def say(text: str) -> None:
    """Progress, apart from the table on standard output."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Samples:
    """Of one contestant: for each ADD and each DEL the seconds of each program, and of what DEL left over."""

    add: list[list[float]] = field(default_factory=list)
    delete: list[list[float]] = field(default_factory=list)
    deferred: list[float] = field(default_factory=list)

    def series(self, verb: str) -> Series:
        """The chain's seconds: its programs' together, without the runner's part between them."""
        return Series.of([sum(walls) for walls in (self.add if verb == "ADD" else self.delete)])

    def whole_delete(self) -> Series:
        """DEL, and what it left to the engine."""
        return Series.of([sum(walls) + after for walls, after in zip(self.delete, self.deferred, strict=True)])

    def steps(self, verb: str) -> list[Series]:
        """Each program on its own, in the order they ran."""
        return [Series.of(walls) for walls in zip(*(self.add if verb == "ADD" else self.delete), strict=True)]


@dataclass
class Run:
    """What came out: samples by contestant, and who failed and why."""

    samples: dict[str, Samples] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Field:
    """The contestants still in the race; one that fails is out, and the others go on."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.members: list[Contestant] = []

    def enter(self, stack: contextlib.ExitStack, names: Sequence[str], *, self_test: bool) -> None:
        """Start these contestants."""
        for name in names:
            try:
                self.members.append(stack.enter_context(contestant(name, self_test=self_test)))
            except BenchError as error:
                self._out(name, error)

    def each(self, act: Callable[[Contestant], None], turn: int = 0) -> None:
        """Let each act; who begins changes from round to round."""
        start = turn % max(1, len(self.members))
        for member in self.members[start:] + self.members[:start]:
            try:
                act(member)
            except BenchError as error:
                self.members.remove(member)
                self.run.samples.pop(member.name, None)
                self._out(member.name, error)

    def _out(self, name: str, error: BenchError) -> None:
        text = f"{CONTESTANTS[name].label}: {error}"
        say(f"FAILED {text}")
        self.run.failures.append(text)


@contextlib.contextmanager
def _field(names: Sequence[str], *, self_test: bool) -> Iterator[tuple[Field, Run]]:
    run = Run()
    with contextlib.ExitStack() as stack:
        field = Field(run)
        field.enter(stack, names, self_test=self_test)
        yield field, run


def _warm_up(member: Contestant) -> None:
    """One container before the counting starts: makes the bridge and the static rules, and proves a port works."""
    member.attach(0)
    member.verify(0)
    member.detach(0)
    member.finish_deferred()
    member.verify_empty()


def _rounds(field: Field, run: Run, first: int, rounds: int, each_turn: int = 1) -> None:
    for turn in range(rounds):
        numbers = range(first + turn * each_turn, first + (turn + 1) * each_turn)
        field.each(partial(_record_attach, run, numbers), turn)
        field.each(partial(_record_detach, run, numbers), turn)


def _record_attach(run: Run, numbers: range, member: Contestant) -> None:
    run.samples.setdefault(member.name, Samples()).add.extend(member.attach(number) for number in numbers)


def _record_detach(run: Run, numbers: range, member: Contestant) -> None:
    samples = run.samples[member.name]
    for number in numbers:
        samples.delete.append(member.detach(number))
        samples.deferred.append(member.finish_deferred())


def interleaved(names: Sequence[str], rounds: int, *, each_turn: int = 1, self_test: bool = False) -> Run:
    """ADD and DEL of so many containers each turn, one after another, with no other container present."""
    say(f"chain: {', '.join(names)}; {rounds} rounds")
    with _field(names, self_test=self_test) as (field, run):
        field.each(lambda member: member.prepare(rounds * each_turn + 1))
        field.each(_warm_up)
        _rounds(field, run, 1, rounds, each_turn)
        field.each(Contestant.verify_empty)
    return run


def existing(names: Sequence[str], counts: Sequence[int], rounds: int, *, self_test: bool = False) -> dict[int, Run]:
    """The same with that many containers attached already."""
    runs: dict[int, Run] = {}
    with _field(names, self_test=self_test) as (field, last):
        field.each(_prepare_and_warm_up)
        attached, fresh = 0, 1
        for count in counts:
            say(f"chain with {count} containers present: {', '.join(names)}; {rounds} rounds")
            numbers = range(fresh, fresh + count - attached)
            field.each(partial(_populate, numbers, rounds))
            runs[count] = field.run = Run(failures=last.failures)
            _rounds(field, runs[count], numbers.stop, rounds)
            # the containers of these rounds are gone, but their namespaces and ids stay used
            attached, fresh = count, numbers.stop + rounds
    return runs


def _prepare_and_warm_up(member: Contestant) -> None:
    member.prepare(1)
    _warm_up(member)


def _populate(numbers: range, rounds: int, member: Contestant) -> None:
    member.prepare(numbers.stop + rounds)
    member.attach_all(numbers, POPULATING_WIDTH)
    member.finish_deferred()


def parallel(names: Sequence[str], rounds: int, *, self_test: bool = False) -> Run:
    """WIDTH containers at once; a sample is the seconds until all of them are attached, or detached."""
    say(f"{WIDTH} at once: {', '.join(names)}; {rounds} rounds")
    with _field(names, self_test=self_test) as (field, run):
        field.each(lambda member: member.prepare(1 + WIDTH * rounds))
        field.each(_warm_up)
        for turn in range(rounds):
            numbers = range(1 + WIDTH * turn, 1 + WIDTH * (turn + 1))
            field.each(partial(_record_many, run, numbers), turn)
        field.each(Contestant.verify_empty)
    return run


def _record_many(run: Run, numbers: range, member: Contestant) -> None:
    samples = run.samples.setdefault(member.name, Samples())
    samples.add.append([member.attach_all(numbers, WIDTH)])
    samples.delete.append([member.detach_all(numbers, WIDTH)])
    samples.deferred.append(member.finish_deferred())


def overhead(member: Contestant, rounds: int) -> Series:
    """What the runner itself costs for each program: executing /bin/true."""
    return Series.of([member.host.ask("run", argv=["/bin/true"], environment={})["wall"] for _ in range(rounds)])
