"""The loss guard, told as transcripts: at each time, who is registered; below it, who is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.retaining import retain
from support.values import a_service, an_instance
from zkdns.health.guard import NO_LOSSES, Losses
from zkdns.model import Service

HOLD = 60.0


def services_of(ids: str, hold: float = HOLD, status: str = "up") -> Service:
    return a_service(*(an_instance(id, status=status) for id in ids), hold=hold)


def kept(losses: Losses) -> str:
    return "".join(k.instance.id for k in losses.kept)


def play(script: list[tuple[float, str]], held: float = HOLD, released: str = "") -> list[str]:
    losses, before = NO_LOSSES, None
    told = []
    for at, ids in script:
        service = services_of(ids, held)
        losses = retain(losses, before, service, at, lambda i: i.id in released)
        before = service
        told.append(kept(losses))
    return told


@pytest.mark.parametrize(
    ("what", "script", "told"),
    [
        ("half of a service is no more than half", [(0, "abcd"), (1, "ab")], ["", ""]),
        ("three of four are kept", [(0, "abcd"), (1, "a")], ["", "bcd"]),
        ("all of them are kept", [(0, "ab"), (1, "")], ["", "ab"]),
        ("losses one after another within 5 s are one", [(0, "abcd"), (1, "bcd"), (3, "cd"), (5.9, "d")],
         ["", "", "", "abc"]),
        ("losses further apart are many", [(0, "abcd"), (1, "bcd"), (7, "cd"), (13, "d")], ["", "", "", ""]),
        ("they are let go after hold seconds", [(0, "ab"), (1, ""), (60.9, ""), (61, "")],
         ["", "ab", "ab", ""]),
        ("each counts from its own going", [(0, "abc"), (1, "bc"), (4, ""), (61, ""), (64, "")],
         ["", "", "abc", "bc", ""]),
        ("who comes back is let go, the others stay", [(0, "abc"), (1, ""), (9, "b")], ["", "abc", "ac"]),
        ("a second loss is kept beside the first", [(0, "abcdef"), (1, "ab"), (20, ""), (61, ""), (80, "")],
         ["", "cdef", "abcdef", "ab", ""]),
        ("as many new ones in the same moment are no loss", [(0, "abc"), (1, "xyz")], ["", ""]),
        ("what was let go is not caught again by the next loss", [(0, "ab"), (1, ""), (61, "x"), (62, "")],
         ["", "ab", "", "x"]),
    ],
)  # fmt: skip
def test_what_vanishes_is_kept_or_let_go(what: str, script: list[tuple[float, str]], told: list[str]) -> None:
    assert play(script) == told, what


def test_without_hold_nothing_is_kept() -> None:
    assert play([(0, "abcd"), (1, "")], held=0) == ["", ""]


def test_hold_taken_back_lets_all_go() -> None:
    losses = retain(NO_LOSSES, services_of("abcd"), services_of(""), 1)
    assert kept(losses) == "abcd"
    assert retain(losses, services_of(""), services_of("", hold=0), 2) is NO_LOSSES


def test_a_drained_or_failing_suspect_is_let_go_and_stays_gone() -> None:
    losses = retain(NO_LOSSES, services_of("abcd"), services_of(""), 1)
    losses = retain(losses, services_of(""), services_of(""), 2, lambda i: i.id == "b")
    assert kept(losses) == "acd"
    assert kept(retain(losses, services_of(""), services_of(""), 3)) == "acd"


def test_instances_that_said_they_were_going_are_not_kept() -> None:
    assert kept(retain(NO_LOSSES, services_of("abcd", status="draining"), services_of(""), 1)) == ""


def test_a_service_that_is_gone_as_a_whole_is_kept_by_its_last_settings() -> None:
    assert kept(retain(NO_LOSSES, services_of("abc"), None, 1)) == "abc"


def test_without_a_change_the_losses_are_the_same_object() -> None:
    losses = retain(NO_LOSSES, services_of("abcd"), services_of(""), 1)
    assert retain(losses, services_of(""), services_of(""), 2) is losses


@given(st.lists(st.tuples(st.floats(0, 20), st.sets(st.sampled_from("abcdef"))), max_size=12))
def test_nobody_is_kept_who_is_here_or_longer_than_hold(steps: list[tuple[float, set[str]]]) -> None:
    losses, before, now = NO_LOSSES, None, 0.0
    last_seen: dict[str, float] = {}
    for wait, ids in steps:
        now += wait
        service = services_of("".join(sorted(ids)))
        if before is not None:
            last_seen |= {i.id: now for i in before.instances}
        losses = retain(losses, before, service, now)
        before = service
        assert not set(kept(losses)) & ids
        for k in losses.kept:
            assert now < k.until <= last_seen[k.instance.id] + HOLD
