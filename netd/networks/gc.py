"""Attachments that nobody uses any more, and how one knows: what `pynet gc` shows before it frees them.

An attachment is freed on proof only.  The proofs: its namespace does not exist, or is another one by now; or, where no
cached result tells of a namespace, an engine of this machine knows its container and says that it does not run, or its
lease is older than this boot.  Who owns nothing but a younger lease with an id that no engine knows is left alone: an
engine that we cannot ask may have given it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netd.networks.usage import Attachment
from netd.networks.vanished import ABSENT, ANOTHER, PRESENT, UNSURE, fate
from pycni.cache import CacheEntry
from pycni.record import Record


class Engines(Record):
    """What the engines of this machine say, by ids as CNI knows them, in words: `running` and `stopped` containers.
    `booted` is the machine's own word (unix seconds): what was leased before is of an earlier boot.
    `prefixes` begin ids of an engine that told all it runs: who has one and is not in `running` does not run."""

    running: Mapping[str, str]
    stopped: Mapping[str, str] = {}
    prefixes: Mapping[str, str] = {}
    booted: float = 0.0


class Verdict(Record):
    """`frees`: it can go; `reason` says how one knows, or what is in the way."""

    network: str
    attachment: Attachment
    frees: bool
    reason: str


def verdicts(
    network: str, attachments: Iterable[Attachment], entries: Iterable[CacheEntry], engines: Engines
) -> Iterator[Verdict]:
    """One for each attachment of a network; `entries` are libcni's cached results."""
    known = {
        (entry.attachment.container_id, entry.attachment.ifname): entry for entry in entries if entry.network == network
    }
    for each in attachments:
        entry = known.get((each.container_id, each.ifname))
        frees, reason = judge(each, UNSURE if entry is None else fate(entry), engines)
        yield Verdict(network, each, frees, reason)


def judge(attachment: Attachment, namespace: str, engines: Engines) -> tuple[bool, str]:
    """Whether it is provably of no use, and why; `namespace` is what became of its namespace.  Pure."""
    container_id, netns = attachment.container_id, attachment.netns
    if container_id in engines.running:
        return False, f"{engines.running[container_id]} runs"
    if namespace == ABSENT:
        return True, f"its namespace {netns} does not exist"
    if namespace == ANOTHER:
        return True, f"{netns} is another namespace by now, without its interface"
    if namespace == PRESENT:
        return False, f"its interface is in {netns}"
    if container_id in engines.stopped:
        return True, f"{engines.stopped[container_id]} does not run"
    for prefix, engine in engines.prefixes.items():
        if _is_id_behind(prefix, container_id):
            return True, f"{engine} runs no {container_id.removeprefix(prefix)[:12]}"
    if 0 < attachment.leased < engines.booted:
        return True, "its lease is older than this boot"
    return False, "no engine here knows whose it is"


def _is_id_behind(prefix: str, text: str) -> bool:
    """Anybody may choose an id that begins like an engine's."""
    rest = text.removeprefix(prefix)
    return rest != text and len(rest) == 64 and set(rest) <= set("0123456789abcdef")
