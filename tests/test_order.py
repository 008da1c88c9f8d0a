"""The order in which the workers of a run take the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from support.order import LONGEST, TESTS, longest_first


@dataclass(frozen=True)
class Test:
    """A test of a file, as far as the order asks."""

    path: Path
    name: str

    __test__ = False


@pytest.mark.parametrize("name", LONGEST)
def test_what_takes_long_is_there(name: str) -> None:
    assert (TESTS / name).exists()


def test_the_longest_come_first_then_those_of_many_tests_and_each_file_s_tests_stay_as_they_stand() -> None:
    long, many, one = (TESTS / name for name in (LONGEST[1], "x/test_many.py", "x/test_a_few.py"))
    longer = TESTS / LONGEST[0] / "test_x.py"
    items = [Test(path, name) for path in (one, many, long, longer) for name in ("b", "a")]
    items.insert(2, Test(many, "c"))
    ordered = longest_first(items)
    assert list(dict.fromkeys(item.path for item in ordered)) == [longer, long, many, one]
    assert [item.name for item in ordered if item.path == many] == ["c", "b", "a"]
    assert len(ordered) == len(items)
