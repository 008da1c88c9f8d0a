"""Who is judged and compiled again when something beside his registration moves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from support.asking import respond
from support.stepping import NOW, ROOTS, World, an_address, break_at, settings_of
from support.tables import query
from zkdns.answers import variants
from zkdns.answers.builder import Builder
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.types import NOERROR, NXDOMAIN, SERVFAIL
from zkdns.health.ballots import SESSION
from zkdns.health.consensus import write_ballot
from zkdns.health.own_ballot import WRITE_EVERY
from zkdns.health.thresholds import CheckState
from zkdns.model import (
    Begin,
    Catalog,
    Children,
    Override,
    Problem,
    Service,
    Session,
    Whole,
    fault,
)
from zkdns.pipeline import compiler
from zkdns.pipeline.inputs import Advertised, FileRead, Remembered
from zkdns.pipeline.replica import read_node
from zkdns.pipeline.start import Stage
from zkdns.registry.override_nodes import by_service
from zkdns.roots import HEALTH, SERVERS, TOPOLOGY

CHECK = '{"check": {"type": "tcp", "fall": 1, "rise": 1}}'
BAD = CheckState(False, "refused")
GOOD = CheckState(True)


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


def voted_out() -> World:
    """Two of three say that it is bad."""
    world = checked("z2", "z3")
    vote(world, "z2", "z3")
    assert world.states() == {"a": "failing"}
    return world


def test_the_ballots_of_others_put_an_instance_out_and_in_as_they_come_and_go() -> None:
    world = checked("z2", "z3")
    vote(world, "z2")
    assert world.states() == {"a": "healthy"}, "one against one"
    vote(world, "z2", "z3")
    assert world.states() == {"a": "failing"}
    vote(world)
    assert world.states() == {"a": "healthy"}


def test_a_replica_that_goes_takes_its_vote_along_at_once() -> None:
    world = voted_out()
    world.hear(SERVERS, Children(SERVERS, ("z1", "z2"), next(world.zxid)))
    rest(world)
    assert world.states() == {"a": "healthy"}


def outage(world: World) -> None:
    """Beginning to end; nothing that was read again is another than before."""
    for within in (False, True):
        for root in ROOTS:
            world.hear(root, Session(within))
        rest(world)


def say_alive(world: World, *replicas: str) -> None:
    """These write their own nodes again."""
    for id in replicas:
        world.hear(SERVERS, world.data(f"{SERVERS}/{id}", "{}"))
    rest(world)


def test_what_is_probed_here_counts_alone_while_zookeeper_is_away() -> None:
    world = voted_out()
    for root in ROOTS:
        world.hear(root, Session(False))
    rest(world)
    assert world.states() == {"a": "healthy"}, "what the others saw is as old as the outage"


def test_after_an_outage_others_count_as_they_are_heard_of_again() -> None:
    world = voted_out()
    outage(world)
    assert world.states() == {"a": "healthy"}, "they may have been away themselves, and have seen more since"
    say_alive(world, "z2")
    assert world.states() == {"a": "healthy"}, "one against one"
    say_alive(world, "z3")
    assert world.states() == {"a": "failing"}


def test_who_stands_there_in_silence_counts_again_when_the_sessions_of_the_absent_are_over() -> None:
    world = voted_out()
    outage(world)
    world.now += SESSION
    assert (world.readies[-1].wake or world.now) <= world.now
    world.rest()
    assert world.states() == {"a": "failing"}


def test_who_comes_up_in_an_outage_says_once_more_that_it_is_there() -> None:
    """It may be one of long ago, in an ensemble that was set back."""
    world = checked("z2")
    for root in ROOTS:
        world.hear(root, Session(False))
    rest(world)
    world.hear(SERVERS, Children(SERVERS, ("z1", "z2", "z3"), next(world.zxid)))
    say_alive(world, "z2", "z3")
    vote(world, "z2", "z3")
    for root in ROOTS:
        world.hear(root, Session(True))
    rest(world)
    assert world.states() == {"a": "healthy"}, "z2 alone has been heard of"
    say_alive(world, "z3")
    assert world.states() == {"a": "failing"}


def test_a_replica_is_not_believed_before_its_ballot_is_read_again() -> None:
    world = voted_out()
    for root in ROOTS:
        world.hear(root, Session(False))
    rest(world)
    world.hear(SERVERS, Session(True))
    say_alive(world, "z2", "z3")
    assert world.states() == {"a": "healthy"}
    for id in ("z2", "z3"):
        world.hear(HEALTH, world.data(f"{HEALTH}/{id}", write_ballot({"/services/web/a": GOOD}).decode()))
    world.hear(HEALTH, Session(True))
    more = True
    while more:
        more = world.ready(0.0).more
        assert world.states() == {"a": "healthy"}


def test_what_is_for_others_to_probe_stands_as_they_told_it_until_they_are_heard_of() -> None:
    others = [f"y{n}" for n in range(9)]
    world = checked(*others)
    vote(world, *others)
    assert world.states() == {"a": "failing"}
    assert not world.pipeline.last_probes("web"), "it is for others to probe"
    outage(world)
    assert world.states() == {"a": "failing"}


def test_a_service_that_leads_to_another_of_ours_moves_with_it() -> None:
    world = World()
    world.register("db", a=an_address(1))
    world.publish("web", a=json.dumps({"address": "db.svc.local", "port": 80}))
    assert world.addresses("web") == ["10.0.0.1"]
    world.publish("db", a=an_address(2))
    assert world.addresses("web") == ["10.0.0.2"]


def test_what_was_spelled_anew_once_is_not_compiled_again_where_nothing_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.publish("web", a=an_address(1))
    compiled: list[Service] = []
    real = Builder.compile
    monkeypatch.setattr(Builder, "compile", lambda *args: (compiled.append(args[1]), real(*args))[1])
    world.pipeline.step(replace(settings_of(), ttl=9), world.now)
    world.rest()
    assert [service.name for service in compiled] == ["web"]
    world.pipeline._publisher.mark(["web"])
    world.rest()
    assert len(compiled) == 1


def test_a_map_that_was_remembered_holds_until_its_node_was_read() -> None:
    world = World(is_read=False)
    kept = Catalog({"web": Service("web", "web", "/services/web")}, stale_since=NOW - 60)
    world.pipeline.step(Remembered("r1", kept, topology=b'{"10.0.0.0/8": "here"}'), NOW)
    remembered = world.pipeline.builder.topology
    assert remembered.networks
    world.hear(TOPOLOGY, Begin())
    world.rest()
    assert world.pipeline.builder.topology == remembered
    world.hear(TOPOLOGY, Whole())
    world.rest()
    assert not world.pipeline.builder.topology.networks, "it is read now, and there is none"


def test_another_ttl_is_in_all_answers_at_once() -> None:
    world = World(settings_of(ttl=5))
    world.publish("web", a=an_address(1))
    world.pipeline.step(replace(world.pipeline.settings, ttl=9), world.now)
    delta = world.ready().delta
    records = [r for entry in delta.entries.values() if entry for tier in entry.tiers for r in tier.records]
    assert records
    assert {r[6:10] for r in records} == {(9).to_bytes(4, "big")}


def test_what_has_an_answer_for_each_zone_counts_for_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes so much longer to compile."""
    monkeypatch.setattr(compiler, "LARGE", 5)
    world = World(settings_of(topology={"10.0.0.0/8": "a", "10.1.0.0/16": "b"}), threads=True)
    world.register("far", a=an_address(1), b=an_address(2))
    assert world.ready().compile == ()
    world.register("near", a=an_address(1), b=an_address(2))
    world.hear("/services", world.data("/services/near", '{"near": "prefer"}'))
    assert [c.name for c in world.ready().compile] == ["near"]


def test_the_trouble_with_an_instance_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    break_at(monkeypatch, Builder, "compile", lambda self, s, *rest: any(i.id == "b" for i in s.instances))
    world = World()
    world.publish("web", a=an_address(1), b=an_address(2))
    assert [p.path for p in world.pipeline.problems] == ["/services/web/b"]
    world.publish("web", a=an_address(1))
    world.publish("web", a=an_address(3))
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


def test_other_places_of_networks_are_in_all_answers_for_each_service_is_asked_for_by_zone() -> None:
    world = World(settings_of(topology={"10.0.0.0/8": "a", "10.1.0.0/16": "b"}))
    for name in ("far", "near"):
        world.register(name, a=an_address(1), b='{"address": "10.1.0.1", "port": 80}')
    world.hear("/services", world.data("/services/near", '{"near": "prefer"}'))
    world.rest()
    world.hear(TOPOLOGY, world.data(TOPOLOGY, '{"10.0.0.0/8": "b", "10.1.0.0/16": "c"}'))
    world.readies.clear()
    rest(world)
    keys = {key for ready in world.readies for key in ready.delta.entries}
    for name in (b"near", b"far"):
        assert any(name + b"\3svc" in key for key in keys), name


def test_a_ballot_moves_the_serial_of_the_ensemble_that_it_stands_in() -> None:
    world = checked("z2", "z3")
    before = world.pipeline.builder.serial
    vote(world, "z2", "z3")
    assert world.pipeline.builder.serial > before, "it is in the answers, and replicas must agree on both"


def test_a_change_in_either_of_two_ensembles_moves_the_serial() -> None:
    world = World(settings_of("zk://h/services", "zk://i/services"), is_read=False)
    for root in ROOTS:
        world.hear(root, Begin(), Whole(), Session(True))
    world.hear("/services", Begin(), Whole(), Session(True), registry="r2")
    for registry, zxid in (
        ("r1", 0x900000001),
        ("r2", 0x100000001),
        ("r1", 0x900000002),
        ("r2", 0x100000002),
    ):
        before = world.ready().delta.serial
        world.hear("/services", Children("/services", ("web",), zxid), registry=registry)
        after = world.ready().delta.serial
        assert after is not None
        assert after != before, "the smaller of the two counts as well"


def test_what_operators_had_ordered_is_remembered_though_another_registry_remembers_nothing() -> None:
    world = World(settings_of("zk://h/services", "zk://i/services"), is_read=False)
    kept = Catalog(stale_since=NOW - 60)
    drain = {("web", "a"): Override(drain=True)}
    world.pipeline.step(Remembered("r1", kept, drain), NOW)
    world.pipeline.step(Remembered("r2", kept), NOW)
    assert world.pipeline.registries.overrides == by_service(drain)


def test_a_registry_that_goes_and_comes_back_is_told_once_each() -> None:
    world = World()
    world.publish("web", a=an_address(1))
    told = []
    for connected in (False, True):
        for root in ROOTS:
            world.hear(root, *([Begin(), Whole()] if connected else []), Session(connected))
        for _ in range(3):
            world.rest()
            told += [c.now for c in world.readies[-1].changes if c.what == "registry"]
            world.pipeline._gathering.is_due = True
    assert told == ["out of reach", "within reach"]


def test_when_answers_become_too_old_is_a_moment_to_look_at() -> None:
    world = World(settings_of(stale_max=60.0), replica=None)
    world.publish("web", a=an_address(1))
    for root in ROOTS:
        world.hear(root, Session(False))
    wake = world.ready().wake
    assert wake is not None
    assert NOW + 60 < wake < NOW + 60.01
    world.now = wake
    assert world.ready().delta.staleness, "they fail from now on"
    assert world.ready().wake is None


def test_a_verdict_has_a_moment_at_which_it_is_written_for_the_others() -> None:
    world = checked("z2")
    world.probe("a", good=False)
    world.rest()
    wake = world.readies[-1].wake
    assert wake is not None
    assert wake <= world.now + WRITE_EVERY
    world.now = wake
    assert set(world.ready().write) == {f"{HEALTH}/z1"}


def test_it_is_none_of_the_replicas_before_it_answers_and_all_it_says_fails_until_then() -> None:
    world, table = World(is_read=False), Table()

    def rcodes() -> list[int]:
        """What is said of a name that is registered, and of one that is not."""
        table.apply(world.readies[-1].delta)
        said = [respond(query(names.wire(f"{name}.svc.local"), 16), table) for name in ("web", "nope")]
        return [reply[3] & 15 for reply in said if isinstance(reply, bytes)]

    first = world.ready()
    assert first.write == {}
    assert rcodes() == [SERVFAIL, SERVFAIL], "the zones stand from the first moment"
    for root in ROOTS[1:]:
        world.hear(root, Begin(), Whole(), Session(True))
    events = [Begin(), *world.told("web", a=an_address(1)), world.data("/services/web", CHECK)]
    world.hear("/services", *events, Whole(), Session(True))
    for _ in range(2):
        ready = world.ready()
        assert world.pipeline.stage is Stage.SETTLING
        assert set(ready.write) == set()
        assert rcodes() == [SERVFAIL, SERVFAIL]
    world.probe("a", good=True)
    while world.ready().more:
        rcodes()
    assert world.pipeline.stage is Stage.READY
    assert rcodes() == [NOERROR, NXDOMAIN]
    world.settle()
    assert any(f"{SERVERS}/z1" in ready.write for ready in world.readies)


def test_where_others_reach_us_is_written_once_it_is_known() -> None:
    world = checked()
    world.pipeline.step(Advertised("192.0.2.9:53", "192.0.2.9:8053"), world.now)
    node = read_node(world.ready().write[f"{SERVERS}/z1"])
    assert (node.address, node.http) == ("192.0.2.9:53", "192.0.2.9:8053")


def test_an_error_of_ours_that_a_reader_met_is_counted_once_for_as_long_as_it_stands() -> None:
    world = World(settings_of("file:/r.toml"), is_read=False)
    trouble = fault("/r.toml", RuntimeError("ours"))
    for problems in ((trouble,), (trouble, Problem("/r.toml: x", "theirs", "")), ()):
        world.pipeline.step(FileRead("r1", Catalog(problems=problems, complete=True)), NOW)
        world.rest()
        assert world.pipeline.wall.errors == 1


def test_services_that_are_gone_are_not_remembered_for_their_defaults() -> None:
    world = World(settings_of(service_defaults={"policy": "random"}))
    for n in range(3):
        world.names.clear()
        world.publish(f"web{n}", a=an_address(n))
    assert set(world.pipeline.services) == {"web2"}
    assert "web0" not in world.pipeline._gathering.defaults._completed
