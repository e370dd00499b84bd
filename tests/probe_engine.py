"""An engine whose only plugin is a probe: it tells what it was given, or does what a test needs it to do.

Run as `python3 tests/probe_engine.py <pynetd's options>`.  CNI_ARGS chooses: `crash`, `block` (reports to the file
PROBE_ENTERED, waits for PROBE_RELEASE, a FIFO), `exit` (ends the process), `retire=NAME` (retires a device by hand and
defers the deletion); else the probe prints facts as JSON on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netd.engine import front
from netd.engine.main import parse, run
from pycni.kernel.namespace import TRASH_GROUP
from pycni.kernel.netns import THREAD_NETNS
from pycni.plan.teardown import empty_trash
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import ConfigError
from pycni.spec.result import Result


def probe(context: Context) -> None:
    environment = context.request.environment
    wish = context.request.arguments
    if wish == "crash":
        raise RuntimeError("the probe was told to crash")
    if wish == "refuse":
        raise ConfigError("the probe refuses", "as it was told to")
    if wish == "block":
        Path(environment["PROBE_ENTERED"]).touch()
        os.close(os.open(environment["PROBE_RELEASE"], os.O_RDONLY))
    if wish == "exit":
        os._exit(1)
    if wish.startswith("retire="):
        link = context.host.namespace.link(wish.partition("=")[2])
        assert link is not None
        context.host.namespace.set_link(link.index, up=False, group=TRASH_GROUP)
        context.host.defer(empty_trash)
    context.warn(json.dumps(facts(context)))


def facts(context: Context) -> dict[str, object]:
    """What the probe sees."""
    container = context.container_or_none()
    context.host.namespace.links()
    thread = os.stat(THREAD_NETNS)
    return {
        "host": context.host.namespace.identity,
        "container": container and container.identity,
        "thread": (thread.st_dev, thread.st_ino),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "environment": dict(context.request.environment),
        "stdin": len(context.request.stdin),
        "pid": os.getpid(),
    }


def add(context: Context) -> Result:
    probe(context)
    return Result()


PROBE = Plugin("probe", add=add, check=probe, delete=probe, gc=probe, status=probe)


def find(name: str) -> Plugin | None:
    return PROBE if name == "probe" else None


if __name__ == "__main__":
    if "--plain-front" in sys.argv:  # as where nothing was compiled
        sys.argv.remove("--plain-front")
        front.load = lambda: None  # type: ignore[assignment, misc]
    sys.exit(run(parse(sys.argv[1:]), find))
