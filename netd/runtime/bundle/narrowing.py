"""What docker's profile makes depend on a capability, and that of containers/common allows to all, as it is made for
nested and rootless containers too: new namespaces above all, whose root may ask the kernel for more than ours.  Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_ALLOW = "SCMP_ACT_ALLOW"
_REFUSE = "SCMP_ACT_ERRNO"
_EPERM, _ENOSYS = 1, 38
_NAMESPACES = 0x7E020000
"""The CLONE_NEW… flags of clone(2)."""

_MOUNTING = "fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root umount umount2"
_NEEDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (f"{_MOUNTING} keyctl setns unshare", ("CAP_SYS_ADMIN",)),
    ("syslog", ("CAP_SYS_ADMIN", "CAP_SYSLOG")),
    ("reboot", ("CAP_SYS_BOOT",)),
    ("get_mempolicy mbind set_mempolicy", ("CAP_SYS_NICE",)),
    ("pidfd_getfd", ("CAP_SYS_PTRACE",)),
)
"""System calls, and the capabilities of which one is needed."""


def narrowed(resolved: Mapping[str, Any], capabilities: Collection[str], machine: str) -> dict[str, Any]:
    """A resolved profile (`linux.seccomp`) with these calls refused to who lacks the capability."""
    withheld = {
        name for names, needed in _NEEDS if not any(each in capabilities for each in needed) for name in names.split()
    }
    cloning = {"clone", "clone3"} if "CAP_SYS_ADMIN" not in capabilities else set()
    rules = [rule for rule in (_without(rule, withheld | cloning) for rule in resolved["syscalls"]) if rule["names"]]
    if withheld:
        rules.append({"names": sorted(withheld), "action": _REFUSE, "errnoRet": _EPERM})
    if cloning:
        flags = {
            # s390 has the stack first
            "index": 1 if machine == "s390x" else 0,
            "value": _NAMESPACES,
            "valueTwo": 0,
            "op": "SCMP_CMP_MASKED_EQ",
        }
        rules.append({"names": ["clone"], "action": _ALLOW, "args": [flags]})
        # its flags are in memory, which a filter cannot read; C libraries then use clone
        rules.append({"names": ["clone3"], "action": _REFUSE, "errnoRet": _ENOSYS})
    return {**resolved, "syscalls": rules}


def _without(rule: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    if rule["action"] != _ALLOW:
        return dict(rule)
    return {**rule, "names": [name for name in rule["names"] if name not in names]}
