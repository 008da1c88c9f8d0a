"""What would be if: changes in words, tried on a copy of a service.

Rules: pure; what is answered is never touched. ValueError says what is wrong with a change. The states
that follow rank as they do in `health.judge`: a drain by an operator wins over all else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from msgspec import Struct, structs

from zkdns.answers.routed import InForce, view_key
from zkdns.health.judge import GIVEN, fail_open
from zkdns.lists import list_near
from zkdns.model import MAX_WEIGHT, SERVING, Instance, Service, State
from zkdns.named import find_instance as find_registered
from zkdns.named import find_service
from zkdns.routes import Route, Target, parse_route, tell_tiers

KINDS: Final = ("drain", "undrain", "down", "up", "weight", "remove", "route")
EXAMPLES: Final = (
    "drain=web/a, undrain=web/a, down=web/a, up=web/a, remove=web/a, weight:web/b=50 "
    "or route:web=web-v1:90,web-v2:10"
)

PASSES: Final = ", if its check passes"
"""Where nobody knows what the check of an instance says, that is behind its drain."""

NOBODY: Final[Mapping[str, Instance]] = MappingProxyType({})

TIERS: Final = "|"
"""Between the tiers of a route, as in TXT: `route:web=web-v1:90,web-v2:10|web@dc2`."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CHANGE = re.compile(r"(?P<kind>[a-z]+)[:=](?P<service>[^/]+)/(?P<id>.+?)")


class Change(Struct, frozen=True):
    """One change, as it was written and as it is meant."""

    text: str
    kind: str
    service: str
    id: str
    weight: int = 0
    route: Route | None = None
    judged: Instance | None = None
    """How the instance stands without its drain, where that is known."""


class Trial(Struct, frozen=True):
    """What changes come to. `touched`: services as they would be; `routes`: what is laid over services, by
    their names; `effects`: what each change does, for people."""

    touched: Mapping[str, Service]
    routes: Mapping[str, InForce]
    effects: Sequence[str]


def parse(text: str) -> Change:
    """`drain=web/a`, `weight:web/b=50` or `route:web=web-v1:90,web-v2:10`."""
    kind = re.split("[:=]", text, maxsplit=1)[0]
    if kind == "route":
        return _parse_route(text)
    bare, equals, number = text.rpartition("=") if kind == "weight" else (text, "", "")
    match = _CHANGE.fullmatch(bare)
    if kind not in KINDS or match is None:
        raise ValueError(f"the change {text!r} can't be read; write {EXAMPLES}")
    if kind == "weight" and not (number.isascii() and number.isdigit() and int(number) <= MAX_WEIGHT):
        raise ValueError(f"the change {text!r} needs a weight of 0 to {MAX_WEIGHT}, as in weight:web/b=50")
    return Change(text, kind, match["service"], match["id"], int(number) if equals else 0)


def _parse_route(text: str) -> Change:
    service, equals, rest = text[len("route") + 1 :].partition("=")
    try:
        if not equals or not service or "/" in service:
            raise ValueError("it names no service, or nothing that it stands for")
        return Change(text, "route", service, "", route=parse_route({"to": _read_tiers(rest)}))
    except ValueError as error:
        raise ValueError(f"the change {text!r} can't be read: {error}; write {EXAMPLES}") from None


def _read_tiers(text: str) -> list[dict[str, object]]:
    tiers: list[dict[str, object]] = []
    for words in text.split(TIERS):
        tier: dict[str, object] = {}
        for word in words.split(","):
            target, colon, share = word.strip().partition(":")
            if target in tier:
                raise ValueError(f"{target!r} stands twice in a tier")
            tier[target] = int(share) if share.isascii() and share.isdigit() else share if colon else 1
        tiers.append(tier)
    return tiers


def targets_in(texts: Sequence[str]) -> tuple[Target, ...]:
    """The targets of all routes among the changes; those that can't be read are told elsewhere."""
    targets: dict[Target, None] = {}
    for text in texts:
        with suppress(ValueError):
            route = parse(text).route
            targets |= dict.fromkeys(route.targets() if route is not None else ())
    return tuple(targets)


def undrained_in(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The services and ids of those that the changes undrain."""
    drained: dict[tuple[str, str], None] = {}
    for text in texts:
        with suppress(ValueError):
            change = parse(text)
            drained |= {(change.service, change.id): None} if change.kind == "undrain" else {}
    return tuple(drained)


def try_changes(
    services: Mapping[str, Service],
    texts: Sequence[str],
    routes: Mapping[str, InForce] | None = None,
    lifted: Mapping[str, Instance] = NOBODY,
) -> Trial:
    """`services`: all by name, views with them; `routes`: those in force; `lifted`: by
    path, how those stand that are undrained, as far as that is known."""
    touched: dict[str, Service] = {}
    laid: dict[str, InForce] = {}
    effects = []
    for text in texts:
        change = parse(text)
        if change.route is not None:
            known = next((s for s in {**services, **touched}.values() if _goes_by(change.service, s)), None)
            service = known or _new(change.service)
            touched.setdefault(service.name, service)
            before = laid.get(service.name, (routes or {}).get(service.name))
            laid[service.name] = InForce(change.route.tiers, change.route.spill, "if")
            was = f"not {tell_tiers(before.tiers)}" if before is not None else _tell_alone(known)
            effects.append(f"if {text}: {service.name} stands for {tell_tiers(change.route.tiers)}, {was}")
            continue
        service = find({**services, **touched}, change.service)
        holders = _holders(service, change.id, {**services, **touched})
        effect = ""
        for holder, instance in holders:
            judged = lifted.get(instance.path)
            after = _KINDS[change.kind](instance, structs.replace(change, judged=judged))
            if after is not None and change.kind == "weight":
                after = replace(after, weight=min(after.weight * _stretched(holder), MAX_WEIGHT))
            others = (i for i in holder.instances if i is not instance)
            changed = sorted([*others, *([after] if after is not None else [])], key=lambda i: i.id)
            touched[holder.name] = _judge_again(replace(holder, instances=tuple(changed)))
            effect = effect or f"if {text}: {_tell(instance, after)}"
            if change.kind == "undrain" and _assumes(holder, instance, after, judged):
                effect = effect.removesuffix(PASSES) + PASSES
        effects.append(effect)
    return Trial(touched, laid, effects)


def _new(name: str) -> Service:
    """A name that nothing but the route makes."""
    if _LABEL.fullmatch(name) is None:
        raise ValueError(f"no service {name!r} is registered, and it is no label of a name")
    return Service(name, name, "")


def _goes_by(name: str, service: Service) -> bool:
    return service.name == name or (service.label == name.lower() and not service.view_of)


def _tell_alone(service: Service | None) -> str:
    return "not its own instances" if service is not None else "and is no name now"


def _holders(service: Service, id: str, services: Mapping[str, Service]) -> list[tuple[Service, Instance]]:
    """Where an instance stands: in the service, and in what its registry alone holds of it. ValueError names
    what exists."""
    views = [s for s in services.values() if s.view_of == service.name]
    try:
        instance = find_instance(service, id)
    except ValueError:
        # What is ordered for an id that the service itself has none of holds in each of its views.
        if named := [(view, i) for view in views for i in view.instances if i.id == id]:
            return named
        for view in views:
            with suppress(ValueError):
                return [(view, find_instance(view, id))]
        raise
    registry = instance.registry
    same = (services.get(view_key(service.name, registry)) if registry else None) or service
    twin = next((i for i in same.instances if i.id == instance.id), None) if same is not service else None
    return [(service, instance), *([(same, twin)] if twin is not None else [])]


def find(services: Mapping[str, Service], name: str) -> Service:
    """The service of that name, or of that label; ValueError names what exists."""
    service = find_service(services, name)
    if service is None:
        raise ValueError(f"no service {name!r}; {list_near(name, services)}")
    return service


def find_instance(service: Service, id: str) -> Instance:
    instance = find_registered(service.instances, id)
    if instance is None:
        ids = [i.id for i in service.instances]
        raise ValueError(f"no instance {id!r} in service {service.name!r}; {list_near(id, ids)}")
    return instance


# --- one instance ------------------------------------------------------------------------------------


def _drain(i: Instance, change: Change) -> Instance:
    return _stand(i, State.DRAINED, f"if {change.text}")


def _undrain(i: Instance, change: Change) -> Instance:
    if i.state is not State.DRAINED:
        return i
    if (known := change.judged) is not None:
        return _stand(i, known.state, f"if {change.text}" + (f": {known.reason}" if known.reason else ""))
    status = i.registration.status
    return _stand(i, State.HEALTHY if status == "up" else State(status), f"if {change.text}")


def _down(i: Instance, change: Change) -> Instance:
    return i if i.state is State.DRAINED else _stand(i, State.DOWN, f"if {change.text}")


def _up(i: Instance, change: Change) -> Instance:
    if i.state is State.DRAINED or (i.state in SERVING and i.answered):
        return i
    return _stand(i, State.HEALTHY, f"if {change.text}")


def _weigh(i: Instance, change: Change) -> Instance:
    weighed = f"weight {change.weight}"
    if i.state in (State.HEALTHY, State.WARMING):  # what is set counts at once, and is what is told of it
        return replace(i, state=State.HEALTHY, weight=change.weight, reason=weighed)
    return replace(i, weight=change.weight, reason=f"{i.reason}; {weighed}".removeprefix("; "))


def _stretched(service: Service) -> int:
    """What all weights are multiplied by while new instances warm up."""
    plain = (i for i in service.instances if i.state is State.HEALTHY and not i.reason)
    return next((i.weight // i.registration.weight for i in plain if i.registration.weight), 1)


def _remove(i: Instance, change: Change) -> None:
    return None


def _stand(i: Instance, state: State, reason: str) -> Instance:
    return replace(i, state=state, reason=reason, answered=state in SERVING)


_KINDS: Final[Mapping[str, Callable[[Instance, Change], Instance | None]]] = {
    "drain": _drain,
    "undrain": _undrain,
    "down": _down,
    "up": _up,
    "weight": _weigh,
    "remove": _remove,
}


# --- the whole ----------------------------------------------------------------------------------------


def _judge_again(service: Service) -> Service:
    """The service with `fail_open` decided anew, by the judge."""
    closed = [_close(i) for i in service.instances]
    instances, opened = fail_open(closed, service.settings.fail_open)
    notes = [note for note in service.note.split("; ") if note and not note.startswith("fail_open")]
    kept = tuple(
        before if before is after or before == after else after
        for before, after in zip(service.instances, instances, strict=True)
    )
    return replace(service, instances=kept, note="; ".join([opened, *notes] if opened else notes))


def _close(i: Instance) -> Instance:
    """As it is given while enough are healthy; the same object where it is given so."""
    answered, reason = i.state in SERVING, i.reason.removesuffix(GIVEN)
    if i.answered == answered and i.reason == reason:
        return i
    return replace(i, answered=answered, reason=reason)


def _assumes(service: Service, before: Instance, after: Instance | None, judged: Instance | None) -> bool:
    """Whether one is healthy only if a check passes of which nobody knows what it says."""
    is_new = after is not None and after is not before and after.state is State.HEALTHY
    return is_new and judged is None and service.settings.check is not None


def _tell(before: Instance, after: Instance | None) -> str:
    if after is None:
        return f"{before.id} is registered no more"
    if after is before:
        return f"{before.id} stays {before.state}"
    if after.state is not before.state:
        return f"{before.id} is {after.state}, not {before.state}"
    return f"{before.id} has the weight {after.weight}, not {before.weight}"
