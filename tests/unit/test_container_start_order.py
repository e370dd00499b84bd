"""The order in which containers come back with the daemon."""

from __future__ import annotations

from netd.runtime.model import Container, ContainerConfig, HostConfig
from netd.runtime.start_order import waves


def made(name: str, mode: str = "bridge", links: list[str] | None = None, **linked: str) -> Container:
    host_config = HostConfig(network_mode=mode, links=links)
    return Container(f"id-{name}", name, "", ContainerConfig(), host_config, linked=linked)


def order(*containers: Container) -> list[list[str]]:
    return [[each.name for each in wave] for wave in waves(containers)]


def test_who_is_needed_comes_first_however_far_away() -> None:
    joiner, second = made("joiner", "container:id-app"), made("second", "container:id-joiner")
    app, db = made("app", "bridge", ["renamed:store"], store="id-db"), made("db")
    assert order(second, joiner, app, db, made("other", "mynet")) == [["db", "other"], ["app"], ["joiner"], ["second"]]


def test_links_by_name_count_where_no_id_is_known_and_only_on_the_default_network() -> None:
    assert order(made("app", "default", ["/db:/app/store"]), made("db")) == [["db"], ["app"]]
    assert order(made("app", "mynet", ["db:store"]), made("db", "mynet")) == [["app", "db"]]


def test_who_does_not_come_back_is_not_waited_for() -> None:
    assert order(made("joiner", "container:id-gone"), made("app", "bridge", ["gone"])) == [["joiner", "app"]]
    assert order() == []


def test_a_circle_ends() -> None:
    assert order(made("one", "container:id-two"), made("two", "container:id-one"), made("three")) == [
        ["three"],
        ["one", "two"],
    ]
