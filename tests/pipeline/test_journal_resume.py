"""What a start tells where a journal is there already: what changed while the server was away, no more."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from support import tables
from support.values import a_service, an_instance
from zkdns.model import Change, Override, State
from zkdns.pipeline import changes
from zkdns.pipeline.journal import World
from zkdns.pipeline.journal_merge import merge
from zkdns.pipeline.journal_resume import MEANWHILE, resume

AT = 1000.0


def test_what_stood_before_and_stands_again_is_no_change() -> None:
    web = a_service(an_instance("a"), an_instance("b"))
    start = changes.between(None, web, changes.Moment(AT, 9))
    assert resume({"web": web}, {"web": web}, start, AT) == []


def test_without_a_journal_before_all_that_is_there_is_told_as_the_start_tells_it() -> None:
    web = a_service(an_instance("a"))
    start = changes.between(None, web, changes.Moment(AT, 9))
    assert resume({}, {"web": web}, start, AT) == start


def test_what_went_came_and_moved_meanwhile_is_told_once() -> None:
    before = {
        "web": a_service(an_instance("a"), an_instance("b")),
        "old": a_service(an_instance("z"), name="old"),
    }
    after = {"web": a_service(an_instance("a", weight=5, zxid=12), an_instance("c", zxid=11), ttl=9)}
    start = changes.between(None, after["web"], changes.Moment(AT, 12))
    said = [(c.service, c.id, c.what, c.was, c.now, c.zxid) for c in resume(before, after, start, AT)]
    assert said == [
        ("web", "a", "weight", "1", "5", 12),
        ("web", "b", "gone", "healthy", "", 12),
        ("web", "c", "registered", "", "healthy", 11),
        ("web", "", "settings", "ttl unset", "ttl 9", 12),
        ("old", "", "gone", "registered", "", 12),
        ("old", "z", "gone", "healthy", "", 12),
    ]
    gone = [c for c in resume(before, after, start, AT) if c.what == "gone"]
    assert {c.why for c in gone} == {MEANWHILE}


def test_what_is_no_services_own_is_told_as_the_start_tells_it() -> None:
    away = Change(AT, 9, "", "dc2", "registry", "within reach", "out of reach")
    web = a_service(an_instance("a"))
    assert resume({"web": web}, {"web": web}, [away], AT) == [away]


def test_from_what_the_journal_knew_and_not_from_what_the_start_began_with() -> None:
    """It probed one that was failing at the last end: that is where it comes from."""
    now = an_instance("a")
    failing = replace(now, state=State.FAILING, answered=False, reason="refused")
    starting = replace(now, state=State.STARTING, answered=False, reason="no probe yet")
    start = changes.between(a_service(starting), a_service(now), changes.Moment(AT, 9))
    assert [(c.what, c.was, c.now) for c in start] == [("state", "starting", "healthy")]
    (change,) = resume({"web": a_service(failing)}, {"web": a_service(now)}, start, AT)
    assert (change.what, change.was, change.now) == ("state", "failing", "healthy")
    assert change.why == "its check is good again"


def test_what_operators_ordered_meanwhile_is_told_as_their_order() -> None:
    """A drain says so itself; another weight, and that an order is over, only the orders tell."""
    orders = {"a": Override(weight=7, who="ann", at=900.0), "b": Override(drain=True, who="ann", until=950.0)}
    plain, drained = an_instance("a"), an_instance("b")
    before = a_service(plain, replace(drained, state=State.DRAINED, answered=False, reason="drained by ann"))
    weighed = replace(plain, weight=7, reason="weight 7, set by ann")
    known = changes.Causes(override=lambda service, id: orders.get(id)), 30
    after = a_service(weighed, drained)
    start = changes.between(None, after, changes.Moment(AT, 12))
    said = resume({"web": before}, {"web": after}, start, AT, known=known)
    assert [(c.id, c.what, c.why.split(" at ")[0], c.by, c.zxid) for c in said] == [
        ("a", "weight", "weight 7, set by ann", "ann", 30),
        ("b", "state", changes.ENDED, "", 30),
    ]
    seen = changes.between(before, after, changes.Moment(AT - 60, 29), known[0])
    for accounts in ((seen, said), (said, seen)):
        assert merge(accounts) == seen, "another replica saw it as it was"


@given(st.data())
def test_brought_forward_by_it_the_world_is_what_stands(data: st.DataObject) -> None:
    before, after = (
        {name: data.draw(tables.services(name)) for name in data.draw(st.sets(st.sampled_from("vw")))}
        for _ in range(2)
    )
    start = [c for service in after.values() for c in changes.between(None, service, changes.Moment(AT, 9))]
    world = World(before)
    for name, one in after.items():
        world.put(name, replace(one, instances=()))
    for change in resume(before, after, start, AT):
        world.change(change)
    for name in before.keys() - after.keys():
        world.put(name, None)
    stands = {
        name: tuple(i for i in sorted(one.instances, key=lambda i: i.id)) for name, one in after.items()
    }
    assert {n: [i.id for i in s.instances] for n, s in world.services().items()} == {
        n: [i.id for i in own] for n, own in stands.items()
    }


def test_of_two_replicas_the_one_that_was_away_adds_nothing_to_what_the_other_saw() -> None:
    whole, left = a_service(an_instance("a"), an_instance("b")), a_service(an_instance("a"))
    seen = changes.between(whole, left, changes.Moment(AT, 12))
    late = resume(
        {"web": whole}, {"web": left}, changes.between(None, left, changes.Moment(AT + 600, 12)), AT + 600
    )
    assert [c.why for c in late] == [MEANWHILE]
    for accounts in ((seen, late), (late, seen)):
        assert merge(accounts) == seen
