"""What runc's words at a failed start mean: exit code and status of docker's (contract docker 6.2)."""

from __future__ import annotations

from netd.failure import Failure, InvalidParameter

NOT_STARTED = 128
"""The exit code of a container that did not start for a reason of the engine's, as docker has it."""

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_NO_SUCH = ("executable file not found", "no such file or directory", "not a directory")


class StartFailed(Failure):
    """runc could not start a process; `exit_code` is what the container or exec gets."""

    exit_code = NOT_STARTED


class CannotExecute(InvalidParameter, StartFailed):
    """What is to be executed is not there (127), or may not be executed (126)."""


def start_failure(words: str, what: str) -> StartFailed:
    """The error of `what` ("OCI runtime create failed", "OCI runtime exec failed") for runc's `words`."""
    said = words.strip()
    text = f"{what}: {said}"
    code = _exit_code(said)
    if code == NOT_STARTED:
        return StartFailed(text)
    failure = CannotExecute(text)
    failure.exit_code = code
    return failure


def _exit_code(said: str) -> int:
    if any(part in said for part in _NO_SUCH):
        return _NOT_FOUND
    if "permission denied" in said or "is a directory" in said:
        return _NOT_EXECUTABLE
    return NOT_STARTED
