"""Which services are due, and when the others are."""

from __future__ import annotations

import pytest

from zkdns.pipeline.agenda import HEAP, MAX_LOOKED_AT, PACE, SLOWEST, SOONEST, Agenda


def test_what_is_due_is_due_once_in_the_order_in_which_it_came() -> None:
    agenda = Agenda()
    agenda.mark(["b", "a"])
    agenda.mark(["c", "b"])
    assert list(agenda.queue) == ["b", "a", "c"]


@pytest.mark.parametrize("at", [0, 25, 50])
def test_the_smallest_waits_for_few_of_dozens_of_large_ones_wherever_it_stands(at: int) -> None:
    large = [f"large{n}" for n in range(50)]
    agenda = Agenda()
    agenda.tell([*large[:at], "small", *large[at:]])
    sizes = dict.fromkeys(large, 99) | {"small": 1}
    order = [agenda.take_next(sizes.__getitem__) for _ in range(len(sizes))]
    assert order.index("small") <= 1
    assert [name for name in order if name != "small"] == large, "of one size they come in their order"
    assert not agenda.queue


def test_the_largest_has_its_turn_though_small_ones_come_all_the_time() -> None:
    agenda = Agenda()
    agenda.tell(["large", "small0", "small1"])
    order = []
    for n in range(2, 8):
        order.append(agenda.take_next(lambda name: 99 if name == "large" else 1))
        agenda.tell([f"small{n}"])
    assert order.index("large") <= 1


def test_the_earliest_of_several_times_counts() -> None:
    agenda = Agenda()
    for at in (5.0, 3.0, 9.0):
        agenda.again("web", at, 0.0)
    assert agenda.wake == 3.0
    agenda.ring(2.9)
    assert not agenda.queue
    agenda.ring(3.0)
    assert list(agenda.queue) == ["web"]
    assert agenda.wake is None, "the later times went with it"


def test_what_is_judged_for_another_reason_waits_for_nothing_more() -> None:
    agenda = Agenda()
    agenda.again("web", 5.0, 0.0)
    agenda.again("db", 6.0, 0.0)
    agenda.begin("web")
    assert agenda.wake == 6.0


def test_what_is_put_off_again_and_again_is_kept_once_and_rings_at_its_time() -> None:
    """A drain for a year is one alarm, however often its service changes until then."""
    agenda, year = Agenda(), 3e7
    agenda.again("db", year - 1.0, 0.0)
    for n in range(10 * HEAP):
        agenda.begin("web")
        agenda.again("web", year + n % 2, float(n))
        assert len(agenda._alarms) <= 2 * 2 + HEAP
    for due in ([], ["db"], ["db", "web"]):
        agenda.ring(year - 2.0 + 1.5 * len(due))
        assert list(agenda.queue) == due
    assert agenda.idle is False
    assert agenda.wake is None


def test_a_judge_that_wants_to_be_asked_at_once_does_not_keep_the_loop() -> None:
    agenda = Agenda()
    agenda.again("web", 1.0, 10.0)
    assert agenda.wake == 10.0 + SOONEST


def test_verdicts_wait_for_ten_times_what_their_service_costs_and_never_longer_than_a_second() -> None:
    agenda = Agenda()
    agenda.spend("small", 100.0, 0.001)
    agenda.spend("large", 100.0, 3.0)
    agenda.mark_soon(["new", "small", "large"], 100.0)
    assert list(agenda.queue) == ["new"]
    assert agenda.wake == 100.0 + PACE * 0.001
    agenda.ring(100.0 + PACE * 0.001)
    assert agenda.wake == 100.0 + SLOWEST
    agenda.forget("large")
    agenda.mark_soon(["large"], 100.5)
    assert "large" in agenda.queue, "a service that went and came again is new"


def test_what_has_rung_can_be_set_for_later_again() -> None:
    agenda = Agenda()
    agenda.again("web", 5.0, 0.0)
    agenda.ring(5.0)
    agenda.again("web", 9.0, 5.0)
    assert agenda.wake == 9.0


def test_a_later_time_does_not_put_off_a_sooner_one() -> None:
    agenda = Agenda()
    agenda.again("web", 5.0, 0.0)
    agenda.again("web", 9.0, 0.0)
    assert agenda.wake == 5.0


def test_what_registries_tell_waits_for_none_of_thousands_of_verdicts() -> None:
    agenda = Agenda()
    agenda.mark_soon([f"s{n}" for n in range(5000)], 1.0)
    agenda.tell(["web"])
    assert "web" in [agenda.queue.take_next()[0] for _ in range(2)]
    agenda.tell([f"t{n}" for n in range(5000)])
    agenda.mark(["db"])
    assert "db" in [agenda.queue.take_next()[0] for _ in range(4)]


def test_of_very_many_the_smallest_is_not_looked_for() -> None:
    sizes: list[str] = []
    agenda = Agenda()
    agenda.tell(f"s{n}" for n in range(MAX_LOOKED_AT + 3))
    taken = [agenda.take_next(lambda name: sizes.append(name) or int(name[1:])) for _ in range(3)]  # type: ignore[func-returns-value]
    assert sizes == []
    assert len({*taken}) == 3
    agenda.take_next(lambda name: sizes.append(name) or int(name[1:]))  # type: ignore[func-returns-value]
    agenda.take_next(lambda name: sizes.append(name) or int(name[1:]))  # type: ignore[func-returns-value]
    assert len(sizes) >= MAX_LOOKED_AT - 1


def test_what_was_due_before_the_clock_was_set_stands_in_the_way_of_nothing_that_is_due_after_it() -> None:
    agenda = Agenda()
    agenda.again("web", 100.0, 0.0)
    agenda.shift(-50.0)
    assert agenda.queue.take_next() == ("web", True)
    agenda.again("web", 200.0, 0.0)
    assert agenda.wake == 200.0
