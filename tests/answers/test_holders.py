"""Who has an address: the same however much of it is noted at a time, and never much in one go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.steps import steps
from support.values import a_service, an_instance
from zkdns.answers import service
from zkdns.answers.builder import Builder
from zkdns.answers.holders import GLANCES, MAX_ADDRESSES_IN_A_TURN, Holders
from zkdns.answers.on_demand import reverse
from zkdns.answers.service import ServiceAnswers, readdressed
from zkdns.answers.table import Table
from zkdns.dns import names
from zkdns.dns.types import PTR
from zkdns.model import Instance, State

ADDRESSES = st.sets(st.integers(0, 12).map(lambda n: bytes((10, 0, 0, n)))).map(dict.fromkeys)
MANY = 5 * MAX_ADDRESSES_IN_A_TURN


def many(first: int, count: int = MANY) -> dict[bytes, None]:
    return dict.fromkeys(n.to_bytes(4, "big") for n in range(first, first + count))


def test_a_service_of_thousands_is_noted_part_by_part() -> None:
    holders = Holders()
    holders.replace("big", {}, many(0))
    taken: dict[bytes, tuple[str, ...]] = {}
    while holders.has_work:
        part = holders.take(100)
        assert len(part) <= 100
        taken |= part
    assert taken == dict.fromkeys(many(0), ("big",))
    holders.replace("big", many(0), {})
    first = holders.take(100)
    assert len(first) == 100
    assert {*first.values()} == {()}
    assert holders.take() == dict.fromkeys(many(0).keys() - first.keys(), ())
    assert not holders.has_work


def answers_of(*instances: Instance) -> ServiceAnswers:
    one = a_service(*instances)
    return ServiceAnswers(one, 5, {}, {}, service.group_by_address(one), ())


INSTANCES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 4))


@given(INSTANCES, INSTANCES, st.sampled_from([0, 100]))
def test_the_addresses_that_a_service_has_no_more_are_found_among_the_instances_that_are_others(
    before: dict[str, int], after: dict[str, int], many: int
) -> None:
    every = {(id, n): an_instance(id, f"10.0.0.{n}") for held in (before, after) for id, n in held.items()}
    old, new = (answers_of(*(every[one] for one in held.items())) for held in (before, after))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "MANY", many)
        gone, come = readdressed(old, new)
    assert {*gone} - {*come} == {*old.addresses} - {*new.addresses}
    assert {*come} - {*gone} == {*new.addresses} - {*old.addresses}


def test_they_cost_those_instances_however_many_there_are() -> None:
    def lines(number: int) -> int:
        every = [an_instance(f"i{n:04}", f"10.0.{n >> 8}.{n & 255}") for n in range(number)]
        old, new = answers_of(*every), answers_of(*every[1:], an_instance("i0000", "10.9.9.9"))
        return steps(lambda: readdressed(old, new))

    assert lines(400) == lines(40)


def test_addresses_of_instances_that_say_nothing_cost_no_more_than_those_of_others() -> None:
    """A service of 40,000 host names, most of them dead, took a turn of 30 ms at each change."""

    def lines(**about: State) -> int:
        one = a_service(*(an_instance(f"i{n:04}", f"10.0.0.{n}", **about) for n in range(200)))
        answers = ServiceAnswers(one, 5, {}, {}, None, ())
        assert len(answers.addresses) == (0 if about else 200)
        return steps(lambda: answers.addresses)

    assert lines(state=State.UNREADABLE) <= lines()


def test_of_thousands_that_stay_as_they_are_only_so_many_are_looked_at_in_one_go() -> None:
    class Counted(dict[bytes, None]):
        looks = 0

        def __contains__(self, key: object) -> bool:
            Counted.looks += 1
            return super().__contains__(key)

    holders = Holders()
    holders.replace("big", {}, many(0))
    holders.take()
    holders.replace("big", Counted(many(0)), Counted(many(1)))
    taken: dict[bytes, tuple[str, ...]] = {}
    while holders.has_work:
        Counted.looks = 0
        taken |= holders.take(100)
        assert Counted.looks <= 100 * GLANCES
    assert taken == {(0).to_bytes(4, "big"): (), MANY.to_bytes(4, "big"): ("big",)}


def test_few_addresses_are_noted_at_once() -> None:
    holders = Holders()
    holders.replace("web", {}, many(0, 3))
    assert not holders.has_work
    assert holders.of((1).to_bytes(4, "big")) == ("web",)


def test_what_changes_while_much_is_not_noted_yet_comes_after_it() -> None:
    holders = Holders()
    holders.replace("big", {}, many(0))
    holders.replace("web", {}, many(0, 1))
    holders.replace("big", many(0), {})
    holders.take()
    assert holders.of((0).to_bytes(4, "big")) == ("web",)
    assert holders.of((1).to_bytes(4, "big")) == ()


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), ADDRESSES), max_size=12),
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
)
def test_all_parts_come_to_the_same(changes: list[tuple[str, dict[bytes, None]]], parts: list[int]) -> None:
    holders, standing = Holders(), dict[str, dict[bytes, None]]()
    told: dict[bytes, tuple[str, ...]] = {}
    for at, (name, new) in enumerate(changes):
        holders.replace(name, standing.get(name, {}), new)
        standing[name] = new
        told |= holders.take(parts[at % len(parts)])
    told |= holders.take()
    every = {address for held in standing.values() for address in held}
    expected = {a: tuple(sorted(name for name, held in standing.items() if a in held)) for a in every}
    assert {address: names for address, names in told.items() if names} == expected
    assert all(holders.of(address) == names for address, names in expected.items())


def test_an_address_that_nobody_has_any_more_is_nobodys_before_that_is_noted() -> None:
    builder, table = Builder(["svc.local"]), Table()
    instances = [an_instance(f"i{n}", f"10.0.{n // 250}.{n % 250}") for n in range(2000)]
    one = an_instance("one", instances[-1].addresses[0], service="other")

    def put(name: str, *those: Instance) -> None:
        builder.replace(name, builder.compile(a_service(*those, name=name)) if those else None)
        table.apply(builder.take(10))

    put("web", *instances)
    while builder.has_more:
        table.apply(builder.take(1000))
    last, before = (names.reverse(bytes(map(int, i.addresses[0].split(".")))) for i in (one, instances[-2]))
    assert reverse(table, last, PTR) is not None
    put("web", *instances[:10])
    assert reverse(table, last, PTR) is None
    put("web")
    assert reverse(table, last, PTR) is None
    while builder.has_more:
        table.apply(builder.take(1000))
    put("other", one)
    assert reverse(table, last, PTR) is not None
    assert reverse(table, before, PTR) is None
