"""Who is judged and compiled again when something beside his registration moves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from support.stepping import NOW, ROOTS, World, an_address, break_at, settings_of
from zkdns.answers import variants
from zkdns.answers.builder import Builder
from zkdns.health.consensus import write_ballot
from zkdns.health.thresholds import CheckState
from zkdns.model import Begin, Catalog, Children, Service, Session, Whole
from zkdns.pipeline import publisher
from zkdns.pipeline.inputs import Remembered
from zkdns.registry.source import HEALTH, SERVERS, TOPOLOGY

CHECK = '{"check": {"type": "tcp", "fall": 1, "rise": 1}}'
BAD = CheckState(False, "refused")


def checked(*others: str) -> World:
    """One instance that is well by our own probe, and other replicas that have said nothing yet."""
    world = World()
    world.hear(SERVERS, Children(SERVERS, ("z1", *others), next(world.zxid)))
    for id in ("z1", *others):
        world.hear(SERVERS, world.data(f"{SERVERS}/{id}", "{}"))
    world.register("web", a=an_address(1))
    world.hear("/services", world.data("/services/web", CHECK))
    world.rest()
    world.probe("a", good=True)
    rest(world)
    assert world.states() == {"a": "healthy"}
    return world


def rest(world: World) -> None:
    """All that is due within the next seconds."""
    world.now += 2
    world.rest()


def vote(world: World, *replicas: str) -> None:
    """These, and no others, say that the instance is bad."""
    world.hear(HEALTH, Children(HEALTH, replicas, next(world.zxid)))
    for id in replicas:
        world.hear(HEALTH, world.data(f"{HEALTH}/{id}", write_ballot({"/services/web/a": BAD}).decode()))
    rest(world)


def test_the_ballots_of_others_put_an_instance_out_and_in_as_they_come_and_go() -> None:
    world = checked("z2", "z3")
    vote(world, "z2")
    assert world.states() == {"a": "healthy"}, "one against one"
    vote(world, "z2", "z3")
    assert world.states() == {"a": "failing"}
    vote(world)
    assert world.states() == {"a": "healthy"}


def test_a_replica_that_goes_takes_its_vote_along_at_once() -> None:
    world = checked("z2", "z3")
    vote(world, "z2", "z3")
    assert world.states() == {"a": "failing"}
    world.hear(SERVERS, Children(SERVERS, ("z1", "z2"), next(world.zxid)))
    rest(world)
    assert world.states() == {"a": "healthy"}


def test_what_is_probed_here_counts_alone_while_zookeeper_is_away() -> None:
    world = checked("z2", "z3")
    vote(world, "z2", "z3")
    assert world.states() == {"a": "failing"}
    for root in ROOTS:
        world.hear(root, Session(False, world.now))
    rest(world)
    assert world.states() == {"a": "healthy"}, "what the others saw is as old as the outage"
    for root in ROOTS:
        world.hear(root, Session(True, world.now))
    rest(world)
    assert world.states() == {"a": "failing"}


def test_a_service_that_leads_to_another_of_ours_moves_with_it() -> None:
    world = World()
    world.register("db", a=an_address(1))
    world.register("web", a=json.dumps({"address": "db.svc.local", "port": 80}))
    world.rest()
    assert world.addresses("web") == ["10.0.0.1"]
    world.register("db", a=an_address(2))
    world.rest()
    assert world.addresses("web") == ["10.0.0.2"]


def test_a_map_that_was_remembered_holds_until_its_node_was_read() -> None:
    world = World(is_read=False)
    kept = Catalog({"web": Service("web", "web", "/services/web")}, stale_since=NOW - 60)
    world.pipeline.step(Remembered("r1", kept, topology=b'{"10.0.0.0/8": "here"}'), NOW)
    remembered = world.pipeline.builder.topology
    assert remembered.networks
    world.hear(TOPOLOGY, Begin())
    assert world.pipeline.builder.topology == remembered
    world.hear(TOPOLOGY, Whole())
    assert not world.pipeline.builder.topology.networks, "it is read now, and there is none"


def test_another_ttl_is_in_all_answers_at_once() -> None:
    world = World(settings_of(ttl=5))
    world.register("web", a=an_address(1))
    world.rest()
    world.pipeline.step(replace(world.pipeline.settings, ttl=9), world.now)
    delta = world.ready().delta
    records = [r for entry in delta.entries.values() if entry for tier in entry.tiers for r in tier.records]
    assert records
    assert {r[6:10] for r in records} == {(9).to_bytes(4, "big")}


def test_what_has_an_answer_for_each_zone_counts_for_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes so much longer to compile."""
    monkeypatch.setattr(publisher, "LARGE", 5)
    world = World(settings_of(topology={"10.0.0.0/8": "a", "10.1.0.0/16": "b"}), threads=True)
    world.register("far", a=an_address(1), b=an_address(2))
    assert world.ready().compile == ()
    world.register("near", a=an_address(1), b=an_address(2))
    world.hear("/services", world.data("/services/near", '{"near": "prefer"}'))
    assert [c.name for c in world.ready().compile] == ["near"]


def test_the_trouble_with_an_instance_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    break_at(monkeypatch, Builder, "compile", lambda self, s, *rest: any(i.id == "b" for i in s.instances))
    world = World()
    world.register("web", a=an_address(1), b=an_address(2))
    world.rest()
    assert [p.path for p in world.pipeline.problems] == ["/services/web/b"]
    world.register("web", a=an_address(1))
    world.rest()
    world.register("web", a=an_address(3))
    world.rest()
    assert world.pipeline.problems == ()


def test_names_that_are_too_many_to_give_by_zone_are_a_problem_for_as_long_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(variants, "MAX_WORK", 0)
    world = World(settings_of(topology={"10.0.0.0/8": "a", "10.1.0.0/16": "b"}))
    for name in ("web", "db"):
        world.register(name, a=an_address(1))
        world.hear("/services", world.data(f"/services/{name}", '{"near": "prefer"}'))
    world.rest()
    assert {p.path for p in world.pipeline.problems} == {"/services/web", "/services/db"}
    assert all("too many for its zones" in p.what for p in world.pipeline.problems)
    world.hear("/services", world.data("/services/web", "{}"))
    world.rest()
    assert [p.path for p in world.pipeline.problems] == ["/services/db"]
    world.hear("/services", Children("/services", ("web",), next(world.zxid)))
    world.rest()
    assert world.pipeline.problems == ()
