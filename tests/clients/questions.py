"""Questions asked in a container's network, as many at once as a test has, and a name server to be asked."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .host import Host, Service
from .polling import wait_until
from .probes import Runs

__all__ = ["ECHO", "INSIDE", "MOUNTS", "Answer", "Upstream", "answers", "asks", "dig", "lookup", "silence", "upstream"]

INSIDE = Path(__file__).with_name("inside")
_PYTHON = ("/usr/bin/python3", "-S", "-B")
MOUNTS = tuple(
    word
    for source, target in (("/usr", "/usr"), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib64"), (str(INSIDE), "/inside"))
    for word in ("--volume", f"{source}:{target}:ro")
)
"""Flags that give a container the host's interpreter, and our scripts."""
ECHO = (*_PYTHON, "/inside/echo.py")


def answers(run: Runs, *targets: str, within: float = 10) -> list[str | None]:
    """What the servers at "PROTO,ADDRESS,PORT" answer; asks again until `within` seconds are over, 0: tries once."""
    return list(json.loads(run(*_PYTHON, str(INSIDE / "ask.py"), str(within), *targets)))


def asks(run: Runs, target: str, within: float = 10) -> str | None:
    """What one server answers."""
    (answer,) = answers(run, target, within=within)
    return answer


def silence(run: Runs, *targets: str) -> bool:
    """Whether none of these answers a single try of each; see first that they answer somebody else."""
    return answers(run, *targets, within=0) == [None] * len(targets)


@dataclass(frozen=True)
class Answer:
    """One answer of a name server; `records` are (name, type, seconds, data)."""

    rcode: str
    flags: str
    records: tuple[tuple[str, str, int, str], ...]
    question: str
    edns: bool
    authority: int
    size: int

    @property
    def data(self) -> list[str]:
        """The records' data, sorted."""
        return sorted(record[3] for record in self.records)


def dig(run: Runs, *questions: str | dict[str, Any]) -> list[Answer | None]:
    """Ask all of these at once; "NAME" or "NAME TYPE" will do for most.  None: no answer within 15 s."""
    wanted = []
    for each in questions:
        if isinstance(each, str):
            name, _, kind = each.partition(" ")
            each = {"name": name, "type": kind or "A"}
        wanted.append(each)
    found = json.loads(run(*_PYTHON, str(INSIDE / "dig.py"), json.dumps(wanted)))
    return [_answer(each) if each else None for each in found]


def _answer(found: dict[str, Any]) -> Answer:
    return Answer(
        found["rcode"],
        found["flags"],
        tuple(tuple(each) for each in found["answers"]),
        found["question"],
        found["edns"],
        found["authority"],
        found["size"],
    )


def lookup(run: Runs, *names: str) -> list[list[str]]:
    """The sorted IPv4 addresses of each name, [] for one that has none."""
    return [found.data if found else [] for found in dig(run, *names)]


class Upstream:
    """Name servers of somebody else, and what they and their machine saw."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service, self.log = service, log

    def lines(self, kind: str) -> list[list[str]]:
        """All "query" or "packet" lines, split, less the first word."""
        self.service.alive()
        return [words[1:] for words in map(str.split, self.log.read_text().splitlines()) if words[0] == kind]

    def asked(self, name: str) -> list[list[str]]:
        """The questions for this name: server, protocol, source, name, type, bytes."""
        return [words for words in self.lines("query") if words[3].rstrip(".") == name.rstrip(".")]


@contextmanager
def upstream(host: Host, name: str, *servers: str, enter: Sequence[str] = ()) -> Iterator[Upstream]:
    """Name servers "ADDRESS=BEHAVIOUR" behind the command `enter`, for the length of a with statement."""
    log = host.scratch / f"{name}.questions"
    log.unlink(missing_ok=True)
    service = host.service(name, *enter, *_PYTHON, str(INSIDE / "upstream.py"), str(log), *servers)

    def serves() -> bool:
        service.alive()
        return log.exists() and "ready" in log.read_text().splitlines()

    wait_until(serves, f"{name} to serve")
    try:
        yield Upstream(service, log)
    finally:
        service.stop()
