"""The mirror's inbox: a note that gets lost is a change that nobody sees until the audit."""

from __future__ import annotations

import queue
import sys
import threading

from zkdns.registry.zk.mirror import take

Note = tuple[int, str]


class Busy(queue.SimpleQueue[Note]):
    """One more note comes each time that the number of notes is asked for, as from kazoo's thread."""

    coming = 0

    def qsize(self) -> int:
        there = super().qsize()
        if self.coming:
            self.put((1, f"/late/{self.coming}"))
            self.coming -= 1
        return there


def test_a_note_that_comes_while_others_are_taken_is_not_lost() -> None:
    inbox = Busy()
    inbox.put((1, "/early"))
    inbox.coming = 3
    taken = [take(inbox, 0) for _ in range(5)]
    assert taken == [[(1, "/early")], [(1, "/late/3")], [(1, "/late/2")], [(1, "/late/1")], []]


def test_all_that_is_there_is_taken_at_once_and_in_order() -> None:
    inbox: queue.SimpleQueue[Note] = queue.SimpleQueue()
    notes = [(1, f"/{n}") for n in range(100)]
    for note in notes:
        inbox.put(note)
    assert take(inbox, 1) == notes
    assert take(inbox, 0.001) == []


def test_every_note_of_another_thread_arrives_once() -> None:
    inbox: queue.SimpleQueue[Note] = queue.SimpleQueue()
    notes = [(1, f"/{n}") for n in range(20_000)]
    every = sys.getswitchinterval()

    def fill() -> None:
        for note in notes:
            inbox.put(note)

    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=fill)
        thread.start()
        taken: list[Note] = []
        while len(taken) < len(notes) and (more := take(inbox, 5)):
            taken += more
        thread.join()
    finally:
        sys.setswitchinterval(every)
    assert taken == notes
