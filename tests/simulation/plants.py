"""Bugs that such a server can have, planted in the real code, so that the simulator shows what it sees.

Each stands for a kind: what a reader of ZooKeeper gets wrong, epochs, ballots, timers, what comes late,
several registries, routes, nodes of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.stepping import in_steps
from zkdns.answers.table import EVERY
from zkdns.health import ballots, consensus, guard, health, judge, own_ballot
from zkdns.model import Begin, Catalog, Event, Session, Whole
from zkdns.pipeline import agenda, registries, routes, staleness
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.registry import Registry
from zkdns.registry import reading
from zkdns.registry.zk import audit, ephemerals, reads, root_reads
from zkdns.registry.zk.wire import CHILD, DELETED, Sync
from zkdns.registry.znodes import Nodes
from zkdns.steps import Steps

Plant = Callable[[pytest.MonkeyPatch], None]

PLANTS: dict[str, tuple[str, Plant, int]] = {}
"""By name: the theme of the schedules that meet it, the bug, and the seed from which on they are tried."""


def plant(theme: str, first: int = 0) -> Callable[[Plant], Plant]:
    """`first`: a seed that met it where hundreds of the theme before it did not. Where it does so no more,
    the search goes on from there, through all that a run of the suite plays."""

    def keep(bug: Plant) -> Plant:
        PLANTS[bug.__name__] = theme, bug, first
        return bug

    return keep


# --- what is read ---------------------------------------------------------------------------------


@plant("order")
def drop_an_event_while_draining(patch: pytest.MonkeyPatch) -> None:
    real = root_reads.RootReads.hear

    def hear(self: Any, events: Any, *rest: Any) -> None:
        if self.work is not root_reads.Work.DRAIN:
            real(self, events, *rest)

    patch.setattr(root_reads.RootReads, "hear", hear)


@plant("reading")
def take_whole_before_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    def take_batch(self: Any, batch: Any, now: float) -> None:
        self._batches -= 1
        self._tell(batch.root, batch.root.take(batch.requests, batch.replies))
        batch.root._marks._waiting.clear()
        self._end_work(batch.root, now)

    patch.setattr(reads.Reads, "_take_batch", take_batch)


@plant("order", first=3562)
def let_a_late_read_resurrect(patch: pytest.MonkeyPatch) -> None:
    """What is read already when a deletion is told is taken for the truth."""
    real = root_reads.RootReads.hear

    def hear(self: Any, events: Any, *rest: Any) -> None:
        # A node's going is told twice: by the recursive watch, and by the watch of the list that named it.
        left = [event for event in events if not (event[0] in (DELETED, CHILD) and self.in_flight)]
        real(self, left, *rest)

    patch.setattr(root_reads.RootReads, "hear", hear)


@plant("reading", first=1034)
def read_nothing_again(patch: pytest.MonkeyPatch) -> None:
    """The audit compares nothing."""
    patch.setattr(audit.Audit, "next", lambda self, now: self.plan(now))


@plant("sessions", first=6442)
def read_without_a_sync(patch: pytest.MonkeyPatch) -> None:
    """What a member says that lags behind is taken for the present."""
    real = reads.Reads._start

    def start(self: Any, now: float) -> None:
        real(self, now)
        sent = self._under_way
        sent._asked = {id: asked for id, asked in sent._asked.items() if not isinstance(asked.what, Sync)}
        sent._outbox = [request for request in sent._outbox if not isinstance(request.what, Sync)]
        self._open()

    patch.setattr(reads.Reads, "_start", start)


# --- epochs ---------------------------------------------------------------------------------------


@plant("backups")
def compare_no_epoch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registries, "serial_of", lambda zxid: zxid & 0xFFFFFFFF)


@plant("backups", first=4563)
def ignore_a_restore(patch: pytest.MonkeyPatch) -> None:
    """What was read before the restore stands where the same zxid is met again."""
    patch.setattr(reading, "mark_of", lambda data, stat: stat.mzxid)


@plant("backups")
def lose_an_override(patch: pytest.MonkeyPatch) -> None:
    real = Nodes.steps

    def steps(self: Any, event: Event) -> Steps[None]:
        if isinstance(event, Whole) and self._now.nodes:
            self._next = None
        elif not isinstance(event, Begin) or not self._now.nodes:
            yield from real(self, event)

    patch.setattr(Nodes, "steps", steps)


# --- ballots --------------------------------------------------------------------------------------


@plant("votes", first=3076)
def count_votes_of_who_went(patch: pytest.MonkeyPatch) -> None:
    def counting(self: Any) -> list[Any]:
        return [votes for _, votes in self._known.values()]

    patch.setattr(ballots.Ballots, "_counting", property(counting, lambda self, votes: None), raising=False)


@plant("replicas")
def count_our_own_vote_twice(patch: pytest.MonkeyPatch) -> None:
    def take(self: Any, nodes: Any) -> None:
        self._nodes = nodes
        self._choose()

    patch.setattr(ballots.Ballots, "take", take)


@plant("probes")
def keep_votes_on_who_moved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(own_ballot.OwnBallot, "discount", lambda self, path, now: path in self._histories)


@plant("replicas")
def empty_a_service_by_half_the_votes(patch: pytest.MonkeyPatch) -> None:
    def majority(votes: Any) -> Any:
        every = list(votes)
        bad = [vote for vote in every if not vote.good]
        return consensus.majority(bad if 2 * len(bad) >= len(every) else every)

    patch.setattr(health, "majority", majority)


@plant("probes")
def write_no_ballot_where_a_target_went(patch: pytest.MonkeyPatch) -> None:
    def discount(self: Any, path: str, now: float) -> bool:
        return self._histories.pop(path, None) is not None

    patch.setattr(own_ballot.OwnBallot, "discount", discount)


@plant("outages", first=8208)
def believe_what_was_said_before_an_outage(patch: pytest.MonkeyPatch) -> None:
    def find_doubtful(self: Any) -> frozenset[str]:
        return frozenset(() if self._is_within else self._known)

    patch.setattr(ballots.Ballots, "_find_doubtful", find_doubtful)


# --- timers ---------------------------------------------------------------------------------------


@plant("routes")
def lose_a_wake(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(agenda.Agenda, "_set_alarm", lambda self, name, at: None)


@plant("routes")
def keep_the_later_alarm(patch: pytest.MonkeyPatch) -> None:
    real = agenda.Agenda._set_alarm

    def set_alarm(self: Any, name: str, at: float) -> None:
        real(self, name, at + 100)

    patch.setattr(agenda.Agenda, "_set_alarm", set_alarm)


@plant("votes")
def ring_without_end(patch: pytest.MonkeyPatch) -> None:
    """An alarm is set again for the moment at which it rang."""
    patch.setattr(agenda, "SOONEST", 0.0)
    patch.setattr(judge, "steps", lambda service, view, now, previous: in_steps((service, now)))


@plant("sessions", first=3147)
def never_try_again(patch: pytest.MonkeyPatch) -> None:
    """The mirror's pause has no end."""
    patch.setattr(reads.Reads, "again", lambda self, now: self._stop())


# --- what comes late ------------------------------------------------------------------------------


@plant("probes", first=705)
def take_a_verdict_on_who_stood_there(patch: pytest.MonkeyPatch) -> None:
    real = health.Health.take

    def take(self: Any, target: Any, verdict: Any, now: float) -> Any:
        service = self._service_of.get(target.path)
        known = self._targets[service][target.path] if service is not None else target
        return real(self, known, verdict, now)

    patch.setattr(health.Health, "take", take)


@plant("sessions", first=1771)
def take_a_wish_of_an_earlier_session(patch: pytest.MonkeyPatch) -> None:
    """A node of ours that went with its session is not made again."""
    real = ephemerals.Ephemerals.connected

    def connected(self: Any, session: int) -> None:
        due = {path: kept.due for path, kept in self._kept.items()}
        real(self, session)
        for path, kept in self._kept.items():
            kept.due = due[path] if kept.made_at > 0 else 0.0

    patch.setattr(ephemerals, "LOOK_AGAIN", 1e9)
    patch.setattr(ephemerals.Ephemerals, "watched", lambda self, paths: None)
    patch.setattr(ephemerals.Ephemerals, "connected", connected)


# --- several registries ---------------------------------------------------------------------------


@plant("outages")
def count_the_first_serial_alone(patch: pytest.MonkeyPatch) -> None:
    def serial(self: Any) -> int:
        return int(self.serial_of(next(iter(self.values()))))

    patch.setattr(registries.Registries, "serial", property(serial))


@plant("outages")
def age_all_with_one(patch: pytest.MonkeyPatch) -> None:
    def number(self: Any, names: Any) -> int:
        return EVERY

    patch.setattr(staleness.Origins, "number", number)


@plant("outages")
def be_young_again(patch: pytest.MonkeyPatch) -> None:
    """What is out of reach is as old as this process."""
    real = Registry.remember

    def remember(self: Any, catalog: Any) -> None:
        real(self, Catalog(catalog.services, (), catalog.serial, True, self._heard_at))

    patch.setattr(Registry, "remember", remember)


@plant("outages")
def forget_what_is_away(patch: pytest.MonkeyPatch) -> None:
    real = Registry.steps

    def steps(self: Any, root: str, event: Event, now: float, grace: float) -> Iterator[None]:
        yield from real(self, root, event, now, grace)
        if isinstance(event, Session) and not event.connected and len(self.reducers) == 1:
            yield from real(self, root, Begin(), now, grace)
            yield from real(self, root, Whole(), now, grace)

    patch.setattr(Registry, "steps", steps)


# --- routes ---------------------------------------------------------------------------------------


@plant("routes")
def tell_nobody_that_leads_here(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routes.RouteBook, "users", lambda self, service: set())


@plant("routes")
def let_a_route_last(patch: pytest.MonkeyPatch) -> None:
    """One that ends by itself goes on until something else happens."""
    patch.setattr(routes, "_sooner", lambda one, other: None)


# --- clocks ---------------------------------------------------------------------------------------


@plant("routes", first=1241)
def wait_for_the_clock_as_it_was(patch: pytest.MonkeyPatch) -> None:
    """What is to be judged again at some time is so by a clock that somebody set meanwhile."""
    patch.setattr(Publisher, "shift", lambda self, by: None)


@plant("outages")
def be_as_old_as_the_clock_says(patch: pytest.MonkeyPatch) -> None:
    """An outage is hours longer or shorter where somebody set the clock in it."""
    patch.setattr(registries.Registries, "shift", lambda self, by: None)


@plant("outages")
def hold_by_the_clock_as_it_is_set(patch: pytest.MonkeyPatch) -> None:
    """What is kept for some seconds is kept for hours, or let go at once."""
    patch.setattr(guard, "shift", lambda losses, by: losses)


@plant("reading")
def forget_that_a_change_is_in_force(patch: pytest.MonkeyPatch) -> None:
    """It is told of as late as the next one of its service."""
    patch.setattr(Publisher, "_count_served", lambda self, name: None)
