"""Six bugs that a reader of ZooKeeper can have, planted in the real code, so that the simulator shows what it
sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zkdns.model import Begin, Event, Whole
from zkdns.pipeline import pipeline
from zkdns.registry import service_tree
from zkdns.registry.zk import reads, root_reads
from zkdns.registry.zk.wire import CHILD, DELETED
from zkdns.registry.znodes import Nodes

Plant = Callable[[pytest.MonkeyPatch], None]


def drop_an_event_while_draining(patch: pytest.MonkeyPatch) -> None:
    real = root_reads.RootReads.watched

    def watched(self: Any, kind: int, path: str, one_shot: bool) -> None:
        if self.work is not root_reads.Work.DRAIN:
            real(self, kind, path, one_shot)

    patch.setattr(root_reads.RootReads, "watched", watched)


def compare_no_epoch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline, "serial_of", lambda zxid: zxid & 0xFFFFFFFF)


def take_whole_before_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    def take_batch(self: Any, batch: Any, now: float) -> None:
        self._batches -= 1
        self._tell(batch.root, batch.root.take(batch.requests, batch.replies))
        batch.root._waiting.clear()
        self._end_work(batch.root, now)

    patch.setattr(reads.Reads, "_take_batch", take_batch)


def let_a_late_read_resurrect(patch: pytest.MonkeyPatch) -> None:
    """What is read already when a deletion is told is taken for the truth."""
    real = root_reads.RootReads.watched

    def watched(self: Any, kind: int, path: str, one_shot: bool) -> None:
        # A node's going is told twice: by the recursive watch, and by the watch of the list that named it.
        if not (kind in (DELETED, CHILD) and self.in_flight):
            real(self, kind, path, one_shot)

    patch.setattr(root_reads.RootReads, "watched", watched)


def ignore_a_restore(patch: pytest.MonkeyPatch) -> None:
    """What was read before the restore stands where the same zxid is met again."""
    patch.setattr(service_tree, "mark_of", lambda data, stat: stat.mzxid)


def lose_an_override(patch: pytest.MonkeyPatch) -> None:
    real = Nodes.apply

    def apply(self: Any, event: Event) -> None:
        if isinstance(event, Whole) and self._nodes:
            self._next = None
        elif not isinstance(event, Begin) or not self._nodes:
            real(self, event)

    patch.setattr(Nodes, "apply", apply)


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        drop_an_event_while_draining,
        compare_no_epoch,
        take_whole_before_the_last_batch,
        let_a_late_read_resurrect,
        ignore_a_restore,
        lose_an_override,
    )
}
