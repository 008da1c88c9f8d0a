"""The judge: every state by name, the rank of reasons, and the laws that no input breaks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.values import a_service, an_instance
from zkdns.health.guard import Kept
from zkdns.health.judge import STEPS, ServiceView, judge, stretch, warmth
from zkdns.health.thresholds import CheckState
from zkdns.model import (
    NEVER,
    NONE_HEALTHY,
    SERVING,
    Check,
    Override,
    Service,
    State,
)
from zkdns.steps import finish

NOW = 1_700_000_000.0
GOOD = CheckState(True)
BAD = CheckState(False, "connection refused")


def states(service: Service) -> dict[str, str]:
    return {i.id: str(i.state) for i in service.instances}


def test_a_service_of_which_nothing_is_known_comes_back_as_the_same_object() -> None:
    service = a_service(an_instance("a", weight=5), an_instance("b"))
    assert judge(service, ServiceView(), NOW) == (service, None)
    assert judge(service, ServiceView(), NOW)[0] is service


@pytest.mark.parametrize("status", ["starting", "draining", "down"])
def test_an_instances_own_status_puts_it_out_and_is_its_state(status: str) -> None:
    judged, _ = judge(a_service(an_instance("a", status=status)), ServiceView(), NOW)
    (a,) = judged.instances
    assert (a.state, a.answered, a.reason) == (State(status), False, f"registered as {status}")


def test_a_drain_outranks_every_other_reason_and_says_who_when_and_why() -> None:
    order = Override(drain=True, until=NOW + 60, who="ann@box", why="disk", at=NOW)
    view = ServiceView({"a": order}, True, {"/services/web/a": BAD})
    judged, again = judge(a_service(an_instance("a", status="down")), view, NOW)
    (a,) = judged.instances
    assert (a.state, a.answered) == (State.DRAINED, False)
    assert a.reason == "drained by ann@box at 2023-11-14 22:13:20Z until 2023-11-14 22:14:20Z: disk"
    assert again == NOW + 60


def test_an_override_ends_at_its_time_and_uncovers_the_one_beneath_it() -> None:
    under = Override(weight=7, who="bo@box")
    view = ServiceView({"a": Override(drain=True, until=NOW + 60, under=under)})
    service = a_service(an_instance("a", weight=3))
    assert states(judge(service, view, NOW + 59.9)[0]) == {"a": "drained"}
    judged, again = judge(service, view, NOW + 60)
    (a,) = judged.instances
    assert (a.state, a.weight, a.answered, a.reason) == (
        State.HEALTHY, 7, True, "weight 7, set by bo@box",
    )  # fmt: skip
    assert again is None


def test_a_weight_laid_upon_a_drain_does_not_bring_the_instance_back() -> None:
    view = ServiceView({"a": Override(weight=5, under=Override(drain=True))})
    assert states(judge(a_service(an_instance("a")), view, NOW)[0]) == {"a": "drained"}


def test_with_a_check_an_instance_is_out_until_its_first_probe() -> None:
    service = a_service(an_instance("a"), an_instance("b"), an_instance("c"), check=Check("tcp"))
    view = ServiceView(checked=True, check_states={"/services/web/b": GOOD, "/services/web/c": BAD})
    judged, _ = judge(service, view, NOW)
    assert [(i.id, i.state, i.answered, i.reason) for i in judged.instances] == [
        ("a", State.STARTING, False, "no probe yet"),
        ("b", State.HEALTHY, True, ""),
        ("c", State.FAILING, False, "connection refused"),
    ]


def test_standings_bind_nothing_where_no_check_is_in_force() -> None:
    view = ServiceView(checked=False, check_states={"/services/web/a": BAD})
    assert states(judge(a_service(an_instance("a")), view, NOW)[0]) == {"a": "healthy"}


def test_fail_open_true_gives_all_but_the_draining_and_the_drained_when_none_is_healthy() -> None:
    service = a_service(
        an_instance("a"),
        an_instance("b", status="down"),
        an_instance("c", status="draining"),
        an_instance("d"),
        fail_open=NONE_HEALTHY,
    )
    view = ServiceView({"d": Override(drain=True)}, True, {"/services/web/a": BAD})
    judged, _ = judge(service, view, NOW)
    assert [(i.id, str(i.state), i.answered) for i in judged.instances] == [
        ("a", "failing", True), ("b", "down", True), ("c", "draining", False), ("d", "drained", False),
    ]  # fmt: skip
    assert judged.note == "fail_open: all given (0 of 2 healthy)"
    assert judged.instances[0].reason == "connection refused; given by fail_open"


@pytest.mark.parametrize(("good", "given_out"), [(1, 4), (2, 2), (3, 3), (0, 4)])
def test_fail_open_as_a_ratio_opens_only_below_it(good: int, given_out: int) -> None:
    service = a_service(*map(an_instance, "abcd"), fail_open=0.5)
    check_states = {f"/services/web/{c}": GOOD if n < good else BAD for n, c in enumerate("abcd")}
    judged, _ = judge(service, ServiceView(checked=True, check_states=check_states), NOW)
    assert sum(i.answered for i in judged.instances) == given_out


def test_a_ratio_that_is_just_met_does_not_open() -> None:
    service = a_service(*(an_instance(f"i{n:03}") for n in range(100)), fail_open=0.07)
    check_states = {i.path: GOOD if n < 7 else BAD for n, i in enumerate(service.instances)}
    judged, _ = judge(service, ServiceView(checked=True, check_states=check_states), NOW)
    assert sum(i.answered for i in judged.instances) == 7


def rise(service: Service, until: float) -> list[tuple[float, int, str]]:
    """What the first instance goes through when it is judged only when the judge asks for it."""
    seen, now = [], NOW
    previous = None
    while True:
        previous, again = judge(service, ServiceView(), now, previous)
        first = previous.instances[0]
        seen.append((now - NOW, first.weight, str(first.state)))
        if again is None or again > NOW + until:
            return seen
        assert again > now
        now = again


def test_a_warming_weight_rises_in_equal_steps_to_its_own() -> None:
    seen = rise(a_service(an_instance("a", weight=5, since=NOW), an_instance("b", weight=5), warm=10), 99)
    assert seen == [
        (0, 1, "warming"), (2, 1, "warming"), (4, 2, "warming"), (6, 3, "warming"), (8, 4, "warming"),
        (10, 5, "healthy"),
    ]  # fmt: skip


def test_a_large_weight_warms_in_twenty_steps() -> None:
    seen = rise(a_service(an_instance("a", weight=1000, since=NOW), warm=40), 99)
    assert [w for _, w, _ in seen] == [1, *range(50, 1001, 50)]
    assert [t for t, _, _ in seen] == [2.0 * n for n in range(21)]


def test_weight_one_warms_too_since_all_weights_are_drawn_out_meanwhile() -> None:
    service = a_service(an_instance("a", weight=1, since=NOW), an_instance("b", weight=3), warm=10)
    judged, _ = judge(service, ServiceView(), NOW + 5)
    assert [(i.weight, i.state) for i in judged.instances] == [(5, State.WARMING), (30, State.HEALTHY)]
    assert judged.note == "weights times 10 while new instances warm up"
    after, again = judge(service, ServiceView(), NOW + 10, judged)
    assert after is service
    assert again is None


@pytest.mark.parametrize("since", [NOW, NOW + 0.1, NOW + 0.123, NOW + 1 / 3])
def test_each_step_of_a_rise_is_taken_at_the_moment_that_was_told_for_it(since: float) -> None:
    """Else it is asked for again and again, or comes a step late."""
    for part in range(STEPS):
        _, _, at = warmth(since, 30.0, 1000, since + 30.0 * part / STEPS)
        assert warmth(since, 30.0, 1000, at)[0] == part + 1


def test_an_operators_weight_among_those_that_are_drawn_out_fits_an_srv_record() -> None:
    service = a_service(an_instance("a", weight=1, since=NOW), an_instance("b", weight=1), warm=10)
    judged, _ = judge(service, ServiceView({"b": Override(weight=60_000)}), NOW + 5)
    assert judged.instances[1].weight == 65_535


def test_weight_nought_stays_nought_and_an_operators_weight_does_not_warm() -> None:
    service = a_service(
        an_instance("a", weight=0, since=NOW), an_instance("b", weight=50, since=NOW), warm=10
    )
    judged, _ = judge(service, ServiceView({"b": Override(weight=9)}), NOW + 1)
    assert [(i.weight, i.state) for i in judged.instances] == [(0, State.HEALTHY), (9, State.HEALTHY)]


def test_a_creation_time_ahead_of_our_clock_counts_as_now() -> None:
    service = a_service(an_instance("a", weight=50, since=NOW + 5), warm=10)
    judged, again = judge(service, ServiceView(), NOW)
    assert (judged.instances[0].weight, again) == (1, NOW + 5.5)


def test_suspects_stand_among_the_others_until_their_time() -> None:
    service = a_service(an_instance("b"), hold=60)
    view = ServiceView(kept=(Kept(an_instance("a"), NOW + 30), Kept(an_instance("c"), NOW + 30)))
    judged, again = judge(service, view, NOW)
    assert states(judged) == {"a": "suspect", "b": "healthy", "c": "suspect"}
    assert all(i.answered for i in judged.instances)
    assert judged.note == "2 kept by hold"
    assert again == NOW + 30
    assert judge(service, view, NOW + 30) == (service, None)


def test_a_suspect_whose_name_another_has_by_now_is_not_among_them() -> None:
    moved = replace(an_instance("A"), path="/services/web/elsewhere")
    service = a_service(an_instance("b"), moved, hold=60)
    judged, _ = judge(service, ServiceView(kept=(Kept(an_instance("a"), NOW + 30),)), NOW)
    assert [i.path for i in judged.instances] == ["/services/web/elsewhere", "/services/web/b"]


def test_what_did_not_change_since_the_last_judgement_is_the_same_object() -> None:
    service = a_service(an_instance("a"), an_instance("b"), check=Check("tcp"))
    first, _ = judge(service, ServiceView(checked=True, check_states={"/services/web/a": BAD}), NOW)
    again, _ = judge(
        service, ServiceView(checked=True, check_states={"/services/web/a": BAD}), NOW + 9, first
    )
    assert again is first
    check_states = {"/services/web/a": BAD, "/services/web/b": GOOD}
    later, _ = judge(service, ServiceView(checked=True, check_states=check_states), NOW, first)
    assert later is not first
    assert later.instances[0] is first.instances[0]
    assert later.instances[1] is service.instances[1]


def test_changed_settings_are_never_lost_to_the_memory_of_the_last_judgement() -> None:
    first, _ = judge(a_service(an_instance("a", status="down"), ttl=5), ServiceView(), NOW)
    later, _ = judge(a_service(an_instance("a", status="down"), ttl=6), ServiceView(), NOW, first)
    assert later.settings.ttl == 6


# --- laws -----------------------------------------------------------------------------------------

ids = st.sampled_from("abcdef")
times = st.floats(NOW - 100, NOW + 100, allow_nan=False)
overrides = st.recursive(
    st.builds(
        Override, drain=st.booleans(), weight=st.none() | st.integers(0, 65535), until=st.none() | times
    ),
    lambda under: st.builds(
        Override,
        drain=st.booleans(),
        weight=st.none() | st.integers(0, 65535),
        until=st.none() | times,
        under=under,
    ),
    max_leaves=3,
)
instances = st.builds(
    an_instance,
    ids,
    st.integers(0, 65535),
    st.sampled_from(["up", "up", "up", "starting", "draining", "down"]),
    times,
)
services = st.builds(
    lambda members, **settings: a_service(*sorted(members, key=lambda i: i.id), **settings),
    st.lists(instances, unique_by=lambda i: i.id, max_size=5),
    fail_open=st.sampled_from([0.0, NONE_HEALTHY, 0.3, 0.5, 1.0]),
    warm=st.sampled_from([0.0, 0.5, 7.0, 60.0]),
)
views = st.builds(
    ServiceView,
    st.dictionaries(ids, overrides),
    st.booleans(),
    st.dictionaries(ids.map(lambda c: f"/services/web/{c}"), st.sampled_from([GOOD, BAD])),
    st.lists(st.builds(Kept, instances, times), unique_by=lambda k: k.instance.id, max_size=3).map(tuple),
)


def drained(view: ServiceView, id: str, now: float) -> bool:
    order = view.overrides.get(id)
    while order is not None:
        if order.drain and (order.until is None or now < order.until):
            return True
        order = order.under
    return False


@given(services, views, times)
def test_a_drained_or_draining_instance_is_never_answered_in_any_mode(
    service: Service, view: ServiceView, now: float
) -> None:
    judged, _ = judge(service, view, now)
    for instance in judged.instances:
        if drained(view, instance.id, now):
            assert instance.state is State.DRAINED
        if drained(view, instance.id, now) or instance.registration.status == "draining":
            assert instance.state in NEVER
            assert not instance.answered


@given(services, views, times)
def test_replicas_with_the_same_inputs_give_the_same_states_whatever_they_judged_before(
    service: Service, view: ServiceView, now: float
) -> None:
    one, one_again = judge(service, view, now)
    other, other_again = judge(service, ServiceView(), now - 5)
    other, other_again = judge(service, view, now, other)
    assert (one, one_again) == (other, other_again)


@given(services, views, times)
def test_every_registered_instance_is_still_there_and_weights_stay_in_range(
    service: Service, view: ServiceView, now: float
) -> None:
    judged, again = judge(service, view, now)
    assert {i.path for i in service.instances} <= {i.path for i in judged.instances}
    assert [i.id for i in judged.instances] == sorted(i.id for i in judged.instances)
    assert again is None or again > now
    for i in judged.instances:
        assert 0 <= i.weight <= 65535
        assert i.answered or i.state not in SERVING
        assert i.reason or i.state is State.HEALTHY
        if i.registration.weight and not view.overrides.get(i.id):
            assert i.weight > 0


@given(services, views, times)
def test_between_two_judgements_that_it_asks_for_nothing_would_change(
    service: Service, view: ServiceView, now: float
) -> None:
    judged, again = judge(service, view, now)
    moment = now + 50 if again is None else now + (again - now) * 0.999
    if again is not None and again - moment > 1e-5:
        assert judge(service, view, moment, judged)[0] == judged


@given(services, times)
def test_drawing_weights_out_changes_no_share(service: Service, now: float) -> None:
    factor, _ = finish(stretch(service, now))
    judged, _ = judge(service, ServiceView(), now)
    for i in judged.instances:
        if i.state is State.HEALTHY:
            assert i.weight == i.registration.weight * factor
