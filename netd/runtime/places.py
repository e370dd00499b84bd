"""Where the runtime keeps things, and the programs it runs.  Every path is a setting, so that tests run isolated."""

from __future__ import annotations

from collections.abc import Mapping

from pycni.record import Record

ROOT_DIR = "/var/lib/pynet"
RUN_DIR = "/run/pynet"


class RuntimePlaces(Record):
    """`root` outlives a reboot (images, containers, their files); `run` does not (sockets, namespaces, pid files)."""

    root: str = ROOT_DIR
    run: str = RUN_DIR
    runc: str = "runc"
    conmon: str = "conmon"
    skopeo: str = "skopeo"
    umoci: str = "umoci"
    seccomp_profile: str = "/usr/share/containers/seccomp.json"

    @property
    def images(self) -> str:
        return f"{self.root}/images"

    @property
    def containers(self) -> str:
        """One directory a container, named by its id."""
        return f"{self.root}/containers"

    @property
    def namespaces(self) -> str:
        """Sandboxes: network namespaces, each bound to a file."""
        return f"{self.run}/netns"

    @property
    def api_socket(self) -> str:
        return f"{self.run}/api.sock"

    def container(self, container_id: str) -> str:
        return f"{self.containers}/{container_id}"


def from_environment(environ: Mapping[str, str]) -> RuntimePlaces:
    """PYNET_ROOT and PYNET_RUN_DIR replace the defaults."""
    base = RuntimePlaces()
    return base.replace(root=environ.get("PYNET_ROOT") or base.root, run=environ.get("PYNET_RUN_DIR") or base.run)
