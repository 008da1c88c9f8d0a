"""The room's one door: what is known of overrides, probes, replicas and losses, and each service judged.

Rules: pure; no I/O, no clock of its own. What goes in, and the `work` that comes of it, gives back which
services must be judged again; `judge` takes them one by one. `take_probes` tells what is to be probed from
now on, and `take_ballot` what this replica has to say to the others: at most once a second, and only where
it changed.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice

from msgspec import structs

from zkdns.health import checks, consensus, guard, judge, targets
from zkdns.health.ballots import MAX_REPLICAS, NO_NODES, Ballots
from zkdns.health.consensus import majority
from zkdns.health.guard import NO_GRACE, NO_LOSSES, Grace, Losses
from zkdns.health.judge import NO_OVERRIDES, ServiceView
from zkdns.health.own_ballot import OwnBallot
from zkdns.health.sharing import Sharing
from zkdns.health.targets import EVERYWHERE, CheckPolicy, Target, targets_of
from zkdns.health.thresholds import CheckState, LastProbe
from zkdns.lists import some_of
from zkdns.model import Instance, Override, Problem, Service, Verdict
from zkdns.overrides import is_drained
from zkdns.persistent import PersistentMap, differing
from zkdns.roots import HEALTH
from zkdns.steps import SLICE, Steps, finish, glance
from zkdns.wall import Wall

SPARE = 1.0
"""Seconds for which the first round waits beyond the longest timeout."""

DOINGS = ("shared", "counted", "taken")
"""What is done with an instance that is checked, behind the wall."""

CHUNK = 16
"""Instances that are done between two looks at the clock."""


class Health:
    """`replica`: our id, the name of our nodes under /zkdns/servers and /zkdns/health. `probes`: whether
    we probe ourselves; else only what others say counts."""

    def __init__(
        self,
        replica: str,
        *,
        probes: bool = True,
        policy: CheckPolicy = EVERYWHERE,
        wall: Wall | None = None,
    ) -> None:
        self._wall = wall or Wall()
        self.problems: dict[str, Problem] = {}
        """By service: why its check is not in force."""
        self._probes = probes
        self._policy = policy
        self._overrides: Mapping[str, Mapping[str, Override]] = PersistentMap()
        self._uncounted: dict[str, None] = {}
        """Instances whose votes are to be counted."""
        # by service
        self._registered: dict[str, Service] = {}
        self._losses: dict[str, Losses] = {}
        self._targets: dict[str, dict[str, Target]] = {}
        # by instance path
        self._service_of: dict[str, str] = {}
        self._ballots = Ballots(
            replica, lambda _, data: consensus.reading(data), self._service_of, self._count_later
        )  # fmt: skip
        self._sharing = Sharing(replica, probes, self._ballots)
        self._check_states: dict[str, CheckState] = {}
        self._unprobed: set[str] = set()
        self._own_ballot = OwnBallot(replica, self._wall)

    # --- in ---------------------------------------------------------------------------------------

    def override(self, overrides: Mapping[str, Mapping[str, Override]]) -> list[str]:
        """All overrides that there are, by service, and of each by instance id. Returns the services whose
        overrides have changed."""
        old, self._overrides = self._overrides, overrides
        return [name for name in differing(old, overrides) if old.get(name) != overrides.get(name)]

    def override_of(self, service: str, id: str) -> Override | None:
        """What operators ordered for one instance."""
        return self._overrides.get(service, NO_OVERRIDES).get(id)

    def replicas(self, written: Mapping[str, float], made_by: Mapping[str, int] = NO_NODES) -> None:
        """The live replicas, when their nodes were written, and by which transactions they were made."""
        self._ballots.see(written, made_by)
        self._elect()

    def ballots(self, nodes: Mapping[str, bytes]) -> None:
        """All the replicas' nodes under /zkdns/health, by replica."""
        self._ballots.take(nodes)
        self._elect()
        self._tell_ballots()

    def _tell_ballots(self) -> None:
        """What of the ballots says nothing, for there is too much of it."""
        beyond, crowded = self._ballots.left_out, self._ballots.crowded
        what = f"{beyond} ballots beyond the {MAX_REPLICAS} that are read" if beyond else ""
        if crowded:
            what += " and " * bool(what)
            what += f"more in large ballots than is kept: nothing that {some_of(crowded, 3)} told counts"
        if what:
            cure = "delete those that are no server's of yours"
            self.problems[""] = Problem(HEALTH, f"holds {what}", cure)
        else:
            self.problems.pop("", None)

    def _elect(self) -> None:
        """Who is to probe, now that replicas or ballots came or went."""
        self._sharing.elect(chain.from_iterable(self._targets.values()))

    def lose(self) -> None:
        """ZooKeeper is out of reach: the others' ballots stand still, and what we probe ourselves is all that
        is known of it."""
        self._ballots.lose()

    def find(self, now: float) -> None:
        """It is within reach, and the replicas' nodes were read again."""
        self._ballots.find(now)

    def shift(self, by: float) -> None:
        """The clock was set: what is waited for and what is kept is so much later by it."""
        self._ballots.shift(by)
        self._sharing.shift(by)
        self._losses = {name: guard.shift(losses, by) for name, losses in self._losses.items()}
        self._own_ballot.shift(by)

    @property
    def wake(self) -> float | None:
        """When there is work though nothing comes in."""
        moments = (self._ballots.believed_at, self._sharing.wake)
        return min((at for at in moments if at is not None), default=None)

    @property
    def has_work(self) -> bool:
        return bool(self._uncounted) or self._sharing.has_work or self._ballots.has_unread

    def work(
        self, now: float, tick: Callable[[], float] = lambda: 0.0, until: float = float("inf")
    ) -> set[str]:
        """Read ballots, share instances among the voters, count votes, until that moment of `tick`, but some
        of it at least. Returns the services that must be judged again."""
        names: set[str] = set()
        self._ballots.end_doubts(now)
        while True:
            if self._ballots.has_unread:
                with self._wall.around(f"{HEALTH}/{self._ballots.next_unread}", "read"):
                    self._ballots.read_some()
                self._tell_ballots()
            elif paths := self._sharing.take(now):
                self._share(paths, now)
            elif self._uncounted:
                names |= self._count_votes(_some(self._uncounted))
            else:
                break
            if tick() > until:
                break
        return names

    def _count_later(self, paths: Iterable[str]) -> None:
        self._uncounted.update(dict.fromkeys(paths))

    def take(self, target: Target, verdict: Verdict, now: float) -> set[str]:
        """One probe's verdict; one on a target that is ours no more counts for nothing."""
        path = target.path
        service = self._service_of.get(path)
        if service is None or self._targets[service][path] != target or not self._sharing.is_ours(target):
            return set()
        if not self._own_ballot.take(target, verdict, now):
            return set()
        return self._count_votes((path,))

    # --- out --------------------------------------------------------------------------------------

    def judge(
        self, service: Service, now: float, previous: Service | None = None, grace: Grace = NO_GRACE
    ) -> tuple[Service, float | None]:
        """The service with each instance judged, and when to ask again. One that is gone from the
        registry is asked for without instances; it comes back without any when nothing is kept."""
        return finish(self.steps(service, now, previous, grace))

    def steps(
        self, service: Service, now: float, previous: Service | None, grace: Grace
    ) -> Steps[tuple[Service, float | None]]:
        """The same with pauses."""
        name = service.name
        overrides = self._overrides.get(name, NO_OVERRIDES)

        def released(instance: Instance) -> bool:
            return self._fails(instance.unique_key) or is_drained(overrides.get(instance.id), now)

        before, losses = self._registered.get(name), self._losses.get(name, NO_LOSSES)
        while True:
            losses = yield from guard.retain(losses, before, service, now, released, grace)
            problem = yield from self._update_targets(service, losses, now)
            if not losses.kept or not (yield from guard.any_released(losses, released)):
                break
            before = service  # the votes on those who are kept are counted now, and one is to be let go
        if problem is None:
            self.problems.pop(name, None)
        else:
            self.problems[name] = problem
        view = self._view(overrides, service.instances, self._targets.get(name, {}), losses)
        if service.instances or losses != NO_LOSSES:
            self._registered[name], self._losses[name] = service, losses
        else:
            self._registered.pop(name, None)
            self._losses.pop(name, None)
        return (yield from judge.steps(service, view, now, previous))

    def forget(self, name: str) -> None:
        """What was registered of a service before, and which of that is kept."""
        self._registered.pop(name, None)
        self._losses.pop(name, None)

    def trial(self, service: Service, now: float, overrides: Mapping[str, Override] | None = None) -> Service:
        """The service as it would be judged; nothing is noted. `overrides`: what would be ordered for it,
        where it is not there yet."""
        if overrides is None:
            overrides = self._overrides.get(service.name, NO_OVERRIDES)
        targets, _ = targets_of(service, service.instances, checks.names(), self._policy)
        view = self._view(overrides, service.instances, {t.path: t for t in targets}, NO_LOSSES)
        known = {t.path: state for t in targets if (state := self._known_of(t)) is not None}
        if known:
            view = structs.replace(view, check_states=ChainMap(self._check_states, known))
        return judge.judge(service, view, now)[0]

    def _view(
        self,
        overrides: Mapping[str, Override],
        instances: Sequence[Instance],
        targets: Mapping[str, Target],
        losses: Losses,
    ) -> ServiceView:
        unchecked: frozenset[str] = frozenset()
        if targets and self._policy.networks:
            unchecked = frozenset(i.unique_key for i in instances if i.unique_key not in targets)
        return ServiceView(overrides, bool(targets), self._check_states, losses.kept, unchecked)

    def last_probes(self, service: Service) -> dict[str, LastProbe]:
        """What we saw ourselves at those of its instances that are ours to probe, by id."""
        return self._own_ballot.last_probes(service)

    def take_probes(self) -> dict[str, Target | None]:
        """What is to be probed from now on, by path, None for no more: what changed since the last call."""
        return self._sharing.take_moved()

    @property
    def all_probed(self) -> bool:
        """Whether each instance that was judged so far and has a check has been probed, by us or by
        another replica."""
        return not (self._unprobed and self._probes)

    @property
    def first_round(self) -> float:
        """Seconds for which the first round of probes is waited for."""
        timeouts = [self._targets[self._service_of[path]][path].check.timeout for path in self._unprobed]
        return max(timeouts) + SPARE if timeouts and self._probes else 0.0

    @property
    def ballot_due(self) -> float | None:
        """When `take_ballot` has something to write; None for nothing."""
        return self._own_ballot.due

    def take_ballot(self, now: float) -> bytes | None:
        """Our verdicts for the others, where it is time to write them and they changed."""
        return self._own_ballot.write(now)

    # --- one service ------------------------------------------------------------------------------

    def _update_targets(self, service: Service, losses: Losses, now: float) -> Steps[Problem | None]:
        """At each pause what is known of a path goes together."""
        name = service.name
        instances = (*service.instances, *(k.instance for k in losses.kept))
        old = self._targets.get(name, {})
        those, problem = yield from targets.steps(service, instances, checks.names(), self._policy, old)
        new: dict[str, Target] = {}
        yield from glance(those, lambda some: new.update([(target.path, target) for target in some]))
        if not (old or new):
            return problem
        standing = self._targets[name] = dict(old)
        for at, path in enumerate(old.keys() - new.keys(), 1):
            if not at % SLICE:
                yield
            del standing[path]
            self._sharing.end(path)
            self._own_ballot.discount(path, now)
            for doing in DOINGS:
                self._wall.forgive(path, doing)
            self._service_of.pop(path, None)
            self._check_states.pop(path, None)
            self._unprobed.discard(path)
        for at, (path, target) in enumerate(new.items(), 1):
            if not at % SLICE:
                yield
            known = old.get(path)
            standing[path] = target
            if known is target or known == target:
                continue
            if known is None:
                self._service_of[path] = name
                if (check_state := self._known_of(target)) is not None:
                    self._check_states[path] = check_state
                else:
                    self._unprobed.add(path)
            elif not known.same_place(target) or (self._fails(path) and known.since != target.since):
                # Another process stands there now: what was counted is not about it.
                self._check_states.pop(path, None)
                self._own_ballot.discount(path, now)
            self._sharing.again(path)
            self._recount(path)
        if new:
            self._targets[name] = new
        else:
            del self._targets[name]
        return problem

    def _known_of(self, target: Target) -> CheckState | None:
        """What is told already of an instance that a view has as well: it is out for no moment there."""
        known = self._targets.get(self._service_of.get(target.node, ""), {}).get(target.node)
        is_same = known is not None and known.place() == target.place()
        return self._check_states.get(target.node) if is_same else None

    def _fails(self, path: str) -> bool:
        check_state = self._check_states.get(path)
        return check_state is not None and not check_state.good

    # --- one instance -----------------------------------------------------------------------------

    def _share(self, paths: Iterable[str], now: float) -> None:
        """Probe these, or leave them to others."""
        for path in paths:
            target = self._targets.get(self._service_of.get(path, ""), {}).get(path)
            if target is not None:
                with self._wall.around(path, "shared"):
                    is_ours = self._sharing.share(target, now, path in self._check_states)
                    if not is_ours and self._own_ballot.discount(path, now):
                        self._count_later((path,))  # our vote was one of those that made its state

    def _count_votes(self, paths: Iterable[str]) -> set[str]:
        names: set[str] = set()
        for path in paths:
            if path in self._service_of:
                with self._wall.around(path, "counted"):
                    if self._recount(path):
                        names.add(self._service_of[path])
        return names

    def _recount(self, path: str) -> bool:
        """Count the votes on one instance. Returns whether its check state changed."""
        votes = self._ballots.votes(path, self._own_ballot.vote(path))
        self._sharing.heed(path, bool(votes))
        check_state = majority(votes) or self._check_states.get(path)
        if check_state is None:
            return False
        self._unprobed.discard(path)
        if check_state == self._check_states.get(path):
            return False
        self._check_states[path] = check_state
        return True


def _some(paths: dict[str, None]) -> list[str]:
    """The first of them, taken away."""
    some = list(islice(paths, CHUNK))
    for path in some:
        del paths[path]
    return some
