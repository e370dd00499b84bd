"""The error tree.  Every failure a caller can see is one of these; each knows its CNI error code (spec, section
"Error"; contract 1.7).

    CniError                     999  anything a plugin reports without a more precise code
    ├── IncompatibleVersion        1
    ├── UnknownContainer           3
    ├── InvalidEnvironment         4  CNI_* variables
    ├── IoFailure                  5
    ├── DecodingFailure            6
    ├── InvalidNetworkConfig       7
    ├── InvalidNamespace           8
    ├── TryAgainLater             11
    ├── NotAvailable              50  STATUS: cannot serve ADD now
    ├── LimitedConnectivity       51  STATUS: serves, but without a way out
    ├── ConfigError              999  a key of the configuration; the message names it
    ├── DelegateError            any  an error object of a delegated plugin, passed through unchanged
    ├── KernelError              999  the kernel refused; carries errno
    ├── AllocationError          999  an address cannot be given: taken, none left, or not this owner's
    ├── StoreError               999  a file we keep state in cannot be read or written; carries errno
    └── FirewallError            999  a firewall tool or transaction failed

Messages are lower case, "doing X for Y: cause".
"""

from __future__ import annotations


class CniError(Exception):
    """An error object: `code` (int), `msg`, and `details` shown only when not empty."""

    code = 999

    def __init__(self, msg: str, details: str = "") -> None:
        super().__init__(msg if not details else f"{msg}; {details}")
        self.msg = msg
        self.details = details


class IncompatibleVersion(CniError):
    """The configuration's cniVersion is not one the plugin speaks."""

    code = 1


class UnknownContainer(CniError):
    """The container id is empty where the library needs one."""

    code = 3


class InvalidEnvironment(CniError):
    """A CNI_* variable is missing or malformed."""

    code = 4


class IoFailure(CniError):
    """Standard input or output failed."""

    code = 5


class DecodingFailure(CniError):
    """The configuration is not JSON, or not of the expected types."""

    code = 6


class InvalidNetworkConfig(CniError):
    """The network's name is missing or malformed."""

    code = 7


class InvalidNamespace(CniError):
    """The plugin's namespace and the container's are the same one, or the plugin's cannot be opened."""

    code = 8


class TryAgainLater(CniError):
    """A transient condition; the same call may succeed later."""

    code = 11


class NotAvailable(CniError):
    """STATUS: the plugin cannot serve ADD requests now (spec 1.1.0)."""

    code = 50


class LimitedConnectivity(CniError):
    """STATUS: ADD would work, but containers would have limited connectivity (spec 1.1.0)."""

    code = 51


class ConfigError(CniError):
    """A key of the configuration has a wrong type or value; the message names the key."""


class DelegateError(CniError):
    """A delegated plugin's error object, with its own code."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg, details)
        self.code = code


class KernelError(CniError):
    """The kernel refused an operation.  `errno` is positive; `msg` says what was tried and on what, `details` is the
    kernel's own explanation where it gave one."""

    def __init__(self, msg: str, errno: int, details: str = "") -> None:
        super().__init__(msg, details)
        self.errno = errno


class AllocationError(CniError):
    """An IPAM plugin cannot give the address that was asked for, or any."""


class StoreError(CniError):
    """A file that holds leases or results cannot be read or written.  `errno` is positive; `msg` names the file."""

    def __init__(self, action: str, path: str, error: OSError) -> None:
        super().__init__(f"{action} {path}: {(error.strerror or str(error)).lower()}")
        self.errno = error.errno or 0


class FirewallError(CniError):
    """A firewall transaction failed; nothing of it was applied."""
