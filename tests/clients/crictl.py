"""crictl: pods as a kubelet would start them."""

import json
from typing import Any

from .components import component
from .containerd import Containerd
from .image import IMAGE

__all__ = ["Crictl", "Pod"]


class Pod:
    """A running pod sandbox and its containers."""

    def __init__(self, crictl: "Crictl", name: str, identity: str) -> None:
        self.crictl, self.name, self.id = crictl, name, identity

    @property
    def address(self) -> str:
        """The address the kubelet would report."""
        return str(json.loads(self.crictl("inspectp", self.id))["status"]["network"]["ip"])

    def start(self, name: str, *command: str) -> str:
        """Start a container in the pod and return its id."""
        spec = {
            "metadata": {"name": name},
            "image": {"image": IMAGE},
            "command": list(command),
            "log_path": f"{name}.log",
            "linux": {},
        }
        path = self.crictl.file(name, spec)
        container = self.crictl("create", "--no-pull", self.id, path, self.crictl.sandboxes[self.id]).strip()
        self.crictl("start", container)
        return container


class Crictl:
    """Runs crictl against the CRI of one containerd; removes at the end every pod it made."""

    def __init__(self, containerd: Containerd) -> None:
        self.containerd, self.host = containerd, containerd.host
        self.sandboxes: dict[str, str] = {}

    def __call__(self, *arguments: str) -> str:
        endpoint = f"unix://{self.containerd.address}"
        return self.host.run(
            str(component("crictl")), "--runtime-endpoint", endpoint, "--image-endpoint", endpoint, *arguments
        )

    def file(self, name: str, content: object) -> str:
        """Write what crictl wants to read from a file."""
        path = f"/run/crictl/{self.containerd.version}-{name}.json"
        self.host.write(path, json.dumps(content))
        return path

    def pod(self, name: str, ports: list[dict[str, Any]] | None = None) -> Pod:
        """Run a pod sandbox."""
        spec = {
            "metadata": {"name": name, "namespace": "ring", "uid": f"uid-{name}", "attempt": 0},
            "hostname": name,
            "log_directory": f"/run/crictl/logs/{self.containerd.version}-{name}",
            "port_mappings": ports or [],
            "linux": {"cgroup_parent": "/pods"},
        }
        path = self.file(f"pod-{name}", spec)
        identity = self("runp", path).strip()
        self.sandboxes[identity] = path
        return Pod(self, name, identity)

    def remove(self, pod: Pod) -> None:
        """Stop and remove a pod with its containers."""
        self("stopp", pod.id)
        self("rmp", "--force", pod.id)
        del self.sandboxes[pod.id]

    def clean(self) -> None:
        """Remove every pod that is still there, half-made ones too."""
        for identity in self("pods", "--quiet").split():
            self("stopp", identity)
            self("rmp", "--force", identity)
        self.sandboxes.clear()
