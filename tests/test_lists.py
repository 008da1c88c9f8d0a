"""Lists as people read them."""

from __future__ import annotations

import pytest

from zkdns.lists import MAX_NEAR, list_near, plural, some_of


@pytest.mark.parametrize(
    ("names", "count", "text"),
    [
        ([], None, ""),
        (["a"], None, "a"),
        (["a", "b"], None, "a, b"),
        (["a", "b", "c", "d"], None, "a, b and 2 more"),
        (["a", "b"], 500, "a, b and 498 more"),
    ],
)
def test_so_many_are_named_and_the_rest_is_counted(names: list[str], count: int | None, text: str) -> None:
    assert some_of(names, 2, count) == text


def test_what_is_likeliest_is_named_first_and_one_alone_is_one() -> None:
    assert list_near("wbe", ["db", "mail", "web"]) == "there are web, db, mail"
    assert list_near("wbe", ["db"]) == "there is db"
    assert list_near("wbe", []) == "there is none"


def test_of_many_the_likeliest_is_there() -> None:
    names = [f"a{n:02}" for n in range(MAX_NEAR * 2)]
    assert list_near("wbe", [*names, "web"]).startswith("there are web, a00")
    assert list_near("wbe", names).endswith(f" and {MAX_NEAR} more")


def test_one_of_them_is_told_as_one() -> None:
    assert [plural(n, "older change") for n in (0, 1, 2)] == [
        "0 older changes",
        "1 older change",
        "2 older changes",
    ]
    assert plural(1234, "query", "queries") == "1,234 queries"
