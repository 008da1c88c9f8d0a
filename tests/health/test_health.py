"""Health as the server wires it: real backends that sicken and recover, replicas, losses, restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from support.values import a_service, an_instance
from support.waiting import until
from zkdns.health import consensus
from zkdns.health.guard import NO_GRACE
from zkdns.health.health import SPARE, Health
from zkdns.health.prober import Prober
from zkdns.health.targets import EVERYWHERE, CheckPolicy, Target
from zkdns.health.thresholds import CheckState, LastProbe
from zkdns.model import (
    Check,
    Instance,
    Override,
    Service,
    State,
    Verdict,
)
from zkdns.registry.override_nodes import by_service
from zkdns.steps import SLICE

NOW = 1_700_000_000.0


def here(id: str, **about: Any) -> Instance:
    """One on this host."""
    return an_instance(id, "127.0.0.1", **{"since": NOW, **about})


def services_of(ids: str = "a", check: Check | None = None, hold: float = 0.0, name: str = "web") -> Service:
    return a_service(*(here(id, service=name) for id in ids), name=name, check=check, hold=hold)


QUICK = Check("tcp", interval=0.05, timeout=5, rise=2, fall=3)
ONCE = Check("tcp", interval=3600, timeout=5, rise=2, fall=3)


class Ensemble:
    """What stands under /zkdns: every replica's ballot, told to every replica that can reach it."""

    def __init__(self) -> None:
        self.nodes: dict[str, bytes] = {}
        self.writes: list[tuple[str, float, bytes]] = []
        self.worlds: dict[str, World] = {}
        self.written: Counter[str] = Counter()
        """When each replica's own node was written last."""

    def write(self, replica: str, data: bytes) -> None:
        self.writes.append((replica, asyncio.get_running_loop().time(), data))
        if self.worlds[replica].reaches:
            self.nodes[replica] = data
            self.tell()

    def tell(self) -> None:
        for world in list(self.worlds.values()):
            if world.reaches:
                world.health.replicas({id: self.written[id] for id in self.worlds})
                world.health.ballots(self.nodes)

    def say_alive(self, *replicas: str) -> None:
        """These write their own nodes again."""
        self.written.update(replicas)
        self.tell()

    def leave(self, replica: str) -> None:
        del self.worlds[replica]
        self.nodes.pop(replica, None)
        self.tell()


class Driven:
    """A Health as the pipeline and its driver use it: what it gives back is marked, probed and written."""

    def __init__(
        self,
        replica: str,
        mark: Callable[[Iterable[str]], None],
        write: Callable[[bytes], None],
        *,
        policy: CheckPolicy = EVERYWHERE,
        **options: Any,
    ) -> None:
        self.health = Health(replica, policy=policy)
        self.problems = self.health.problems
        self._mark = mark
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._prober = Prober(self._take, replica, **options)
        self._writer: asyncio.TimerHandle | None = None

    def _take(self, target: Target, verdict: Verdict) -> None:
        self._then(self.health.take(target, verdict, self._loop.time()))

    def override(self, overrides: Mapping[tuple[str, str], Override]) -> None:
        self._then(self.health.override(by_service(overrides)))

    def replicas(self, written: Mapping[str, float]) -> None:
        self.health.replicas(written)
        self._then(())

    def ballots(self, nodes: Mapping[str, bytes]) -> None:
        self.health.ballots(nodes)
        self._then(())

    def lose(self) -> None:
        self.health.lose()
        self._then(())

    def find(self) -> None:
        self.health.find(self._loop.time())
        self._then(())

    def judge(self, service: Service, now: float, previous: Service | None) -> tuple[Service, float | None]:
        judged = self.health.judge(service, now, previous)
        self._then(())
        return judged

    async def first_round(self) -> None:
        until = self._loop.time() + self.health.first_round
        while not self.health.all_probed and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
        await self._prober.stop()

    def _then(self, names: Iterable[str]) -> None:
        if names := {*names, *self.health.work(self._loop.time())}:
            self._mark(names)
        for path, target in self.health.take_probes().items():
            if target is None:
                self._prober.drop(path)
            else:
                self._prober.schedule(target)
        if (due := self.health.ballot_due) is not None and self._writer is None:
            self._writer = self._loop.call_at(due, self._write_ballot)

    def _write_ballot(self) -> None:
        self._writer = None
        if (data := self.health.take_ballot(self._loop.time())) is not None:
            self._write(data)
        self._then(())


class World:
    """One replica: its services, judged whenever its Health asks for it."""

    def __init__(
        self,
        replica: str = "r1",
        ensemble: Ensemble | None = None,
        probe: Callable[[Target], Awaitable[str]] | None = None,
        **options: object,
    ) -> None:
        self.now = NOW
        self.reaches = True
        self.registered: dict[str, Service] = {}
        self.serving: dict[str, Service] = {}
        self.again: float | None = None
        self.marked = 0
        self.probed: list[str] = []
        ensemble = ensemble or Ensemble()

        async def ask(target: Target) -> str:
            self.probed.append(target.path)
            return await probe(target) if probe is not None else ""

        if probe is not None:
            options["named"] = lambda name: ask
        self.health = Driven(replica, self.mark, lambda data: ensemble.write(replica, data), **options)  # type: ignore[arg-type]
        ensemble.worlds[replica] = self
        ensemble.tell()
        self.health.find()

    def mark(self, names: Iterable[str]) -> None:
        for name in list(names):
            self.marked += 1
            before = self.serving.get(name)
            service = self.registered.get(name)
            if service is None and before is None:
                continue
            asked = service or replace(before, instances=())  # type: ignore[type-var]
            judged, self.again = self.health.judge(asked, self.now, before)  # type: ignore[arg-type]
            if service is None and not judged.instances:
                del self.serving[name]
            else:
                self.serving[name] = judged

    def take(self, *services: Service) -> None:
        names = {*self.registered, *(s.name for s in services)}
        self.registered = {s.name: s for s in services}
        self.mark(names)

    def states(self, name: str = "web") -> str:
        """Each instance as id=state."""
        service = self.serving.get(name)
        return " ".join(f"{i.id}={i.state}" for i in service.instances) if service is not None else "gone"


async def well(target: Target) -> str:
    return ""


async def ill(target: Target) -> str:
    return "refused"


async def never(target: Target) -> str:
    await asyncio.Event().wait()
    return ""


class Backend:
    """A real server that can be taken down and brought up on its port."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.readline():
                writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


# --- one replica ------------------------------------------------------------------------------------


async def test_a_tcp_backend_that_dies_goes_out_and_comes_back_when_it_lives_again() -> None:
    backend, world = Backend(), World()
    await backend.up()
    service = services_of(check=QUICK)
    world.take(replace(service, instances=(here("a", port=backend.port),)))
    assert world.states() == "a=starting"
    await until(lambda: world.states() == "a=healthy")
    await backend.down()
    await until(lambda: world.states() == "a=failing")
    assert world.serving["web"].instances[0].reason == "connection refused"
    assert not world.serving["web"].instances[0].answered
    await backend.up()
    await until(lambda: world.states() == "a=healthy")
    await backend.down()
    await world.health.stop()


async def test_an_http_backend_that_says_503_goes_out_and_comes_back_with_200() -> None:
    backend, world = Backend(), World()
    await backend.up()
    check = replace(QUICK, type="http", port="http", path="/healthz")
    instance = here("a", port=1, ports=(("http", backend.port),))
    world.take(replace(services_of(check=check), instances=(instance,)))
    await until(lambda: world.states() == "a=healthy")
    backend.status = 503
    await until(lambda: world.states() == "a=failing")
    assert world.serving["web"].instances[0].reason == "HTTP status 503"
    backend.status = 204
    await until(lambda: world.states() == "a=healthy")
    await backend.down()
    await world.health.stop()


async def test_the_first_round_ends_when_all_are_probed() -> None:
    world = World(probe=well)
    world.take(services_of("abc", ONCE))
    await world.health.first_round()
    assert world.states() == "a=healthy b=healthy c=healthy"
    await world.health.stop()


async def test_the_first_round_does_not_wait_for_a_backend_that_never_answers() -> None:
    world = World(probe=never)
    world.take(services_of("a", replace(ONCE, timeout=0.05)))
    await world.health.first_round()
    assert world.states() == "a=failing"
    await world.health.stop()


async def test_the_first_round_is_bounded_where_there_are_too_few_sockets() -> None:
    world = World(probe=never, sockets=1)
    world.take(services_of("abcdefgh", replace(ONCE, timeout=0.5)))
    await world.health.first_round()
    assert "starting" in world.states()
    await world.health.stop()


def test_the_first_round_is_as_long_as_the_most_patient_check() -> None:
    health = Health("me")
    for name, timeout in (("a", 1.0), ("b", 5.0), ("c", 2.0)):
        health.judge(services_of("x", replace(ONCE, timeout=timeout), name=name), NOW)
    assert health.first_round == 5.0 + SPARE


async def test_without_a_check_there_is_nothing_to_wait_for() -> None:
    world = World(probe=never)
    world.take(services_of("ab"))
    await world.health.first_round()
    assert world.states() == "a=healthy b=healthy"
    assert world.probed == []


async def test_a_new_instance_is_out_until_its_first_probe_and_others_stay_as_they_are() -> None:
    answers = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def probe(target: Target) -> str:
        await answers[target.id].wait()
        return ""

    world = World(probe=probe)
    world.take(services_of("a", ONCE))
    answers["a"].set()
    await until(lambda: world.states() == "a=healthy")
    world.take(services_of("ab", ONCE))
    assert world.states() == "a=healthy b=starting"
    answers["b"].set()
    await until(lambda: world.states() == "a=healthy b=healthy")
    await world.health.stop()


async def test_a_failing_instance_that_registers_anew_starts_with_a_clean_slate() -> None:
    sick = True

    async def probe(target: Target) -> str:
        return "refused" if sick else ""

    world = World(probe=probe)
    world.take(services_of("a", ONCE))
    await until(lambda: world.states() == "a=failing")
    sick = False
    world.take(replace(services_of("a", ONCE), instances=(here("a", since=NOW + 9),)))
    assert world.states() == "a=starting"
    await until(lambda: world.states() == "a=healthy")
    assert len(world.probed) == 2  # one good first probe, though rise is 2
    await world.health.stop()


async def test_a_good_instance_that_registers_anew_stays_in() -> None:
    world = World(probe=well)
    world.take(services_of("a", ONCE))
    await until(lambda: world.states() == "a=healthy")
    world.take(replace(services_of("a", ONCE), instances=(here("a", since=NOW + 9),)))
    assert world.states() == "a=healthy"
    await world.health.stop()


async def test_another_port_is_another_place_to_be_probed_first() -> None:
    world = World(probe=well)
    world.take(services_of("a", ONCE))
    await until(lambda: world.states() == "a=healthy")
    world.take(replace(services_of("a", ONCE), instances=(here("a", port=81),)))
    assert world.states() == "a=starting"
    await until(lambda: world.states() == "a=healthy")
    await world.health.stop()


async def test_our_own_ballot_says_nothing_of_who_comes_after(ensemble: Ensemble) -> None:
    """It is written again a second later."""
    world = World("r1", ensemble, well)
    world.take(services_of("ab", ONCE))
    await until(lambda: "r1" in ensemble.nodes)
    world.take(services_of("b", ONCE))
    world.take(services_of("ab", ONCE))
    assert world.states() == "a=starting b=healthy"
    await stop_all(ensemble)


async def test_our_own_ballot_says_nothing_of_another_place(ensemble: Ensemble) -> None:
    world = World("r1", ensemble, well)
    world.take(services_of("a", ONCE))
    await until(lambda: "r1" in ensemble.nodes)
    world.take(replace(services_of("a", ONCE), instances=(here("a", port=81),)))
    assert world.states() == "a=starting"
    await stop_all(ensemble)


async def test_a_wrong_check_is_a_problem_and_the_service_goes_on_without_it() -> None:
    world = World(probe=ill)
    world.take(services_of("a", Check("tcp", port="htpt")))
    assert world.states() == "a=healthy"
    assert world.health.problems["web"].path == "/services/web"
    world.take(services_of("a", Check("command", command=("true",))))
    assert "not allowed" in world.health.problems["web"].what
    world.take(services_of("a", ONCE))
    assert world.health.problems == {}
    await until(lambda: world.states() == "a=failing")
    await world.health.stop()


async def test_a_check_taken_away_brings_its_failing_instances_back() -> None:
    world = World(probe=ill)
    world.take(services_of("a", ONCE))
    await until(lambda: world.states() == "a=failing")
    world.take(services_of("a"))
    assert world.states() == "a=healthy"
    await world.health.stop()


async def test_unchanged_verdicts_judge_nothing_again() -> None:
    world = World(probe=well)
    world.take(services_of("a", replace(QUICK, interval=0.02)))
    await until(lambda: len(world.probed) > 10)
    assert world.marked == 2  # registered, first probe
    await world.health.stop()


# --- overrides and losses -----------------------------------------------------------------------------


async def test_overrides_mark_only_their_services_and_end_at_their_time() -> None:
    world = World()
    world.take(services_of("ab"), services_of("a", name="db"))
    marked = world.marked
    world.health.override({("web", "a"): Override(drain=True, until=NOW + 60)})
    assert world.marked == marked + 1
    assert (world.states(), world.again) == ("a=drained b=healthy", NOW + 60)
    world.health.override({("web", "a"): Override(drain=True, until=NOW + 60)})
    assert world.marked == marked + 1
    world.now = NOW + 60
    world.mark(["web"])
    assert world.states() == "a=healthy b=healthy"
    world.health.override({("web", "b"): Override(drain=True)})
    world.take(services_of("ab"), services_of("a", name="db"))  # registered anew
    assert world.states() == "a=healthy b=drained"
    world.health.override({})
    assert world.states() == "a=healthy b=healthy"


async def test_a_mass_loss_is_held_until_its_time_is_over() -> None:
    world = World()
    world.take(services_of("abcd", hold=60))
    world.take(services_of("a", hold=60))
    assert world.states() == "a=healthy b=suspect c=suspect d=suspect"
    assert world.serving["web"].note == "3 kept by hold"
    assert world.again == NOW + 60
    world.take(services_of("ac", hold=60))
    assert world.states() == "a=healthy b=suspect c=healthy d=suspect"
    world.now = NOW + 60
    world.mark(["web"])
    assert world.states() == "a=healthy c=healthy"


async def test_a_service_that_vanished_as_a_whole_is_held_and_then_gone() -> None:
    world = World()
    world.take(services_of("ab", hold=60))
    world.take()
    assert world.states() == "a=suspect b=suspect"
    world.now = NOW + 60
    world.mark(["web"])
    assert world.states() == "gone"


async def test_a_suspect_whose_check_fails_is_let_go_and_a_well_one_is_kept() -> None:
    sick: set[str] = set()

    async def probe(target: Target) -> str:
        return "refused" if target.id in sick else ""

    world = World(probe=probe)
    world.take(services_of("abc", QUICK, hold=60))
    await until(lambda: world.states() == "a=healthy b=healthy c=healthy")
    world.take(services_of("", QUICK, hold=60))
    assert world.states() == "a=suspect b=suspect c=suspect"
    sick.add("b")
    await until(lambda: world.states() == "a=suspect c=suspect")
    await world.health.stop()


@pytest.mark.parametrize("ids", ["", "a"])
def test_a_suspect_of_whom_others_say_that_it_fails_is_let_go_as_it_is_first_checked(ids: str) -> None:
    health = Health("r1")
    failing = CheckState(False, "refused")
    health.replicas({"r1": NOW, "r2": NOW})
    health.ballots({"r2": consensus.write_ballot({"/services/web/b": failing, "/services/web/c": failing})})
    health.work(NOW)
    before = services_of("abc", hold=60)
    health.judge(before, NOW)
    judged, _ = health.judge(services_of(ids, check=ONCE, hold=60), NOW, before)
    assert [i.id for i in judged.instances] == ["a"]


async def test_a_drained_suspect_is_let_go_and_undrain_does_not_bring_it_back() -> None:
    world = World()
    world.take(services_of("abc", hold=60))
    world.health.override({("web", "a"): Override(drain=True)})
    world.take(services_of("", hold=60))
    assert world.states() == "b=suspect c=suspect"
    world.health.override({("web", "b"): Override(drain=True)})
    assert world.states() == "c=suspect"
    world.health.override({})
    assert world.states() == "c=suspect"


# --- replicas -----------------------------------------------------------------------------------------


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


async def stop_all(ensemble: Ensemble) -> None:
    for world in ensemble.worlds.values():
        await world.health.stop()


async def test_a_replica_that_sees_badly_is_outvoted_by_two(ensemble: Ensemble) -> None:
    worlds = [World("r1", ensemble, well), World("r2", ensemble, well), World("r3", ensemble, ill)]
    for world in worlds:
        world.take(services_of("ab", ONCE))
    await until(lambda: len(ensemble.nodes) == 3)
    await until(lambda: {w.states() for w in worlds} == {"a=healthy b=healthy"})
    await stop_all(ensemble)


async def test_a_backend_that_two_of_three_find_bad_is_out_for_all(ensemble: Ensemble) -> None:
    worlds = [World("r1", ensemble, ill), World("r2", ensemble, well), World("r3", ensemble, ill)]
    for world in worlds:
        world.take(services_of("a", ONCE))
    await until(lambda: {w.states() for w in worlds} == {"a=failing"})
    assert worlds[1].serving["web"].instances[0].reason == "refused"
    await stop_all(ensemble)


async def test_when_the_others_leave_a_replica_s_own_verdict_counts(ensemble: Ensemble) -> None:
    worlds = [World("r1", ensemble, ill), World("r2", ensemble, well), World("r3", ensemble, well)]
    for world in worlds:
        world.take(services_of("a", ONCE))
    await until(lambda: len(ensemble.nodes) == 3)
    await until(lambda: worlds[0].states() == "a=healthy")
    for world in worlds[1:]:
        await world.health.stop()
    ensemble.leave("r2")
    ensemble.leave("r3")
    await until(lambda: worlds[0].states() == "a=failing")
    await stop_all(ensemble)


ALL_HEALTHY = " ".join(f"{c}=healthy" for c in "abcdefgh")


def replicas(ensemble: Ensemble, count: int) -> list[World]:
    ensemble.nodes.update({f"r{n}": b"{}" for n in range(count)})
    return [World(f"r{n}", ensemble, well) for n in range(count)]


async def test_of_five_replicas_three_probe_each_instance_and_all_know(ensemble: Ensemble) -> None:
    worlds = replicas(ensemble, 5)
    for world in worlds:
        world.take(services_of("abcdefgh", ONCE))
    await until(lambda: {w.states() for w in worlds} == {ALL_HEALTHY})
    await until(lambda: sum(len(w.probed) for w in worlds) == 3 * 8)
    for world in worlds:
        assert len(set(world.probed)) == len(world.probed) < 8
    await stop_all(ensemble)


async def test_a_view_of_a_service_is_probed_by_nobody_who_does_not_probe_the_service(
    ensemble: Ensemble,
) -> None:
    worlds = replicas(ensemble, 5)
    own = services_of("abcdefgh", ONCE)
    seen = tuple(replace(i, path=f"dc1:{i.path}") for i in own.instances)
    view = replace(own, name="web@dc1", instances=seen, registries=("dc1",), view_of="web")
    for world in worlds:
        world.take(own, view)
    await until(lambda: {w.states() for w in worlds} == {ALL_HEALTHY})
    await until(lambda: {w.states("web@dc1") for w in worlds} == {ALL_HEALTHY})
    assert sum(len(w.probed) for w in worlds) == 3 * 8
    await stop_all(ensemble)


async def test_what_a_replica_that_left_probed_is_taken_over(ensemble: Ensemble) -> None:
    worlds = replicas(ensemble, 4)
    for world in worlds:
        world.take(services_of("abcdefgh", ONCE))
    await until(lambda: sum(len(w.probed) for w in worlds) == 3 * 8)
    await worlds[3].health.stop()
    ensemble.leave("r3")
    await until(lambda: all(len(set(w.probed)) == 8 for w in worlds[:3]))
    await stop_all(ensemble)


async def test_a_restarted_replica_takes_the_verdicts_that_others_hold(ensemble: Ensemble) -> None:
    other = World("r1", ensemble, well)
    other.take(services_of("ab", ONCE))
    await until(lambda: "r1" in ensemble.nodes)
    fresh = World("r2", ensemble, never)
    fresh.take(services_of("ab", replace(ONCE, timeout=3600)))
    assert fresh.states() == "a=healthy b=healthy"
    await fresh.health.first_round()
    await stop_all(ensemble)


async def test_while_zookeeper_is_away_own_checks_count_and_old_ballots_do_not(ensemble: Ensemble) -> None:
    sick = False

    async def probe(target: Target) -> str:
        return "refused" if sick else ""

    worlds = [World("r1", ensemble, probe), World("r2", ensemble, well), World("r3", ensemble, well)]
    for world in worlds:
        world.take(services_of("a", QUICK))
    await until(lambda: {w.states() for w in worlds} == {"a=healthy"} and len(ensemble.nodes) == 3)
    worlds[0].reaches = False
    worlds[0].health.lose()
    sick = True
    await until(lambda: worlds[0].states() == "a=failing")
    assert worlds[1].states() == "a=healthy"
    worlds[0].reaches = True
    ensemble.tell()
    worlds[0].health.find()
    assert worlds[0].states() == "a=failing"  # it may be of before
    ensemble.say_alive("r2")
    assert worlds[0].states() == "a=healthy"
    await stop_all(ensemble)


async def test_a_ballot_is_written_only_on_change_and_once_a_second_at_most(ensemble: Ensemble) -> None:
    sick: set[str] = set()

    async def probe(target: Target) -> str:
        return "refused" if target.id in sick else ""

    world = World("r1", ensemble, probe)
    world.take(services_of("abcd", replace(QUICK, interval=0.1, fall=1)))
    await until(lambda: len(ensemble.writes) == 1)
    probed = len(world.probed)
    await until(lambda: len(world.probed) > probed + 40)
    assert len(ensemble.writes) == 1
    for id in "abc":
        sick.add(id)
        await until(lambda id=id: f"{id}=failing" in world.states())  # type: ignore[misc]
    await until(lambda: ensemble.nodes["r1"].count(b"refused") == 3)
    times = [at for _, at, _ in ensemble.writes]
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(times))
    await stop_all(ensemble)


async def test_garbage_as_a_ballot_is_no_vote(ensemble: Ensemble) -> None:
    world = World("r1", ensemble, well)
    world.health.replicas({"r1": 0, "r2": 0, "r3": 0})
    world.health.ballots({"r2": b"\x00\xff", "r3": b'{"bad": {"/services/web/a": "x"}, "good": 7}'})
    world.take(services_of("a", ONCE))
    await until(lambda: world.states() == "a=healthy")
    await stop_all(ensemble)


async def test_ballots_of_replicas_that_are_gone_are_no_votes(ensemble: Ensemble) -> None:
    world = World("r1", ensemble, well)
    world.take(services_of("a", ONCE))
    await until(lambda: world.states() == "a=healthy" and "r1" in ensemble.nodes)
    ill = consensus.write_ballot({"/services/web/a": CheckState(False, "refused")})
    votes = dict.fromkeys(("r2", "r3"), ill)
    world.health.replicas({"r1": 0})
    world.health.ballots(ensemble.nodes | votes)
    assert world.states() == "a=healthy"
    world.health.replicas({"r1": 0, "r2": 0, "r3": 0})
    assert world.states() == "a=failing"
    world.health.replicas({"r1": 0})
    assert world.states() == "a=healthy"
    await stop_all(ensemble)


async def test_a_node_that_only_poses_as_a_replica_takes_nobodys_probes(ensemble: Ensemble) -> None:
    world = World("r1", ensemble, well)
    world.health.replicas({"r1": 0, **{f"fake{n}": 0 for n in range(50)}})
    world.take(services_of("abcdef", ONCE))
    await until(lambda: world.states() == " ".join(f"{id}=healthy" for id in "abcdef"))
    await stop_all(ensemble)


async def test_an_instance_where_checks_may_not_go_is_as_one_without_a_check(ensemble: Ensemble) -> None:
    asked: list[str] = []

    async def probe(target: Target) -> str:
        asked.append(target.id)
        return "bad"

    world = World("r1", ensemble, probe, policy=CheckPolicy.of(False, ["192.0.2.0/24"]))
    world.take(services_of("a", ONCE))
    assert world.states() == "a=healthy"
    await asyncio.sleep(0.05)
    assert asked == []
    assert "check_targets" in next(iter(world.health.problems.values())).what
    await stop_all(ensemble)


def test_what_the_last_probe_said_is_kept_for_as_long_as_the_instance_is_ours_to_probe() -> None:
    health = Health("me")
    service = services_of("ab", ONCE)
    health.judge(service, NOW)
    health.work(NOW)
    target = health.take_probes()["/services/web/a"]
    assert target is not None
    health.take(target, Verdict(target.path, True), NOW + 1)
    health.take(target, Verdict(target.path, False, "refused"), NOW + 2)
    assert health.last_probes(service) == {"a": LastProbe(NOW + 2, "refused")}
    health.judge(replace(service, instances=service.instances[1:]), NOW + 3)
    assert health.last_probes(service) == {}


def test_a_ballot_that_says_what_it_said_before_is_not_written_again() -> None:
    """Each write costs the ensemble a transaction, and every replica a reading."""
    health = Health("me")
    web = services_of("a", Check("tcp", rise=1, fall=1))
    health.judge(web, NOW)
    health.work(NOW)
    (target,) = health.take_probes().values()
    assert target is not None
    health.take(target, Verdict(target.path, True), NOW)
    assert health.take_ballot(NOW + 1) is not None
    health.take(target, Verdict(target.path, False, "refused"), NOW + 2)
    health.take(target, Verdict(target.path, True), NOW + 2.01)
    health.take(target, Verdict(target.path, True), NOW + 2.015)
    assert health.ballot_due is not None
    assert health.take_ballot(NOW + 4) is None
    assert health.ballot_due is None


async def test_what_was_gone_for_good_is_no_loss_of_the_service_that_comes_again() -> None:
    world = World()
    world.take(services_of("ac", hold=60))
    world.take()
    world.now = NOW + 60
    world.mark(["web"])
    assert world.states() == "gone"
    world.now = NOW + 3600
    world.take(services_of("b", hold=60))
    assert world.states() == "b=healthy"


async def test_one_that_was_away_is_not_judged_by_what_was_found_before() -> None:
    sick = True

    async def probe(target: Target) -> str:
        if not sick:
            await asyncio.Event().wait()
        return "refused"

    world = World(probe=probe)
    world.take(services_of("ab", ONCE))
    await until(lambda: world.states() == "a=failing b=failing")
    world.take(services_of("b", ONCE))
    sick = False
    world.take(services_of("ab", ONCE))
    assert world.states() == "a=starting b=failing"
    await world.health.stop()


def test_a_verdict_on_what_is_for_others_to_probe_by_now_counts_for_nothing() -> None:
    """It was under way while replicas came: what they find would be outvoted by an old word."""
    health = Health("me")
    service = services_of("abcdefgh", Check("tcp", rise=1, fall=1))
    health.judge(service, NOW)
    health.work(NOW)
    targets = health.take_probes()
    others = [f"r{n}" for n in range(6)]
    health.replicas(dict.fromkeys(others, 0.0))
    health.ballots({id: consensus.write_ballot({"/other": CheckState(True)}) for id in others})
    health.work(NOW)
    dropped = {path for path, target in health.take_probes().items() if target is None}
    assert dropped
    for path, target in targets.items():
        assert target is not None
        names = health.take(target, Verdict(path, False, "refused"), NOW)
        assert names == (set() if path in dropped else {"web"})
    judged, _ = health.judge(service, NOW)
    assert {i.path for i in judged.instances if i.state is State.FAILING} == targets.keys() - dropped


def test_between_the_steps_of_a_judgement_what_is_known_of_a_path_goes_together() -> None:
    health = Health("r1")
    other = replace(ONCE, port=9)
    instances = [here(f"i{n:04}") for n in range(3 * SLICE)]
    before = a_service(*instances, check=ONCE)
    half = a_service(*instances[SLICE // 2 :], check=other)
    health.judge(before, NOW)
    health.work(NOW)
    steps = health.steps(half, NOW, None, NO_GRACE)
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration:
            break
        pauses += 1
        for target in [t for t in health.take_probes().values() if t is not None]:
            health.take(target, Verdict(target.path, True), NOW)
        health.work(NOW)
        assert health.first_round >= 0
    assert pauses > 6
    health.work(NOW)
    assert {path.rpartition("/")[2] for path in health._targets["web"]} == {i.id for i in half.instances}
    assert {t.check for t in health._targets["web"].values()} == {other}
    assert health._service_of.keys() == health._targets["web"].keys()


def test_who_is_in_a_view_as_well_is_known_there_without_a_probe_of_its_own() -> None:
    health = Health("me")
    service = services_of("abc", ONCE)
    health.judge(service, NOW)
    health.work(NOW)
    for target in health.take_probes().values():
        assert target is not None
        if target.id != "c":
            health.take(target, Verdict(target.path, target.id == "a", "refused"), NOW)
    instances = tuple(replace(i, path=f"dc1:{i.path}") for i in service.instances)
    view = replace(service, name="web@dc1", view_of="web", registries=("dc1",), instances=instances)
    other = replace(view, name="web@dc2", settings=replace(service.settings, check=QUICK))
    for judge in (health.trial, lambda *of: health.judge(*of)[0]):
        known, unknown = judge(view, NOW), judge(other, NOW)
        assert [i.state for i in known.instances] == [State.HEALTHY, State.FAILING, State.STARTING]
        assert {i.state for i in unknown.instances} == {State.STARTING}
        other = replace(other, instances=tuple(replace(i, path=f"{i.path}-2") for i in other.instances))
