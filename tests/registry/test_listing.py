"""Long lists are taken in steps, and come to the same as those that are taken at once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from zkdns.model import Children
from zkdns.registry.listing import SLICE, STEP, Listing

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


def test_a_list_that_is_the_same_is_looked_through_in_steps() -> None:
    told = Told()
    names = tuple(f"s{n}" for n in range(8 * SLICE))
    told.take(ROOT, names)
    told.take(ROOT, names[:-1])
    assert len(told.there) == len(names)
    assert len(told.steps) >= 3 * 7, "the new list, what is gone of the old one, and what came"
    assert sum(told.steps) == 1
