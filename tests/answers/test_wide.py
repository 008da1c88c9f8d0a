"""Wide answers: orders that share their places are orders all the same, in both engines' eyes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import tables
from support.asking import respond
from support.tables import Answers
from zkdns.answers import near, policies, spliced
from zkdns.answers.policies import weighted
from zkdns.answers.rotation import Rotation
from zkdns.answers.spliced import Spliced
from zkdns.dns import names
from zkdns.dns.types import A
from zkdns.model import Instance, Registration, Service, ServiceSettings

weights_lists = st.lists(st.one_of(st.just(0), st.integers(1, 9)), min_size=1, max_size=30)


@pytest.fixture(autouse=True)
def _everything_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spliced, "MIN_LENGTH", 0)
    monkeypatch.setattr(spliced, "MIN_PLACES", 0)


@settings(deadline=None)
@given(st.sampled_from(["weighted", "round_robin", "random"]), weights_lists, st.integers(1, 40))
def test_a_wide_order_loses_nobody_invents_nobody_and_puts_weight_0_last(
    policy: str, weights: list[int], cut: int
) -> None:
    rotation = Rotation.of(*policies._module(policy).arrange(policies.usable(weights), cut))
    assert isinstance(rotation.orders, spliced.Spliced)
    everyone = tuple(range(len(weights)))
    for at, order in enumerate(rotation.orders):
        assert len(order) == len(set(order)) == min(cut, len(weights))
        assert set(order) <= set(everyone)
        assert rotation.getters[at](everyone) == order
        given_weights = [policies.usable(weights)[i] > 0 for i in order]
        assert given_weights == sorted(given_weights, reverse=True)
    assert rotation.orders.given() == {i for order in rotation.orders for i in order}
    assert set(rotation.sequence) == set(range(len(rotation.orders)))


@settings(deadline=None)
@given(weights_lists.filter(any), st.integers(1, 40))
def test_first_and_second_places_are_those_of_narrow_orders(weights: list[int], cut: int) -> None:
    wide = Rotation.of(*weighted.arrange(weights, cut))
    narrow = weighted.arrange.__globals__
    kept, narrow["is_wide"] = narrow["is_wide"], lambda size, length: False
    try:
        other = Rotation.of(*weighted.arrange(weights, cut))
    finally:
        narrow["is_wide"] = kept
    for position in range(len(wide.sequence)):
        ours, theirs = (r.orders[r.sequence[position % len(r.sequence)]] for r in (wide, other))
        assert ours[0] == theirs[0] == wide.first(position) == other.first(position)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=30).filter(
        lambda members: any(n for n, _ in members)
    ),
    st.integers(1, 40),
)
def test_near_comes_first_in_wide_orders_too(members: list[tuple[int, int]], cut: int) -> None:
    counts, distances = [n for n, _ in members], [d for _, d in members]
    orders, sequence = near.arrange(counts, distances, cut)
    assert isinstance(orders, spliced.Spliced)
    firsts = Counter(orders[at][0] for at in sequence)
    assert firsts == Counter({i: n for i, n in enumerate(counts) if n})
    for order in orders:
        assert len(order) == len(set(order)) == min(cut, len(members))
        rest = [distances[i] for i in order[1:]]
        assert rest == sorted(rest)


@settings(deadline=None)
@given(weights_lists, st.integers(0, 300), st.integers(0, 300))
def test_first_places_are_counted_without_a_look_at_each(weights: list[int], start: int, more: int) -> None:
    rotation = Rotation.of(*weighted.arrange(policies.usable(weights), 3))
    one_by_one = Counter(rotation.first(n) for n in range(start, start + more))
    assert rotation.firsts(start, start + more) == one_by_one


def test_spliced_orders_are_read_as_any_sequence() -> None:
    orders = spliced.Spliced([0, 1, 2, 0, 1, 2])
    orders.add([(0, 3)], 2)
    orders.add([(2, 3), (3, 5)], 9)
    assert orders[-1] == (2, 0, 1)
    assert orders[:] == ((0, 1), (2, 0, 1)) == tuple(orders)
    with pytest.raises(IndexError):
        orders[2]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=4), min_size=1, max_size=4),
    st.integers(1, 40),
    st.integers(1, 60),
)
def test_the_head_and_the_length_of_an_order_are_those_of_the_whole(
    orders: list[list[tuple[int, int]]], length: int, most: int
) -> None:
    spliced = Spliced(range(100, 120))
    for spans in orders:
        spliced.add(spans, length)
    for at, order in enumerate(spliced):
        assert spliced.length(at) == len(order)
        assert tuple(spliced.head(at, most)) == order[:most]


def test_a_cut_answer_of_thousands_lays_out_no_order_of_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(("svc.local",))
    held = tuple(
        Instance(f"i{n}", f"i{n}", f"/s/i{n}", Registration((f"10.0.{n >> 8}.{n & 255}",)), 0.0)
        for n in range(3000)
    )
    settings = ServiceSettings(answers=4000, policy="round_robin")
    answers.replace("big", answers.compile(Service("big", "big", "/s/big", settings, held)))

    def lay_out(*_: object) -> None:
        raise AssertionError("an order was laid out")

    monkeypatch.setattr(Spliced, "__getitem__", lay_out)
    asked = tables.query(names.wire("big.svc.local"), A)
    first, second = (respond(asked, answers, 512) for _ in range(2))
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert first[2] & second[2] & 2, "TC"
    assert first[12:] != second[12:], "each begins with another"
