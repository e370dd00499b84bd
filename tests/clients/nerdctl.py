"""nerdctl against containerd 2.1, with every container and network it makes removed again."""

from .components import component
from .containerd import Containerd, image_archive
from .host import Host
from .image import IMAGE
from .probes import serve_command

__all__ = ["Container", "Nerdctl"]


class Container:
    """A running container: a place commands can be run in."""

    def __init__(self, nerdctl: "Nerdctl", name: str) -> None:
        self.nerdctl, self.name = nerdctl, name

    def run(self, *argv: str) -> str:
        """Run a command in it."""
        return self.nerdctl("exec", self.name, *argv)

    @property
    def pid(self) -> int:
        """Its first process, as the host numbers it."""
        return int(self.nerdctl("inspect", "--format", "{{.State.Pid}}", self.name))


class Nerdctl:
    """Runs nerdctl; remembers what has to go at the end."""

    def __init__(self, host: Host, containerd: Containerd) -> None:
        self.host, self.containerd = host, containerd
        self.program = str(component("nerdctl"))
        self.containers: list[str] = []
        self.networks: list[str] = []

    def __call__(self, *arguments: str) -> str:
        return self.host.run(self.program, *arguments)

    def load_image(self) -> None:
        """Load the test image into nerdctl's own namespace."""
        self("load", "--input", str(image_archive(self.host)))

    def network(self, name: str, *options: str) -> str:
        """Create a network."""
        self.networks.append(name)
        self("network", "create", *options, name)
        return name

    def serve(self, name: str, *options: str) -> Container:
        """Start a container that answers HTTP with its own name."""
        self.containers.append(name)
        # Without --pull=never a misspelt image would be looked for on the net until a time-out.
        self("run", "--detach", "--pull=never", "--name", name, *options, IMAGE, *serve_command(name))
        return Container(self, name)

    def once(self, *arguments: str) -> str:
        """Run a container to its end and return what it printed; options come before, the command after --."""
        split = arguments.index("--")
        options, command = arguments[:split], arguments[split + 1 :]
        return self("run", "--rm", "--pull=never", *options, IMAGE, *command)

    def clean(self) -> None:
        """Remove what was made, also when a test failed half-way."""
        if self.containers:
            self("rm", "--force", *self.containers)
        for network in self.networks:
            self("network", "rm", network)
        self.containers.clear()
        self.networks.clear()
