"""One service as registered, and what is known about it -> who is in, who is out, and why.

Rules: pure; no I/O, no clock, no chance: replicas with the same inputs give the same states. Never
raises. What did not change stays the same object, whether it equals what came in or what was given
the last time. The states rank: unreadable, drained by an operator, the instance's own status, its check, held
by the loss guard, warming, healthy; the first that holds is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter, is_
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field

from zkdns.health.guard import BY_GRACE, BY_HOLD, Kept
from zkdns.health.thresholds import CheckState
from zkdns.model import MAX_WEIGHT, NEVER, SERVING, Instance, Override, Service, State
from zkdns.overrides import attribute, in_force
from zkdns.steps import Steps, finish, walk

STEPS: Final = 20
"""The most steps that a warming weight takes: each one is a new table for the service."""

MIN_STEPS: Final = 10
"""A weight too small for a rise of its own is drawn out to about this many steps (`stretch`)."""

GIVEN: Final = "; given by fail_open"
"""What the reason of an instance ends with that is given out all the same."""

GUARDS: Final = ("hold", BY_HOLD), ("grace", BY_GRACE)
"""What keeps suspects, and the reason that they have."""

NEVER_MIND: Final = 1e-6
"""Seconds. A float holds the epoch to 0.24 µs, so a step's own moment may read as just before it."""

NOTHING: Final[Mapping[str, CheckState]] = MappingProxyType({})
NO_OVERRIDES: Final[Mapping[str, Override]] = MappingProxyType({})


class ServiceView(Struct, frozen=True):
    """What is known about one service beside its registrations.

    `overrides`: by instance id. `checked`: a usable check is in force; then `check_states` tells by
    key how each instance stands, and one that is not in it was never probed. `kept`: what the
    loss guard holds. `unchecked`: the keys of those that the check may not reach.
    """

    overrides: Mapping[str, Override] = field(default_factory=lambda: NO_OVERRIDES)
    checked: bool = False
    check_states: Mapping[str, CheckState] = field(default_factory=lambda: NOTHING)
    kept: tuple[Kept, ...] = ()
    unchecked: frozenset[str] = frozenset()

    def is_checked(self, instance: Instance) -> bool:
        return self.checked and instance.unique_key not in self.unchecked


def judge(
    service: Service, view: ServiceView, now: float, previous: Service | None = None
) -> tuple[Service, float | None]:
    """The service with each instance's state, reason, weight and place, and when to judge it again."""
    return finish(steps(service, view, now, previous))


def steps(
    service: Service, view: ServiceView, now: float, previous: Service | None
) -> Steps[tuple[Service, float | None]]:
    """The same with pauses. `previous`: as it was given the last time."""
    alarms: list[float] = []
    factor, stretched_until = yield from stretch(service, now)
    if factor > 1:
        alarms.append(stretched_until)
    verdicts = _Verdicts(service, view, now, factor, alarms)
    notable = yield from _find_told(service, view)
    judged = list(service.instances)

    def judge_some(some: Sequence[int]) -> None:
        for at in some:
            judged[at] = verdicts.judge(judged[at])

    yield from walk(notable, judge_some)
    if view.kept:
        taken: set[str] = set()
        yield from walk(service.instances, lambda some: taken.update([i.label for i in some]))

        def judge_kept(some: Sequence[Kept]) -> None:
            those = [k for k in some if k.until > now]
            judged.extend([verdicts.judge(k.instance, k.why) for k in those if k.instance.label not in taken])
            alarms.extend([k.until for k in those])

        yield from walk(view.kept, judge_kept)
        judged.sort(key=attrgetter("id"))
        yield
    elif not notable:
        return _reuse(service, service.instances, "", previous), None
    judged, opened = yield from _open(judged, service.settings.fail_open)
    notes = [opened] if opened else []
    if view.kept:
        reasons: Counter[str] = Counter()

        def count_kept(some: Sequence[Instance]) -> None:
            reasons.update([i.reason.removesuffix(GIVEN) for i in some if i.state is State.SUSPECT])

        yield from walk(judged, count_kept)
        notes += [f"{reasons[why]} kept by {word}" for word, why in GUARDS if reasons[why]]
    if factor > 1:
        notes.append(f"weights times {factor} while new instances warm up")
    before: dict[str, Instance] = {}
    if previous is not None:
        yield from walk(previous.instances, lambda some: before.update([(i.path, i) for i in some]))
    same: list[Instance] = []
    yield from walk(judged, lambda some: same.extend([_same(i, before) for i in some]))
    return _reuse(service, tuple(same), "; ".join(notes), previous), min(alarms, default=None)


def fail_open(instances: Sequence[Instance], threshold: float) -> tuple[list[Instance], str]:
    """All of them given where less than this part of them is healthy, and the note that tells it; else as
    they are, and no note."""
    return finish(_open(instances, threshold))


def _open(instances: Sequence[Instance], threshold: float) -> Steps[tuple[list[Instance], str]]:
    healthy = candidates = 0

    def count(some: Sequence[Instance]) -> None:
        nonlocal healthy, candidates
        healthy += sum([i.state in SERVING for i in some])
        candidates += sum([i.state not in NEVER for i in some])

    yield from walk(instances, count)
    if not candidates or healthy / candidates >= threshold:
        return list(instances), ""
    given: list[Instance] = []
    yield from walk(instances, lambda some: given.extend([_give(i) for i in some]))
    return given, f"fail_open: all given ({healthy} of {candidates} healthy)"


def _find_told(service: Service, view: ServiceView) -> Steps[list[int]]:
    """The indices of the instances that there is anything to tell of. Most of a large service are as they
    registered, and cost no more than this look."""
    instances, check_states, overrides = service.instances, view.check_states, view.overrides
    checked = view.checked
    if service.settings.warm > 0:
        return list(range(len(instances)))
    notable: list[int] = []
    start = 0

    def look(some: Sequence[Instance]) -> None:
        nonlocal start
        notable.extend(
            [
                at
                for at, i in enumerate(some, start)
                if i.registration.status != "up"
                or i.state is not State.HEALTHY
                or i.reason
                or not i.answered
                or i.weight != i.registration.weight
                or (
                    checked
                    and view.is_checked(i)
                    and ((check_state := check_states.get(i.unique_key)) is None or not check_state.good)
                )
                or (overrides and i.id in overrides)
            ]
        )
        start += len(some)

    yield from walk(instances, look)
    return notable


class _Verdicts(Struct, frozen=True):
    """On the instances of one service at one moment. `factor`: for all weights, while some warm up; `alarms`:
    gathers when to judge again."""

    service: Service
    view: ServiceView
    now: float
    factor: int
    alarms: list[float]

    def judge(self, instance: Instance, gone: str = "") -> Instance:
        """`gone`: why one that is registered no more is kept."""
        drain = weigh = None
        for order in in_force(self.view.overrides.get(instance.id), self.now):
            if order.until is not None:
                self.alarms.append(order.until)
            drain = drain or (order if order.drain else None)
            weigh = weigh or (order if order.weight is not None else None)
        own, warm, factor = instance.registration.weight, self.service.settings.warm, self.factor
        weight = own if weigh is None or weigh.weight is None else weigh.weight
        state, reason = self._state(instance, drain, gone)
        if state is State.HEALTHY:
            if weigh is not None:
                reason = f"weight {weight}, set {attribute(weigh)}"
            elif warm > 0 and own > 0:
                part, steps, next_step = warmth(instance.since, warm, own * factor, self.now)
                if part < steps:
                    self.alarms.append(next_step)
                    state, reason = State.WARMING, f"warming up, at {100 * part // steps} % of its weight"
                    weight = max(1, own * factor * part // steps)
                    factor = 1
        weight = min(weight * factor, MAX_WEIGHT)
        answered = state in SERVING
        if (
            instance.state is state
            and instance.weight == weight
            and instance.answered == answered
            and instance.reason == reason
        ):
            return instance
        return replace(instance, state=state, reason=reason, weight=weight, answered=answered)

    def _state(self, instance: Instance, drain: Override | None, gone: str) -> tuple[State, str]:
        status = instance.registration.status
        if instance.state is State.UNREADABLE:
            return State.UNREADABLE, instance.reason
        if drain is not None:
            return State.DRAINED, f"drained {attribute(drain)}"
        if status != "up":
            return State(status), f"registered as {status}"
        if self.view.is_checked(instance):
            check_state = self.view.check_states.get(instance.unique_key)
            if check_state is None and not gone:
                return State.STARTING, "no probe yet"
            if check_state is not None and not check_state.good:
                return State.FAILING, check_state.why or "check fails"
        if gone:
            return State.SUSPECT, gone
        return State.HEALTHY, ""


def warmth(since: float, warm: float, weight: int, now: float) -> tuple[int, int, float]:
    """How many of how many equal steps a new instance has come up, and when the next one is due.

    It depends on the time of creation and the clock alone, so that replicas agree without talking.
    """
    steps = min(STEPS, weight)
    age = now - since + NEVER_MIND
    part = steps if age >= warm else max(0, int(age * steps / warm))
    return part, steps, since + warm * (part + 1) / steps


def stretch(service: Service, now: float) -> Steps[tuple[int, float]]:
    """The factor for all weights while instances warm up whose own weight leaves no room to rise,
    and until when.

    The default weight is 1, and nothing whole lies between that and 0. Shares don't change by it.
    """
    warm = service.settings.warm
    if warm <= 0:
        return 1, now
    weights: set[int] = set()
    smallest, latest = MIN_STEPS, float("-inf")

    def look(some: Sequence[Instance]) -> None:
        nonlocal smallest, latest
        weights.update([i.registration.weight for i in some])
        young = [i for i in some if now - i.since + NEVER_MIND < warm]
        rising = [i for i in young if 0 < i.registration.weight < MIN_STEPS // 2]
        if rising:
            latest = max(latest, *[i.since for i in rising])
            smallest = min(smallest, *[i.registration.weight for i in rising])

    yield from walk(service.instances, look)
    if smallest == MIN_STEPS:
        return 1, now
    return min(-(-MIN_STEPS // smallest), MAX_WEIGHT // max(weights)), latest + warm


def _give(instance: Instance) -> Instance:
    if instance.answered or instance.state in NEVER:
        return instance
    return replace(instance, answered=True, reason=f"{instance.reason}{GIVEN}")


def _same(instance: Instance, before: Mapping[str, Instance]) -> Instance:
    known = before.get(instance.path)
    return known if known is not None and (known is instance or known == instance) else instance


def _reuse(service: Service, instances: tuple[Instance, ...], note: str, previous: Service | None) -> Service:
    if _all_same(service.instances, instances):
        instances = service.instances
    if previous is not None and _all_same(previous.instances, instances):
        unchanged = replace(service, instances=previous.instances, note=note)
        if unchanged == previous:
            return previous
    if instances is service.instances and service.note == note:
        return service
    return replace(service, instances=instances, note=note)


def _all_same(ones: tuple[Instance, ...], others: tuple[Instance, ...]) -> bool:
    return len(ones) == len(others) and all(map(is_, ones, others))
