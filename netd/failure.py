"""What can go wrong with a container, an image or a request; each class carries the HTTP status the API answers with
(contract docker 4.1).  Errors of networks (`netd.networks.errors`) carry theirs in the same attribute.

Failure               500  something of the machine failed; the message names it
├── InvalidParameter  400  a flag, key or value is wrong; the message names it
├── Forbidden         403
├── NotFound          404
├── Conflict          409
├── Unsupported       501  a thing of docker's that we do not do
└── Unavailable       503
"""

from __future__ import annotations

from pycni.spec.errors import CniError


class Failure(CniError):
    """Base: the request was fine, doing it failed."""

    status = 500


class InvalidParameter(Failure):
    """A flag, key or value is wrong; the message names it."""

    status = 400


class Forbidden(Failure):
    """Understood, and refused."""

    status = 403


class NotFound(Failure):
    """No such container, image or exec."""

    status = 404


class Conflict(Failure):
    """The state of the object, or another object, is in the way."""

    status = 409


class Unsupported(Failure):
    """Docker can, this engine cannot."""

    status = 501


class Unavailable(Failure):
    """A process or program that this needs is not there."""

    status = 503
