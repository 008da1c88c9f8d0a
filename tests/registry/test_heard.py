"""What watch events said, kept by service until its turn: nothing is lost, and nobody fills it."""

from __future__ import annotations

import pytest

from zkdns.registry.zk import heard
from zkdns.registry.zk.heard import Heard, WatchEvent
from zkdns.registry.zk.portion import MAX_PATH_CHARACTERS
from zkdns.registry.zk.wire import CHANGED, CHILD, CREATED, DELETED

BASE = "/services/"


def below(kind: int, path: str) -> WatchEvent:
    return kind, f"{BASE}{path}"


def test_what_was_said_of_a_service_is_told_in_order_the_same_once_and_when_it_came_first() -> None:
    kept = Heard(BASE)
    first = below(DELETED, "web/a"), below(CREATED, "web/a"), below(CHANGED, "db/a")
    assert kept.put(first, False, 1.0).services == ["web", "db"]
    assert kept.put([below(CHANGED, "web/b"), below(DELETED, "web/a")], False, 2.0).services == []
    assert len(kept) == 2
    told = [(below(CREATED, "web/a"), 1.0), (below(CHANGED, "web/b"), 2.0), (below(DELETED, "web/a"), 1.0)]
    assert kept.take("web", 10) == told
    assert "web" not in kept
    assert "db" in kept


def test_a_part_is_told_at_a_time_and_until_the_last_of_it_more_went() -> None:
    kept = Heard(BASE)
    events = [below(CHANGED, "web/a"), below(DELETED, "web/b"), below(CHANGED, "web/c")]
    kept.put(events, False, 1.0)
    assert [event for event, _ in kept.take("web", 2)] == events[:2]
    assert kept.more_went
    assert [event for event, _ in kept.take("web", 2)] == events[2:]
    assert not kept.more_went


@pytest.mark.parametrize(
    ("kind", "path", "comes", "goes"),
    [
        (CREATED, "web", True, False),
        (99, "web", True, False),
        (DELETED, "web", False, True),
        (CHANGED, "web", False, False),
        (CHILD, "web", False, False),
        (CREATED, "web/a", False, False),
        (DELETED, "web/a", False, False),
    ],
)
def test_that_a_service_comes_or_goes_is_told_at_once(kind: int, path: str, comes: bool, goes: bool) -> None:
    news = Heard(BASE).put([below(kind, path)], False, 1.0)
    assert (news.comes, news.goes) == (comes, goes)


def test_of_watches_that_fire_once_a_list_tells_that_something_went() -> None:
    kept = Heard(BASE)
    kept.put([below(CHILD, "web")], False, 1.0)
    assert not kept.more_went
    kept.put([below(CHILD, "web")], True, 1.0)
    assert kept.more_went


def test_what_is_of_no_service_is_handed_back() -> None:
    long = below(CREATED, "x" * MAX_PATH_CHARACTERS)
    others = [(CHANGED, "/services"), (CREATED, "/services-of-others/web"), (CHANGED, BASE), long]
    kept = Heard(BASE)
    assert kept.put(others, False, 1.0).others == others
    assert not kept


def test_nobody_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard, "MAX_EVENTS", 3)
    kept = Heard(BASE)
    events = [below(CREATED, f"web/{n}") for n in range(5)]
    assert kept.put(events, False, 1.0).others == events[3:]
    assert [event for event, _ in kept.take("web", 10)] == events[:3]
