"""A host of private namespaces on which plugins are executed as a runtime does: ours through an engine or without one,
or the reference's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine_process import REAL, EngineProcess
from launchers import ENTRY, call, install
from reference_plugins import directory as reference_directory

from netd.engine.client import sync
from pycni_plugins import NAMES

OURS = ("engine", "in-process")
WAYS = (*OURS, "reference")


class Caller:
    """`way` is one of WAYS; `host` is the host's namespace, `containers` of which are made by `make`.  What is called
    is also in the namespaces that `enter`, options of nsenter(1), names."""

    def __init__(
        self, way: str, netns: Callable[[], Any], directory: Path, host: Any = None, enter: Sequence[str] = ()
    ) -> None:
        self.way = way
        self.make = netns
        self.host = netns() if host is None else host
        self._engine: EngineProcess | None = None
        self.within = ("/usr/bin/nsenter", f"--net={self.host.path}", *enter, "--")
        if way == "reference":
            self.bin = reference_directory()
            return
        place = directory / way
        place.mkdir()
        settings = {"socket": str(place / "none.sock"), "run-dir": str(place / "run")}
        if way == "engine":
            self._engine = EngineProcess(place / "engine", program=REAL, prefix=self.within)
            settings = self._engine.settings
        self.bin = install("c", place / "bin", {**settings, "entry": str(ENTRY)}, NAMES)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.kill()

    def call(
        self,
        plugin: str,
        command: str,
        config: Mapping[str, Any],
        netns: str,
        container_id: str = "c1",
        ifname: str = "eth0",
        **environment: str,
    ) -> subprocess.CompletedProcess[bytes]:
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(self.bin),
            **environment,
        }
        done = call(self.bin / plugin, variables, json.dumps(config).encode(), self.within)
        if command == "DEL" and self._engine is not None:
            sync(self._engine.socket)  # what it put off is done, too
        return done

    def ok(self, plugin: str, command: str, config: Mapping[str, Any], netns: str, **options: Any) -> Any:
        """A successful call's result, None when it prints nothing."""
        done = self.call(plugin, command, config, netns, **options)
        assert done.returncode == 0, f"{self.way} {plugin} {command}: {done.stdout.decode()} {done.stderr.decode()}"
        return json.loads(done.stdout) if done.stdout else None

    def error(self, plugin: str, command: str, config: Mapping[str, Any], netns: str, **options: Any) -> Any:
        """A failed call's error object."""
        done = self.call(plugin, command, config, netns, **options)
        assert done.returncode == 1, f"{self.way} {plugin} {command} succeeded: {done.stdout.decode()}"
        return json.loads(done.stdout)
