"""`-v`, `--mount` and `--tmpfs` as docker's wire form; pure."""

from __future__ import annotations

from posixpath import isabs, join, normpath

from netd.failure import InvalidParameter

_MOUNT_KEYS = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "destination": "target",
    "dst": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
}
_TRUE, _FALSE = ("", "1", "true"), ("0", "false")


class Volumes:
    """What is collected: `binds` "SOURCE:TARGET[:OPTIONS]", `mounts`, `tmpfs` by target, `anonymous` targets."""

    def __init__(self, folder: str) -> None:
        self.binds: list[str] = []
        self.mounts: list[dict[str, object]] = []
        self.tmpfs: dict[str, str] = {}
        self.anonymous: list[str] = []
        self._folder = folder

    def volume(self, text: str) -> None:
        """One `-v`: [SOURCE:]TARGET[:OPTIONS]; a relative source is one of the current directory."""
        parts = text.split(":")
        if len(parts) > 3 or not all(parts):
            raise InvalidParameter(f"-v {text}: expected [SOURCE:]TARGET[:OPTIONS]")
        target = parts[0] if len(parts) == 1 else parts[1]
        if not isabs(target) or normpath(target) == "/":
            raise InvalidParameter(f"-v {text}: {target!r} must be an absolute path below /")
        if len(parts) == 1:
            self.anonymous.append(text)
            return
        if parts[0].startswith("."):
            parts[0] = normpath(join(self._folder, parts[0]))
        self.binds.append(":".join(parts))

    def mount(self, text: str) -> None:
        """One `--mount`: type=bind,source=…,target=…[,readonly]; type=tmpfs,target=…[,tmpfs-size=…,tmpfs-mode=…]."""
        found: dict[str, str] = {}
        for part in text.split(","):
            name, _, value = part.partition("=")
            key = _MOUNT_KEYS.get(name.strip().lower())
            if key is None:
                raise InvalidParameter(f"--mount {text}: {name!r} is not one of {', '.join(_MOUNT_KEYS)}")
            found[key] = value
        kind = found.get("type", "volume")
        target = found.get("target", "")
        if not isabs(target):
            raise InvalidParameter(f"--mount {text}: target must be an absolute path")
        read_only = found.get("readonly", "false").lower()
        if read_only not in _TRUE + _FALSE:
            raise InvalidParameter(f"--mount {text}: readonly must be true or false")
        if kind == "tmpfs":
            self._tmpfs_mount(text, found, read_only in _TRUE)
            return
        for key in ("size", "mode"):
            if key in found:
                raise InvalidParameter(f"--mount {text}: tmpfs-{key} goes with type=tmpfs only")
        if kind == "bind" and not isabs(found.get("source", "")):
            raise InvalidParameter(f"--mount {text}: source must be an absolute path")
        self.mounts.append(
            {"Type": kind, "Source": found.get("source", ""), "Target": target, "ReadOnly": read_only in _TRUE}
        )

    def _tmpfs_mount(self, text: str, found: dict[str, str], read_only: bool) -> None:
        if found.get("source"):
            raise InvalidParameter(f"--mount {text}: a tmpfs has no source")
        options = [f"{key}={found[key]}" for key in ("size", "mode") if found.get(key)]
        self.tmpfs[found["target"]] = ",".join([*options, *(["ro"] if read_only else [])])

    def memory(self, text: str) -> None:
        """One `--tmpfs`: TARGET[:OPTIONS]."""
        target, _, options = text.partition(":")
        if not isabs(target):
            raise InvalidParameter(f"--tmpfs {text}: {target!r} must be an absolute path")
        self.tmpfs[target] = options
