"""Where our own time goes: the command's start, the daemon with conmon, runc, and the network."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence

from .engines import Engine

__all__ = ["parts"]


def parts(engine: Engine, rounds: int, runs: Mapping[str, Sequence[float]]) -> str:
    """A table of what each part takes, as the difference of two medians where it cannot be had alone."""
    pynet = engine.words[0]
    bundle = _bundle(engine)
    floor, start, ask, runc = [], [], [], []
    for number in range(rounds):
        floor.append(engine.timed("true"))
        start.append(engine.timed(pynet, "--version"))
        ask.append(engine.timed(pynet, "ps", "-q"))
        runc.append(engine.timed("runc", "run", "--bundle", bundle, f"alone{number}"))
    none, begun = statistics.median(runs["none"]), statistics.median(floor)
    cli, alone = statistics.median(start) - begun, statistics.median(runc) - begun
    rows = {
        "starting any program from the bench": begun,
        "command line: `pynet --version`": cli,
        "one question to the daemon: `pynet ps -q` more than that": statistics.median(ask) - statistics.median(start),
        "runc: `runc run` of a plain bundle": alone,
        "daemon and conmon: `--network none` more than all of these": none - begun - cli - alone,
        "network: `--network bridge` more than `none`": statistics.median(runs["bridge"]) - none,
    }
    lines = ["| `pynet run --rm IMAGE true`, its parts | ms |", "|---|---|"]
    return "\n".join(lines + [f"| {label} | {value * 1000:.0f} |" for label, value in rows.items()])


def _bundle(engine: Engine) -> str:
    """runc's own example configuration, made to execute `true` without a terminal."""
    bundle = engine.host.scratch / "alone"
    programs = bundle / "rootfs" / "bin"
    programs.mkdir(parents=True)
    shutil.copy2("/bin/busybox", programs / "busybox")
    os.symlink("busybox", programs / "true")
    engine.host.run("runc", "spec", "--bundle", str(bundle))
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["/bin/true"])
    # this machine's root may not set limits above the hard ones
    config["process"].pop("rlimits", None)
    config["linux"]["cgroupsPath"] = f"/{engine.host.name}/alone"
    (bundle / "config.json").write_text(json.dumps(config))
    return str(bundle)
