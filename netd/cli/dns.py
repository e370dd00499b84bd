"""`pynet dns`: the running name server's counters and query log, through its control socket."""

from __future__ import annotations

from netd.failure import Unavailable
from pycni_plugins.dnsname.server import NoNameServer, question

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.context import Context
    from netd.cli.flags import Arguments

_FACTS = {"attachments": "attachments", "sandboxes": "resolvers", "names": "names"}


def status(context: Context, arguments: Arguments) -> int:
    """Counters by outcome, after what is known; Unavailable without a name server."""
    told = _ask(context, "status")
    if arguments.json:
        from netd.cli.output import json_text

        context.out.write(json_text(told))
        return 0
    lines = {label: str(told[key]) for key, label in _FACTS.items()}
    lines["query log"] = "on" if told["query_log"] else "off"
    counters = told["counters"]
    assert isinstance(counters, dict)
    lines.update({f"queries {outcome}": str(count) for outcome, count in counters.items()})
    context.out.write("".join(f"{label + ':':<20}{value}\n" for label, value in lines.items()))
    return 0


def log(context: Context, arguments: Arguments) -> int:
    """Lasts until the name server ends; Unavailable without one."""
    _ask(context, f"log {arguments.state}")
    return 0


def reset(context: Context, arguments: Arguments) -> int:
    """Unavailable without a name server."""
    del arguments
    _ask(context, "reset")
    return 0


def _ask(context: Context, line: str) -> dict[str, object]:
    try:
        return question(context.places.run_dir, line)
    except NoNameServer as error:
        raise Unavailable(f"{error}; start it with: pynetd &") from None
