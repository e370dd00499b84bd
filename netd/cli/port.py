"""`pynet port`, and ports added and removed while a container runs."""

from __future__ import annotations

from netd.cli import ports_text
from netd.cli.client import container
from netd.failure import InvalidParameter, NotFound
from netd.ports.grammar import parse_port, parse_publishes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netd.cli.context import Context
    from netd.cli.flags import Arguments


def show(context: Context, arguments: Arguments) -> int:
    """What is published really; NotFound for a port that is not."""
    return _show(context, arguments.container, arguments.port)


def _show(context: Context, ref: str, port: str = "") -> int:
    found = context.daemon.get(container(ref, "/json"))
    wanted = ""
    if port:
        try:
            number, protocol = parse_port(port)
        except ValueError as error:
            raise InvalidParameter(f"PORT {port}: {error}") from None
        wanted = f"{number}/{protocol}"
    lines = ports_text.lines(found["NetworkSettings"].get("Ports") or {}, wanted)
    if wanted and not lines:
        raise NotFound(f"container {ref} publishes no port {wanted}")
    context.out.write("".join(f"{line}\n" for line in lines))
    return 0


def add(context: Context, arguments: Arguments) -> int:
    """Publishes more; prints what is published then."""
    _, bindings = parse_publishes(arguments.ports, "port add")
    return _change(context, arguments, {"Add": bindings})


def remove(context: Context, arguments: Arguments) -> int:
    """Withdraws some; a container port alone means all its host ports."""
    _, bindings = parse_publishes(arguments.ports, "port rm")
    return _change(context, arguments, {"Remove": bindings})


def _change(context: Context, arguments: Arguments, change: dict[str, object]) -> int:
    context.daemon.post(container(arguments.container, "/ports"), change)
    return _show(context, arguments.container)
