"""The pipeline driven by hand: what is due after what happened, and what an error of ours costs."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.stepping import (
    CHECK,
    NOW,
    OWN,
    ROOTS,
    World,
    an_address,
    break_at,
    has,
    settings_of,
)
from zkdns.answers.builder import Builder
from zkdns.config import load
from zkdns.health import consensus, judge
from zkdns.health.health import Health
from zkdns.model import (
    Begin,
    Catalog,
    Children,
    ConfigError,
    Service,
    Session,
    Verdict,
    Whole,
)
from zkdns.pipeline import compiler
from zkdns.pipeline.inputs import Compiled, FileRead, Followed, HostResolved, Probed, Remembered
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.replica import TELL_AT_LEAST, TELL_EVERY
from zkdns.pipeline.start import Stage
from zkdns.registry.file import parse
from zkdns.roots import HEALTH, OVERRIDES, SERVERS, TOPOLOGY

# --- what is due --------------------------------------------------------------------------------------


def test_nothing_that_happened_leaves_nothing_due() -> None:
    world = World()
    world.register("web", a=an_address(1))
    assert world.ready().delta
    idle = world.ready()
    assert not idle.delta
    assert (idle.changes, idle.probe, idle.write, idle.compile, idle.more) == ((), {}, {}, (), False)


def test_what_is_wrong_where_two_registries_are_one_place_is_told_once() -> None:
    pipeline = Pipeline(load({"registry": ("one=file:x.toml", "other=file:x.toml")}, {}), NOW)
    text = b'[db]\n[[db.instances]]\nid = "bad"\naddress = 7\n'
    for registry in ("one", "other"):
        pipeline.step(FileRead(registry, parse(text, NOW, "x.toml")), NOW)
    pipeline.ready(NOW)
    assert [problem.path for problem in pipeline.problems] == ["x.toml: db/bad"]


def test_the_budget_leaves_the_rest_for_another_call() -> None:
    ticks = count()
    world = World()
    world.register("web", a=an_address(1))
    world.register("db", a=an_address(2))
    world.pipeline._tick = world.pipeline._publisher._tick = lambda: float(next(ticks))
    published = []
    while world.ready(budget=0.5).more:
        published.append(len(world.pipeline.services))
        assert not world.pipeline.idle
    assert published == sorted(published)
    assert 1 in published
    assert set(world.pipeline.services) == {"web", "db"}
    assert world.pipeline.idle


def test_a_change_that_moves_the_serial_alone_is_published() -> None:
    world = World()
    world.register("web", a=an_address(1))
    before = world.ready().delta.serial
    world.hear("/services", Children("/services", ("web",), next(world.zxid)))
    after = world.ready().delta.serial
    assert before is not None
    assert after == before + 1, "a node came and went between two reads: who saw it has moved too"


def test_an_override_moves_the_serial_of_the_first_ensemble() -> None:
    world = World()
    world.register("web", a=an_address(1))
    world.ready()
    world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ("a",), next(world.zxid)))
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/a", '{"drain": true, "who": "o"}'))
    ready = world.ready()
    assert ready.delta.serial is not None
    assert world.states() == {"a": "drained"}
    (change,) = ready.changes
    assert (change.what, change.was, change.now, change.why[:12]) == (
        "state",
        "healthy",
        "drained",
        "drained by o",
    )


def test_a_change_during_a_large_compile_is_compiled_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "LARGE", 1)
    world = World(threads=True)
    world.register("web", a=an_address(1), b=an_address(2))
    (first,) = world.ready().compile
    assert not world.pipeline.idle
    world.register("web", a=an_address(1), b=an_address(3))
    assert world.ready().compile == (), "one at a time"
    world.pipeline.step(first.work(), world.now)
    (second,) = world.ready().compile
    assert [i.addresses for i in world.pipeline.services["web"].instances] == [("10.0.0.1",), ("10.0.0.2",)]
    world.pipeline.step(second.work(), world.now)
    assert world.ready().delta
    assert [i.addresses for i in world.pipeline.services["web"].instances] == [("10.0.0.1",), ("10.0.0.3",)]
    assert world.pipeline.idle


def test_an_instance_that_a_route_gives_counts_as_several_for_what_is_done_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "LARGE", 2 * compiler.ROUTED)
    world = World(threads=True)
    world.settle()
    world.publish("two", a=an_address(1), b=an_address(2))
    world.publish("three", a=an_address(1), b=an_address(2), c=an_address(3))
    world.publish("web")
    world.hear("/services", world.data("/services/web", '{"to": {"two": 1}}'))
    assert not [one for _ in range(5) for one in world.ready().compile]
    assert routed(world, "web") == {"10.0.0.1", "10.0.0.2"}
    world.hear("/services", world.data("/services/web", '{"to": {"three": 1}}'))
    for kind in (Followed, Compiled):
        (work,) = [one for _ in range(5) for one in world.ready().compile]
        done = work.work()
        assert isinstance(done, kind)
        world.pipeline.step(done, world.now)
    assert routed(world, "web") == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}


def test_a_target_that_changes_while_its_route_is_compiled_aside_is_compiled_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "LARGE", 3)
    monkeypatch.setattr(compiler, "ROUTED", 1)
    world = World(threads=True)
    world.register("two", a=an_address(1), b=an_address(2))
    world.publish("web")
    world.hear("/services", world.data("/services/web", '{"to": {"two": 1}}'))
    world.register("web", own=an_address(9), another=an_address(8))
    (first,) = world.ready().compile
    world.register("two", a=an_address(1), b=an_address(3))
    assert world.ready().compile == (), "one at a time"
    world.pipeline.step(first.work(), world.now)
    assert routed(world, "web") == {"10.0.0.1", "10.0.0.2"}
    (second,) = world.ready().compile
    world.pipeline.step(second.work(), world.now)
    assert routed(world, "web") == {"10.0.0.1", "10.0.0.3"}
    world.rest()
    assert world.pipeline.idle


def routed(world: World, service: str) -> set[str]:
    """The addresses of all that stand behind a name that is a route."""
    route = world.pipeline.builder.services[service].beyond.route
    assert route is not None
    return {address for one in route.name.group for address in one.addresses}


def test_what_comes_of_a_compilation_that_nobody_waits_for_is_left_alone() -> None:
    world = World()
    world.pipeline.step(Compiled("web", None), world.now)
    assert not world.ready().changes


def test_an_override_that_ends_is_looked_at_when_it_ends_and_not_again() -> None:
    world = World()
    world.register("web", a=an_address(1), b=an_address(2))
    until = NOW + 60
    world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ("a",), next(world.zxid)))
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/a", json.dumps({"drain": True, "until": until})))
    for _ in range(5):  # each change leaves one alarm, not one more
        world.register("web", a=an_address(1), b=an_address(2))
        world.ready()
    judged = []
    judging = world.pipeline._publisher._judging
    real = judging._judge
    judging._judge = lambda *args: judged.append(1) or real(*args)  # type: ignore[func-returns-value]
    world.now = until + 1
    world.ready()
    assert world.states()["a"] == "healthy"
    assert len(judged) == 1
    world.now += 3600
    world.ready()
    assert len(judged) == 1


def test_an_override_that_is_taken_back_leaves_no_moment_at_which_to_look_again() -> None:
    world = World()
    world.register("web", a=an_address(1))
    world.ready()
    until = NOW + 2
    world.hear(OVERRIDES, Children(OVERRIDES, ("web",), next(world.zxid)))
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", ("a",), next(world.zxid)))
    world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web/a", json.dumps({"drain": True, "until": until})))
    assert world.ready().wake == until
    world.hear(OVERRIDES, Children(f"{OVERRIDES}/web", (), next(world.zxid)))
    world.ready()
    assert world.states()["a"] == "healthy"
    assert world.pipeline._publisher.wake is None


# --- what others are told -------------------------------------------------------------------------------


def test_our_node_is_written_when_the_serial_moves_yet_seldom_and_at_least_now_and_then() -> None:
    world = World()
    node = f"{SERVERS}/z1"
    written = [r.write[node] for r in world.readies if node in r.write]
    assert len(written) == 1
    world.register("web", a=an_address(1))
    world.now += TELL_EVERY - 0.1
    assert node not in world.ready().write
    world.now += 0.2
    assert json.loads(world.ready().write[node])["serial"] == world.pipeline.builder.serial
    world.now += TELL_AT_LEAST - 0.1
    assert node not in world.ready().write, "nothing moved"
    world.now += 0.2
    assert node in world.ready().write
    assert world.readies[-1].wake is not None


def test_the_way_back_of_our_node_is_the_lag() -> None:
    world = World()
    (data,) = (r.write[f"{SERVERS}/z1"] for r in world.readies if r.write)
    world.now += 0.25
    world.hear(
        SERVERS, Children(SERVERS, ("z1", "z2"), next(world.zxid)), world.data(f"{SERVERS}/z1", data.decode())
    )
    world.ready()
    assert world.pipeline.replica.lag == pytest.approx(0.25)
    world.now += 5
    world.hear(SERVERS, world.data(f"{SERVERS}/z1", data.decode()))
    assert world.pipeline.replica.lag == pytest.approx(0.25), "the same node is no news"


def test_a_pipeline_that_is_no_replica_probes_and_writes_nothing() -> None:
    world = World(replica=None)
    world.hear("/services", world.data("/services", ""))
    world.register("web", a=an_address(1))
    world.hear("/services", world.data("/services/web", CHECK))
    world.ready()
    assert all(not r.probe and not r.write for r in world.readies)
    assert world.pipeline.stage is Stage.READY


# --- verdicts -------------------------------------------------------------------------------------------


def checked(n: int, **options: object) -> World:
    """A start with so many checked instances."""
    world = World(is_read=False, **options)
    for root in OWN:
        world.hear(root, Begin(), Whole(), Session(True))
    instances = {f"i{k}": an_address(k) for k in range(n)}
    events = [Begin(), *world.told("web", **instances), world.data("/services/web", CHECK)]
    world.hear("/services", *events, Whole(), Session(True))
    world.ready()
    return world


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    real = Builder.compile

    def compile(self: Builder, service: Service, *rest: object) -> object:
        seen.append(service.name)
        return real(self, service, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Builder, "compile", compile)
    return seen


def test_the_first_round_is_waited_for_and_is_one_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = compilations(monkeypatch)
    world = checked(50)
    assert world.pipeline.stage is Stage.SETTLING
    assert len(world.probes) == 50
    for k in range(50):
        world.probe(f"i{k}", good=k % 2 == 0)
        world.ready()
    assert world.ready().more is False
    assert world.pipeline.stage is Stage.READY
    assert seen == ["web", "web"], "as it was read, and with all verdicts"
    assert world.states()["i0"] == "healthy"
    assert world.states()["i1"] == "failing"


def test_the_first_round_ends_a_second_after_the_longest_timeout() -> None:
    world = checked(3)
    world.probe("i0", good=True)
    world.now += 0.02
    assert set(world.ready().write) == {f"{HEALTH}/z1"}
    assert world.readies[-1].wake == NOW + 3
    world.now = NOW + 2.9
    world.ready()
    assert world.pipeline.stage is Stage.SETTLING
    world.now = NOW + 3
    world.settle()
    assert world.states() == {"i0": "healthy", "i1": "starting", "i2": "starting"}


def test_verdicts_of_one_moment_are_one_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(step=1)
    world = checked(40, tick=lambda: next(ticks) / 1000)
    for k in range(40):
        world.probe(f"i{k}", good=True)
    world.settle()
    seen = compilations(monkeypatch)
    world.now += 10
    for _ in range(3):
        for k in range(40):
            world.probe(f"i{k}", good=False)
            world.ready()  # as if each came in a turn of its own
    world.now += 1
    world.ready()
    assert set(world.states().values()) == {"failing"}
    assert len(seen) <= 3, "at the first, and when the service has had its rest"


def test_a_verdict_on_what_is_not_probed_any_more_counts_for_nothing() -> None:
    world = checked(2)
    for id in ("i0", "i1"):
        world.probe(id, good=True)
    world.settle()
    moved = json.dumps({"address": "10.9.9.9", "port": 80})
    world.hear("/services", world.data("/services/web/i0", moved))
    old = world.probes["/services/web/i0"]
    world.ready()
    assert world.states()["i0"] == "starting"
    verdict = Verdict("/services/web/i0", True)
    world.pipeline.step(Probed(old, verdict), world.now)  # type: ignore[arg-type]
    world.ready()
    assert world.states()["i0"] == "starting", "it was about the address before"


# --- registries -----------------------------------------------------------------------------------------


def test_a_lone_registry_that_is_out_of_reach_is_waited_for_without_end() -> None:
    world = World(is_read=False)
    world.hear("/services", Session(False))
    world.now += 3600
    world.ready()
    assert world.pipeline.stage is Stage.LOADING


def remembered(**services: str) -> Catalog:
    held = {}
    for name, address in services.items():
        world = World()
        world.register(name, a=json.dumps({"address": address}))
        world.ready()
        held[name] = world.pipeline.catalog.services[name]
    return Catalog(held, serial=7, complete=True, stale_since=NOW - 100)


def test_what_was_remembered_answers_until_the_registry_is_read_and_is_as_old_as_it_was() -> None:
    world = World(settings_of(stale_max=200.0), is_read=False)
    world.pipeline.step(Remembered("r1", remembered(web="10.0.0.1")), world.now)
    assert world.ready().wake == NOW + 0.5
    world.now += 0.5
    world.ready()
    world.ready()
    assert world.pipeline.stage is Stage.READY
    assert not world.pipeline.registries.is_live
    assert world.pipeline.registries.stale_seconds(world.now) == pytest.approx(100.5)
    assert (world.pipeline.registries.serial, world.pipeline.staleness.failure) == (7, b"")
    world.now += 100
    world.ready()
    assert world.pipeline.staleness.failure, "stale_max counts from when it was known last"
    for root in ROOTS:
        world.hear(root, Begin(), Whole(), Session(True))
    world.ready()
    assert world.pipeline.registries.is_live
    assert world.states() == {"a": "suspect"}, "it may have gone with the outage"
    world.now += 15
    world.ready()
    assert "web" not in world.pipeline.services


def test_a_registry_that_is_read_in_time_is_not_answered_from_memory() -> None:
    world = World(is_read=False)
    world.pipeline.step(Remembered("r1", remembered(web="10.0.0.1")), world.now)
    for root in ROOTS:
        world.hear(root, Begin(), Whole(), Session(True))
    world.ready()
    assert world.pipeline.services == {}
    world.register("web", a=an_address(1))
    world.ready()
    world.register("web")
    world.ready()
    assert world.states() == {}, "there was no outage, and nothing to keep"


def test_a_file_beside_an_ensemble_is_served_while_that_is_away() -> None:
    world = World(settings_of("zk://h/services", "file:x.toml"), is_read=False)
    world.pipeline.step(FileRead("r2", remembered(db="10.0.0.2")), world.now)
    world.hear("/services", Session(False))
    world.now += 4.9
    world.ready()
    assert world.pipeline.stage is Stage.LOADING
    world.now += 0.2
    world.ready()
    assert world.pipeline.stage is Stage.READY
    assert world.states("db") == {"a": "healthy"}


def test_a_reading_that_makes_headway_is_not_out_of_reach() -> None:
    world = World(settings_of("zk://h/services", "file:x.toml"), is_read=False)
    world.pipeline.step(FileRead("r2", remembered(db="10.0.0.2")), world.now)
    for _ in range(4):
        world.now += 4
        world.hear("/services", Begin())
        world.ready()
    assert world.pipeline.stage is Stage.LOADING


def test_service_defaults_that_are_wrong_are_the_operators_error() -> None:
    with pytest.raises(ConfigError, match=r"\[service_defaults\] hodl: no such setting"):
        Pipeline(settings_of(service_defaults={"hodl": 3}), NOW)
    with pytest.raises(ConfigError, match=r"\[service_defaults\]: .*policy"):
        Pipeline(settings_of(service_defaults={"policy": "best"}), NOW)
    world = World()
    with pytest.raises(ConfigError):
        world.pipeline.check(settings_of(service_defaults={"ttl": "soon"}))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hodl = 3", "{file}: [service_defaults] hodl: no such setting; there are hold, answers, "),
        ("policy = 'best'", "{file}: [service_defaults]: policy "),
        ("ttl = 'soon'", "{file}: [service_defaults]: ttl "),
    ],
)
def test_service_defaults_that_are_wrong_are_told_with_the_file_where_they_stand(
    line: str, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "zkdns.toml"
    file.write_text(f"ttl = 9\n[service_defaults]\n{line}\n")
    with pytest.raises(ConfigError) as error:
        Pipeline(load({"config": str(file)}, {}), NOW)
    assert str(error.value).startswith(told.format(file=file))
    assert "\n" not in str(error.value)


def test_other_defaults_at_a_reload_are_in_force_at_once() -> None:
    world = World(settings_of(service_defaults={"hold": 30}))
    world.register("web", a=an_address(1))
    world.ready()
    assert world.pipeline.services["web"].settings.hold == 30
    world.pipeline.step(settings_of(service_defaults={"hold": 60}, ttl=9), world.now)
    assert world.ready().delta
    assert world.pipeline.services["web"].settings.hold == 60
    assert world.pipeline.builder.ttl == 9


# --- walls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["judge", "compile"])
def test_an_instance_that_breaks_us_costs_itself_and_is_tried_again_when_it_changes(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "judge":
        import zkdns.health.judge as module

        break_at(monkeypatch, module, "steps", lambda service, *rest: has(service, "10.0.0.2"))
    else:
        break_at(monkeypatch, Builder, "compile", lambda self, service, *rest: has(service, "10.0.0.2"))
    world = World()
    world.register("web", a=an_address(1), b=an_address(2), c=an_address(3))
    world.publish("db", a=an_address(9))
    assert world.states() == {"a": "healthy", "c": "healthy"}
    assert world.states("db") == {"a": "healthy"}
    (problem,) = world.pipeline.problems
    assert (problem.path, problem.ours) == ("/services/web/b", True)
    assert "RuntimeError" in problem.what
    assert "planted" in problem.what
    errors = world.pipeline.wall.errors
    assert errors >= 1
    world.publish("web", a=an_address(7), b=an_address(2), c=an_address(3))
    world.publish("web", a=an_address(7), b=an_address(4), c=an_address(3))
    assert world.states() == {"a": "healthy", "b": "healthy", "c": "healthy"}
    assert world.pipeline.problems == ()


@settings(max_examples=examples(20), deadline=None)
@given(bad=st.sets(st.integers(0, 199), min_size=1, max_size=5))
def test_whatever_breaks_among_many_the_rest_is_answered(bad: set[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        addresses = {f"10.0.0.{n}" for n in bad}
        break_at(patch, Builder, "compile", lambda self, s, *rest: any(has(s, a) for a in addresses))
        world = World()
        world.publish("web", **{f"i{n:03}": an_address(n) for n in range(200)})
        assert set(world.states()) == {f"i{n:03}" for n in range(200) if n not in bad}
        assert {p.path for p in world.pipeline.problems} == {f"/services/web/i{n:03}" for n in bad}


def test_a_service_that_breaks_us_goes_on_as_it_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.register("web", a=an_address(1))
    world.ready()
    break_at(monkeypatch, Builder, "compile", lambda self, s, *rest: s.name == "web" and len(s.instances) > 1)
    world.register("web", a=an_address(1), b=an_address(2))
    world.publish("db", a=an_address(9))
    assert world.states() == {"a": "healthy"}
    assert world.states("db") == {"a": "healthy"}
    assert [p.path for p in world.pipeline.problems] == ["/services/web"]
    world.publish("web", a=an_address(1))
    world.publish("web", a=an_address(2))
    assert world.pipeline.problems == ()


def test_where_everything_breaks_us_it_is_tried_once_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    break_at(monkeypatch, Builder, "compile", lambda self, service, *rest: service.name == "web")
    world = World()
    world.register("web", a=an_address(1), b=an_address(2))
    world.publish("db", a=an_address(9))
    assert world.states("db") == {"a": "healthy"}
    assert {p.path for p in world.pipeline.problems} >= {
        "/services/web",
        "/services/web/a",
        "/services/web/b",
    }


def test_a_verdict_and_a_ballot_that_break_us_cost_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    world = checked(2)
    break_at(monkeypatch, Health, "take", lambda self, target, *rest: target.id == "i0")
    break_at(monkeypatch, consensus, "reading", lambda data: b"broken" in data)
    for id in ("i0", "i1"):
        world.probe(id, good=True)
    world.hear(SERVERS, Children(SERVERS, ("z1", "z2", "z3"), next(world.zxid)))
    for id in ("z1", "z2", "z3"):
        world.hear(SERVERS, world.data(f"{SERVERS}/{id}", "{}"))
    world.hear(HEALTH, Children(HEALTH, ("z2", "z3"), next(world.zxid)))
    world.hear(HEALTH, world.data(f"{HEALTH}/z2", "broken"))
    ballot = consensus.write_ballot({"/services/web/i0": judge.CheckState(True)})
    world.hear(HEALTH, world.data(f"{HEALTH}/z3", ballot.decode()))
    world.now += 3
    world.settle()
    assert world.states() == {"i0": "healthy", "i1": "healthy"}, "the other replica's ballot counts"
    assert {p.path for p in world.pipeline.problems} == {"/services/web/i0", f"{HEALTH}/z2"}


def test_host_names_are_waited_for_and_a_failed_one_costs_its_instance() -> None:
    world = World(is_read=False)
    for root in OWN:
        world.hear(root, Begin(), Whole(), Session(True))
    host = json.dumps({"address": "db.example.com", "port": 1})
    world.hear("/services", Begin(), *world.told("web", a=host, b=an_address(1)), Whole(), Session(True))
    assert set(world.ready().resolve) == {"db.example.com"}
    assert world.pipeline.stage is Stage.SETTLING
    world.pipeline.step(HostResolved("db.example.com", (), "no such name"), world.now)
    world.settle()
    assert world.states() == {"a": "unreadable", "b": "healthy"}
    assert "doesn't resolve" in world.pipeline.problems[0].what
    world.pipeline.step(HostResolved("db.example.com", ("192.0.2.9",)), world.now)
    world.ready()
    assert world.states() == {"a": "healthy", "b": "healthy"}
    assert world.pipeline.problems == ()


def test_a_host_name_that_nobody_answers_is_waited_for_three_seconds() -> None:
    world = World(is_read=False)
    for root in OWN:
        world.hear(root, Begin(), Whole(), Session(True))
    host = json.dumps({"address": "db.example.com"})
    world.hear("/services", Begin(), *world.told("web", a=host), Whole(), Session(True))
    assert world.ready().wake == NOW + 3
    world.now += 3
    world.ready()
    assert world.pipeline.stage is Stage.READY


# --- changes ------------------------------------------------------------------------------------------------


def test_each_change_tells_what_was_and_what_is_and_why() -> None:
    world = World()
    world.register("web", a=an_address(1))
    world.ready()
    status = json.dumps({"address": "10.0.0.1", "port": 80, "status": "draining", "weight": 5})
    world.register("web", a=status, b=an_address(2))
    told = [(c.id, c.what, c.was, c.now, c.why) for c in world.ready().changes]
    assert told == [
        ("a", "state", "healthy", "draining", "registered as draining"),
        ("a", "weight", "1", "5", "registered so"),
        ("b", "registered", "", "healthy", "registered so"),
    ]
    assert all(c.zxid == next(world.zxid) - 1 or c.zxid > 0x100000000 for c in world.readies[-1].changes)
    world.hear("/services", world.data("/services/web", '{"ttl": 9, "hold": 60}'))
    (change,) = world.ready().changes
    assert (change.what, change.was, change.now) == ("settings", "ttl unset, hold 0.0", "ttl 9, hold 60.0")


def test_an_instance_given_is_in_no_two_deltas() -> None:
    world = World()
    world.register("web", a=an_address(1))
    first = world.ready().delta
    again = world.ready().delta
    assert first.entries
    assert not again.entries


def test_what_stands_under_zkdns_is_read_once_a_turn_and_at_a_pace_that_leaves_time_for_others() -> None:
    clock = [0.0]
    read: list[float] = []

    def tick() -> float:
        return clock[0]

    world = World(tick=tick)
    roots = world.pipeline._own_roots
    take = roots._take

    def slow(root: str, now: float) -> None:
        read.append(now)
        clock[0] += 0.02
        take(root, now)

    roots._take = slow  # type: ignore[method-assign]
    begun = world.now
    for _ in range(1000):
        for _ in range(5):
            world.hear(OVERRIDES, world.data(f"{OVERRIDES}/web", "{}"))
        world.now += 0.001
        world.ready()
    assert len(read) <= (world.now - begun) / (10 * 0.02) + 1
    assert not world.pipeline.idle
    world.now += 1
    world.ready()
    assert world.pipeline.idle


def test_a_large_map_is_read_in_a_thread_and_the_newest_counts() -> None:
    world = World(threads=True)
    ready = world.pipeline.ready(world.now)
    maps = [
        json.dumps({f"10.{n >> 8}.{n & 255}.0/24": zone for n in range(1000)}).encode() for zone in ("a", "b")
    ]
    works = []
    for data in maps:
        world.hear(TOPOLOGY, world.data(TOPOLOGY, data.decode()))
        ready = world.pipeline.ready(world.now)
        (compilation,) = ready.compile
        works.append(compilation.work)
    assert not world.pipeline.builder.topology.networks
    for work in reversed(works):
        world.pipeline.step(work(), world.now)
        world.ready()
    topology = world.pipeline.builder.topology
    assert len(topology.networks) == 1000
    assert topology.zones == {"b"}
    world.hear(TOPOLOGY, world.data(TOPOLOGY, '{"10.0.0.0/8": "c"}'))
    world.ready()
    assert world.pipeline.builder.topology.zones == {"c"}, "a small one at once"
