"""Null in a request is what was not said; a null that means something stays."""

from __future__ import annotations

import json

import msgspec
import pytest

from netd.api.decode import decode
from netd.api.network_request import CreateNetwork
from netd.runtime.model import ContainerConfig, CreateRequest, HostConfig, NetworkingConfig


def test_null_is_the_default_wherever_it_stands() -> None:
    body = {
        "Image": "box",
        "Hostname": None,
        "Tty": None,
        "Env": None,
        "Unknown": None,
        "Labels": {"a": None, "b": "c"},
        "HostConfig": {"NetworkMode": None, "Memory": None, "RestartPolicy": {"Name": None}, "Binds": None},
        "NetworkingConfig": None,
    }
    made = decode(json.dumps(body).encode(), CreateRequest)
    assert (made.image, made.hostname, made.tty, made.env, made.labels) == ("box", "", False, None, {"a": "", "b": "c"})
    assert made.host_config == HostConfig() and made.networking_config == NetworkingConfig()


def test_every_field_of_a_request_may_be_null() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(CreateRequest)]
    assert decode(json.dumps(dict.fromkeys(names)).encode(), CreateRequest) == CreateRequest()
    names = [field.encode_name for field in msgspec.structs.fields(HostConfig)]
    assert decode(json.dumps({"HostConfig": dict.fromkeys(names)}).encode(), CreateRequest) == CreateRequest()


def test_a_null_that_means_something_stays() -> None:
    body = b'{"HostConfig":{"PortBindings":{"80/tcp":null}},"NetworkingConfig":{"EndpointsConfig":{"mynet":null}}}'
    made = decode(body, CreateRequest)
    assert made.host_config.port_bindings == {"80/tcp": None}
    assert made.networking_config.endpoints_config == {"mynet": None}


def test_nulls_in_lists_of_objects() -> None:
    body = b'{"Name":"mynet","IPAM":{"Driver":null,"Config":[{"Subnet":"10.9.0.0/24","IPRange":null}]}}'
    made = decode(body, CreateNetwork)
    assert made.ipam is not None and made.ipam.config is not None
    assert made.ipam.config[0].subnet == "10.9.0.0/24" and made.ipam.config[0].ip_range == ""


@pytest.mark.parametrize("body", [b'{"Hostname":1}', b'{"Hostname":1,"Domainname":null}', b'["null"]', b"null"])
def test_wrong_types_are_still_wrong(body: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(body, ContainerConfig)


@pytest.mark.parametrize("body", [b"{", b'{"a":null', b"nul"])
def test_no_json(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(body, ContainerConfig)
