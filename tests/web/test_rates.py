"""How much is asked, a second: the difference of two counts, and nothing where one of them is unknown."""

from __future__ import annotations

from zkdns.serve.clients import NO_DEMAND, Asker, Demand
from zkdns.web.rates import SAMPLES, TOP, ClientRate, Rates


def demand(services: dict[str, int], *clients: Asker) -> Demand:
    return Demand(services, clients)


def test_a_rate_is_the_difference_of_two_counts() -> None:
    rates = Rates()
    rates.take(100, demand({"web": 60, "db": 5}, Asker("10.0.0.1", 60, 1.0)), 1000.0)
    assert rates.load.total == ()
    rates.take(300, demand({"web": 160, "db": 5, "new": 20}, Asker("10.0.0.1", 160, 1.0)), 1010.0)
    assert rates.load.total == (20.0,)
    assert rates.load.services == {"web": 10.0, "new": 2.0}
    assert rates.load.clients == [ClientRate("10.0.0.1", 10.0, 160)]
    assert rates.since == 1010.0


def test_who_came_since_the_last_sample_began_at_nothing_and_who_is_unknown_has_no_rate() -> None:
    rates = Rates()
    rates.take(0, demand({}), 1000.0)
    came, unknown = Asker("10.0.0.2", 50, 1003.0), Asker("10.0.0.3", 90, 7.0)
    rates.take(0, demand({}, came, unknown), 1010.0)
    assert rates.load.clients == [ClientRate("10.0.0.2", 5.0, 50)]


def test_who_rested_for_a_while_is_known_still() -> None:
    rates = Rates()
    for at, clients in ((1000.0, (Asker("10.0.0.1", 60, 1.0),)), (1010.0, ()), (1020.0, ())):
        rates.take(0, demand({}, *clients), at)
    rates.take(0, demand({}, Asker("10.0.0.1", 90, 1.0)), 1030.0)
    assert rates.load.clients == [ClientRate("10.0.0.1", 3.0, 90)]


def test_who_asked_nothing_lately_is_none_of_those_that_ask() -> None:
    rates = Rates()
    for at, queries in ((1000.0, 60), (1010.0, 60)):
        rates.take(0, demand({"web": 60}, Asker("10.0.0.1", queries, 1.0)), at)
    assert (rates.load.services, rates.load.clients) == ({}, [])


def test_those_that_ask_most_now_are_first_and_few() -> None:
    rates = Rates()
    rates.take(0, demand({}, *(Asker(f"10.0.1.{n}", 1000 - n, 1.0) for n in range(30))), 1000.0)
    rates.take(0, demand({}, *(Asker(f"10.0.1.{n}", 1000, 1.0) for n in range(30))), 1010.0)
    assert [one.client for one in rates.load.clients] == [f"10.0.1.{n}" for n in range(29, 29 - TOP, -1)]


def test_an_hour_is_kept_and_nothing_where_nobody_notes_who_asks() -> None:
    rates = Rates()
    for n in range(SAMPLES + 9):
        rates.take(n * 10, NO_DEMAND, n * 10.0)
    assert len(rates.load.total) == SAMPLES
    assert not rates.load.is_kept


def test_a_clock_that_stands_or_goes_back_makes_no_rate() -> None:
    rates = Rates()
    for at in (1000.0, 1000.0, 990.0):
        rates.take(5, demand({"web": 5}), at)
    assert rates.load.total == ()


def test_a_count_that_fell_makes_no_rate_below_nought() -> None:
    """Threads of an engine come and go, and with them what they counted."""
    rates = Rates()
    rates.take(500, demand({"web": 500}), 1000.0)
    rates.take(400, demand({"web": 400}), 1010.0)
    assert rates.load.total == (0.0,)
    assert rates.load.services == {}
