"""An OCI image made of Debian's static busybox, for machines that reach no image registry.

    python tests/clients/image.py OUT.tar

The archive is an OCI layout and a docker archive at once, so ctr, nerdctl, docker and podman all load it, under the
name docker.io/local/busybox:test. The same busybox gives the same bytes. Needs only the standard library.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

__all__ = ["IMAGE", "write_image"]

IMAGE = "docker.io/local/busybox:test"
BUSYBOX = "/bin/busybox"

DIRECTORIES = (
    "bin",
    "dev",
    "etc",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/sbin",
    "var",
    "www",
)
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    # Engines mount their own over these three, and need something there to mount over.
    "etc/hosts": "",
    "etc/hostname": "",
    "etc/resolv.conf": "",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_image(out: str, busybox: str = BUSYBOX, name: str = IMAGE) -> None:
    """Write the image archive to the file out."""
    layer = _layer(busybox)
    packed = gzip.compress(layer, compresslevel=6, mtime=0)
    platform = {"os": "linux", "architecture": ARCHITECTURES[os.uname().machine]}
    config = {
        **platform,
        # A pod's sandbox runs the image as it is, and has to stay.
        "config": {"Cmd": ["sleep", "infinity"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created_by": "pycni"}],
    }
    config_blob = _json(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config_blob),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
    }
    manifest_blob = _json(manifest)
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest_blob) | {
        "platform": platform,
        "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]},
    }
    docker = [{"Config": _path(config_blob), "RepoTags": [name], "Layers": [_path(packed)]}]
    members = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [entry]}),
        "manifest.json": _json(docker),
        **{_path(blob): blob for blob in (config_blob, packed, manifest_blob)},
    }
    with tarfile.open(out, "w") as archive:
        for path, data in members.items():
            _add(archive, path, data)


def _layer(busybox: str) -> bytes:
    """The root file system: busybox, a link for each of its applets, and what engines expect to find."""
    with open(busybox, "rb") as program:
        binary = program.read()
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in DIRECTORIES:
            member = tarfile.TarInfo(path)
            member.type = tarfile.DIRTYPE
            member.mode = 0o1777 if path == "tmp" else 0o755
            archive.addfile(member)
        _add(archive, "bin/busybox", binary, 0o755)
        for applet in sorted(set(applets) - {"busybox"}):
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(member)
        for path, text in FILES.items():
            _add(archive, path, text.encode())
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, data: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(data), mode
    archive.addfile(member, io.BytesIO(data))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _path(blob: bytes) -> str:
    return f"blobs/{_digest(blob).replace(':', '/')}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: image.py OUT.tar")
    write_image(sys.argv[1])
