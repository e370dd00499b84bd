"""Images made by hand for tests: layers of busybox and a few files, as archives of docker's and of OCI's kind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

BUSYBOX = "/bin/busybox"
APPLETS = (
    "sh",
    "cat",
    "id",
    "ls",
    "sleep",
    "touch",
    "mount",
    "stat",
    "env",
    "true",
    "tail",
    "head",
    "mkdir",
    "echo",
    "ln",
)
APPLETS += (
    "hostname",
    "df",
    "rm",
    "dd",
    "wc",
    "grep",
    "kill",
    "nc",
    "find",
    "unshare",
    "chmod",
    "date",
    "tr",
    "readlink",
)
ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/srv:/bin/sh\n",
    "etc/group": "root:x:0:\nweb:x:33:\nlog:x:44:web\n",
}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def tar(members: Sequence[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for each in members:
            member, data = each if isinstance(each, tuple) else (each, b"")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def directory(name: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, mode, uid, gid
    return member


def file(
    name: str, data: bytes | str = b"", mode: int = 0o644, uid: int = 0, gid: int = 0
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid = mode, uid, gid
    return member, data.encode() if isinstance(data, str) else data


def link(name: str, to: str, hard: bool = False) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = (tarfile.LNKTYPE if hard else tarfile.SYMTYPE), to
    return member


def base_layer() -> bytes:
    """Busybox, users, and the usual directories."""
    with open(BUSYBOX, "rb") as stream:
        busybox = stream.read()
    directories = [directory(name) for name in ("bin", "etc", "proc", "sys", "dev", "srv", "root")]
    return tar(
        [
            *directories,
            directory("tmp", 0o1777),
            file("bin/busybox", busybox, 0o755),
            *(link(f"bin/{applet}", "busybox") for applet in APPLETS),
            *(file(name, text) for name, text in ETC.items()),
        ]
    )


class Made:
    """An image: `layers` are plain tars, packed as they are pushed; `config` what containers inherit."""

    def __init__(
        self,
        layers: Sequence[bytes],
        config: Mapping[str, Any] | None = None,
        architecture: str = ARCHITECTURE,
        zstd: bool = False,
    ) -> None:
        self.layers = list(layers)
        self.packed = [with_zstd(layer) if zstd else gzip.compress(layer, 1, mtime=0) for layer in layers]
        self._suffix = "+zstd" if zstd else "+gzip"
        # keys in docker's order and with one that OCI does not know: written anew, it would have another digest
        self.config = json.dumps(
            {
                "docker_version": "20.10",
                "architecture": architecture,
                "os": "linux",
                "created": "2026-01-02T03:04:05.000000006Z",
                "config": dict(config or {"Cmd": ["sh"], "Env": ["PATH=/bin"]}),
                "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            }
        ).encode()
        self.id = digest(self.config)

    def manifest(self, oci: bool = True) -> bytes:
        kinds = _OCI if oci else _DOCKER
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kinds[0],
                "config": _descriptor(kinds[1], self.config),
                "layers": [_descriptor(kinds[2].replace("+gzip", self._suffix), layer) for layer in self.packed],
            }
        ).encode()

    def blobs(self) -> dict[str, bytes]:
        return {digest(blob): blob for blob in (self.config, *self.packed)}


_OCI = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
_DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


def with_zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "--quiet", "--stdout"], input=data, stdout=subprocess.PIPE, check=True).stdout


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def docker_archive(images: Sequence[tuple[Made, Sequence[str]]], packed: bool = False) -> bytes:
    """As `docker save` writes it; the layers plain unless `packed`."""
    members: dict[str, bytes] = {}
    entries = []
    for made, tags in images:
        layers = made.packed if packed else made.layers
        names = [f"{digest(layer)[7:]}/layer.tar" for layer in layers]
        members |= dict(zip(names, layers, strict=True))
        members[f"{made.id[7:]}.json"] = made.config
        entries.append({"Config": f"{made.id[7:]}.json", "RepoTags": list(tags) or None, "Layers": names})
    return tar([file(name, data) for name, data in (members | {"manifest.json": json.dumps(entries).encode()}).items()])


def oci_archive(images: Sequence[tuple[Made, str]]) -> bytes:
    """As skopeo and `podman save --format oci-archive` write it."""
    blobs: dict[str, bytes] = {}
    entries = []
    for made, name in images:
        manifest = made.manifest()
        blobs |= made.blobs() | {digest(manifest): manifest}
        annotations = {"org.opencontainers.image.ref.name": name} if name else {}
        entries.append(_descriptor(_OCI[0], manifest) | {"annotations": annotations})
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return tar(
        [
            file("oci-layout", '{"imageLayoutVersion":"1.0.0"}'),
            *(file(f"blobs/{name.replace(':', '/')}", data) for name, data in blobs.items()),
            file("index.json", index),
        ]
    )


def index_of(images: Sequence[tuple[Made, str]]) -> bytes:
    """One image for several architectures."""
    entries = [
        _descriptor(_OCI[0], made.manifest()) | {"platform": {"os": "linux", "architecture": architecture}}
        for made, architecture in images
    ]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    ).encode()


def tree(path: str) -> list[str]:
    """Everything below, with kind, owner, mode, size and target: what two equal trees have in common."""
    printed = subprocess.run(
        ["find", ".", "-printf", "%p %y %U:%G %#m %s %l\n"], cwd=path, capture_output=True, text=True, check=True
    )
    return sorted(line for line in printed.stdout.splitlines() if " d " not in line or not line.startswith(". "))


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest(blob), "size": len(blob)}
