"""Failures are kept for 1 to 5 s (RFC 9520), and not past what they were found by."""

from __future__ import annotations

from zkdns.forward import failures
from zkdns.forward.failures import AGAIN_SECONDS, Failures

ONE, TWO = frozenset({1}), frozenset({1, 2})


def test_a_failure_is_kept_for_a_second_then_for_two_then_for_five_at_most() -> None:
    kept: Failures[str] = Failures()
    now, spans = 0.0, []
    for _ in range(5):
        kept.note(b"a", "why", now, ONE)
        span = next(s / 2 for s in range(1, 20) if kept.find(b"a", now + s / 2, ONE) is None)
        spans.append(span)
        now += span
    assert spans == [1, 2, 4, 5, 5]
    now += AGAIN_SECONDS
    kept.note(b"a", "why", now, ONE)
    assert kept.find(b"a", now + 0.9, ONE) == "why"
    assert kept.find(b"a", now + 1.1, ONE) is None


def test_an_upstream_that_came_back_is_asked_and_one_that_went_is_not_missed() -> None:
    kept: Failures[str] = Failures()
    kept.note(b"a", "why", 0.0, ONE)
    assert kept.find(b"a", 0.5, TWO) is None
    assert kept.find(b"a", 0.5, frozenset()) == "why"
    assert kept.find(b"b", 0.5, ONE) is None
    kept.forget(b"a")
    assert kept.find(b"a", 0.5, ONE) is None


def test_a_flood_of_failures_takes_bounded_memory(monkeypatch: object) -> None:
    kept: Failures[int] = Failures()
    for n in range(failures.MAX_KEPT + 500):
        kept.note(b"%d" % n, n, 0.0, ONE)
    assert len(kept) == failures.MAX_KEPT
    assert kept.find(b"0", 0.0, ONE) is None
