"""`pynet status`: what runs, since when, and how much of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from netd import VERSION
from netd.cli import output
from netd.cli.client import Daemon
from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.engine import client as engine_client
from netd.failure import Failure
from netd.networks import directory, manage
from pycni.settings import REFERENCE_VERSION
from pycni.spec.version import CURRENT
from pycni_plugins.dnsname.server import NoNameServer, question

NOT_RUNNING = 3
"""As init scripts report a program that is not running (LSB)."""


def status(context: Context, arguments: Arguments) -> int:
    """Works without the engine too, and says so; the exit status is 3 then."""
    engine, reason = _engine(os.path.join(context.places.run_dir, "cni.sock"))
    report = _report(context, engine, reason)
    if arguments.json:
        context.out.write(output.json_text(report))
    elif arguments.format:
        context.out.write(output.formatted(arguments.format, [report], {}))
    else:
        context.out.write(_text(report, time.time()))
    return NOT_RUNNING if engine is None else 0


def _engine(path: str) -> tuple[dict[str, Any] | None, str]:
    try:
        return engine_client.status(path), ""
    except engine_client.NoEngine as error:
        return None, str(error)


def _report(context: Context, engine: dict[str, Any] | None, reason: str) -> dict[str, Any]:
    places = context.places
    networks = directory.load(places.netconf_dir).networks
    used = [item for network in networks for item in manage.attached(network, places)]
    since = float(engine["since"]) if engine else 0.0
    return {
        "Running": engine is not None,
        "Reason": reason,
        "Pid": engine["pid"] if engine else 0,
        "Since": _moment(since) if engine else "",
        "Backend": engine["backend"] if engine else _backend(places.run_dir),
        "Sockets": engine["sockets"] if engine else [],
        "Calls": _calls(engine["calls"]) if engine else {},
        "Names": _names(context.places.run_dir),
        "Api": _api(context.places.run_dir),
        "Busy": engine["busy"] if engine else 0,
        "Deferred": engine["deferred"] if engine else 0,
        "Networks": len(networks),
        "Attachments": sum(not item.is_gone for item in used),
        "Stale": sum(item.is_gone for item in used),
        "Versions": {
            "pynet": VERSION,
            "engine": engine["version"] if engine else "",
            "cni": CURRENT,
            "plugins": REFERENCE_VERSION,
            "kernel": os.uname().release,
            "iptables": _tool("iptables", "--version"),
            "nft": _tool("nft", "--version"),
        },
        "NetconfDir": places.netconf_dir,
    }


def _names(run_dir: str) -> dict[str, Any]:
    """What the name server says of itself; without one only that it does not run."""
    try:
        told = question(run_dir, "status")
    except NoNameServer as error:
        return {"Running": False, "Reason": str(error)}
    counters = told["counters"]
    assert isinstance(counters, dict)
    return {
        "Running": True,
        "Reason": "",
        "Attachments": told["attachments"],
        "Resolvers": told["sandboxes"],
        "Queries": sum(counters.values()),
        "QueryLog": told["query_log"],
    }


def _api(run_dir: str) -> dict[str, Any]:
    """What the API says of its containers; without one only that it does not run."""
    client = Daemon(os.path.join(run_dir, "api.sock"))
    try:
        told = client.get("/info")
    except Failure as error:
        return {"Running": False, "Reason": str(error)}
    finally:
        client.close()
    return {
        "Running": True,
        "Reason": "",
        "ContainersRunning": told["ContainersRunning"],
        "Containers": told["Containers"],
        "Images": told["Images"],
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _calls(listed: list[dict[str, Any]]) -> dict[str, int]:
    """Calls by outcome."""
    counts: Counter[str] = Counter()
    for item in listed:
        counts[str(item["outcome"])] += int(item["count"])
    return dict(sorted(counts.items()))


def _backend(run_dir: str) -> str:
    """What the in-process path would choose for a published port; empty when there is no firewall to use."""
    from pycni.firewall.firewall import Firewall
    from pycni.kernel.namespace import Namespace
    from pycni.spec.errors import CniError

    try:
        with Namespace.current() as namespace:
            return Firewall(namespace, run_dir).choose("portmap", "")
    except (CniError, OSError):
        return ""


def _tool(*command: str) -> str:
    """What a tool's version line says after its name; empty where it is not installed."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    line = (done.stdout.splitlines() or [""])[0]
    return line.partition(" ")[2].strip().removeprefix("v")


def _text(report: dict[str, Any], now: float) -> str:
    versions = report["Versions"]
    if report["Running"]:
        uptime = _ago(now - datetime.fromisoformat(report["Since"]).timestamp())
        engine = f"running, pid {report['Pid']}, since {report['Since']} ({uptime})"
    else:
        engine = f"not running ({report['Reason']}); plugins run in-process"
    calls = ", ".join(f"{count} {outcome}" for outcome, count in report["Calls"].items()) or "none"
    stale = f", {report['Stale']} stale" if report["Stale"] else ""
    lines = [
        ("engine", engine),
        ("sockets", " ".join(report["Sockets"]) or "none"),
        ("calls", f"{calls}; {report['Busy']} running, {report['Deferred']} deferred"),
        ("names", _names_text(report["Names"])),
        ("containers", _api_text(report["Api"])),
        ("networks", f"{report['Networks']} in {report['NetconfDir']}"),
        ("attachments", f"{report['Attachments']}{stale}"),
        ("firewall", report["Backend"] or "none usable"),
        ("versions", f"pynet {versions['pynet']}, CNI {versions['cni']}, plugins {versions['plugins']}"),
        ("kernel", versions["kernel"]),
        ("iptables", versions["iptables"] or "not installed"),
        ("nft", versions["nft"] or "not installed"),
    ]
    return "".join(f"{name + ':':<13}{text}\n" for name, text in lines)


def _names_text(names: dict[str, Any]) -> str:
    if not names["Running"]:
        return f"not running ({names['Reason']})"
    log = ", query log on" if names["QueryLog"] else ""
    return (
        f"running, {names['Attachments']} attachments, {names['Resolvers']} resolvers, {names['Queries']} queries{log}"
    )


def _api_text(api: dict[str, Any]) -> str:
    if not api["Running"]:
        return f"no API ({api['Reason']})"
    return f"{api['ContainersRunning']} running of {api['Containers']}, {api['Images']} images"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
