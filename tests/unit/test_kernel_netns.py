"""Opening namespaces: the checks and texts of contract 2.0.1."""

from __future__ import annotations

import os
from errno import EBADF, EINVAL
from pathlib import Path

import pytest

from pycni.kernel import libc, netns
from pycni.kernel.failure import errno_text
from pycni.kernel.namespace import Namespace
from pycni.spec.errors import CniError, KernelError


def test_a_missing_path_is_its_own_class(tmp_path: Path) -> None:
    path = f"{tmp_path}/gone"
    with pytest.raises(netns.NamespaceMissing) as caught:
        netns.open_netns(path)
    assert caught.value.msg == f'failed to Statfs "{path}": no such file or directory'
    with pytest.raises(netns.NamespaceMissing) as caught:
        netns.open_netns("")
    assert caught.value.msg == 'failed to Statfs "": no such file or directory'


def test_a_path_through_a_file_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CniError) as caught:
        netns.open_netns(f"{tmp_path}/file/below")
    assert not isinstance(caught.value, netns.NamespaceMissing)
    assert caught.value.msg == f'failed to Statfs "{tmp_path}/file/below": not a directory'


def test_another_file_is_refused_with_its_magic(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(CniError) as caught:
        netns.open_netns(str(path))
    assert not isinstance(caught.value, netns.NamespaceMissing)
    assert caught.value.msg == f'unknown FS magic on "{path}": {libc.statfs_magic(str(tmp_path)):x}'


@pytest.mark.parametrize("path", ["/proc/self/ns/mnt", "/proc/self/status"])
@pytest.mark.parametrize("tells", [True, False])
def test_what_is_no_network_namespace_is_refused_in_the_reference_s_words(
    path: str, tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tells:
        monkeypatch.setattr(netns, "_NS_GET_NSTYPE", 0)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CniError) as caught:
        netns.open_netns(path)
    assert caught.value.msg == f"error switching to ns {path}: Error switching to ns {path}: invalid argument"
    assert os.listdir("/proc/self/fd") == before


def test_quotes_are_escaped_and_null_bytes_refused() -> None:
    with pytest.raises(netns.NamespaceMissing) as missing:
        netns.open_netns('/no"such\\path')
    assert missing.value.msg == r'failed to Statfs "/no\"such\\path": no such file or directory'
    with pytest.raises(CniError, match="embedded null byte"):
        netns.open_netns("/a\0b")


def test_a_path_that_vanishes_between_the_checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(netns, "statfs_magic", lambda _: 0x6E736673)
    with pytest.raises(netns.NamespaceMissing, match=r'failed to open ".*/gone": no such file'):
        netns.open_netns(f"{tmp_path}/gone")


def test_magic_numbers_are_the_kernels() -> None:
    assert libc.statfs_magic("/proc/thread-self/ns/net") == 0x6E736673
    assert libc.statfs_magic("/proc/self") == 0x9FA0


def test_a_descriptor_is_not_inherited() -> None:
    fd = netns.open_netns("/proc/thread-self/ns/net")
    other = netns.open_current()
    try:
        assert not os.get_inheritable(fd)
        assert not os.get_inheritable(other)
        assert netns.identity(fd) == netns.identity(other)
    finally:
        os.close(fd)
        os.close(other)


def test_a_namespace_that_cannot_be_entered_leaves_nothing_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    fd = os.open(tmp_path, os.O_RDONLY)
    inside = netns.Inside(fd)
    with pytest.raises(OSError), inside:
        raise AssertionError("entered a directory")
    os.close(fd)
    assert os.listdir("/proc/self/fd") == before


def test_a_namespace_that_cannot_be_entered_is_no_defect_of_the_plugin_that_tries(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with Namespace(fd, owned=True) as namespace, pytest.raises(KernelError) as caught:
        namespace.links()
    assert caught.value.errno == EINVAL
    assert caught.value.msg == "failed to open a netlink socket in the network namespace: invalid argument"


def test_a_failing_call_carries_its_errno() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        libc.setns(-1, libc.CLONE_NEWNET)
    assert caught.value.errno == EBADF


def test_texts_start_lower_case() -> None:
    assert errno_text(17) == "file exists"
    assert errno_text(99) == "cannot assign requested address"
