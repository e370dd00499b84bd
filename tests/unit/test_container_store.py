"""Containers on disk, also as a killed daemon leaves them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netd.runtime.model import Container, ContainerConfig, HostConfig
from netd.runtime.places import RuntimePlaces
from netd.runtime.store import Store

ID = "c" * 64


@pytest.fixture
def places(tmp_path: Path) -> RuntimePlaces:
    return RuntimePlaces(root=str(tmp_path / "root"), run=str(tmp_path / "run"))


@pytest.fixture
def store(places: RuntimePlaces) -> Store:
    return Store(places)


def container(auto_remove: bool = False, name: str = "web") -> Container:
    return Container(
        id=ID, name=name, created="", config=ContainerConfig(), host_config=HostConfig(auto_remove=auto_remove)
    )


def test_a_created_container_is_found_again(store: Store) -> None:
    store.create(container())
    assert store.load() == ([container()], [])
    assert store.started() == set()


def test_nothing_there_is_no_containers(store: Store) -> None:
    assert store.load() == ([], [])
    assert store.started() == set()


def test_drafts_and_remains_are_cleaned_away(store: Store, places: RuntimePlaces) -> None:
    os.makedirs(f"{places.containers}/{'d' * 64}.new")
    store.create(container(name="other"))
    store.set_aside(ID)
    assert store.load() == ([], [])
    assert os.listdir(places.containers) == []


def test_the_text_of_a_live_container_is_the_newer_one(store: Store) -> None:
    kept = container()
    store.create(kept)
    store.begin(ID)
    assert not store.is_live(ID)
    kept.state.status = "running"
    store.save_live(kept)
    assert store.load() == ([kept], [])
    assert store.is_live(ID)
    assert store.started() == {ID}
    store.end(ID)
    assert store.load() == ([container()], [])


def test_what_is_saved_while_it_runs_is_there_after_it(store: Store) -> None:
    kept = container()
    store.create(kept)
    store.begin(ID)
    store.save_live(kept)
    kept.name = "renamed"
    store.save(kept, durable=True)
    assert store.load() == ([kept], [])
    store.end(ID)
    assert store.load() == ([kept], [])


def test_a_container_with_auto_remove_is_written_to_disk_once(store: Store, places: RuntimePlaces) -> None:
    kept = container(auto_remove=True)
    store.create(kept)
    path = Path(places.container(ID), "config.json")
    first = path.read_bytes()
    store.begin(ID)
    kept.state.status = "running"
    store.save_live(kept)
    store.save(kept)
    assert path.read_bytes() == first
    assert store.load() == ([kept], [])


def test_one_unreadable_container_does_not_hide_the_others(store: Store, places: RuntimePlaces) -> None:
    store.create(container())
    for name, text in (("a" * 64, "{"), ("b" * 64, '{"Id": 3}')):
        os.makedirs(places.container(name))
        Path(places.container(name), "config.json").write_text(text)
    os.makedirs(places.container("d" * 64))
    containers, problems = store.load()
    assert containers == [container()]
    assert [problem.split()[1][0] for problem in problems] == ["a", "b", "d"]


def test_a_start_begins_with_an_empty_directory(store: Store) -> None:
    Path(store.begin(ID), "oom").touch()
    assert os.listdir(store.begin(ID)) == []
    store.end(ID)
    store.end(ID)
    assert store.started() == set()


def test_the_first_look_counts_as_a_reboot_until_noted(store: Store, places: RuntimePlaces) -> None:
    assert not store.is_same_boot()
    assert not store.is_same_boot()
    store.note_boot()
    assert store.is_same_boot()
    Path(places.run, "containers.boot").write_text("another boot\n")
    assert not store.is_same_boot()


def test_files_of_a_container_set_aside_go_with_delete(store: Store, places: RuntimePlaces) -> None:
    store.create(container())
    store.set_aside(ID)
    store.set_aside(ID)
    assert store.load()[0] == []
    store.create(container())
    store.delete(ID)
    assert os.listdir(places.containers) == [ID]
