"""What a service may take of the journal, and what becomes of changes beyond that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zkdns.model import Change
from zkdns.pipeline.journal_shares import MANY, MAX_NAMED, SUMMED_EVERY, Shares, is_sum


def change(n: int, service: str = "web", what: str = "weight") -> Change:
    return Change(float(n), n, service, f"i{n}", what, str(n), str(n + 1), "why", "me")  # type: ignore[arg-type]


def test_a_service_has_so_much_at_once_and_so_much_a_second_afterwards() -> None:
    shares = Shares(burst=100, rate=2)
    assert shares.fits("web", 0.0)
    shares.take("web", 100, 0.0)
    assert not shares.fits("web", 0.0)
    assert shares.fits("db", 0.0), "another's is its own"
    assert shares.fits("web", 0.5)
    shares.take("web", 99, 0.5)
    assert not shares.fits("web", 49.0), "what was beyond it is a debt"
    assert shares.fits("web", 50.0)


def test_what_is_left_out_is_told_by_service_and_kind_now_and_then() -> None:
    shares = Shares(100, 2)
    for n in range(10):
        assert shares.leave_out(change(n)) is (n == 0), "how it stands is unknown from the first on"
    shares.leave_out(change(10, "db", "state"))
    web, db = shares.sums(1000.0)
    assert (web.service, web.id, web.what, web.now, web.zxid) == ("web", "", "weight", "10 changes", 9)
    assert web.why == "left out: it changes too often (i0, i1, i2 and others)"
    assert (db.service, db.what, db.why) == ("db", "state", "left out: it changes too often (i10)")
    shares.leave_out(change(10))
    shares.leave_out(replace(change(10), id=""))  # of the service alone
    assert [one.why for one in shares.sums(2000.0)] == ["left out: it changes too often (i10)"]
    assert is_sum(web)
    assert not is_sum(change(1))
    shares.leave_out(change(11))
    assert shares.sums(2000.0 + SUMMED_EVERY - 1) == []
    assert [one.now for one in shares.sums(2000.0 + SUMMED_EVERY)] == ["1 change"]
    assert shares.sums(5000.0) == []
    shares.leave_out(change(12))
    assert len(shares.sums(5000.0)) == 1
    shares.leave_out(change(13))
    assert shares.sums(5001.0) == []
    assert len(shares.sums(5001.0, is_end=True)) == 1
    assert shares.left_out == 16
    assert MAX_NAMED == 3


def test_who_took_little_for_long_has_no_more_at_once_than_others() -> None:
    shares = Shares(100, 2)
    shares.take("web", 1, 0.0)
    shares.take("web", 100, 10_000.0)
    assert not shares.fits("web", 10_000.0)


def test_little_that_is_taken_often_counts_while_few_services_do() -> None:
    shares = Shares(10_000, 1)
    for _ in range(200):
        assert shares.fits("web", 0.0)
        shares.take("web", 50, 0.0)
    assert not shares.fits("web", 0.0)


def test_of_thousands_that_took_next_to_nothing_none_is_kept_in_mind() -> None:
    shares = Shares(10_000, 1)
    shares.take("flap", 9_999, 0.0)
    for n in range(3 * MANY):
        shares.take(f"s{n}", 50, 0.0)
    assert len(shares._taken) <= MANY + 1
    shares.take("flap", 2, 0.0)
    assert not shares.fits("flap", 0.0)


def test_a_sum_is_of_a_service_whatever_an_operator_says_of_one_instance() -> None:
    shares = Shares(100, 2)
    shares.leave_out(change(1))
    (web,) = shares.sums(1000.0)
    assert is_sum(web)
    assert not is_sum(replace(web, id="a"))
    assert not is_sum(replace(web, why="why"))


def test_of_thousands_that_are_left_out_no_more_is_kept_than_is_told() -> None:
    shares = Shares(100, 2)
    for n in range(1000):
        shares.leave_out(change(n))
    assert len(shares._sums["web", "weight"].ids) == MAX_NAMED + 1


@pytest.mark.parametrize("by", [3600.0, -3600.0])
def test_where_the_clock_is_set_what_is_left_of_a_share_is_as_it_was(by: float) -> None:
    shares = Shares(burst=100, rate=2)
    shares.take("web", 120, 1000.0)
    shares.leave_out(change(1))
    assert len(shares.sums(1000.0)) == 1
    shares.leave_out(change(2))
    shares.shift(by)
    assert not shares.fits("web", 1010.0 + by)
    assert shares.fits("web", 1010.1 + by)
    assert shares.sums(1000.0 + by + SUMMED_EVERY - 1) == []
    assert len(shares.sums(1000.0 + by + SUMMED_EVERY)) == 1


def test_a_clock_that_goes_back_by_a_little_takes_nothing_of_a_share() -> None:
    shares = Shares(burst=100, rate=2)
    shares.take("web", 99, 1000.0)
    assert shares.fits("web", 999.0)
