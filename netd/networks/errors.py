"""What can go wrong with a network as a whole.  Each class carries the HTTP status an API answers with.

NetworkError            400
├── InvalidRequest      400  a flag or option is wrong; the message names it
├── Reserved            403  the name belongs to a mode every engine knows
├── SubnetTaken         403  the subnet collides, or none is free
├── BridgeTaken         403  the bridge device belongs to someone else
├── NameTaken           409  another list has this name
├── NotFound            404
│   └── Damaged         404  there is a file of the name, but no list in it
├── Ambiguous           400  an id prefix fits several networks
├── AlreadyConnected    403  the container is attached to this network
├── InUse               403  containers are attached
├── NotOurs             403  another program made the list
└── RemovalFailed       500  some of it could not be removed; the network stays retired, and can be removed again
"""

from __future__ import annotations

from pycni.spec.errors import CniError


class NetworkError(CniError):
    """Base of this module's errors."""

    status = 400


class InvalidRequest(NetworkError):
    """A flag or option is wrong."""


class Reserved(NetworkError):
    """The name belongs to a mode every engine knows."""

    status = 403


class SubnetTaken(NetworkError):
    """The subnet collides with something, or no free one is left."""

    status = 403


class BridgeTaken(NetworkError):
    """The bridge device belongs to another network, or is no bridge."""

    status = 403


class NameTaken(NetworkError):
    """Another list has this name."""

    status = 409


class NotFound(NetworkError):
    """No list has this name or id."""

    status = 404


class Damaged(NotFound):
    """There is a file of the network's name that holds no list, so nothing of the network is known."""


class Ambiguous(NetworkError):
    """An id prefix fits several networks."""


class AlreadyConnected(NetworkError):
    """The container is attached to this network."""

    status = 403


class InUse(NetworkError):
    """Containers are attached to the network."""

    status = 403


class NotOurs(NetworkError):
    """Another program made the list."""

    status = 403


class RemovalFailed(NetworkError):
    """Some of the network could not be removed."""

    status = 500
