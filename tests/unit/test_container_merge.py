"""A container's configuration out of a request and its image."""

from __future__ import annotations

import pytest

from netd.failure import InvalidParameter
from netd.runtime.images.model import ImageConfig
from netd.runtime.merge import argv, merged
from netd.runtime.model import CreateRequest


def command(image: ImageConfig, **request: list[str] | None) -> list[str]:
    return argv(merged(CreateRequest(**request), image))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "executed"),
    [
        (None, None, ["/entry", "default"]),
        (None, [], ["/entry", "default"]),
        (None, ["own"], ["/entry", "own"]),
        (["/mine"], None, ["/mine"]),
        (["/mine"], ["own"], ["/mine", "own"]),
        ([], None, ["default"]),
        ([""], ["own"], ["own"]),
    ],
)
def test_entry_point_and_command(entrypoint: list[str] | None, cmd: list[str] | None, executed: list[str]) -> None:
    image = ImageConfig(entrypoint=["/entry"], cmd=["default"])
    assert command(image, entrypoint=entrypoint, cmd=cmd) == executed


@pytest.mark.parametrize("entrypoint", [None, [], [""]])
def test_nothing_to_execute_is_refused(entrypoint: list[str] | None) -> None:
    with pytest.raises(InvalidParameter, match="no command specified"):
        merged(CreateRequest(entrypoint=entrypoint), ImageConfig())


def test_an_emptied_entry_point_takes_the_image_s_command_with_it() -> None:
    with pytest.raises(InvalidParameter, match="no command specified"):
        merged(CreateRequest(entrypoint=[""]), ImageConfig(entrypoint=["/entry"], cmd=["default"]))


def test_variables_of_the_request_win_and_a_bare_name_removes() -> None:
    image = ImageConfig(cmd=["x"], env=["PATH=/bin", "A=1", "B=2"])
    assert merged(CreateRequest(env=["A=own", "B", "C=3"]), image).env == ["A=own", "B", "C=3", "PATH=/bin"]
    assert merged(CreateRequest(env=["C=1", "A=1", "C=2"]), image).env == ["C=2", "A=1", "PATH=/bin", "B=2"]


def test_the_image_fills_in_what_was_not_asked() -> None:
    image = ImageConfig(
        cmd=["x"],
        user="7",
        working_dir="/srv",
        stop_signal="SIGQUIT",
        labels={"a": "image", "b": "image"},
        exposed_ports={"80/tcp": {}},
        volumes={"/data": {}},
    )
    config = merged(CreateRequest(labels={"a": "own"}, exposed_ports={"53/udp": {}}, user="9"), image)
    assert (config.user, config.working_dir, config.stop_signal) == ("9", "/srv", "SIGQUIT")
    assert config.labels == {"a": "own", "b": "image"}
    assert config.exposed_ports == {"80/tcp": {}, "53/udp": {}}
    assert config.volumes == {"/data": {}}


def test_the_request_and_the_image_are_left_as_they_are() -> None:
    image = ImageConfig(cmd=["x"], env=["A=1"], labels={"a": "1"})
    request = CreateRequest(env=["B=2"], labels={"b": "2"})
    merged(request, image)
    assert (image.env, image.labels, request.env, request.labels) == (["A=1"], {"a": "1"}, ["B=2"], {"b": "2"})
