"""The processes of a container, as the host's ps(1) shows them."""

from __future__ import annotations

import subprocess

from netd.failure import Failure, InvalidParameter, Unavailable
from netd.runtime.control_groups import group_of, members


def top(pid: int, arguments: str) -> tuple[list[str], list[list[str]]]:
    """Titles of ps's columns, and a row for each process of the container whose first one is `pid`.  InvalidParameter
    for arguments that leave out the column PID."""
    words = arguments.split() or ["-ef"]
    try:
        done = subprocess.run(["ps", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unavailable("ps is not installed: top needs the package procps") from None
    if done.returncode:
        raise Failure(f"ps {arguments}: {done.stderr.strip() or 'no process'}")
    return select_rows(done.stdout, members(group_of(pid)) | {pid})


def select_rows(printed: str, pids: set[int]) -> tuple[list[str], list[list[str]]]:
    """ps's output without other processes; the last column keeps its blanks."""
    lines = printed.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise InvalidParameter("Couldn't find PID field in ps output")
    place = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return titles, [row for row in rows if len(row) > place and row[place].isdecimal() and int(row[place]) in pids]
