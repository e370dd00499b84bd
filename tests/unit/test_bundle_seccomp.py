from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from netd.failure import Failure, InvalidParameter
from netd.runtime.bundle.capabilities import DEFAULT, NAMES
from netd.runtime.bundle.host import Host
from netd.runtime.bundle.narrowing import narrowed
from netd.runtime.bundle.seccomp import Profiles, parse, resolve
from netd.runtime.bundle.security import DEFAULT_PROFILE, Security, security
from netd.runtime.places import RuntimePlaces

HOST = Host(cpu_count=2, cpus="0-1", capabilities=frozenset(range(41)), kernel=(6, 1), machine="x86_64")
DEBIANS = RuntimePlaces().seccomp_profile


def profile(*rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": [f"call{index}"], "action": "SCMP_ACT_ALLOW", **rule} for index, rule in enumerate(rules)
        ],
    }


def kept(rules: list[dict[str, Any]], capabilities: tuple[str, ...] = (), host: Host = HOST) -> list[str]:
    return [name for rule in resolve(profile(*rules), capabilities, host)["syscalls"] for name in rule["names"]]


def test_conditions_of_a_rule() -> None:
    rules: list[dict[str, Any]] = [
        {},
        {"includes": {"arches": ["amd64", "x32"]}},
        {"includes": {"arches": ["arm64"]}},
        {"excludes": {"arches": ["amd64"]}},
        {"includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"includes": {"minKernel": "4.8"}},
        {"includes": {"minKernel": "6.2"}},
        {"excludes": {"minKernel": "6.1"}},
        {"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
    ]
    assert kept(rules) == ["call0", "call1", "call5", "call6"]
    assert kept(rules, ("CAP_SYS_ADMIN",)) == ["call0", "call1", "call4", "call6"]
    assert kept(rules, ("CAP_SYS_ADMIN", "CAP_BPF"))[-1] == "call9"
    assert kept(rules, host=HOST.replace(machine="aarch64", kernel=(4, 7))) == [
        "call0",
        "call2",
        "call3",
        "call5",
        "call8",
    ]


def test_what_runc_gets() -> None:
    args = [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]
    given = profile({"args": args, "comment": "why", "errnoRet": 1}, {"args": []}) | {"defaultErrnoRet": 38}
    assert resolve(given, (), HOST) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["call0"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1, "args": args},
            {"names": ["call1"], "action": "SCMP_ACT_ALLOW"},
        ],
    }


def test_an_abi_that_the_kernel_lacks_is_left_out() -> None:
    found = Profiles(DEBIANS).get(DEFAULT, HOST.replace(x32=False))
    assert found["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


def test_architectures_of_other_profiles() -> None:
    given: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM"], "syscalls": None}
    assert resolve(given, (), HOST)["architectures"] == ["SCMP_ARCH_ARM"]
    assert resolve({"defaultAction": "SCMP_ACT_ALLOW"}, (), HOST)["architectures"] == ["SCMP_ARCH_X86_64"]


def allowed(resolved: dict[str, Any]) -> set[str]:
    return {
        name
        for rule in resolved["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


def test_debians_profile() -> None:
    profiles = Profiles(DEBIANS)
    plain, admin = profiles.get(DEFAULT, HOST), profiles.get([*DEFAULT, "CAP_SYS_ADMIN"], HOST)
    assert plain["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert {"read", "openat2", "arch_prctl", "chroot"} <= allowed(plain)
    assert not {"unshare", "setns", "mount", "clone", "clone3", "keyctl", "reboot", "syslog"} & allowed(plain)
    assert {"unshare", "mount", "clone", "clone3"} <= allowed(admin)
    assert "syslog" in allowed(profiles.get([*DEFAULT, "CAP_SYSLOG"], HOST))
    assert not {"bpf", "kexec_load", "init_module"} & allowed(plain)
    assert "bpf" in allowed(admin)


def test_who_lacks_a_capability_cannot_make_namespaces() -> None:
    resolved = {"syscalls": [{"names": ["read", "clone", "clone3", "unshare"], "action": "SCMP_ACT_ALLOW"}]}
    namespaces = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    rules = narrowed(resolved, [], "x86_64")["syscalls"]
    assert rules[0] == {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    assert "unshare" in rules[1]["names"] and rules[1]["errnoRet"] == 1
    assert rules[2:] == [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [namespaces]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]
    assert narrowed(resolved, [], "s390x")["syscalls"][2]["args"][0]["index"] == 1
    assert narrowed(resolved, NAMES, "x86_64") == resolved


def test_the_file_is_read_and_resolved_once() -> None:
    profiles = Profiles(DEBIANS)
    first = profiles.get(DEFAULT, HOST)
    before = time.perf_counter()
    assert all(profiles.get(tuple(DEFAULT), HOST) is first for _ in range(1000))
    assert time.perf_counter() - before < 1


def test_a_profile_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        Failure, match=r"reading the seccomp profile .*none\.json: No such file or directory; Debian has"
    ):
        Profiles(str(tmp_path / "none.json")).get(DEFAULT, HOST)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"defaultAction": "A", "architectures": ["x"], "archMap": [{"architecture": "y"}]}']
)
def test_texts_that_are_no_profile(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^--security-opt seccomp: "):
        parse(text, "--security-opt seccomp")


def test_security_options() -> None:
    assert security([]) == Security()
    assert security(["no-new-privileges"]).no_new_privileges
    assert security(["no-new-privileges:true"]).no_new_privileges
    assert not security(["no-new-privileges", "no-new-privileges=false"]).no_new_privileges
    assert security(["seccomp=unconfined"]).seccomp is None
    assert security(["seccomp:unconfined"]).seccomp is None
    assert security(["seccomp=builtin"]).seccomp is DEFAULT_PROFILE
    assert security(['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']).seccomp == {"defaultAction": "SCMP_ACT_ALLOW"}
    assert security(["apparmor=mine"]).apparmor == "mine"
    assert security(["apparmor=unconfined"]).apparmor == ""
    assert security(["label=disable", "label:user:me"]).labels == ("disable", "user:me")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("what", 'invalid --security-opt 1: "what"'),
        ("what=ever", 'invalid --security-opt 2: "what=ever"'),
        ("no-new-privileges=perhaps", 'invalid --security-opt 2: "no-new-privileges=perhaps"'),
    ],
)
def test_bad_security_options(option: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        security([option])
    assert str(raised.value) == words
