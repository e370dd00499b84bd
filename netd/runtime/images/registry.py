"""A registry, through skopeo: where a name is found, and what its refusals mean."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping

from netd.failure import Failure, NotFound
from netd.runtime.images.durable import Work
from netd.runtime.images.manifest import Index, Manifest, Platform, choose, digest_of, parse
from netd.runtime.images.programs import ProgramFailed
from netd.runtime.images.reference import Reference, is_loopback
from netd.runtime.images.stage import Source, Stage
from pycni.record import Record

_ABSENT = ("manifest unknown", "manifest_unknown", "name unknown", "repository name not known")
_REFUSED = ("access to the resource is denied", "unauthorized", "authentication required", "invalid username/password")


class Found(Record):
    """`digest` is what the name meant: that of the list where there is one; `manifest` this platform's, at `source`."""

    digest: str
    manifest: Manifest
    source: Source


def resolve(stage: Stage, reference: Reference, platform: Platform, auth: Mapping[str, str] | None) -> Found:
    """What is to be fetched.  NotFound, in docker's words, when there is no such image, or none for this platform."""
    options = _options(stage.work, reference, auth)
    try:
        raw = _inspect(stage, reference, options)
        digest, exact, parsed = digest_of(raw), reference, parse(raw, reference.familiar)
        if isinstance(parsed, Index):
            exact = reference.at(choose(parsed.manifests, platform, reference.familiar).digest)
            raw = _inspect(stage, exact, options)
            parsed = parse(raw, reference.familiar)
        if not isinstance(parsed, Manifest):
            raise Failure(f"{reference.familiar}: {exact.digest} is a list of manifests within one")
    except ProgramFailed as error:
        raise refusal(reference, error) from error
    return Found(digest, parsed, Source(_name(reference.at(digest_of(raw))), options))


def refusal(reference: Reference, error: ProgramFailed) -> Failure:
    """The error for the user: docker's texts for what registries say most."""
    said = error.said.lower()
    if any(words in said for words in _ABSENT):
        return NotFound(f"manifest for {reference.familiar} not found: manifest unknown: manifest unknown")
    if any(words in said for words in _REFUSED):
        return NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            "'docker login': denied: requested access to the resource is denied"
        )
    return Failure(f"pulling {reference.familiar}: {error.said}")


def _inspect(stage: Stage, reference: Reference, options: tuple[str, ...]) -> bytes:
    raw = stage.inspect(Source(_name(reference), options))
    if reference.digest and digest_of(raw) != reference.digest:
        raise Failure(f"{reference.familiar}: the registry sent a manifest of another digest, {digest_of(raw)}")
    return raw


def _name(reference: Reference) -> str:
    # skopeo takes a tag or a digest, not both
    return f"docker://{reference.at(reference.digest) if reference.digest else reference.tagged()}"


def _options(work: Work, reference: Reference, auth: Mapping[str, str] | None) -> tuple[str, ...]:
    options = ["--tls-verify=false"] if is_loopback(reference.domain) else []
    # clients that have not logged in send an empty one
    if auth and (auth.get("username") or auth.get("identitytoken")):
        options.append(f"--authfile={_authfile(work, reference.domain, auth)}")
    return tuple(options)


def _authfile(work: Work, domain: str, auth: Mapping[str, str]) -> str:
    """Not on the command line, where everybody could read it."""
    path = f"{work.path}/auth.json"
    pair = f"{auth.get('username', '')}:{auth.get('password', '')}".encode()
    entry = {"auth": base64.b64encode(pair).decode("ascii")}
    if auth.get("identitytoken"):
        entry["identitytoken"] = auth["identitytoken"]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump({"auths": {domain: entry}}, stream)
    return path
