"""What a command is given: its surroundings as values, so that tests replace any of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from netd.cli.client import Daemon
    from netd.networks.manage import Host
    from netd.networks.places import Places

RUN_DIR = "/run/pynet"
"""As `netd.networks.places` and `netd.runtime.places` have it, which cost too much to import for this alone."""


class Context:
    """`out` and `err` are the command's streams, `input` its standard input; `paths` the places given as flags, by
    their field in `Places`.  What is costly is made when it is first asked for."""

    def __init__(
        self,
        paths: Mapping[str, str],
        environ: Mapping[str, str],
        out: TextIO,
        err: TextIO,
        stdin: TextIO,
        host: Host | None = None,
    ) -> None:
        self.environ = environ
        self.out = out
        self.err = err
        self.input = stdin
        self._paths = paths
        self._host = host
        self._daemon: Daemon | None = None

    @property
    def places(self) -> Places:
        """Flags first, then variables, then the defaults."""
        from netd.networks.places import from_environment, split_path

        changes: dict[str, object] = {**self._paths}
        if "cni_path" in self._paths:
            changes["cni_path"] = split_path(self._paths["cni_path"])
        return from_environment(self.environ).replace(**changes)

    @property
    def host(self) -> Host:
        """The machine's links, routes and firewall."""
        if self._host is None:
            from netd.networks.host import LiveHost

            self._host = LiveHost(self.places)
        return self._host

    @property
    def daemon(self) -> Daemon:
        """The HTTP API; connected to at the first request."""
        if self._daemon is None:
            from netd.cli.client import Daemon

            run_dir = self._paths.get("run_dir") or self.environ.get("PYNET_RUN_DIR") or RUN_DIR
            self._daemon = Daemon(f"{run_dir}/api.sock")
        return self._daemon

    def close(self) -> None:
        """Connections."""
        if self._daemon is not None:
            self._daemon.close()

    def complain(self, message: str) -> None:
        """One line on standard error."""
        self.out.flush()
        self.err.write(f"pynet: {message}\n")
        self.err.flush()
