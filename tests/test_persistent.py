"""A mapping that is never changed: what it holds, what it shares, and what tells two apart."""

from __future__ import annotations

from itertools import chain
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from zkdns.persistent import BUCKETS, ROW, PersistentMap, differing

KEYS = st.text(max_size=3)
VALUES = st.integers(0, 3).map(lambda n: ("one", "two", "three", "four")[n])
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=6)


@given(st.dictionaries(KEYS, VALUES), st.lists(CHANGES, max_size=6))
def test_it_holds_what_a_dictionary_would(first: dict[str, str], steps: list[dict[str, str | None]]) -> None:
    plain, found = dict(first), PersistentMap(first)
    oldest = found
    for changes in steps:
        before, was = found, dict(found)
        found = found.changed(changes)
        for key, value in changes.items():
            if value is None:
                plain.pop(key, None)
            else:
                plain[key] = value
        assert dict(found) == plain
        assert found == plain
        assert len(found) == len(plain)
        assert all(found.get(key) is value and key in found for key, value in plain.items())
        assert dict(before) == was  # the one before stands as it stood
        moved = sorted(key for key in was.keys() | plain.keys() if was.get(key) is not plain.get(key))
        assert before.differing(found) == moved == differing(before, found)
        assert sorted(differing(was, plain)) == moved
        assert sorted(differing({}, found)) == sorted(plain)  # as at a start
        assert found.differing(before) == moved
        assert (found is before) == (not moved)
    moved = sorted(key for key in first.keys() | plain.keys() if first.get(key) is not plain.get(key))
    assert oldest.differing(found) == moved == found.differing(oldest)


def test_a_key_that_comes_where_the_last_one_went_leaves_the_map_before_as_it_was() -> None:
    same = [f"key-{n}" for n in range(5000) if crc32(f"key-{n}".encode()) % BUCKETS == 7][:2]
    one, two = same
    before = PersistentMap({one: "one"})
    after = before.changed({one: None, two: "two"})
    assert dict(before) == {one: "one"}
    assert dict(after) == {two: "two"}


def test_a_change_among_many_shares_nearly_all() -> None:
    many = PersistentMap({f"service-{n}": object() for n in range(20_000)})
    other = many.changed({"service-7": object(), "new": object()})
    rows = sum(a is b for a, b in zip(many._rows, other._rows, strict=True))
    assert rows >= BUCKETS // ROW - 2
    buckets = zip(chain(*many._rows), chain(*other._rows), strict=True)
    assert sum(a is b for a, b in buckets) >= BUCKETS - 2
    assert many.differing(other) == ["new", "service-7"]
