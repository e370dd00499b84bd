"""Names and links of containers, through the real name server (contract docker chapter 2, 1.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import Town

from netd.failure import Failure, InvalidParameter, NotFound
from netd.runtime.model import Endpoint

EXPOSED = {"5432/tcp": {}, "5433/tcp": {}, "53/udp": {}}


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path)
    made.network("mynet", subnet="10.1.0.0/24", subnets=["fd00:1::/64"])
    made.network("other", subnet="10.2.0.0/24")
    yield made
    made.close()


def test_every_name_of_a_container(town: Town) -> None:
    endpoint = Endpoint(aliases=["www", "shared"])
    web = town.started("web", "mynet", networks={"mynet": endpoint}, config={"hostname": "host.example.org"})
    town.started("second", "mynet", networks={"mynet": Endpoint(aliases=["shared"])})
    asker = town.started("asker", "mynet")
    stranger = town.started("stranger", "other")
    for name in ("web", "www", web.container.short_id, "host.example.org", "WEB.mynet", "web.mynet."):
        assert asker.ask(name, port=53) == ["10.1.0.2"], name
        assert asker.ask(name, "AAAA", port=53) == ["fd00:1::2"], name
    assert web.ask("web", port=53, tcp=True) == ["10.1.0.2"]
    assert sorted(asker.ask("shared", port=53)) == ["10.1.0.2", "10.1.0.3"]
    assert asker.ask("2.0.1.10.in-addr.arpa", "PTR", port=53) == ["web.mynet."]
    assert asker.ask("host.docker.internal", port=53) == ["10.1.0.1"]
    for name in ("web", "web.mynet", "2.0.1.10.in-addr.arpa"):
        assert stranger.ask(name, "PTR" if "arpa" in name else "A", port=53) == "SERVFAIL"
    web.stop()
    assert asker.ask("web", port=53) == asker.ask("www", port=53) == "SERVFAIL"
    assert asker.ask("shared", port=53) == ["10.1.0.3"]


def test_a_container_on_the_default_network_too_is_not_found_there(town: Town) -> None:
    web = town.started("web", "bridge", networks={"bridge": Endpoint(), "mynet": Endpoint()})
    peer = town.started("peer", "bridge", networks={"bridge": Endpoint(), "other": Endpoint()})
    assert peer.ask("web", port=53) == "SERVFAIL"
    assert web.ask("web", port=53) == ["10.1.0.2"]


def test_an_internal_network_asks_nobody_until_there_is_a_way_out(town: Town) -> None:
    town.network("inner", subnet="10.3.0.0/24", internal=True)
    web = town.started("web", "inner")
    assert web.ask("a.example", port=53) == "SERVFAIL"
    from dns_city import Upstream

    upstream = Upstream(town.outside, "192.0.2.2")
    try:
        assert web.ask("a.example", port=53) == "SERVFAIL"
        assert upstream.asked == []
        town.sandboxes.connect(web.container, "bridge", Endpoint())
        assert web.ask("a.example", port=53) == ["198.51.100.1"]
        town.sandboxes.disconnect(web.container, "bridge")
        assert web.ask("a.example", port=53) == "SERVFAIL"
        assert upstream.names() == ["a.example"]
        given = town.started("given", "mynet", dns=["192.0.2.2"], dns_options=["ndots:2"])
        assert given.ask("b.example", port=53) == ["198.51.100.1"]
        assert upstream.asked[-1][1] == "192.0.2.1", "from inside, masqueraded on its way out"
        assert given.ask("single", port=53) == [], "names without a dot stay here when ndots was set"
        assert "options ndots:2\n" in given.text("resolv.conf")
        assert "# ExtServers: [192.0.2.2]" in given.text("resolv.conf")
    finally:
        upstream.close()


def test_names_survive_the_name_servers_restart_and_wait_for_its_start(town: Town) -> None:
    web, peer = town.started("web", "mynet"), town.started("peer", "mynet")
    assert town.process is not None
    town.process.kill()
    late = town.started("late", "mynet")
    assert any("names: no name server" in line for line in town.log)
    town.process = town.start_dns()
    assert peer.ask("web", port=53) == ["10.1.0.2"]
    assert peer.ask("late", port=53) == ["10.1.0.4"]
    assert late.ask("peer", port=53) == web.ask("peer", port=53) == ["10.1.0.3"]


def test_links_on_a_user_defined_network_are_names_of_ones_own(town: Town) -> None:
    town.started("db", "mynet")
    wishes = Endpoint(links=["db:store", "later:queue"])
    web = town.started("web", "mynet", networks={"mynet": wishes})
    peer = town.started("peer", "mynet", links=["db:base"])
    assert web.ask("store", port=53) == web.ask("store.mynet", port=53) == ["10.1.0.2"]
    assert peer.ask("store", port=53) == "SERVFAIL"
    assert peer.ask("base", port=53) == ["10.1.0.2"], "docker's clients may write it beside the network too"
    assert web.ask("queue", port=53) == "SERVFAIL"
    town.started("later", "mynet")
    assert web.ask("queue", port=53) == ["10.1.0.5"]


def test_links_on_the_default_network_are_lines_and_variables(town: Town) -> None:
    config = {"hostname": "store", "env": ["MODE=rw", "PATH=/bin"], "exposed_ports": EXPOSED}
    db = town.started("db", config=config)
    web = town.started("web", links=["db:pg-main", "db"])
    assert web.opened is not None
    assert web.text("hosts").splitlines()[6:] == [
        "172.17.0.2\tpg-main store db",
        "172.17.0.2\tdb store",
        f"172.17.0.3\t{web.container.short_id}",
    ]
    variables = dict(entry.split("=", 1) for entry in web.opened.environment)
    assert variables["PG_MAIN_NAME"] == "/web/pg-main"
    assert variables["PG_MAIN_PORT"] == "udp://172.17.0.2:53"
    assert variables["PG_MAIN_PORT_5432_TCP"] == "tcp://172.17.0.2:5432"
    assert variables["PG_MAIN_PORT_5432_TCP_ADDR"] == "172.17.0.2"
    assert variables["PG_MAIN_PORT_5432_TCP_END"] == "tcp://172.17.0.2:5433"
    assert variables["PG_MAIN_ENV_MODE"] == "rw"
    assert "PG_MAIN_ENV_PATH" not in variables
    assert variables["DB_PORT_53_UDP_PROTO"] == "udp"
    db.serve(5432)
    assert web.reaches("172.17.0.2", 5432)
    # the target comes back with another address
    db.stop()
    town.started("squatter")
    db.start()
    assert db.address("bridge") == "172.17.0.4"
    assert web.text("hosts").splitlines()[6:] == [
        f"172.17.0.3\t{web.container.short_id}",
        "172.17.0.4\tpg-main store db",
        "172.17.0.4\tdb store",
    ]


def test_a_link_on_the_default_network_leads_to_its_container_whatever_that_is_called(town: Town) -> None:
    db = town.started("db")
    web = town.started("web", links=["db:store", "db"])

    def lines() -> list[str]:
        return [line for line in web.text("hosts").splitlines()[6:] if web.container.short_id not in line]

    def rename(new: str) -> None:
        old, db.container.name = db.container.name, new
        town.sandboxes.renamed(db.container, old)

    own = db.container.short_id
    assert lines() == [f"172.17.0.2\tstore {own} db", f"172.17.0.2\tdb {own}"]
    rename("base")
    assert lines() == [f"172.17.0.2\tstore {own} base", f"172.17.0.2\tdb {own} base"]
    web.restart()
    assert lines() == [f"172.17.0.2\tstore {own} base", f"172.17.0.2\tdb {own} base"]
    assert web.opened is not None and "STORE_NAME=/web/store" in web.opened.environment
    # another one that has its name now is not meant while it is there
    town.started("db")
    assert lines() == [f"172.17.0.2\tstore {own} base", f"172.17.0.2\tdb {own} base"]
    # also while it does not run, and comes back elsewhere
    db.stop()
    rename("third")
    town.started("squatter")
    db.start()
    assert db.address("bridge") == "172.17.0.5"
    assert lines() == [f"172.17.0.5\tstore {own} third", f"172.17.0.5\tdb {own} third"]


def test_a_link_on_the_default_network_is_removed_at_once(town: Town) -> None:
    town.started("db")
    web = town.started("web", links=["db:store", "db:base"])
    town.sandboxes.unlink(web.container, "store")
    assert "base" in web.text("hosts") and "store" not in web.text("hosts")
    assert (web.container.host_config.links, list(web.container.linked)) == (["db:base"], ["base"])
    for absent in ("store", "db"):
        with pytest.raises(NotFound, match=f"container web has no link {absent}"):
            town.sandboxes.unlink(web.container, absent)
    web.restart()
    assert "base" in web.text("hosts") and "store" not in web.text("hosts")
    town.sandboxes.unlink(web.container, "base")
    assert web.container.host_config.links is None


def test_what_cannot_be_linked(town: Town) -> None:
    db = town.started("db", "mynet")
    with pytest.raises(NotFound, match="could not get container for nobody"):
        town.create("web", links=["nobody:x"])
    with pytest.raises(InvalidParameter, match="cannot link to db, as it does not belong to the default network"):
        town.create("web", links=["db:x"])
    with pytest.raises(InvalidParameter, match="invalid link"):
        town.create("web", links=["db:"])
    with pytest.raises(InvalidParameter, match="invalid link: 'db:x:y'"):
        town.create("web", links=["db:x:y"])
    other = town.create("other")
    web = town.create("web", links=["other:x"])
    with pytest.raises(Failure, match="cannot link to a non running container: /other AS /web/x"):
        web.start()
    assert other.container.sandbox.key == ""
    assert len(town.left()["namespaces"]) == 1
    assert db.interfaces() != {}
