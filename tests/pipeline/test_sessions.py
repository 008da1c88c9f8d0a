"""Why a node that is gone went, as far as the others of its session tell."""

from __future__ import annotations

from dataclasses import replace

from zkdns.model import Instance, Registration, Service
from zkdns.pipeline.sessions import DELETED, ENDED, ENDING, Sessions
from zkdns.steps import finish

NOW = 1000.0
NODE = Instance("a", "a", "/s/web/a", Registration(("10.0.0.1",)), 0.0, zxid=5, ephemeral=True, owner=0x10)


def service(name: str, *owners: int) -> Service:
    """An instance of each of these sessions."""
    nodes = tuple(
        replace(NODE, id=f"i{n}", path=f"/s/{name}/i{n}", owner=owner) for n, owner in enumerate(owners)
    )
    return Service(name, name, f"/s/{name}", instances=nodes)


def of_web_and_db() -> Sessions:
    """One session has an instance of each."""
    sessions = Sessions()
    for name in ("web", "db"):
        finish(sessions.take(None, service(name, 0x10), NOW))
    return sessions


def test_nodes_of_one_session_that_went_in_one_moment_are_counted_over_all_services() -> None:
    sessions = of_web_and_db()
    finish(sessions.take(service("web", 0x10), None, NOW + 10.0))
    finish(sessions.take(service("db", 0x10), None, NOW + 10.4))
    assert sessions.why_gone(NODE) == f"{ENDED}: all 2 nodes of it went at once"


def test_what_went_long_before_did_not_go_at_once_with_it() -> None:
    sessions = of_web_and_db()
    finish(sessions.take(service("web", 0x10), None, NOW + 10.0))
    assert sessions.why_gone(NODE) == f"{DELETED}: 1 more of its session stands"
    finish(sessions.take(service("db", 0x10), None, NOW + 20.0))
    assert sessions.why_gone(NODE) == f"{ENDED}, or {DELETED}"


def test_a_clock_that_is_set_back_makes_no_one_moment_of_two() -> None:
    sessions = of_web_and_db()
    finish(sessions.take(service("web", 0x10), None, NOW + 10.0))
    sessions.shift(-500.0)
    finish(sessions.take(service("db", 0x10), None, NOW - 480.0))
    assert sessions.why_gone(NODE) == f"{ENDED}, or {DELETED}"


def test_a_node_that_was_made_anew_in_another_session_is_that_ones() -> None:
    sessions = Sessions()
    finish(sessions.take(None, service("web", 0x10, 0x10), NOW))
    finish(sessions.take(service("web", 0x10, 0x10), service("web", 0x10, 0x20), NOW + 10.0))
    assert sessions.why_gone(NODE) == f"{DELETED}: 1 more of its session stands"
    assert sessions.why_gone(replace(NODE, ephemeral=False)) == DELETED


def test_where_several_nodes_go_at_once_nobody_knows_yet_that_a_session_goes_on() -> None:
    """In a storm the nodes of one session are read in several batches."""
    for gone in (("web", 0x10, 0x20), ("web", 0x10, 0x10)):
        sessions = Sessions()
        finish(sessions.take(None, service(*gone), NOW))
        finish(sessions.take(None, service("db", 0x10, 0x20), NOW))
        finish(sessions.take(service(*gone), None, NOW + 10.0))
        assert sessions.why_gone(NODE) == f"{DELETED}, or {ENDING}: 1 more of it stands"
        finish(sessions.take(service("db", 0x10, 0x20), service("db", 0x30), NOW + 10.5))
        assert sessions.why_gone(NODE) == f"{ENDED}: all {gone.count(0x10) + 1} nodes of it went at once"


def test_what_others_lose_all_the_time_makes_no_one_moment_of_two() -> None:
    sessions = of_web_and_db()
    finish(sessions.take(service("web", 0x10), None, NOW + 10.0))
    for n in range(20):
        finish(sessions.take(service("cache", 0x100 + n), None, NOW + 10.5 + n / 2))
    finish(sessions.take(service("db", 0x10), None, NOW + 20.5))
    assert sessions.why_gone(NODE) == f"{ENDED}, or {DELETED}"


def test_while_more_went_than_is_read_nobody_knows_that_a_session_goes_on() -> None:
    """Of a session that ends the first batch may have one node alone."""
    awaits = True
    sessions = Sessions(lambda now: awaits)
    for name in ("web", "db", "cache"):
        finish(sessions.take(None, service(name, 0x10), NOW))
    finish(sessions.take(service("web", 0x10), None, NOW + 10.0))
    awaits = False
    assert sessions.why_gone(NODE) == f"{DELETED}, or {ENDING}: 2 more of it stand", "as it was then"
    finish(sessions.take(service("db", 0x10), None, NOW + 20.0))
    assert sessions.why_gone(NODE) == f"{DELETED}: 1 more of its session stands", "all was read"


def test_of_a_session_that_held_nothing_any_more_nothing_is_kept() -> None:
    sessions = of_web_and_db()
    for n, name in enumerate(("web", "db"), 1):
        finish(sessions.take(service(name, 0x10), None, NOW + 10.0 * n))
    finish(sessions.take(None, service("other", 0x20), NOW + 40.0))
    finish(sessions.take(service("other", 0x20), service("other"), NOW + 60.0))
    assert not sessions._nodes
    assert [*sessions._lost] == [0x20]
