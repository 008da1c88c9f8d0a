"""What pages show of the journal is read again as seldom as it is costly, however many are open."""

from __future__ import annotations

from typing import Any

import pytest

from zkdns.model import Change
from zkdns.pipeline.journal import Query
from zkdns.web.page import Past
from zkdns.web.past import MAX_KEPT, MIN_REUSE_SECONDS, PACE, Pasts


class Journal:
    """What takes `cost` seconds to read, by a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cost = 0.0
        self.reads: list[str] = []
        self.error: OSError | None = None
        observed: Any = self
        self.pasts = Pasts(observed, lambda: self.now)

    def history(self, query: Query) -> Any:
        def read() -> tuple[list[Change], float]:
            if self.error is not None:
                raise self.error
            self.reads.append(query.service)
            self.now += self.cost
            return [Change(self.now, len(self.reads), query.service, "a", "state", "x", "y")], 0.0

        return read

    def look(self, service: str = "web") -> Past:
        return self.pasts.reader(service, 0.0)()


@pytest.mark.parametrize(("cost", "reuse"), [(0.0, MIN_REUSE_SECONDS), (0.5, PACE * 0.5), (3.0, PACE * 3.0)])
def test_a_reading_is_used_again_for_many_times_what_it_cost(cost: float, reuse: float) -> None:
    journal = Journal()
    journal.cost = cost
    first = journal.look()
    journal.now += reuse - 0.01
    assert journal.look() is first
    journal.now += 0.02
    assert journal.look() is not first
    assert journal.reads == ["web", "web"]


def test_each_service_has_its_own_and_so_many_are_kept() -> None:
    journal = Journal()
    journal.cost = 0.001
    for n in range(MAX_KEPT + 1):
        journal.look(f"s{n}")
    assert journal.look("s1").changes[0].service == "s1"
    assert len(journal.reads) == MAX_KEPT + 1
    journal.look("s0")
    assert journal.reads[-1] == "s0", "the oldest had gone"


def test_what_cant_be_read_is_nothing_and_is_tried_again() -> None:
    journal = Journal()
    journal.error = OSError("gone")
    assert journal.look() == Past()
    journal.error = None
    assert journal.look().changes
