"""Long lists are taken in steps, and come to the same as those that are taken at once."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.model import Children, Data, Listed, Stat, Unreadable
from zkdns.piecemeal import empty_in_steps
from zkdns.registry.listing import FEW, SLICE, STEP, Listing
from zkdns.steps import finish

ROOT = "/services"
MANY = 20 * STEP


class Told:
    """What a listing tells of: which nodes are there, and how many came or went in each step."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.below: Counter[str] = Counter()
        """How many stand right below each."""
        self.steps = [0]
        self.listing = Listing(ROOT, self._come, self._gone)

    def _come(self, path: str) -> None:
        assert path not in self.there
        self.there.add(path)
        self.below[path.rpartition("/")[0]] += 1
        self.steps[-1] += 1

    def _gone(self, path: str) -> None:
        assert not self.below[path], "all below it went before"
        self.there.remove(path)
        self.below[path.rpartition("/")[0]] -= 1
        self.steps[-1] += 1

    def take(self, path: str, names: tuple[str, ...], zxid: int = 1) -> None:
        self.steps = [0]
        for _ in self.listing.steps(Children(path, names, zxid)):
            self.steps.append(0)


def test_a_long_list_comes_and_goes_in_steps() -> None:
    told = Told()
    names = tuple(f"i{n}" for n in range(MANY))
    for path, each in ((ROOT, ("web",)), (f"{ROOT}/web", names)):
        told.take(path, each)
    assert len(told.there) == MANY + 2
    assert max(told.steps) <= STEP
    told.take(f"{ROOT}/web", names[: MANY // 2])
    assert len(told.there) == MANY // 2 + 2
    assert max(told.steps) <= STEP
    told.take(ROOT, ())
    assert told.there == {ROOT}
    assert max(told.steps) <= STEP + 1, "and all below a node that goes as well"


def test_a_root_that_is_gone_goes_in_steps() -> None:
    told = Told()
    told.take(ROOT, tuple(f"s{n}" for n in range(MANY)))
    told.take(ROOT, (), 0)
    assert told.there == set()
    assert max(told.steps) <= STEP + 1
    told.take(ROOT, ("web",))
    assert told.there == {ROOT, f"{ROOT}/web"}, "and it may come again"


def test_the_root_of_all_is_there_whatever_is_told_of_it() -> None:
    come: list[str] = []
    assert Listing("/", come.append, come.append).apply(Children("/", (), 0))
    assert come == ["/"]


def test_a_root_that_could_not_be_read_and_then_went_is_not_refused_any_more() -> None:
    told = Told()
    assert not told.listing.apply(Unreadable(ROOT, "no right"))
    assert told.listing.refused == "no right"
    told.take(ROOT, (), 0)
    assert told.listing.refused is None


def test_the_largest_transaction_counts_whichever_is_read_last() -> None:
    told = Told()
    for zxid in (5, 3):
        told.take(ROOT, ("web",), zxid)
        assert told.listing.zxid == 5
    for zxid in (9, 7):
        told.listing.apply(Data(f"{ROOT}/web", b"", Stat(1, zxid, 0.0, False)))
        assert told.listing.zxid == 9


def test_what_was_listed_is_let_go_of_in_steps_and_tells_nobody() -> None:
    told = Told()
    told.take(ROOT, tuple(f"s{n}" for n in range(MANY)))
    told.take(ROOT + "/s0", ("a",))
    there = {*told.there}
    assert sum(1 for _ in told.listing.end()) >= MANY // STEP - 1
    told.listing.apply(Children(ROOT, ("another",), 1))
    assert told.there == there


@pytest.mark.parametrize("held", [{*range(MANY)}, dict.fromkeys(range(MANY))], ids=["a set", "a dict"])
def test_so_is_what_was_told_of_it(held: set[int] | dict[int, None]) -> None:
    left = [len(held) for _ in empty_in_steps(held)]
    assert left == [*range(MANY - STEP, 0, -STEP)]


NAMES = st.lists(st.sampled_from([f"n{n}" for n in range(8)]), unique=True).map(tuple)


@given(st.lists(st.tuples(st.sampled_from([ROOT, *(f"{ROOT}/n{n}" for n in range(8))]), NAMES), max_size=20))
def test_what_is_there_is_what_is_listed(lists: list[tuple[str, tuple[str, ...]]]) -> None:
    told, expected = Told(), dict[str, tuple[str, ...]]()
    for path, names in lists:
        is_there = told.listing.apply(Children(path, names, 1))
        top = path == ROOT or path.removeprefix(f"{ROOT}/") in expected.get(ROOT, ())
        assert is_there is top
        if top:
            expected[path] = names
            for gone in [
                p for p in expected if p != ROOT and p.removeprefix(f"{ROOT}/") not in expected[ROOT]
            ]:
                del expected[gone]
    below = {f"{path}/{name}" for path, names in expected.items() for name in names}
    assert told.there == below | ({ROOT} if expected else set())


def test_a_short_list_is_kept_as_it_was_told() -> None:
    """Services have few instances: a set for each would take ten times the room."""
    told, names = Told(), tuple(f"i{n}" for n in range(FEW))
    told.take(ROOT, ("web", "large"))
    told.take(f"{ROOT}/web", names)
    told.take(f"{ROOT}/large", (*names, "i"))
    assert told.listing._below[f"{ROOT}/web"] is names
    assert told.listing._below[f"{ROOT}/large"] == {*names, "i"}


def test_a_list_that_is_the_same_is_looked_through_in_steps() -> None:
    told = Told()
    names = tuple(f"s{n}" for n in range(8 * SLICE))
    told.take(ROOT, names)
    told.take(ROOT, names[:-1])
    assert len(told.there) == len(names)
    assert len(told.steps) >= 3 * 7, "the new list, what is gone of the old one, and what came"
    assert sum(told.steps) == 1


@pytest.mark.parametrize("number", [2, 2 * FEW])
def test_what_is_told_to_come_and_to_go_leaves_the_rest_as_it_was(number: int) -> None:
    told = Told()
    names = tuple(f"s{n}" for n in range(number))
    told.take(ROOT, names)
    told.take(f"{ROOT}/s0", ("a", "b"))
    finish(told.listing.steps(Listed(ROOT, ("new", "s1"), ("s0", "never"), 7)))
    assert told.there == {ROOT, *(f"{ROOT}/{name}" for name in (*names[1:], "new"))}
    assert told.listing.zxid == 7
    finish(told.listing.steps(Listed(f"{ROOT}/s0", ("c",))))
    assert f"{ROOT}/s0/c" not in told.there, "nobody has it on a list"
    told.take(ROOT, ("new",))
    assert told.there == {ROOT, f"{ROOT}/new"}
