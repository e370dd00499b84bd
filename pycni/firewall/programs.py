"""Runs the firewall's programs inside a network namespace.

`subprocess` costs more than an interpreter start to import, so this is posix_spawn with three memory files: nothing
can block on a full pipe, and no thread is needed.  The child inherits the namespace its spawning thread is in.
"""

from __future__ import annotations

import os

from pycni import program_path
from pycni.record import Record
from pycni.spec.errors import FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.namespace import Namespace

_SIGPIPE = 13

IPTABLES = {4: "iptables", 6: "ip6tables"}

NFT = "nf_tables"
LEGACY = "legacy"

_variants: dict[tuple[int, int, int], str] = {}
_guards: dict[tuple[int, int], int] = {}


class Outcome(Record):
    """What became of a run: exit status (negative: the signal) and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """Standard error on one line."""
        return " ".join(self.stderr.decode(errors="replace").split())


def missing_iptables(family: int) -> str:
    """Why this family's iptables cannot be used, empty when its programs are there."""
    for suffix in ("", "-save", "-restore"):
        if not program_path.find(IPTABLES[family] + suffix):
            return f"{IPTABLES[family]}{suffix} is not installed"
    return ""


def variant(path: str) -> str:
    """Whose tables this iptables program writes: NFT or LEGACY.  Asked once per file."""
    status = os.stat(path)
    key = (status.st_dev, status.st_ino, status.st_mtime_ns)
    known = _variants.get(key)
    if known is None:
        target = os.path.basename(os.path.realpath(path))
        if "legacy" in target:
            known = LEGACY
        elif "nft" in target:
            known = NFT
        else:
            known = NFT if b"nf_tables" in _spawn([path, "-V"], b"").stdout else LEGACY
        _variants[key] = known
    return known


def guard(namespace: Namespace, lock: int) -> None:
    """Programs started for this namespace inherit the descriptor `lock`, -1 for none.  A flock(2) held through it then
    lasts until the program has ended, also when we are killed: who comes next must see what the program still does."""
    if lock < 0:
        _guards.pop(namespace.identity, None)
    else:
        _guards[namespace.identity] = lock


def run(namespace: Namespace, argv: list[str], text: str = "") -> Outcome:
    """Run a program to its end inside the namespace, with `text` on its standard input; FirewallError when it cannot
    be started."""
    try:
        with namespace.entered():
            child = _start(argv, text.encode(), _guards.get(namespace.identity, -1))
    except OSError as error:
        raise FirewallError(f"running {argv[0]}: {error.strerror}") from None
    return _collect(*child)


def _spawn(argv: list[str], text: bytes) -> Outcome:
    return _collect(*_start(argv, text))


def _start(argv: list[str], text: bytes, lock: int = -1) -> tuple[int, list[int]]:
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr")]
    try:
        os.write(files[0], text)
        os.lseek(files[0], 0, os.SEEK_SET)
        inherited = files if lock < 0 else [*files, lock]
        pid = os.posix_spawn(
            argv[0],
            argv,
            {"PATH": ":".join(program_path.SBIN), "LC_ALL": "C"},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inherited)],
            setsigmask=[],
            setsigdef=[_SIGPIPE],
        )
    except BaseException:
        for fd in files:
            os.close(fd)
        raise
    return pid, files


def _collect(pid: int, files: list[int]) -> Outcome:
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Outcome(status, _content(files[1]), _content(files[2]))
    finally:
        for fd in files:
            os.close(fd)


def _content(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0) if size else b""
