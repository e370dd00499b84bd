"""tunnel-mtu: a chained CNI plugin that makes room for a tunnel's header on the container's interface."""

import pycni
from pycni import CniError, Context, Plugin, Result, ops


def overhead(context: Context) -> int:
    number = context.config.section.integer("overhead", default=50)
    if not 0 < number < 1000:
        raise context.config.section.wrong("overhead", f"{number} is not between 1 and 999 bytes")
    return number


def add(context: Context) -> Result:
    previous = context.config.prev_result()
    link = context.container().link(context.request.ifname)
    if previous is None or link is None:
        raise CniError("tunnel-mtu must be chained after the plugin that makes the interface")
    # applied in a transaction: a later failure gives the interface its old MTU back
    context.transaction.apply([ops.SetLink(ops.CONTAINER, link.name, mtu=link.mtu - overhead(context))])
    return previous


def check(context: Context) -> None:
    link = context.container().link(context.request.ifname)
    if link is None or link.mtu > 1500 - overhead(context):
        raise CniError(f"tunnel-mtu: {context.request.ifname} has no room for {overhead(context)} bytes")


PLUGIN = Plugin("tunnel-mtu", ("0.4.0", "1.0.0", "1.1.0"), add=add, check=check)
if __name__ == "__main__":
    raise SystemExit(pycni.main(PLUGIN))
