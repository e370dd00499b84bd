"""Keys of docker's requests that are refused by name, and those that are harmless."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netd.api.absent import check_create, check_platform, check_update
from netd.failure import InvalidParameter
from netd.runtime.images.manifest import this_platform

OF_THE_COMMAND_LINE: dict[str, Any] = {
    "Image": "box",
    "Healthcheck": None,
    "HostConfig": {
        "LogConfig": {"Type": "", "Config": {}},
        "VolumeDriver": "",
        "Isolation": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "DeviceRequests": None,
        "MemorySwappiness": -1,
        "OomKillDisable": False,
        "KernelMemory": 0,
        "IOMaximumBandwidth": 0,
        "Mounts": [{"Type": "volume", "Target": "/a", "VolumeOptions": {"DriverConfig": {"Name": "local"}}}],
    },
}
"""What docker's own client sends for `docker run box`."""


def test_what_clients_always_send_is_harmless() -> None:
    for body in (b"", b"{}", b"[]", b"not JSON", b'{"HostConfig": null}', b'{"HostConfig": {"Mounts": 7}}'):
        check_create(body)
        check_update(body)
    check_create(json.dumps(OF_THE_COMMAND_LINE).encode())
    for harmless in ({"Test": []}, {"Test": ["NONE"]}, {}):
        check_create(json.dumps({"Healthcheck": harmless}).encode())
    check_create(b'{"HostConfig": {"LogConfig": {"Type": "json-file"}}}')


@pytest.mark.parametrize(
    ("host_config", "words"),
    [
        ({"LogConfig": {"Type": "syslog"}}, "LogConfig.Type syslog"),
        ({"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}}, 'LogConfig.Config {"max-size":"1m"}'),
        ({"BlkioWeight": 500}, "BlkioWeight 500"),
        (
            {"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}]},
            'BlkioDeviceReadBps [{"Path":"/dev/sda","Rate":1}]',
        ),
        ({"DeviceRequests": [{"Count": -1}]}, 'DeviceRequests [{"Count":-1}]'),
        ({"MemorySwappiness": 60}, "MemorySwappiness 60"),
        ({"OomKillDisable": True}, "OomKillDisable true"),
        ({"StorageOpt": {"size": "1G"}}, 'StorageOpt {"size":"1G"}'),
        ({"VolumeDriver": "nfs"}, "VolumeDriver nfs"),
    ],
)
def test_what_asks_for_something_is_refused(host_config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_create(json.dumps({"HostConfig": host_config}).encode())
    assert str(refused.value) == f"HostConfig.{words}: this engine has no such function"
    with pytest.raises(InvalidParameter) as refused:
        check_update(json.dumps(host_config).encode())
    assert str(refused.value) == f"{words}: this engine has no such function"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Healthcheck": {"Test": ["CMD", "true"]}}, 'Healthcheck {"Test":["CMD","true"]}'),
        (
            {"HostConfig": {"Mounts": [{}, {"BindOptions": {"NonRecursive": True}}]}},
            "HostConfig.Mounts[1].BindOptions.NonRecursive true",
        ),
        (
            {"HostConfig": {"Mounts": [{"VolumeOptions": {"DriverConfig": {"Name": "nfs"}}}]}},
            "HostConfig.Mounts[0].VolumeOptions.DriverConfig.Name nfs",
        ),
    ],
)
def test_other_places(body: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_create(json.dumps(body).encode())
    assert str(refused.value) == f"{words}: this engine has no such function"


def test_platforms() -> None:
    here = this_platform()
    whole = json.dumps({"os": here.os, "architecture": here.architecture, "variant": here.variant})
    for text in ("", "linux", here.architecture, f"linux/{here.architecture}", str(here), whole):
        check_platform(text)
    for text in ("windows/amd64", "linux/s390", "s390", "linux/s390/v8", '{"os": "linux", "architecture": "s390"}'):
        with pytest.raises(InvalidParameter, match="only images for linux/"):
            check_platform(text)
