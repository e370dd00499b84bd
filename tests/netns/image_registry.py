"""Debian's docker-registry on the loopback of a private network namespace, and skopeo inside it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from pathlib import Path

from conftest import PrivateNetns
from image_makers import Made, digest, index_of

PORT = 5000
HOST = f"127.0.0.1:{PORT}"
USER, PASSWORD = "joe", "secret"
_HASH = "$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"


class Registry:
    """Serves when `start` returns; `log` is what it was asked, one line a request."""

    def __init__(self, netns: PrivateNetns, home: Path, locked: bool = False) -> None:
        self._netns = netns
        self._home = home
        self._locked = locked
        self._process: subprocess.Popen[str] | None = None
        home.mkdir()
        netns.run(["ip", "link", "set", "lo", "up"])

    @property
    def log(self) -> str:
        return (self._home / "log").read_text()

    def start(self) -> None:
        config = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self._home / "data")}},
            "http": {"addr": HOST},
        }
        if self._locked:
            (self._home / "htpasswd").write_text(f"{USER}:{_HASH}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(self._home / "htpasswd")}}
        (self._home / "config.yml").write_text(json.dumps(config))
        with open(self._home / "log", "w", encoding="utf-8") as log:
            self._process = self._netns.start(
                ["docker-registry", "serve", str(self._home / "config.yml")], stdout=log, stderr=log
            )
        self._await()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def skopeo(self, path: Path) -> str:
        """A program that is skopeo in the registry's namespace."""
        path.write_text(f'#!/bin/sh\nexec nsenter --net={self._netns.path} skopeo "$@"\n')
        path.chmod(0o755)
        return str(path)

    def push(self, name: str, made: Made, oci: bool = True) -> str:
        """NAME:TAG; the manifest's digest."""
        repository, _, tag = name.rpartition(":")
        for blob in made.blobs().values():
            self._upload(repository, blob)
        return self._put(repository, tag, made.manifest(oci))

    def push_for_all(self, name: str, images: list[tuple[Made, str]]) -> str:
        """One image for several architectures; the digest of the list."""
        repository, _, tag = name.rpartition(":")
        for made, _architecture in images:
            self.push(f"{repository}:{made.id[7:19]}", made)
        return self._put(repository, tag, index_of(images))

    def _upload(self, repository: str, blob: bytes) -> None:
        status, headers, _ = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        assert status == 202, status
        target = headers["Location"].removeprefix(f"http://{HOST}")
        status, _, answer = self._ask(
            "PUT", f"{target}&digest={digest(blob)}", blob, {"Content-Type": "application/octet-stream"}
        )
        assert status == 201, answer

    def _put(self, repository: str, tag: str, manifest: bytes) -> str:
        kind = json.loads(manifest)["mediaType"]
        status, _, answer = self._ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": kind})
        assert status == 201, answer
        return digest(manifest)

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        sock = self._socket()
        sock.connect(("127.0.0.1", PORT))
        connection.sock = sock
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _socket(self) -> socket.socket:
        made = self._netns.socket(socket.AF_INET, socket.SOCK_STREAM)
        return socket.socket(fileno=made.detach())

    def _await(self) -> None:
        """Its log says when it listens."""
        assert self._process is not None
        watcher = subprocess.Popen(
            ["tail", "--lines=+1", "--follow", f"--pid={self._process.pid}", str(self._home / "log")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert watcher.stdout is not None
        try:
            said = []
            for line in watcher.stdout:
                said.append(line)
                if "listening on" in line:
                    return
            raise AssertionError("".join(said))
        finally:
            watcher.kill()
            watcher.communicate()
