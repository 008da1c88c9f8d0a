"""Clients take turns, and nobody's many keep others out."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from zkdns.line import Line


def test_clients_take_turns_however_many_one_has_waiting() -> None:
    line: Line[str] = Line(100)
    for client in "aaaaabbc":
        assert line.put(client.encode(), client)
    assert "".join(line.take() for _ in range(len(line))) == "abcabaaa"


def test_who_has_nothing_waiting_comes_before_those_that_have() -> None:
    line: Line[str] = Line(100)
    for client in "aaabbbccc":
        line.put(client.encode(), client)
    before = [line.take() for _ in range(4)]
    line.put(b"own", "own")
    assert (before, line.take()) == (["a", "b", "c", "a"], "own")


def test_newcomers_however_many_leave_those_that_wait_every_fourth_turn() -> None:
    line: Line[str] = Line(1000)
    for _ in range(10):
        line.put(b"waits", "waits")
    line.take()
    for n in range(30):
        line.put(b"%d" % n, "new")
    given = [line.take() for _ in range(40 - 1)]
    assert [n for n, one in enumerate(given) if one == "waits"][:6] == [2, 6, 10, 14, 18, 22]


def test_who_has_more_than_a_part_gets_no_more_in_and_others_do() -> None:
    line: Line[int] = Line(10)
    assert [line.put(b"flood", n) for n in range(12)] == [True] * 10 + [False] * 2
    assert line.put(b"own", 1)
    assert not line.put(b"flood", 13)
    assert [line.take(), line.take()] == [0, 1]
    for n in range(100):
        line.put(b"spoofed %d" % n, n)
    assert len(line) == 20, "twice as many wait at most"


@given(st.lists(st.sampled_from("abcde") | st.none(), max_size=200), st.integers(1, 20))
def test_each_clients_own_come_in_their_order_and_none_is_lost(steps: list[str | None], most: int) -> None:
    line: Line[tuple[str, int]] = Line(most)
    waiting: dict[str, list[int]] = {}
    came: Counter[str] = Counter()
    for client in steps:
        if client is not None:
            came[client] += 1
            if line.put(client.encode(), (client, came[client])):
                waiting.setdefault(client, []).append(came[client])
        elif line:
            whose, number = line.take()
            assert waiting[whose].pop(0) == number
        assert len(line) == sum(map(len, waiting.values())) <= 2 * most
    while line:
        whose, number = line.take()
        assert waiting[whose].pop(0) == number
    assert not any(waiting.values())
