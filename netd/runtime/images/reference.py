"""Names of images, in docker's grammar: [DOMAIN[:PORT]/]PATH[:TAG][@DIGEST].

"busybox" is short for "docker.io/library/busybox"; the short form is called familiar and is what users are shown.
Pure; every error is InvalidParameter with docker's text.
"""

from __future__ import annotations

import re

from netd.failure import InvalidParameter
from pycni.record import Record

DEFAULT_TAG = "latest"

_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_LONGEST = 255
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?", re.ASCII)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)
_BAD = "invalid reference format"
_ID_DIGITS = 64


class Reference(Record):
    """`tag` and `digest` "" when not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Without tag and digest, in full."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        short = self.path.removeprefix(_OFFICIAL)
        for candidate in (short, self.path):
            # "library/a/b" is not an official image, and "docker.io/my.host/a" not one of my.host
            if _split_domain(candidate) == (self.domain, self.path):
                return candidate
        return self.name

    def __str__(self) -> str:
        return self.name + self._suffix()

    @property
    def familiar(self) -> str:
        """As users write it."""
        return self.familiar_name + self._suffix()

    def tagged(self) -> Reference:
        """With the default tag where it has neither tag nor digest."""
        return self if self.tag or self.digest else self.replace(tag=DEFAULT_TAG)

    def at(self, digest: str) -> Reference:
        """The same repository, by digest."""
        return self.replace(tag="", digest=digest)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Any of docker's spellings."""
    if len(text) == _ID_DIGITS and _HEX.fullmatch(text):
        raise InvalidParameter(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise InvalidParameter(_BAD)
    domain, rest = _split_domain(rest)
    path, colon, tag = rest.partition(":")
    if path != path.lower():
        raise InvalidParameter(f"{_BAD}: repository name ({path}) must be lowercase")
    if not _HOST.fullmatch(domain) or not _PATH.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
        raise InvalidParameter(_BAD)
    if len(domain) + 1 + len(path) > _LONGEST:
        raise InvalidParameter(f"repository name must not be more than {_LONGEST} characters")
    return Reference(domain, path, tag, digest)


def parse_target(text: str) -> Reference:
    """A name that an image is to get: no digest; without a tag the default one."""
    reference = parse(text)
    if reference.digest:
        raise InvalidParameter("refusing to create a tag with a digest reference")
    return reference.tagged()


def is_id(text: str) -> bool:
    """Whether it is an image's whole id, "sha256:" before it or not."""
    digits = text.removeprefix("sha256:")
    return len(digits) == _ID_DIGITS and bool(_HEX.fullmatch(digits))


def is_digest(text: str) -> bool:
    return bool(_DIGEST.fullmatch(text))


def id_prefix(text: str) -> str:
    """The digits, when `text` can be the beginning of an id; else ""."""
    digits = text.removeprefix("sha256:")
    return digits if len(digits) <= _ID_DIGITS and _HEX.fullmatch(digits) else ""


def is_loopback(domain: str) -> bool:
    """Registries on the machine itself, to which docker speaks without TLS when they have none."""
    host = domain.rpartition(":")[0] if re.search(r":[0-9]+$", domain) else domain
    return host == "localhost" or host == "[::1]" or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    # a first part in upper case can only be a host
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, rest = _DOMAIN, text
    if first == _LEGACY_DOMAIN:
        first = _DOMAIN
    if first == _DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest
