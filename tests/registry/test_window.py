"""How many services may be read before those that were told are in the answers."""

from __future__ import annotations

from zkdns.registry.zk.window import MAX_SERVICES, Window


def test_what_is_being_read_and_what_is_told_takes_room_until_it_is_taken() -> None:
    window = Window()
    window.take(0)
    window.send(3)
    window.send(2)
    assert window.room == MAX_SERVICES - 5
    window.read(3, True)
    window.tell(2)
    assert window.room == MAX_SERVICES - 5
    window.take(1)
    assert window.room == MAX_SERVICES - 5, "it was told in two parts"
    window.take(2)
    assert window.room == MAX_SERVICES - 2
    window.read(2, False)
    assert window.room == MAX_SERVICES, "nothing is told of it"


def test_there_is_no_bound_where_nobody_tells_what_is_taken() -> None:
    window = Window()
    window.send(2 * MAX_SERVICES)
    assert window.room < 0
    window.take(0)
    assert window.room == 0
    window.take(None)
    assert window.room < 0


def test_what_was_under_way_on_a_connection_that_is_lost_takes_no_room_and_what_was_told_does() -> None:
    window = Window()
    window.take(0)
    for _ in range(3):
        window.send(2)
    window.read(2, True)
    window.tell(1)
    window.read(2, True)
    window.clear()
    assert window.room == MAX_SERVICES - 4
    window.tell(1)
    window.take(2)
    assert window.room == MAX_SERVICES
