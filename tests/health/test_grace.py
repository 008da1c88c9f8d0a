"""Grace: what an outage of the registry took along is kept for a while, where too little is left."""

from __future__ import annotations

import pytest

from support.retaining import retain
from support.values import a_service, an_instance
from zkdns.health.guard import BY_GRACE, NO_LOSSES, Grace, Losses
from zkdns.model import Instance, State

GRACE = Grace((("", 100.0),), 15.0)


def kept(losses: Losses) -> str:
    return "".join(k.instance.id for k in losses.kept)


a, b, c = map(an_instance, "abc")


def test_what_vanishes_while_grace_lasts_is_kept_for_its_seconds() -> None:
    losses = retain(NO_LOSSES, a_service(a, b), a_service(a), 100.0, grace=GRACE)
    assert [(k.instance, k.until, k.why) for k in losses.kept] == [(b, 115.0, BY_GRACE)]
    losses = retain(losses, a_service(a), a_service(a), 114.9)
    assert kept(losses) == "b"
    assert retain(losses, a_service(a), a_service(a), 115.0) is NO_LOSSES


@pytest.mark.parametrize(
    "gone",
    [
        an_instance("b", ephemeral=False),
        an_instance("b", registry="elsewhere"),
        an_instance("b", status="draining"),
        an_instance("b", state=State.UNREADABLE),
    ],
    ids=["persistent", "of a registry that was there", "said that it goes", "never answered"],
)
def test_what_no_outage_takes_along_is_not_kept(gone: Instance) -> None:
    assert retain(NO_LOSSES, a_service(a, gone), a_service(a), 100.0, grace=GRACE) is NO_LOSSES


def test_when_grace_is_over_nothing_is_kept_any_more() -> None:
    assert retain(NO_LOSSES, a_service(a, b), a_service(a), 100.1, grace=GRACE) is NO_LOSSES
    off = Grace((("", 100.0),), 0.0)
    assert retain(NO_LOSSES, a_service(a, b), a_service(a), 99.0, grace=off) is NO_LOSSES


@pytest.mark.parametrize(
    ("others", "suspects"),
    [
        ((an_instance("a", weight=3),), ""),
        ((an_instance("a", weight=2),), "b"),
        ((an_instance("a", weight=1),), "b"),
    ],
    ids=["more than half of the weight", "half", "less"],
)
def test_who_is_left_with_enough_goes_on_without(others: tuple[Instance, ...], suspects: str) -> None:
    gone = an_instance("b", weight=2)
    losses = retain(NO_LOSSES, a_service(*others, gone), a_service(*others), 50.0, grace=GRACE)
    assert kept(losses) == suspects


def test_without_any_weight_each_counts_the_same() -> None:
    x, y, z = (an_instance(id, weight=0) for id in "xyz")
    assert retain(NO_LOSSES, a_service(x, y, z), a_service(x, y), 50.0, grace=GRACE) is NO_LOSSES
    assert kept(retain(NO_LOSSES, a_service(x, y, z), a_service(x), 50.0, grace=GRACE)) == "yz"


def test_others_that_fail_are_no_weight_that_is_left() -> None:
    heavy = an_instance("a", weight=9)
    losses = retain(NO_LOSSES, a_service(heavy, b), a_service(heavy), 50.0, lambda i: i.id == "a", GRACE)
    assert kept(losses) == "b"


def test_a_suspect_is_let_go_once_it_or_its_place_is_registered_again() -> None:
    losses = retain(NO_LOSSES, a_service(a, b, c), a_service(), 50.0, grace=GRACE)
    assert kept(losses) == "abc"
    losses = retain(losses, a_service(), a_service(a), 51.0, grace=GRACE)
    assert kept(losses) == "bc"
    moved = Instance("new", "new", "/s/web/new", b.registration, 51.0)
    losses = retain(losses, a_service(a), a_service(a, moved), 52.0, grace=GRACE)
    assert losses is NO_LOSSES, "c alone is less than what is left"


def test_a_suspect_that_is_drained_or_fails_is_let_go() -> None:
    losses = retain(NO_LOSSES, a_service(a, b), a_service(), 50.0, grace=GRACE)
    assert kept(retain(losses, a_service(), a_service(), 51.0, lambda i: i.id == "a")) == "b"


def test_hold_and_grace_together_keep_an_instance_once() -> None:
    losses = retain(NO_LOSSES, a_service(a, b, hold=60), a_service(hold=60), 50.0, grace=GRACE)
    assert kept(losses) == "ab"
    assert {k.until for k in losses.kept} == {110.0}, "the longer one: it is the service's own"
