"""podman 4.3 with network_backend = "cni"."""

import contextlib

from .components import component
from .containerd import image_archive
from .host import CommandFailed, Host
from .image import IMAGE
from .probes import serve_command

__all__ = ["Podman", "PodmanContainer"]

# crun, podman's first choice, refuses machines with both cgroup versions; there is no systemd to ask for cgroups or
# take a journal; and podman's default limits are above what root in a sandbox may set.
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=1024:2048"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/podman.d"
"""

STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{root}"
runroot = "/run/containers/storage"
"""


class PodmanContainer:
    """A running container: a place commands can be run in."""

    def __init__(self, podman: "Podman", name: str) -> None:
        self.podman, self.name = podman, name

    def run(self, *argv: str) -> str:
        """Run a command in it."""
        return self.podman("exec", self.name, *argv)


class Podman:
    """Runs podman; remembers what has to go at the end."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.program = str(component("podman"))
        self.networks: list[str] = []

    def __call__(self, *arguments: str) -> str:
        return self.host.run(self.program, *arguments)

    def set_up(self) -> None:
        """Configure it as an administrator would, and load the image."""
        self.host.write("/etc/containers/containers.conf", CONTAINERS_CONF)
        # On the disk: overlayfs cannot have an overlay above it.
        root = self.host.scratch / "podman"
        self.host.write("/etc/containers/storage.conf", STORAGE_CONF.format(root=root))
        self.host.write("/etc/containers/policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
        backend = self("info", "--format", "{{.Host.NetworkBackend}}").strip()
        if backend != "cni":
            raise AssertionError(f"podman uses {backend} for its networks, not cni")
        self("load", "--input", str(image_archive(self.host)))

    def network(self, name: str, *options: str) -> str:
        """Create a network."""
        self.networks.append(name)
        self("network", "create", *options, name)
        return name

    def serve(self, name: str, *options: str) -> PodmanContainer:
        """Start a container that answers HTTP with its own name."""
        self("run", "--detach", "--pull=never", "--name", name, *options, IMAGE, *serve_command(name))
        return PodmanContainer(self, name)

    def clean(self) -> None:
        """Remove what was made, also when a test failed half-way."""
        self("rm", "--all", "--force", "--time", "0")
        for network in self.networks:
            with contextlib.suppress(CommandFailed):
                self("network", "rm", "--force", network)
        self.networks.clear()
