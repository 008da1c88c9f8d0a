"""How two states of a service differ, as Changes.

Rules: pure; in the order of ids, the service itself last. Why, and by whom, is said as far as it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Final, TypeAlias

from msgspec import Struct

from zkdns.identity import apart
from zkdns.model import (
    Change,
    Instance,
    Override,
    Registration,
    Service,
    State,
    What,
)
from zkdns.overrides import are_over, attribute, in_force, moment
from zkdns.pipeline.differing import (
    are_defaults_others,
    differing_fields,
    differing_settings,
    is_set_otherwise,
    tell_place,
)
from zkdns.pipeline.sessions import Sessions, file_of
from zkdns.roots import OVERRIDES
from zkdns.routes import StandsFor, tell_route

SO: Final = "registered so"
CHECK: Final = "check"
RENAMED: Final = "others have its name, or have it no more"
OVER: Final = "kept no longer"
ENDED: Final = "the override's time is over"
TAKEN_BACK: Final = "the override was taken back"
BACK: Final = {
    State.STARTING: "its first check is good",
    State.FAILING: "its check is good again",
    State.SUSPECT: "registered again",
    State.WARMING: "warmed up",
    State.UNREADABLE: "its data can be read",
}
"""By what it was: why it is healthy now."""
_zxid_of = attrgetter("zxid")
_UP: Final = State.HEALTHY, State.WARMING


class Moment(Struct, frozen=True):
    """When something changed: seconds since the epoch, and the newest transaction read by then."""

    at: float
    zxid: int


class Causes(Struct, frozen=True):
    """What else is known: `why_gone` of an instance, the `override` on the instance of a service, and which
    transaction ended what was laid over one (`lifted_by`; 0: none)."""

    why_gone: Callable[[Instance], str] = Sessions().why_gone
    override: Callable[[str, str], Override | None] = lambda service, id: None
    lifted_by: Callable[[str], int] = lambda service: 0


UNKNOWN: Final = Causes()

Known: TypeAlias = tuple[Causes, int]
"""What is known of causes, and the newest transaction."""

SET_SO: Final = "set so in its node", "set so in"
OF_SERVER: Final = "set so in the settings"


def between(
    before: Service | None, after: Service | None, moment: Moment, causes: Causes = UNKNOWN
) -> list[Change]:
    """All that differs. A service that comes or goes tells so itself, and each of its instances too."""
    return [change for change in walk(before, after, moment, causes) if change is not None]


def walk(
    before: Service | None, after: Service | None, moment: Moment, causes: Causes = UNKNOWN
) -> Iterator[Change | None]:
    """The same one by one: of a service of thousands that is work for several turns. None: an
    instance differs in nothing that is told."""
    service = after or before
    if service is None:
        return
    account = _Account(service.name, moment, causes)
    was_there, is_there = _is_registered(before), _is_registered(after)
    if is_there and not was_there:
        why = _place(service, "its node is there", "registered in")
        # It is there since the first of its own: the moment may be that of one that came with it.
        first = min(filter(None, map(_zxid_of, service.instances)), default=service.zxid or None)
        yield account.change("", "registered", "", "registered", why, zxid=first)
    elif was_there and not is_there:
        why = _place(before or service, "its node is gone", "removed from")
        yield account.change("", "gone", "registered", "", why)
    yield from account.of_instances(before, after)
    same = was_there is is_there
    if same and before and after and is_set_otherwise(before.settings, after.settings):
        was, now = differing_settings(before.settings, after.settings)
        of_server = are_defaults_others(before.settings, after.settings)
        yield account.change("", "settings", was, now, OF_SERVER if of_server else _place(after, *SET_SO))
    old = before.stands_for if before is not None else None
    new = after.stands_for if after is not None else None
    if old != new:
        yield account.of_route(old, new, _place(service, *SET_SO))


def ramp_end(service: Service, stands_for: StandsFor) -> Change:
    """The shares of a service's route have moved to where they were to be: told as of that moment, which is
    the same on every replica."""
    route = stands_for.route
    at = route.ends()
    was, now = tell_route(route, at - 1), tell_route(route, at)
    why = f"the ramp of {service.name} ended: now {now}"
    return Change(at, route.zxid, service.name, "", "route", was, now, why)


class _Account(Struct, frozen=True):
    """What is told of the service with this name as of one moment."""

    service: str
    moment: Moment
    causes: Causes

    def change(
        self, id: str, what: What, was: str, now: str, why: str, *,
        by: str = "", instance: Instance | None = None, zxid: int | None = None,
    ) -> Change:  # fmt: skip
        """`zxid`: of the node of its own that made it, where that is known."""
        zxid = self.moment.zxid if zxid is None else zxid
        return Change(self.moment.at, zxid, self.service, id, what, was, now, why, by, instance)

    def of_route(self, old: StandsFor | None, new: StandsFor | None, why: str) -> Change:
        """What its name stands for, in the words of `zkdns route`; nothing where that is its own instances.
        Its transaction is that of its own node, so that all replicas tell the same one. `why`: where its own
        node says so."""
        at, zxid = self.moment.at, self.moment.zxid
        was, now = (tell_route(one.route, at) if one is not None else "" for one in (old, new))
        if new is not None and new.route.zxid:
            zxid = new.route.zxid
        by = ""
        laid, lifted = (one if one is not None and one.source == "override" else None for one in (new, old))
        is_over = lifted is not None and lifted.until is not None and lifted.until <= at
        if laid is not None and not (is_over and lifted is not None and lifted.route.zxid == laid.route.zxid):
            until = f" until {moment(laid.until)}" if laid.until is not None else ""
            why = f"laid by {laid.by or 'an operator'}{until}{f': {laid.why}' if laid.why else ''}"
            by = laid.by
        elif lifted is not None:  # what its node holds beneath it counts again, or nothing that was laid does
            why = ENDED if is_over else TAKEN_BACK
            zxid = 0 if is_over else self.causes.lifted_by(self.service) or zxid
        elif (one := new or old) is not None and one.source == "failover":
            why = "--failover"
        return self.change("", "route", was, now, why, by=by, zxid=zxid)

    def of_instances(self, before: Service | None, after: Service | None) -> Iterator[Change | None]:
        offices = dict.fromkeys((*(before.offices if before else ()), *(after.offices if after else ())))
        elected = _elections(before, after, offices) if offices else {}
        for id, was, now in _pairs(before, after):
            if now is None:
                assert was is not None  # noqa: S101  (one of the two is there)
                why = self.causes.why_gone(was)
                if was.state is State.SUSPECT:
                    why = f"{OVER}: {why}"
                yield self.change(id, "gone", str(was.state), "", why, instance=was)
            elif was is None:
                why, zxid = now.reason or SO, now.zxid or None
                yield self.change(
                    id, "registered", "", str(now.state), why, by=self._by(now), instance=now, zxid=zxid
                )
            else:
                yield from self._of_one(was, now, offices)
            for came_from, went_to, why in elected.get(id, ()):
                yield self.change(id, "leader", came_from, went_to, why, instance=now)

    def _of_one(self, was: Instance, now: Instance, offices: Container[str]) -> Iterator[Change | None]:
        # Who is elected is told apart, and its own node says nothing of it. Other nodes may say what a
        # preset's instance is, such as that of Patroni's leader.
        before, after = _without(offices, was.registration), _without(offices, now.registration)
        zxid = now.zxid if before != after and now.zxid != was.zxid and now.zxid else None
        is_out = (was.state, was.answered) != (now.state, now.answered)
        if is_out or (was.reason != now.reason and was.weight == now.weight):
            why, by = self._why_state(was, now)
            yield self.change(
                now.id, "state", str(was.state), str(now.state), why, by=by, instance=now, zxid=zxid
            )
        if was.weight != now.weight:
            why, by = self._why_weight(was, now)
            yield self.change(
                now.id, "weight", str(was.weight), str(now.weight), why, by=by, instance=now, zxid=zxid
            )
        if (was.label, was.known_as) != (now.label, now.known_as):
            old, new, why = f"named {was.label}", f"named {now.label}", RENAMED
            yield self.change(now.id, "registered", old, new, why, instance=now)
        old, new = tell_place(was), tell_place(now)
        is_told = old == new
        if is_told and before is not after:
            # Its status and its weight were told already.
            before = replace(before, status=after.status, weight=after.weight)
            if before != after:
                is_told = False
                old, new = differing_fields(before, after)
        if not is_told:
            yield self.change(now.id, "registered", old, new, SO, instance=now, zxid=zxid)
        elif not is_out and was.weight == now.weight:
            yield None

    def _why_state(self, was: Instance, now: Instance) -> tuple[str, str]:
        """Why its state changed, and by whose order."""
        if now.state is State.FAILING and not now.reason.startswith(CHECK):
            return f"{CHECK}: {now.reason}", ""
        if now.reason and not (_is_weighed(now) and was.state not in _UP):
            return now.reason, self._by(now)
        if was.state is State.DRAINED or _is_weighed(was):
            return self._why_lifted(now, _drains if was.state is State.DRAINED else _weighs), ""
        if was.registration.status != now.registration.status:
            return SO, ""
        return BACK.get(was.state, SO), ""

    def _why_weight(self, was: Instance, now: Instance) -> tuple[str, str]:
        """Why its weight changed, and by whose order: one on the weight holds whatever else is told of it."""
        order = self._order(now, _weighs)
        if order is not None:
            return f"weight {order.weight}, set {attribute(order)}", order.who
        if _is_weighed(was):
            return self._why_lifted(now, _weighs), ""
        if now.state is State.WARMING:
            return now.reason, ""
        return BACK[was.state] if was.state is State.WARMING else SO, ""

    def _why_lifted(self, now: Instance, kind: Callable[[Override], bool]) -> str:
        """Why an order of that kind is no more."""
        order = self.causes.override(self.service, now.id)
        return ENDED if any(map(kind, are_over(order, self.moment.at))) else TAKEN_BACK

    def _by(self, now: Instance) -> str:
        """The operator whose order holds it where it is."""
        if now.state is not State.DRAINED and not _is_weighed(now):
            return ""
        order = self._order(now, _drains if now.state is State.DRAINED else _weighs)
        return order.who if order is not None else ""

    def _order(self, now: Instance, kind: Callable[[Override], bool]) -> Override | None:
        orders = in_force(self.causes.override(self.service, now.id), self.moment.at)
        return next(filter(kind, orders), None)


def _drains(order: Override) -> bool:
    return order.drain


def _weighs(order: Override) -> bool:
    return order.weight is not None


def _is_weighed(one: Instance) -> bool:
    """Whether an order on its weight is what is told of it."""
    return one.reason.startswith("weight ")


def _is_registered(service: Service | None) -> bool:
    """Whether a node of its own is there; what is laid over a name makes it as well."""
    return service is not None and not service.path.startswith(f"{OVERRIDES}/")


def _place(service: Service, node: str, file: str) -> str:
    """In the words for a znode, or for a table of a file (`FILE: SERVICE`)."""
    return f"{file} {file_of(service.path)}" if ": " in service.path else node


def _without(offices: Container[str], registration: Registration) -> Registration:
    if not any(tag in offices for tag in registration.tags):
        return registration
    return replace(registration, tags=tuple(tag for tag in registration.tags if tag not in offices))


def _pairs(
    before: Service | None, after: Service | None
) -> Iterator[tuple[str, Instance | None, Instance | None]]:
    """By id, the instances that are not the same object before and after. Both services have them in the
    order of their ids. In a service of thousands few differ, or the caller takes them one by one."""
    gone, come = apart(
        before.instances if before is not None else (), after.instances if after is not None else ()
    )
    old, new = iter(gone), iter(come)
    was, now = next(old, None), next(new, None)
    while was is not None or now is not None:
        if was is not None and (now is None or was.id < now.id):
            yield was.id, was, None
            was = next(old, None)
        elif now is not None and (was is None or now.id < was.id):
            yield now.id, None, now
            now = next(new, None)
        elif now is not None:
            if was is not now:
                yield now.id, was, now
            was, now = next(old, None), next(new, None)


def _elections(
    before: Service | None, after: Service | None, offices: Iterable[str]
) -> dict[str, list[tuple[str, str, str]]]:
    """By the id of who had or has an office: from whom it went to whom, and which it is."""
    moves: dict[tuple[str, str], list[str]] = {}
    for office in offices:
        was, now = (
            next((i.id for i in one.instances if office in i.registration.tags), "")
            if one is not None
            else ""
            for one in (before, after)
        )
        if was != now:
            moves.setdefault((was, now), []).append(office)
    by_office: dict[str, list[tuple[str, str, str]]] = {}
    for (was, now), held in moves.items():
        what = "elected" if now else "nobody is elected"
        for id in filter(None, (was, now)):
            by_office.setdefault(id, []).append((was, now, f"{what}: {', '.join(held)}"))
    return by_office
