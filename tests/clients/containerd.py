"""containerd inside the disposable host, Debian's 1.6 or 2.1.5, and ctr to it."""

from pathlib import Path

from .components import component
from .host import Host, Service
from .image import IMAGE, write_image
from .polling import wait_until

__all__ = ["CONTAINERD_VERSIONS", "Containerd", "image_archive", "start_containerd"]

CONTAINERD_VERSIONS = ("1.6", "2.1")

# Root in a sandbox may not lower oom scores, which the CRI part does unless told not to.
CONFIG = {
    "1.6": """\
version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{address}"
[ttrpc]
  address = "{address}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "{conf_dir}"
""",
    "2.1": """\
version = 3
root = "{root}"
state = "{state}"
[grpc]
  address = "{address}"
[ttrpc]
  address = "{address}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{image}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "{conf_dir}"
""",
}


class Containerd:
    """A running containerd: its address, its own ctr, and where its CRI part reads network lists."""

    def __init__(self, host: Host, version: str) -> None:
        self.host, self.version = host, version
        self.programs = component("containerd2" if version == "2.1" else "containerd")
        # nerdctl is used with 2.1, which therefore has the default address: nerdctl then needs no flag.
        self.state = "/run/containerd" if version == "2.1" else f"/run/containerd-{version}"
        self.address = f"{self.state}/containerd.sock"
        # Each CRI has its own lists: 1.6 rejects a list of spec version 1.1.0, 2.1 asks STATUS of such a list only.
        self.cri_lists = f"/etc/cni/cri-{version}.d"
        self.service: Service | None = None

    def ctr(self, *arguments: str, namespace: str = "default") -> str:
        """Run this version's ctr."""
        return self.host.run(str(self.programs / "ctr"), "-a", self.address, "-n", namespace, *arguments)

    def ready(self) -> bool:
        """Tell whether it answers; fail when it has ended."""
        assert self.service is not None
        self.service.alive()
        return self.host.succeeds(str(self.programs / "ctr"), "-a", self.address, "version", limit=5)


def start_containerd(host: Host, version: str) -> Containerd:
    """Start containerd of that version and load the image into the namespaces its clients use."""
    daemon = Containerd(host, version)
    root = host.scratch / f"containerd-{version}"  # on the disk: overlayfs cannot have an overlay above it
    text = CONFIG[version].format(
        root=root, state=f"{daemon.state}/state", address=daemon.address, image=IMAGE, conf_dir=daemon.cri_lists
    )
    config = f"/etc/containerd/config-{version}.toml"
    host.write(config, text)
    host.file(daemon.cri_lists).mkdir(parents=True, exist_ok=True)
    # containerd finds its shim in PATH: of two versions' shims, its own has to come first.
    path = ":".join([str(daemon.programs), *host.path])
    program = daemon.programs / "containerd"
    daemon.service = host.service(f"containerd-{version}", str(program), "--config", config, env={"PATH": path})
    wait_until(daemon.ready, f"containerd {version} to answer", 30)
    archive = image_archive(host)
    for namespace in ("default", "k8s.io"):
        daemon.ctr("images", "import", str(archive), namespace=namespace)
    return daemon


def image_archive(host: Host) -> Path:
    """The test image's archive, written once for a host."""
    archive = host.scratch / "image.tar"
    if not archive.exists():
        write_image(str(archive))
    return archive
