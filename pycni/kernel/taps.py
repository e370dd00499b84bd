"""TAP devices, made with ioctl(2) on /dev/net/tun (linux/if_tun.h) in the namespace that they are for.

A device under an SELinux context is made by iproute2's `ip` instead, as the reference does: the kernel labels it with
the context of the process that makes it, and a process takes another one only by executing a program.
"""

from __future__ import annotations

import os
from errno import EINVAL
from fcntl import ioctl
from struct import Struct

from pycni.kernel.failure import errno_text
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from pycni.kernel.kinds import Tap
    from pycni.kernel.namespace import Namespace
    from pycni.kernel.netns import Inside

_DEVICE = "/dev/net/tun"
_EXEC_LABEL = "/proc/thread-self/attr/exec"

_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_TUNSETGROUP = 0x400454CE

_STEPS = {_TUNSETOWNER: "set its owner", _TUNSETGROUP: "set its group", _TUNSETPERSIST: "keep it"}

_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFF_TUN_EXCL = 0x8000

_REQUEST = Struct("=16sH22x")
"""struct ifreq: name and flags."""


def flags(tap: Tap) -> int:
    """The reference's: with owner and group both given it makes the device otherwise than without (contract 2.18)."""
    multi = _IFF_MULTI_QUEUE if tap.multi_queue else 0
    if tap.owner is None or tap.group is None or tap.selinux_context:
        return _IFF_TAP | _IFF_NO_PI | multi
    return _IFF_TAP | _IFF_VNET_HDR | multi | (_IFF_NO_PI if multi else 0)


def make(namespace: Namespace, tap: Tap, name: str) -> None:
    """The device, down; CniError that names what failed, KernelError with EBUSY when the name is taken."""
    if tap.selinux_context:
        _execute(namespace, tap, name)
        return
    step = "open " + _DEVICE
    try:
        with namespace.entered():  # the device belongs to the namespace in which the file was opened
            descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            step = "make it"
            made = ioctl(descriptor, _TUNSETIFF, _REQUEST.pack(name.encode(), flags(tap) | _IFF_TUN_EXCL))
            if made[:16].rstrip(b"\0") != name.encode():  # a pattern such as tap%d; it vanishes with the descriptor
                raise OSError(EINVAL, "Invalid argument")
            for request, wanted in ((_TUNSETOWNER, tap.owner), (_TUNSETGROUP, tap.group), (_TUNSETPERSIST, 1)):
                step = _STEPS[request]
                if wanted is not None:
                    ioctl(descriptor, request, wanted - (wanted >> 31 << 32))  # Python wants a signed number
        finally:
            os.close(descriptor)
    except OSError as error:
        number = error.errno or EINVAL
        raise KernelError(f"failed to create tap: {step}: {errno_text(number)}", number) from None


class _Labelled:
    """Inside the namespace, with a context for the next program that this thread executes."""

    def __init__(self, inside: Inside, context: str) -> None:
        self._inside = inside
        self._context = context

    def __enter__(self) -> None:
        try:
            _write_label(self._context)
        except OSError as error:
            reason = errno_text(error.errno or EINVAL)
            raise CniError(f"failed set socket label: write {_EXEC_LABEL}: {reason}") from None
        try:
            self._inside.__enter__()
        except BaseException:
            _write_label("")
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.__exit__(kind, error, trace)
        _write_label("")


def _write_label(context: str) -> None:
    descriptor = os.open(_EXEC_LABEL, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, context.encode())
    finally:
        os.close(descriptor)


def _execute(namespace: Namespace, tap: Tap, name: str) -> None:
    from pycni.execute import execute
    from pycni.program_path import find

    words = ["tuntap", "add", "mode", "tap", "name", name]
    if tap.multi_queue:
        words.append("multi_queue")
    for word, number in (("user", tap.owner), ("group", tap.group)):
        if number is not None:
            words += [word, str(number)]
    program = find("ip")
    if not program:
        raise CniError("failed to run command : ip is not installed")
    inside = _Labelled(namespace.entered(), tap.selinux_context)
    done = execute(program, {"PATH": os.environ.get("PATH", "")}, b"", lambda: inside, arguments=words)
    if done.failure:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise CniError(f"failed to run command {said}: {done.failure}")
