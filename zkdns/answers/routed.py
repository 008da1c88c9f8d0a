"""A name that stands for other services, as values: the route that is in force, and what it gives.

Rules: pure. `route_resolver` follows the route; the instances here have the weights and priorities that their
records have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from zkdns.answers.parts import NO_PARTS, Parts
from zkdns.answers.routes import Composed
from zkdns.model import Instance, Service, State
from zkdns.routes import StandsFor, Target, Tier, at_time


class InForce(NamedTuple):
    """A route as it stands at one moment. `source`: where it was written, for people; `until`: when it ends
    by itself, and `over`: in how many seconds its shares move (None: never, not at all)."""

    tiers: tuple[Tier, ...]
    spill: Fraction = Fraction(0)
    source: str = ""
    until: float | None = None
    over: float | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What one owner name gives. `group`: all that stand behind it, healthy or not; `first`: who is given for
    A and AAAA, with the places in a cycle as weights; `levels`: by SRV priority, lowest first; `parts`: which
    of them are which target's."""

    group: tuple[Instance, ...] = ()
    first: tuple[tuple[Instance, ...], ...] = ()
    levels: tuple[tuple[Instance, ...], ...] = ()
    parts: Parts = NO_PARTS


@dataclass(frozen=True, slots=True)
class Routed:
    """A route that was followed: what stands in the place of the service's own instances at its names.

    `protocols` and `ports`: at those of its SRV names, by protocol, and by protocol and port label.
    `composed`: what each target is due; `alone`: the service that it is an alias of. `healthy`: of the
    targets, by text, how many instances are of how many. `problems`: what is wrong with which targets.
    `notes`: those of other services, of which it gives any.
    `origin`: whose staleness its addresses have, where that is not the whole service's.
    """

    in_force: InForce
    composed: Composed
    name: Given
    protocols: Mapping[str, Given]
    ports: Mapping[tuple[str, str], Given]
    note: str = ""
    alone: Service | None = None
    healthy: Mapping[Target, tuple[int, int]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    origin: int | None = None
    notes: tuple[str, ...] = ()

    def asked(self) -> tuple[Target, ...]:
        """The targets that its addresses rest upon: those up to the last tier that gives any."""
        giving = [n for n, part in enumerate(self.composed.parts) if part]
        tiers = self.in_force.tiers[: giving[-1] + 1] if giving else self.in_force.tiers
        return tuple(dict.fromkeys(target for tier in tiers for target, share in tier if share))


@dataclass(frozen=True, slots=True)
class Beyond:
    """What a service's names give beside its own instances. `guests`: those that another registry alone holds
    of it, with names under the service's, `notes`: by registry, what is to be told of them; `route`: what its
    names stand for, None for its own instances."""

    guests: tuple[Instance, ...] = ()
    route: Routed | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


NOTHING = Beyond()


def as_routed(service: Service, route: Routed) -> Service:
    """How a route's records are dealt: in their shares, else by the policy; an alias as the service that it
    stands for, where it says nothing itself. Its instances are those that stand behind it."""
    settings = (service if route.alone is None else as_alias(service, route.alone)).settings
    if route.composed.pool.is_split:
        settings = replace(settings, policy="weighted")
    notes = [note for note in (route.note, *notes_of_given(service, route)) if note]
    return replace(service, settings=settings, instances=route.name.group, note="; ".join(notes))


def notes_of_given(service: Service, route: Routed) -> tuple[str, ...]:
    """The notes of the services that a route of this one gives instances of."""
    own_note = service.note if service.note and _gives_own(service, route.name.first) else ""
    return (own_note, *route.notes) if own_note else route.notes


def as_alias(service: Service, of: Service) -> Service:
    """With what it doesn't say itself as the service says that it is an alias of."""
    names = ("policy", "answers", "srv_scale", "near", "near_min")
    own, theirs = service.settings, of.settings
    inherited = {name: getattr(theirs, name) for name in names if name not in own.given}
    given = *own.given, *[name for name in theirs.given if name in inherited]
    return replace(service, settings=replace(own, given=given, **inherited))


def _gives_own(service: Service, serving: Sequence[Sequence[Instance]]) -> bool:
    """Whether any of the service's own instances is given, so that its note is about the answer."""
    own = {i.key for i in service.instances}
    return any(i.key in own for tier in serving for i in tier)


def targets_of(in_force: InForce) -> tuple[Target, ...]:
    """All of them, each once, in the order of the tiers."""
    return tuple(dict.fromkeys(target for tier in in_force.tiers for target, _ in tier))


def tell_route(route: Routed) -> list[str]:
    """For a person with dig: `route=web-v1:90,web-v2:10|web@dc2:1`."""
    tiers = (",".join(f"{t}:{float(s):.6g}" for t, s in tier) for tier in route.in_force.tiers)
    return [f"route={'|'.join(tiers)}"]


def in_force_at(chosen: StandsFor, now: float) -> tuple[InForce, float | None]:
    """A route as it stands at this moment, and when its shares move next."""
    route = chosen.route
    tiers, due = at_time(route, now)
    over = route.over if due is not None else None
    return InForce(tiers, route.spill, chosen.source, chosen.until, over), due


def guests_of(base: Service | None, views: Iterable[Service]) -> tuple[Instance, ...]:
    """The instances of views that have names of their own under the service's; the unreadable have none."""
    held, unreadable = base.instances if base is not None else (), State.UNREADABLE
    taken = {i.label for i in held if i.state is not unreadable}
    every = [i for view in views for i in view.instances if i.label not in taken]
    return tuple([i for i in every if i.state is not unreadable])


def view_key(name: str, registry: str) -> str:
    """What the view of a service that one registry alone holds is known by."""
    return f"{name}@{registry}"
