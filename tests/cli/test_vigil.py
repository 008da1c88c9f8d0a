"""`drain --wait`: how long replicas that are slow, silent or away are waited for, by the test's own clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from zkdns.cli import Failure, drain, holders
from zkdns.cli.asking import Told as Reply
from zkdns.cli.holders import (
    ASK_SECONDS,
    HOPELESS_SECONDS,
    MAX_NAMES,
    MAX_THREADS,
    MAX_TOLD_BYTES,
    NO_TIME,
    ROW_BYTES,
    STILL_GIVES,
    Outcome,
    Vigil,
)
from zkdns.serve.clients import ClientRow, Told

TTL = 10


class Replica:
    """What one says when it is asked. `ttls`: of each service; `clock`: how far its own is ahead."""

    def __init__(self, *rows: ClientRow, state: str = "drained", clock: float = 1e6) -> None:
        self.rows = rows
        self.states = [state]
        self.away = ""
        self.forgotten = 0
        self.clock = clock
        self.ttls = {"web": TTL}
        self.routes: list[dict[str, Any]] = []
        self.zone = ""


class World:
    """Replicas by URL, and a clock that moves while it is waited for. `later`: what happens, and when."""

    def __init__(self, patch: pytest.MonkeyPatch, **replicas: Replica) -> None:
        self.now = 0.0
        self.replicas = replicas
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.takes: dict[str, float] = {}
        """By URL, the seconds that each of its replies takes."""
        self.most: set[int] = set()
        """Bytes that a reply may have."""
        patch.setattr(holders.asking, "get_dated", self._get)
        patch.setattr(holders.told, "ask", self._told)

    def _heard(self, url: str) -> Replica:
        one = self.replicas[url]
        self.now += self.takes.get(url, 0.0)
        if one.away:
            raise Failure(one.away)
        return one

    def _get(self, url: str, path: str, asked: object, shape: object, patience: float, most: int) -> Reply:
        self.most.add(most)
        one = self._heard(url)
        if path.endswith("/routes"):
            return Reply({"routes": one.routes}, 0.0)
        instances = [{"id": "a", "state": state, "zone": one.zone} for state in one.states]
        return Reply({"ttl": one.ttls[path.rpartition("/")[2]], "instances": instances}, 0.0)

    def _told(self, url: str, name: str, *, timeout: float, most: int) -> tuple[Told, float]:
        self.most.add(most)
        one = self._heard(url)
        rows = tuple(row for row in one.rows if row.service == name)
        return Told(rows, one.forgotten), self.now + one.clock

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.later and self.later[0][0] <= self.now:
            self.later.pop(0)[1]()

    def wait(
        self, timeout: float = 600.0, ttl: int | None = None, service: str = "web"
    ) -> tuple[Outcome, float]:
        """How it ended, and when."""
        urls = {name: name for name in self.replicas}
        outcome = Vigil(service, "a", urls, lambda: self.now, self.sleep, ttl).wait(timeout)
        return outcome, self.now


def row(client: str, last: float, queries: int = 1, service: str = "web") -> ClientRow:
    """`last`: seconds since it was drained, by the replica's clock."""
    return ClientRow(client, service, 0.0, 1e6 + last, queries, "a")


def left(outcome: Outcome) -> list[str]:
    return [one.client for one in outcome.holders.left]


def test_who_was_given_it_is_waited_for_until_it_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Replica(row("x", -1))
    world = World(monkeypatch, one=one)
    world.later = [(3.0, lambda: setattr(one, "rows", (row("x", 3, 2),)))]
    outcome, at = world.wait()
    assert (outcome.is_over, left(outcome), at) == (True, [], 3.0)


def test_who_was_given_one_of_a_view_asked_for_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Replica(row("x", -1), row("y", -1, service="front"))
    one.routes = [{"service": "front", "tiers": [{"web": 1}]}]
    one.ttls |= {"web%40dc2": 1, "front": 1}
    outcome, at = World(monkeypatch, one=one).wait(service="web@dc2")
    assert (sorted(left(outcome)), at) == (["x", "y"], 2 * TTL)


def test_who_was_given_other_zones_alone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    near = replace(row("near", -1), zone="eu-1a")
    one = Replica(near, replace(row("elsewhere", -1), zone="eu-1b"))
    one.zone = "eu/eu-1a"
    outcome, at = World(monkeypatch, one=one).wait()
    assert (outcome.is_over, left(outcome), at) == (True, ["near"], 2 * TTL)


def test_where_nobody_was_given_it_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, at = World(monkeypatch, one=Replica(row("x", -2 * TTL - 1))).wait()
    assert (outcome.is_over, outcome.holders.given, at) == (True, {}, 0.0)


def test_who_never_comes_back_is_waited_for_twice_the_ttl_from_when_the_last_replica_took_the_drain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Replica(row("x", -1), state="healthy")
    world = World(monkeypatch, one=Replica(row("x", -1)), slow=slow)
    world.later = [(30.0, lambda: setattr(slow, "states", ["drained"]))]
    outcome, at = world.wait()
    assert (outcome.is_over, left(outcome), at) == (True, ["x"], 30.0 + 2 * TTL)
    assert outcome.unheard == {}


def test_one_that_gives_it_still_is_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Replica(state="healthy")
    outcome, at = World(monkeypatch, one=Replica(row("x", -1)), slow=slow).wait(100.0)
    assert (outcome.is_over, outcome.unheard, at) == (False, {"slow": STILL_GIVES}, 100.0)


def test_who_holds_it_up_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can tell a lie from a server that is slow; who reads the line can."""
    liar = Replica()
    liar.ttls["web"] = 2**31 - 1
    world = World(
        monkeypatch, one=Replica(row("x", -1)), two=Replica(), denies=Replica(state="up"), liar=liar
    )
    outcome, _ = world.wait(100.0)
    drain.tell("web/a", "web", outcome)
    denied, longer, *_ = capsys.readouterr().out.splitlines()
    assert "replica denies has not taken the drain" in denied
    assert denied.endswith("if it is no server of yours, delete /zkdns/servers/denies")
    assert "replica liar alone says that the TTL is 2147483647 s, the others 10 s at most" in longer
    assert "the service's own `ttl`" in longer
    assert longer.endswith("delete /zkdns/servers/liar")
    said = "after 100 s 1 client may still hold it, and denies may give it still"
    assert drain.tell_open(outcome, 100.0) == said


def test_nobody_is_blamed_for_a_ttl_that_others_tell_too(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, _ = World(monkeypatch, one=Replica(row("x", -1)), two=Replica()).wait()
    assert outcome.alone_with_its_ttl is None


@pytest.mark.parametrize("states", [["drained", "healthy"], ["healthy", "drained"]])
def test_one_that_gives_it_of_another_registry_gives_it_still(
    monkeypatch: pytest.MonkeyPatch, states: list[str]
) -> None:
    one = Replica()
    one.states = states
    outcome, _ = World(monkeypatch, one=one).wait(10.0)
    assert (outcome.is_over, outcome.unheard) == (False, {"one": STILL_GIVES})


def test_one_that_was_away_and_is_heard_again_is_away_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Replica(row("y", -1))
    two.away = "refused"
    one = Replica(row("x", -1))
    world = World(monkeypatch, one=one, two=two)

    def come() -> None:
        two.away = ""

    def ask() -> None:
        one.rows, two.rows = (row("x", 6, 2),), (row("y", 6, 2),)

    world.later = [(5.0, come), (6.0, ask)]
    outcome, at = world.wait()
    assert (outcome.is_over, left(outcome), dict(outcome.unheard), at) == (True, [], {}, 6.0)


@pytest.mark.parametrize("routes", [[], [1], [{"service": 1, "tiers": 5}]])
@pytest.mark.parametrize("ttl", [10**400, TTL])
def test_one_that_says_what_no_server_says_is_away(
    monkeypatch: pytest.MonkeyPatch, routes: list[Any], ttl: int
) -> None:
    """Whoever may write under /zkdns/servers says whom `drain --wait` asks."""
    world = World(monkeypatch, one=Replica(row("c", -1)), rogue=Replica(state="drained"))
    world.replicas["rogue"].routes = routes
    world.replicas["rogue"].ttls = {"web": ttl}
    world.replicas["rogue"].rows = (None,)  # type: ignore[assignment]
    outcome, _ = world.wait()
    assert outcome.is_over
    assert outcome.unheard == {
        "rogue": "rogue: what answers there is no zkdns server, or one of another version"
    }


def test_one_that_stays_away_may_have_told_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who it told is not known: it is over once none of them can hold it any more."""
    gone = Replica()
    gone.away = "refused"
    outcome, at = World(monkeypatch, one=Replica(), gone=gone).wait()
    assert (outcome.is_over, dict(outcome.unheard), at) == (True, {"gone": "refused"}, 2 * TTL)


def test_one_that_had_to_forget_some_may_have_told_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks from thousands of addresses pushes out the rows of those that hold it."""
    one = Replica()
    one.forgotten = 1
    outcome, at = World(monkeypatch, one=one, two=Replica()).wait()
    assert (outcome.is_over, outcome.is_known, outcome.holders.given, at) == (True, False, {}, 2 * TTL)


def test_where_no_replica_can_be_asked_nobody_is_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = Replica()
    gone.away = "refused"
    outcome, at = World(monkeypatch, gone=gone).wait()
    assert (outcome.is_over, at) == (False, HOPELESS_SECONDS)
    drain.tell("web/a", "web", outcome)
    told = capsys.readouterr().out
    assert "is away" in told
    assert "no client" not in told, "that there is none is not known"


def test_a_route_that_leads_to_it_has_a_ttl_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Replica(row("x", -1, service="shop"))
    one.routes = [{"service": "shop", "tiers": [{"web": 1}]}]
    one.ttls |= {"shop": 50}
    outcome, at = World(monkeypatch, one=one).wait()
    assert (outcome.ttl, at) == (50.0, 100.0)
    assert [(one.client, one.service) for one in outcome.holders.left] == [("x", "shop")]


@pytest.mark.parametrize("claim", [0, 2**31 - 1])
def test_where_the_service_sets_its_ttl_no_replica_makes_it_longer_or_shorter(
    monkeypatch: pytest.MonkeyPatch, claim: int
) -> None:
    rogue = Replica(row("forged", -1))
    rogue.ttls["web"] = claim
    world = World(monkeypatch, one=Replica(row("x", -1)), rogue=rogue)
    outcome, at = world.wait(ttl=TTL)
    assert (outcome.is_over, sorted(left(outcome)), at) == (True, ["forged", "x"], 2.0 * TTL)


def test_one_that_names_ever_more_to_be_asked_for_is_away_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rogue = Replica(row("forged", -1))
    rogue.routes = [{"service": f"s{n}", "tiers": [{"web": 1}]} for n in range(MAX_NAMES - 1)]
    rogue.ttls |= {f"s{n}": 0 for n in range(MAX_NAMES - 1)}
    world = World(monkeypatch, one=Replica(), rogue=rogue)
    world.takes = {"rogue": 1.0}
    outcome, at = world.wait(10.0, ttl=1)
    assert outcome.unheard == {"rogue": NO_TIME}
    assert at <= 10.0 + ASK_SECONDS


def test_however_many_are_registered_few_are_asked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Threads:
        def __init__(self, most: int) -> None:
            made.append(most)

        __enter__ = staticmethod(lambda: Threads)
        __exit__ = staticmethod(lambda *_: None)
        map = staticmethod(map)

    monkeypatch.setattr(holders, "ThreadPoolExecutor", Threads)
    World(monkeypatch, **{f"r{n}": Replica() for n in range(10 * MAX_THREADS)}).wait()
    assert made == [MAX_THREADS]


def test_each_replica_may_tell_the_same_part_of_what_one_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write under /zkdns/servers says how many there are, and what they tell."""
    for count in (1, 64):
        world = World(monkeypatch, **{f"r{n}": Replica() for n in range(count)})
        assert world.wait()[0].is_over
        assert world.most == {MAX_TOLD_BYTES // count}


def test_one_that_tells_of_clients_without_end_is_away_and_none_of_them_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names ever more services, each with as many clients as a reply has room for."""
    monkeypatch.setattr(holders, "MAX_TOLD_BYTES", 10 * ROW_BYTES)
    liar = Replica(*(row(f"c{n}", -1, service=f"s{n % 2}") for n in range(6)))
    liar.routes = [{"service": f"s{n}", "tiers": [{"web": 1}]} for n in range(2)]
    liar.ttls |= {"s0": TTL, "s1": TTL}
    world = World(monkeypatch, real=Replica(row("x", -1)), liar=liar)
    outcome, at = world.wait()
    assert outcome.unheard == {"liar": "liar: it tells of more than 5 clients"}
    assert (outcome.is_over, left(outcome), at) == (True, ["x"], 2 * TTL)


def test_one_whose_routes_lead_from_names_without_end_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    liar = Replica()
    liar.routes = [{"service": f"s{n}", "tiers": [{"web": 1}]} for n in range(MAX_NAMES)]
    outcome, _ = World(monkeypatch, real=Replica(), liar=liar).wait()
    assert outcome.unheard == {"liar": f"liar: routes of more than {MAX_NAMES} services lead to it there"}
