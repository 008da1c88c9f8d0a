"""What is the same object in two sequences, and what was made of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.steps import longest, steps
from zkdns import identity
from zkdns.identity import apart, carry
from zkdns.steps import GLANCES, finish

THINGS = [object() for _ in range(8)]
SEQUENCES = st.lists(st.sampled_from(THINGS), unique=True)


@given(SEQUENCES, SEQUENCES)
def test_who_moved_is_in_one_of_them_alone(old: list[object], new: list[object]) -> None:
    gone, come = finish(identity.moved(old, new))
    assert gone == [one for one in old if one not in new]
    assert come == [one for one in new if one not in old]
    ours, theirs = apart(old, new)
    assert {*gone} <= {*ours}
    assert {*come} <= {*theirs}


@given(SEQUENCES, SEQUENCES)
def test_what_was_made_of_one_that_stayed_is_carried_on_to_where_it_stands_now(
    old: list[object], new: list[object]
) -> None:
    images = [[one] for one in old]
    made: list[object] = []

    def make(one: object) -> list[object]:
        made.append(one)
        return [one]

    carried = finish(carry(old, images, new, make))
    assert carried == [[one] for one in new]
    assert made == [one for one in new if one not in old]
    assert all(any(image is one for one in images) for image in carried if image[0] in old)


@given(SEQUENCES, SEQUENCES, st.integers(1, 4))
def test_in_steps_the_same_is_found(old: list[object], new: list[object], glances: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "GLANCES", glances)
        patch.setattr(identity, "LONG", 0)
        assert finish(identity.apart_in_steps(old, new)) == apart(old, new)


class Counted(list[object]):
    """How many of its members were looked at."""

    looks = 0

    def __iter__(self) -> Iterator[object]:
        return self._count(super().__iter__())

    def __reversed__(self) -> Iterator[object]:
        return self._count(super().__reversed__())

    def _count(self, members: Iterator[object]) -> Iterator[object]:
        for one in members:
            self.looks += 1
            yield one


@pytest.mark.parametrize("what", ["one is another", "one is gone"])
def test_of_tens_of_thousands_no_step_looks_at_all(what: str) -> None:
    old = Counted(object() for _ in range(2 * identity.LONG))
    new = [*old]
    new[-7:-6] = [object()] if what == "one is another" else []
    images = [*old]
    for taken in (identity.moved(old, new), carry(old, images, new, lambda one: one)):
        most, before = 0, old.looks
        for _ in taken:
            most, before = max(most, old.looks - before), old.looks
        assert max(most, old.looks - before) <= 2 * GLANCES


def test_what_stands_twice_is_not_taken_for_the_end_of_what_stayed() -> None:
    one, other = THINGS[:2]
    assert apart([one], [one, one]) == ([], [one])
    assert apart([one, other, one], [one]) == ([other, one], [])


def test_of_thousands_none_is_looked_into_that_stayed_and_no_step_grows_with_those_that_moved() -> None:
    many = [object() for _ in range(4 * GLANCES)]
    few = many[:GLANCES]

    def change(every: list[object]) -> int:
        other = [*every[:7], object(), *every[8:-1]]
        return steps(lambda: finish(carry(every, every, [*other, every[-1]], lambda one: one)))

    assert change(many) == change(few)

    def leave(every: list[object]) -> int:
        return longest(identity.moved(every, [*map(str, every[::2]), *every[1::2]]))

    assert leave(many) < 1.1 * leave(few)
