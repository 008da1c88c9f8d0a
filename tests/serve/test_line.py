"""Clients take turns, and nobody's many keep others out."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from zkdns.serve.listen.line import Line


def test_clients_take_turns_however_many_one_has_waiting() -> None:
    line: Line[str] = Line(100)
    for client in "aaaaabbc":
        assert line.put(client, client)
    assert "".join(line.take() for _ in range(len(line))) == "abcabaaa"


def test_who_has_more_than_a_part_gets_no_more_in_and_others_do() -> None:
    line: Line[int] = Line(10)
    assert [line.put("flood", n) for n in range(12)] == [True] * 10 + [False] * 2
    assert line.put("own", 1)
    assert not line.put("flood", 13)
    assert [line.take(), line.take()] == [0, 1]
    for n in range(100):
        line.put(f"spoofed {n}", n)
    assert len(line) == 20, "twice as many wait at most"


@given(st.lists(st.sampled_from("abcde") | st.none(), max_size=200), st.integers(1, 20))
def test_each_clients_own_come_in_their_order_and_none_is_lost(steps: list[str | None], most: int) -> None:
    line: Line[tuple[str, int]] = Line(most)
    waiting: dict[str, list[int]] = {}
    came: Counter[str] = Counter()
    for client in steps:
        if client is not None:
            came[client] += 1
            if line.put(client, (client, came[client])):
                waiting.setdefault(client, []).append(came[client])
        elif line:
            whose, number = line.take()
            assert waiting[whose].pop(0) == number
        assert len(line) == sum(map(len, waiting.values())) <= 2 * most
    while line:
        whose, number = line.take()
        assert waiting[whose].pop(0) == number
    assert not any(waiting.values())
