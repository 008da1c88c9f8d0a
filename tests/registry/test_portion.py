"""How much is read at once, and in which order: after a loss less, and once all was read as much as ever."""

from __future__ import annotations

import pytest

from zkdns.registry.zk.ahead import FAVOURS, Ahead
from zkdns.registry.zk.portion import FIRST_READS, HEAVY_BYTES, MAX_READS, Portion
from zkdns.registry.zk.read_plan import ReadRequest


def grow(portion: Portion) -> int:
    for _ in range(10):
        portion.took(100)
    return portion.reads


def test_a_connection_that_ended_within_a_reply_halves_what_is_read_until_all_was() -> None:
    portion = Portion()
    assert portion.reads == FIRST_READS
    assert grow(portion) == MAX_READS
    portion.lose()
    assert portion.reads == FIRST_READS
    assert grow(portion) == MAX_READS // 2
    portion.lose()
    assert grow(portion) == MAX_READS // 4
    for _ in range(10):
        portion.lose()
    assert (portion.reads, grow(portion)) == (1, 1)
    portion.end()
    assert grow(portion) == MAX_READS


def test_a_reply_that_is_too_heavy_makes_the_next_request_as_much_smaller() -> None:
    portion = Portion()
    grow(portion)
    portion.took(4 * HEAVY_BYTES)
    assert portion.reads == MAX_READS // 4
    portion.took(HEAVY_BYTES * 3 // 4)
    assert portion.reads == MAX_READS // 4, "of that size it stays"
    portion.took(1000 * HEAVY_BYTES)
    assert portion.reads == 1


def requests(prefix: str, number: int) -> list[ReadRequest]:
    return [ReadRequest(f"/services/{prefix}{n}", True) for n in range(number)]


def test_what_somebody_asks_for_is_read_first_and_the_others_go_on() -> None:
    ahead = Ahead()
    for n, request in enumerate(requests("s", 4)):
        ahead.put(f"s{n}", n, request)
    asked = requests("web", 8)
    for request in asked[:4]:
        ahead.put("web", 9, request)
    ahead.favour("web", 9)
    for request in asked[4:]:
        ahead.put("web", 9, request)
    order = [request.path for _, request in (ahead.take_next() for _ in range(12)) if request]
    assert [path for path in order if "web" in path] == [request.path for request in asked]
    assert ["web" in path for path in order[: 2 * (FAVOURS + 1)]] == [*[True] * FAVOURS, False] * 2
    assert not ahead
    ahead.forget("web")
    ahead.put("s0", 0, asked[0])
    ahead.put("web", 9, asked[1])
    assert [ahead.take_next()[1], ahead.take_next()[1]] == asked[:2], "it is nobody's favourite any more"


def test_of_many_that_one_transaction_made_the_newest_does_not_wait_for_all() -> None:
    ahead, asked = Ahead(), requests("s", 200)
    for n, request in enumerate(asked):
        ahead.put(f"s{n}", 9, request)
    assert ahead.take_next() == ("s199", asked[-1])
    assert ahead.take_next() == ("s0", asked[0])


def test_what_is_not_to_be_read_any_more_is_not() -> None:
    ahead = Ahead()
    ahead.favour("web", 9)
    for name, request in zip(("web", "db"), requests("x", 2), strict=True):
        ahead.put(name, 9, request)
    ahead.clear()
    assert not ahead
    with pytest.raises(KeyError):
        ahead.take_next()
    ahead.favour("app", 9)
    later = requests("y", 2 * FAVOURS)
    for request in later:
        ahead.put("app", 9, request)
    assert [ahead.take_next()[1] for _ in later] == later, "and no turn of theirs is left"
    assert not ahead
