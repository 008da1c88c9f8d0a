"""Services take turns at the probes' places, whatever one of them has waiting."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from zkdns.health.shares import Shares
from zkdns.rounds import HEAP


def drain(shares: Shares[tuple[str, int]], now: float = 0.0) -> list[tuple[str, int]]:
    found = []
    while (probe := shares.next(now)) is not None:
        found.append(probe)
    return found


def test_two_services_take_turns() -> None:
    shares: Shares[tuple[str, int]] = Shares(100, 100, 1, 100)
    for n in range(5):
        shares.wait(("evil",), ("evil", n))
    shares.wait(("web",), ("web", 0))
    assert {*drain(shares)[:2]} == {("evil", 0), ("web", 0)}


def test_no_service_takes_more_than_its_share_of_the_places() -> None:
    shares: Shares[tuple[str, int]] = Shares(10, 3, 1, 100)
    for n in range(50):
        shares.wait(("evil",), ("evil", n))
    assert len(drain(shares)) == 3
    shares.wait(("web",), ("web", 0))
    assert drain(shares) == [("web", 0)]
    shares.done("evil", ("evil", 1))
    assert drain(shares) == [("evil", 3)]


def test_a_service_without_a_probe_under_way_has_one_given_up_for_it() -> None:
    shares: Shares[tuple[str, int]] = Shares(4, 3, 1, 100)
    for n in range(3):
        for service in ("a", "b"):
            shares.wait((service,), (service, n))
    begun = drain(shares)
    assert Counter(s for s, _ in begun) == {"a": 2, "b": 2}
    assert shares.to_give_up() is None, "who waits has some under way"
    shares.wait(("web",), ("web", 0))
    given_up = shares.to_give_up()
    assert given_up in (begun[0], next(probe for probe in begun if probe[0] != begun[0][0]))
    shares.done(given_up[0], given_up)
    found = drain(shares)
    assert found
    shares.done(*_one(found))


def _one(found: list[tuple[str, int]]) -> tuple[str, tuple[str, int]]:
    return found[0][0], found[0]


def test_the_oldest_is_the_one_that_began_first() -> None:
    shares: Shares[str] = Shares(2, 2, 100, 100)
    for service in ("a", "b"):
        shares.wait((service,), f"{service}1")
        assert shares.next(0.0) == f"{service}1"
    assert not shares.is_waiting
    shares.wait(("c",), "c1")
    assert shares.is_waiting
    assert shares.oldest() == "a1"
    shares.done("a", "a1")
    assert shares.oldest() == "b1"
    assert shares.next(0.0) == "c1"
    shares.wait(("d",), "d1")
    assert (shares.oldest(), shares.taken) == ("b1", 2)


def test_what_is_started_elsewhere_counts_against_the_rate() -> None:
    shares: Shares[str] = Shares(9, 9, 1.0, 2)
    shares.wait(("a",), "a1")
    shares.ready_at(0.0)
    shares.spend()
    shares.spend()
    assert shares.next(0.0) is None
    assert shares.next(1.0) == "a1"


def test_who_is_one_of_few_in_any_way_waits_for_few_and_what_was_registered_last_too() -> None:
    for whose, moment in [(("web", "me", "r"), 0), (("web", "evil", "mine"), 0), (("web", "evil", "r"), 9)]:
        shares: Shares[int] = Shares(1000, 1000, 1, 2000, ways=3)
        for n in range(1, 500):
            shares.wait((n, "evil", "r"), n, 1)
        shares.wait(whose, 0, moment)
        for n in range(500, 1000):
            shares.wait((n, "evil", "r"), n, 1)
        assert 0 in [shares.next(0.0) for _ in range(8)]


def test_what_leaves_waits_no_more_wherever_it_did_and_lets_another_in() -> None:
    shares: Shares[int] = Shares(10, 2, 1, 100)
    for n in range(5):
        shares.wait(("web",), n)
    shares.wait(("db",), 9)
    for service, n in (("web", 3), ("web", 0), ("web", 0), ("db", 9)):
        shares.leave(service, n)
    begun = [shares.next(0.0) for _ in range(3)]
    assert (sorted(filter(None, begun)), begun[2]) == ([1, 2], None), "4 waits for these"
    shares.leave("web", 1)
    assert shares.next(0.0) is None, "which has its place until it is done"
    shares.done("web", 1)
    assert shares.next(0.0) == 4
    shares.done("web", 2)
    shares.done("web", 4)
    waiting = shares._waiting
    assert not any((waiting._inside, waiting._beyond, waiting._waiting, shares._running, shares._started))


def test_one_that_waits_again_and_again_is_kept_once() -> None:
    shares: Shares[int] = Shares(10, 10, 1e9, 10**9, ways=3)
    for n in range(8):
        shares.wait((n, 0, ""), n, 1)
    for at in range(5000):
        begun = shares.next(float(at))
        assert begun is not None
        shares.done(begun, begun)
        shares.wait((begun, 0, ""), begun, 1)
    assert all(len(heap) <= 2 * 8 + HEAP for heap in shares._waiting._waiting._by_age)


def test_the_rate_bounds_how_many_start_in_a_second() -> None:
    shares: Shares[tuple[str, int]] = Shares(10_000, 10_000, 100, 50)
    for n in range(1000):
        shares.wait(("web",), ("web", n))
    assert len(drain(shares, 5.0)) == 50
    assert shares.ready_at(5.0) == 5.01
    assert len(drain(shares, 5.5)) == 50
    assert len(drain(shares, 5.75)) == 25


def test_a_long_quiet_time_saves_up_one_burst_and_no_more() -> None:
    shares: Shares[tuple[str, int]] = Shares(10_000, 10_000, 100, 50)
    shares.wait(("web",), ("web", -1))
    assert len(drain(shares, 5.0)) == 1
    for n in range(1000):
        shares.wait(("web",), ("web", n))
    assert len(drain(shares, 3600.0)) == 50


def test_nobody_gives_up_its_only_probe() -> None:
    shares: Shares[tuple[str, int]] = Shares(2, 2, 1, 100)
    for service in "abc":
        shares.wait((service,), (service, 0))
    assert len(drain(shares)) == 2
    assert shares.to_give_up() is None


lives = st.lists(st.tuples(st.sampled_from(["wait", "next", "done"]), st.sampled_from("abc")), max_size=200)


@given(lives)
def test_each_probe_that_waits_is_started_once_and_places_are_never_exceeded(
    life: list[tuple[str, str]],
) -> None:
    shares: Shares[tuple[str, int]] = Shares(5, 3, 1e9, 10**9)
    waited: Counter[str] = Counter()
    running: list[tuple[str, int]] = []
    started: list[tuple[str, int]] = []
    for n, (action, service) in enumerate(life):
        if action == "wait":
            shares.wait((service,), (service, n))
            waited[service] += 1
        elif action == "next" and (probe := shares.next(float(n))) is not None:
            running.append(probe)
            started.append(probe)
        elif action == "done" and (own := [p for p in running if p[0] == service]):
            running.remove(own[0])
            shares.done(service, own[0])
        assert len(running) <= 5
        assert all(count <= 3 for count in Counter(s for s, _ in running).values())
    for _ in range(len(life)):
        for probe in running:
            shares.done(probe[0], probe)
        running = drain(shares, 1e6)
        started += running
    assert len(started) == len(set(started)) == sum(waited.values()), "none is left out"
    assert Counter(s for s, _ in started) == +waited
