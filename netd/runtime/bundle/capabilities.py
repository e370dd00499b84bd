"""Which capabilities a container has: docker's fourteen, and --cap-add, --cap-drop, --privileged.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from netd.failure import InvalidParameter

_BY_NUMBER = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DOCKERS = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
AUDIT_WRITE
"""

NAMES = tuple(f"CAP_{name}" for name in _BY_NUMBER.split())
"""By number (capabilities(7))."""

DEFAULT = tuple(f"CAP_{name}" for name in _DOCKERS.split())
ALL = "ALL"


def names(numbers: Collection[int]) -> list[str]:
    """Of those that have one."""
    return [name for number, name in enumerate(NAMES) if number in numbers]


def normalised(wanted: Sequence[str], available: Collection[int], flag: str) -> list[str]:
    """In capitals, with CAP_.  InvalidParameter with docker's text, where `flag` is CapAdd or CapDrop."""
    found = []
    for each in wanted:
        name = each.upper()
        if name != ALL and not name.startswith("CAP_"):
            name = f"CAP_{name}"
        if name != ALL:
            if name not in NAMES:
                raise InvalidParameter(f'invalid {flag}: unknown capability: "{name}"')
            if NAMES.index(name) not in available:
                raise InvalidParameter(
                    f"invalid {flag}: capability not supported by your kernel or not available in the current "
                    f'environment: "{name}"'
                )
        found.append(name)
    return found


def effective(add: Sequence[str], drop: Sequence[str], privileged: bool, available: Collection[int]) -> list[str]:
    """What root in the container has, in the order of the numbers."""
    everything = names(available)
    if privileged:
        return everything
    added, dropped = normalised(add, available, "CapAdd"), normalised(drop, available, "CapDrop")
    if ALL in added:
        kept = set(everything) - set(dropped)
    elif ALL in dropped:
        kept = set(added)
    else:
        kept = (set(DEFAULT) - set(dropped)) | set(added)
    return [name for name in everything if name in kept]
