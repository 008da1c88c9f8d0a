"""Why something is another now, and by whom, as far as that can be known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from support.steps import steps
from zkdns.model import (
    NONE_HEALTHY,
    Change,
    Instance,
    Override,
    Registration,
    Service,
    ServiceSettings,
    State,
)
from zkdns.pipeline.changes import UNKNOWN, Causes, Moment, between
from zkdns.pipeline.journal import Record, World
from zkdns.pipeline.sessions import Sessions
from zkdns.routes import StandsFor, parse_route
from zkdns.steps import finish

OFFICES = ("leader", "primary")


def instance(id: str, owner: int = 0, zxid: int = 9, **about: object) -> Instance:
    registration = Registration(("10.0.0.1",), port=80, **about)  # type: ignore[arg-type]
    return Instance(id, id, f"/s/web/{id}", registration, 1.0, bool(owner), owner=owner, zxid=zxid)


def service(*instances: Instance, name: str = "web", **about: object) -> Service:
    return Service(name, name, f"/s/{name}", instances=instances, **about)  # type: ignore[arg-type]


def why_gone(sessions: Sessions, *gone: Instance) -> list[str]:
    return [sessions.why_gone(one) for one in gone]


def test_nodes_of_one_session_that_go_together_went_with_it() -> None:
    sessions = Sessions()
    a, b, c = instance("a", 7), instance("b", 7), instance("c", 8)
    finish(sessions.take(None, service(a, b, c), 1.0))
    finish(sessions.take(service(a, b, c), service(c), 2.0))
    assert why_gone(sessions, a, b) == ["its session ended: all 2 nodes of it went at once"] * 2


def test_a_node_whose_session_has_others_was_deleted() -> None:
    sessions = Sessions()
    a, other = instance("a", 7), replace(instance("b", 7), path="/s/db/b")
    finish(sessions.take(None, service(a), 1.0))
    finish(sessions.take(None, service(other, name="db"), 1.0))
    finish(sessions.take(service(a), service(), 2.0))
    assert why_gone(sessions, a) == ["its node was deleted: 1 more of its session stands"]
    finish(sessions.take(service(other, name="db"), None, 9.0))
    assert why_gone(sessions, other) == ["its session ended, or its node was deleted"], (
        "much later, and alone"
    )


def test_what_one_registry_alone_holds_of_a_service_counts_its_nodes_no_second_time() -> None:
    sessions = Sessions()
    a, b = instance("a", 7), instance("b", 7)
    finish(sessions.take(None, service(a, b), 1.0))
    finish(sessions.take(None, service(a, b, name="web@dc2", view_of="web"), 1.0))
    finish(sessions.take(service(a, b), service(b), 2.0))
    assert why_gone(sessions, a) == ["its node was deleted: 1 more of its session stands"]
    finish(sessions.take(service(b), None, 9.0))
    assert why_gone(sessions, b) == ["its session ended, or its node was deleted"]


def test_what_can_not_be_told_names_both() -> None:
    sessions = Sessions()
    a = instance("a", 7)
    finish(sessions.take(None, service(a), 1.0))
    finish(sessions.take(service(a), service(), 2.0))
    assert why_gone(sessions, a) == ["its session ended, or its node was deleted"]


def test_a_node_that_is_no_ephemeral_was_deleted_and_a_file_s_was_removed_from_it() -> None:
    in_file = replace(instance("a", zxid=0), path="/etc/services.toml: web/a", ephemeral=False)
    assert why_gone(Sessions(), instance("a"), in_file) == [
        "its node was deleted",
        "removed from /etc/services.toml",
    ]


def test_a_registration_that_a_new_session_made_is_of_that_one() -> None:
    sessions = Sessions()
    old, new = instance("a", 7), instance("a", 8)
    finish(sessions.take(None, service(old), 1.0))
    finish(sessions.take(service(old), service(new), 2.0))
    finish(sessions.take(service(new), service(), 9.0))
    assert why_gone(sessions, new) == ["its session ended, or its node was deleted"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["web", "db"]), st.sets(st.tuples(st.sampled_from("abc"), st.integers(1, 3)))
        ),
        max_size=12,
    )
)
def test_sessions_are_counted_as_they_stand(history: list[tuple[str, set[tuple[str, int]]]]) -> None:
    sessions = Sessions()
    standing: dict[str, Service] = {}
    for at, (name, nodes) in enumerate(history):
        by_id = dict(sorted(nodes))
        made = [replace(instance(id, owner), path=f"/s/{name}/{id}") for id, owner in by_id.items()]
        after = service(*made, name=name)
        finish(sessions.take(standing.get(name), after, 10.0 * at))
        standing[name] = after
    for owner in (1, 2, 3):
        left = sum(i.owner == owner for one in standing.values() for i in one.instances)
        said = sessions.why_gone(instance("x", owner))
        assert (f": {left} more of it" in said) == bool(left)


def told(before: Service | None, after: Service | None, causes: Causes | None = None) -> list[Change]:
    return between(before, after, Moment(50.0, 99), causes or Causes())


def test_the_transaction_is_that_of_the_node_where_it_says_so() -> None:
    heavy = instance("a", zxid=12, weight=3)
    heavy = replace(heavy, weight=3)
    (change,) = told(service(instance("a")), service(heavy))
    assert (change.what, change.zxid, change.why) == ("weight", 12, "registered so")
    came = [change for change in told(service(), service(heavy)) if change.id]
    assert [(change.what, change.zxid, change.why) for change in came] == [
        ("registered", 12, "registered so")
    ]
    both = told(None, service(instance("a", zxid=12), instance("b", zxid=11)))
    assert [(c.id, c.zxid) for c in both] == [("", 11), ("a", 12), ("b", 11)], "the service, with its first"
    (empty,) = told(None, replace(service(), zxid=8))
    assert (empty.id, empty.zxid) == ("", 8), "of one without instances its own node tells"
    came = [change for change in told(service(), service(instance("b", zxid=0))) if change.id]
    assert [change.zxid for change in came] == [99], "a file has no transactions"
    failing = replace(instance("a"), state=State.FAILING, answered=False, reason="refused")
    (change,) = told(service(instance("a")), service(failing))
    assert (change.zxid, change.why) == (99, "check: refused"), "no node says when a check failed"
    (change,) = told(service(instance("a", tags=("replica",))), service(instance("a")))
    assert (change.what, change.zxid) == ("registered", 99), "another node of its preset said so"


def test_an_operator_is_named_and_so_is_the_end_of_what_was_ordered() -> None:
    order = Override(drain=True, until=60.0, who="ann", why="disk")
    drained = replace(instance("a"), state=State.DRAINED, answered=False, reason="drained by ann: disk")
    causes = Causes(override=lambda service, id: order)
    (change,) = told(service(instance("a")), service(drained), causes)
    assert (change.by, change.why) == ("ann", "drained by ann: disk")
    (change,) = between(service(drained), service(instance("a")), Moment(61.0, 99), causes)
    assert (change.by, change.why) == ("", "the override's time is over")
    (change,) = told(service(drained), service(instance("a")))
    assert change.why == "the override was taken back"


def test_of_two_orders_on_one_instance_each_change_names_its_own() -> None:
    drain = Override(drain=True, who="ann", why="disk", until=60.0)
    both = Override(weight=0, who="bob", at=0, under=drain)
    laid = Causes(override=lambda service, id: both)
    one = instance("a")
    drained = replace(one, state=State.DRAINED, answered=False, reason="drained by ann: disk")
    light = replace(drained, weight=0)
    weighed = replace(one, weight=0, reason="weight 0, set by bob")
    (change,) = told(service(drained), service(light), laid)
    assert (change.what, change.why, change.by) == ("weight", "weight 0, set by bob", "bob")
    alone = Causes(override=lambda service, id: replace(both, under=None))
    (change,) = told(service(light), service(weighed), alone)
    assert (change.now, change.why, change.by) == ("healthy", "the override was taken back", "")
    (change,) = between(service(light), service(weighed), Moment(61.0, 99), laid)
    assert (change.now, change.why, change.by) == ("healthy", "the override's time is over", "")
    failing = replace(weighed, state=State.FAILING, answered=False, reason="check: refused")
    (change,) = told(service(failing), service(weighed), laid)
    assert (change.now, change.why, change.by) == ("healthy", "its check is good again", "")
    (change,) = told(service(replace(failing, weight=1)), service(failing), laid)
    assert (change.what, change.why, change.by) == ("weight", "weight 0, set by bob", "bob")
    (change,) = told(service(weighed), service(one))
    assert (change.what, change.why) == ("weight", "the override was taken back")


def test_an_election_is_told_of_both_and_not_as_what_they_registered() -> None:
    def group(leader: str) -> Service:
        held = [instance(id, tags=OFFICES if id == leader else ()) for id in "abc"]
        return service(*held, offices=OFFICES)

    moved = [(c.id, c.what, c.was, c.now, c.why) for c in told(group("a"), group("b"))]
    assert moved == [
        ("a", "leader", "a", "b", "elected: leader, primary"),
        ("b", "leader", "a", "b", "elected: leader, primary"),
    ]
    (nobody,) = told(group("a"), group(""))
    assert (nobody.id, nobody.was, nobody.now) == ("a", "a", "")


def test_what_is_another_beside_the_address_is_named() -> None:
    (change,) = told(service(instance("a", tags=("old",))), service(instance("a", meta=(("version", "2"),))))
    assert (change.what, change.was, change.now) == (
        "registered",
        "tags old, meta none",
        "tags none, meta version=2",
    )


def test_only_what_comes_is_registered_from_nothing() -> None:
    """Data that can't be read have no address, and are no new registration once they can."""
    unreadable = replace(instance("a"), registration=Registration((), weight=0, format="unreadable"))
    for before, after in ((unreadable, instance("a")), (instance("a"), unreadable)):
        moved = told(service(before), service(after))
        assert all(c.was and c.now for c in moved), moved
    assert "no address" in {c.was for c in told(service(unreadable), service(instance("a")))}


INSTANCES = st.builds(
    lambda id, state, weight, tags, zxid, named: replace(
        instance(id, zxid=zxid, tags=tuple(sorted(tags)), weight=weight), state=state, weight=weight,
        label=f"{id}{named}", known_as=f"{id}{named}" if named else "",
    ),
    st.sampled_from("abc"), st.sampled_from(State), st.integers(1, 3),
    st.sets(st.sampled_from([*OFFICES, "canary"])), st.integers(1, 3), st.sampled_from(["", "-dc2"]),
)  # fmt: skip


def elected(instances: Iterable[Instance]) -> list[Instance]:
    """Of each office, only the first who bears it does: one instance at most (`Service.offices`)."""
    taken: set[str] = set()
    found = []
    for i in instances:
        tags = tuple(t for t in i.registration.tags if t not in taken)
        taken.update(t for t in tags if t in OFFICES)
        found.append(replace(i, registration=replace(i.registration, tags=tags)))
    return found


@given(st.lists(st.lists(INSTANCES, max_size=3, unique_by=lambda i: i.id), max_size=6))
def test_what_is_told_leads_from_each_state_to_the_next(states: list[list[Instance]]) -> None:
    world = World()
    before: Service | None = None
    for instances in states:
        after = service(*elected(sorted(instances, key=lambda i: i.id)), offices=OFFICES)
        world.apply(Record(tuple(told(before, after)), {"web": replace(after, instances=())}))
        assert world.services() == {"web": after}
        before = after


def test_another_name_is_told() -> None:
    a = instance("a")
    (change,) = told(service(a), service(replace(a, label="a-dc2", known_as="a-dc2")))
    assert (change.what, change.was, change.now) == ("registered", "named a", "named a-dc2")


def test_settings_are_told_as_they_are_written_and_whatever_is_said_now_or_no_more() -> None:
    plain = ServiceSettings()
    opened = replace(plain, fail_open=NONE_HEALTHY, given=("fail_open",))
    shut = replace(plain, fail_open=0.0, given=("fail_open",))
    for was, now, told_so in (
        (plain, opened, ("fail_open false", "fail_open true")),
        (opened, shut, ("fail_open true", "fail_open false")),
        (plain, shut, ("fail_open unset", "fail_open false")),
        (replace(plain, fail_open=0.5), plain, ("fail_open 0.5", "fail_open false")),
    ):
        (change,) = told(service(settings=was), service(settings=now))
        assert (change.was, change.now) == told_so
        assert change.why == ("set so in its node" if now.given else "set so in the settings")
    set_near = replace(opened, near="prefer")
    (change,) = told(service(settings=opened), service(settings=set_near))
    assert (change.was, change.now, change.why) == ("near off", "near prefer", "set so in the settings")
    (change,) = told(service(settings=opened), service(settings=replace(shut, near="prefer")))
    assert change.why == "set so in its node", "of both it is the node that is told"


def test_why_a_route_counts_is_told_by_who_wrote_the_one_that_does() -> None:
    behind = StandsFor(parse_route({"to": [{"web": 1}, {"web@dc2": 1}]}), "failover")
    own = StandsFor(parse_route({"to": {"api": 1}}), "node")
    for was, now, why in (
        (behind, own, "set so in its node"),
        (own, behind, "--failover"),
        (behind, None, "--failover"),
        (None, own, "set so in its node"),
    ):
        (change,) = told(service(stands_for=was), service(stands_for=now))
        assert (change.what, change.why) == ("route", why)


def test_where_as_many_come_as_go_those_that_stay_are_told_of_no_change() -> None:
    """They stand elsewhere among the others, and are the same."""
    a, b, c, d = (instance(id) for id in "abcd")
    told = between(service(a, b, c), service(b, c, d), Moment(1.0, 5))
    assert [(change.id, change.what) for change in told] == [("a", "gone"), ("d", "registered")]


def test_of_thousands_those_alone_are_told_of_that_are_not_the_same() -> None:
    def cost(number: int) -> int:
        held = [instance(f"i{n:04}") for n in range(number)]
        before, after = service(*held), service(*held[:-1], replace(held[-1], weight=7))
        return steps(lambda: list(between(before, after, Moment(1.0, 5))))

    assert cost(4000) - cost(2000) <= 2100, "one look at each of the others"


def test_what_is_laid_over_a_service_is_told_with_the_transaction_that_laid_or_ended_it() -> None:
    """The same on every replica, whatever it has read beside."""
    route = parse_route({"to": {"api": 1}}, 1.0, 7)
    laid, over = StandsFor(route, "override"), StandsFor(route, "override", until=1.0)
    ended = Causes(lifted_by=lambda name: 8)
    for was, now, causes, zxid in (
        (None, laid, UNKNOWN, 7),
        (laid, None, ended, 8),
        (laid, None, UNKNOWN, 99),
        (over, None, ended, 0),
    ):
        moment = Moment(1.0, 99)
        (change,) = between(service(stands_for=was), service(stands_for=now), moment, causes)
        assert (change.what, change.zxid) == ("route", zxid)
