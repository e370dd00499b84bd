"""What a docker user may have meant."""

from __future__ import annotations

from netd.cli.client import container
from netd.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.context import Context


def of_container(context: Context, ref: str, verb: str) -> str:
    """For a network that is not there: that a container of this name is; "" otherwise, and without the daemon."""
    try:
        context.daemon.get(container(ref, "/json"))
    except Failure:
        return ""
    return f"; there is a container {ref}: pynet container {verb} {ref}"
