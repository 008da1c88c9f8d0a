"""A route's shares where some of its instances alone are given: kept exactly, as long as there is anybody."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from zkdns.answers.parts import Mark, keep, shared_by, weighed
from zkdns.answers.proportions import MAX_CYCLE

parts = st.dictionaries(
    st.builds(lambda tier, target: Mark(tier, 3 * tier + target), st.integers(0, 1), st.integers(0, 2)),
    st.integers(0, 4).map(Fraction), min_size=1, max_size=3,
)  # fmt: skip
"""What one instance has from each target."""

members = st.lists(st.tuples(parts, st.booleans()), min_size=1, max_size=7)
"""Each one's, and whether it is given."""


@given(members)
def test_tiers_keep_their_parts_and_targets_their_shares_of_those(
    found: list[tuple[dict[Mark, Fraction], bool]],
) -> None:
    every = [tuple(own.items()) for own, _ in found]
    some = [own for own, is_given in found if is_given]
    counts = keep(every, [tuple(own.items()) for own in some])
    total = sum(counts)
    able = {mark for own in some for mark, weight in own.items() if weight}
    assert bool(total) == bool(able)

    def weigh(marks: set[Mark], of: list[dict[Mark, Fraction]]) -> Fraction:
        return sum((own.get(mark, Fraction(0)) for own in of for mark in marks), Fraction(0))

    all_of = [own for own, _ in found]
    marks = {mark for own in all_of for mark in own}
    tiers = {mark.tier for mark in able}
    parts_of_all = {mark for mark in marks if mark.tier in tiers}
    for own, count in zip(some, counts, strict=True):
        due = Fraction(0)
        for mark in able & own.keys():
            tier = {beside for beside in marks if beside.tier == mark.tier}
            part = weigh(tier, all_of) / weigh(parts_of_all, all_of)
            share = weigh({mark}, all_of) / weigh(able & tier, all_of)
            due += part * share * own[mark] / weigh({mark}, some)
        if total and Fraction(count, total) != due:  # no cycle is long enough
            assert total > MAX_CYCLE // 2
            assert abs(Fraction(count, total) - due) * total < 2


@given(parts)
def test_what_one_weighs_is_dealt_among_its_targets_as_it_has_it_from_them(own: dict[Mark, Fraction]) -> None:
    total = sum(own.values())
    shared = shared_by(own)
    assert sum(part for _, part in shared) == 1
    assert dict(weighed(shared, int(total))) == own
