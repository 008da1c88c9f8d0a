"""What a service may take of the journal, and what becomes of changes beyond that."""

from __future__ import annotations

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
    assert is_sum(web)
    assert not is_sum(change(1))
    shares.leave_out(change(11))
    assert shares.sums(1000.0 + SUMMED_EVERY - 1) == []
    assert [one.now for one in shares.sums(1000.0 + SUMMED_EVERY)] == ["1 changes"]
    assert shares.sums(5000.0) == []
    shares.leave_out(change(12))
    assert len(shares.sums(5000.0)) == 1
    shares.leave_out(change(13))
    assert shares.sums(5001.0) == []
    assert len(shares.sums(5001.0, is_end=True)) == 1
    assert shares.left_out == 14
    assert MAX_NAMED == 3


def test_of_thousands_that_took_next_to_nothing_none_is_kept_in_mind() -> None:
    shares = Shares(10_000, 1)
    shares.take("flap", 9_999, 0.0)
    for n in range(3 * MANY):
        shares.take(f"s{n}", 50, 0.0)
    assert len(shares._taken) <= MANY + 1
    shares.take("flap", 2, 0.0)
    assert not shares.fits("flap", 0.0)
