"""A route's shares where some of its instances alone are given: kept exactly, as long as there is anybody."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from zkdns.answers.parts import Mark, keep

members = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 4), st.booleans()), min_size=1, max_size=8
)
"""Each one's tier, target there, weight, and whether it is given."""


@given(members)
def test_tiers_keep_their_parts_and_targets_their_shares_of_those(
    found: list[tuple[int, int, int, bool]],
) -> None:
    marks = [Mark(tier, 3 * tier + target) for tier, target, _, _ in found]
    weights = [weight for _, _, weight, _ in found]
    some = [n for n, (*_, is_given) in enumerate(found) if is_given]
    counts = keep(marks, weights, some)
    total = sum(counts)
    able = {marks[n] for n in some if weights[n]}
    assert bool(total) == bool(able)

    def weigh(chosen: list[int]) -> int:
        return sum(weights[n] for n in chosen)

    for n, count in zip(some, counts, strict=True):
        if not weights[n]:
            assert not count
            continue
        tiers = {mark.tier for mark in able}
        tier = [m for m, mark in enumerate(marks) if mark.tier == marks[n].tier]
        all_tiers = [m for m, mark in enumerate(marks) if mark.tier in tiers]
        beside = [m for m in tier if marks[m] in able]
        target = [m for m in tier if marks[m] == marks[n]]
        due = Fraction(weigh(tier), weigh(all_tiers)) * Fraction(weigh(target), weigh(beside))
        assert Fraction(count, total) == due * Fraction(weights[n], weigh([m for m in target if m in some]))
