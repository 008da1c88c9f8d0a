"""What takes the place of others is looked at little at a time: counted in objects that one look meets."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from zkdns.server import collector

MANY, A_TURN = 8_000, 100


@pytest.fixture(autouse=True)
def as_a_server_has_it() -> Iterator[None]:
    before = gc.get_threshold()
    collector.set_pace()
    collector.leave()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def most_at_once(after_each_turn: Callable[[], None]) -> int:
    """How many objects the longest look meets while thousands take the place of others, and some come."""
    seen = [0]

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            young = range(about["generation"] + 1)
            seen.append(sum(len(gc.get_objects(generation=n)) for n in young))

    held: list[list[int]] = [[n] for n in range(MANY)]
    collector.leave()
    gc.callbacks.append(note)
    try:
        for at in range(0, MANY, A_TURN):
            held[at : at + A_TURN] = [[n] for n in range(A_TURN)]
            after_each_turn()
        held += [[n] for n in range(collector.YOUNG + 1)]
    finally:
        gc.callbacks.remove(note)
    return max(seen)


def test_no_look_meets_all_that_took_the_place_of_others() -> None:
    assert most_at_once(lambda: None) > MANY, "as it is by itself"
    assert most_at_once(collector.look) < 1.5 * collector.YOUNG


def test_what_is_old_is_not_looked_at() -> None:
    before = gc.get_stats()[2]["collections"]
    for _ in range(20_000):
        collector.look()
    [[n] for n in range(10 * collector.YOUNG)]
    assert gc.get_stats()[2]["collections"] == before
