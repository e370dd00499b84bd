"""What `pynet gc` takes for proof."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.networks.boot import boot_moment, earliest
from netd.networks.gc import Engines, judge, verdicts
from netd.networks.usage import Attachment
from netd.networks.vanished import ABSENT, ANOTHER, PRESENT, UNSURE
from pycni import cache

WEB, DB, POD = "a" * 64, "b" * 64, "c" * 64
ENGINES = Engines(
    running={WEB: "container web of pynet", f"default-{WEB}": "container web of nerdctl"},
    stopped={DB: "container db of pynet"},
    prefixes={"default-": "containerd's namespace default"},
)
PATH = "/run/netns/one"


@pytest.mark.parametrize(
    ("container_id", "namespace", "frees", "reason"),
    [
        (WEB, ABSENT, False, "container web of pynet runs"),
        (POD, ABSENT, True, f"its namespace {PATH} does not exist"),
        (POD, ANOTHER, True, f"{PATH} is another namespace by now, without its interface"),
        (POD, PRESENT, False, f"its interface is in {PATH}"),
        (DB, PRESENT, False, f"its interface is in {PATH}"),
        (DB, UNSURE, True, "container db of pynet does not run"),
        (f"default-{WEB}", UNSURE, False, "container web of nerdctl runs"),
        (f"default-{DB}", UNSURE, True, f"containerd's namespace default runs no {DB[:12]}"),
        (f"other-{DB}", UNSURE, False, "no engine here knows whose it is"),
        ("default-gateway", UNSURE, False, "no engine here knows whose it is"),
        (POD, UNSURE, False, "no engine here knows whose it is"),
    ],
)
def test_proofs(container_id: str, namespace: str, frees: bool, reason: str) -> None:
    assert judge(Attachment(container_id, "eth0", netns=PATH), namespace, ENGINES) == (frees, reason)


def test_no_container_outlives_a_boot() -> None:
    engines = ENGINES.replace(booted=1000.0)
    old, young = (Attachment(POD, "eth0", leased=leased) for leased in (999.0, 1000.0))
    assert judge(old, UNSURE, engines) == (True, "its lease is older than this boot")
    assert not judge(young, UNSURE, engines)[0] and not judge(Attachment(POD, "eth0"), UNSURE, engines)[0]
    assert not judge(old, PRESENT, engines)[0] and not judge(old.replace(container_id=WEB), UNSURE, engines)[0]


def test_a_clock_that_was_set_since_frees_nothing(tmp_path: Path) -> None:
    assert earliest(5000.0, 20.0) == 20.0 and earliest(5000.0, 9000.0) == 5000.0
    assert earliest(5000.0, None) == 0.0
    assert boot_moment(str(tmp_path)) < 0 and boot_moment(str(tmp_path / "absent")) < 0
    (tmp_path / "first").touch()
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert booted - 10 < boot_moment(str(tmp_path)) < booted


@given(st.sampled_from([WEB, f"default-{WEB}"]), st.sampled_from([ABSENT, ANOTHER, PRESENT, UNSURE]))
def test_what_runs_is_never_freed(container_id: str, namespace: str) -> None:
    assert not judge(Attachment(container_id, "eth0", netns=PATH), namespace, ENGINES)[0]


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1), st.sampled_from([PRESENT, UNSURE])
)
def test_without_an_engine_s_word_only_a_namespace_is_proof(container_id: str, namespace: str) -> None:
    assert not judge(Attachment(container_id, "eth0", netns=PATH), namespace, Engines({}))[0]


def test_a_lease_alone_says_nothing_of_a_namespace() -> None:
    gone = cache.CacheEntry("net", cache.Attachment(POD, "/run/netns/never", "eth0"), b"{}", {})
    elsewhere = gone.replace(network="other")
    leased = Attachment(POD, "eth0", netns="")
    (one,) = verdicts("net", [leased.replace(netns="/run/netns/never")], [elsewhere, gone], ENGINES)
    (two,) = verdicts("net", [leased], [elsewhere], ENGINES)
    assert (one.frees, two.frees) == (True, False)
