"""What would be if: changes in words, tried on a copy of a service.

Rules: pure; what is answered is never touched. ValueError says what is wrong with a change. The states
that follow rank as they do in `health.judge`: a drain by an operator wins over all else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from zkdns.health.judge import GIVEN, fail_open
from zkdns.model import SERVING, Instance, Service, State

KINDS: Final = ("drain", "undrain", "down", "up", "weight", "remove")
EXAMPLES: Final = "drain=web/a, undrain=web/a, down=web/a, up=web/a, remove=web/a or weight:web/b=50"
MAX_WEIGHT: Final = 65535
MAX_NAMED: Final = 8

_CHANGE = re.compile(r"(?P<kind>[a-z]+)[:=](?P<service>[^/]+)/(?P<id>.+?)")


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as it was written and as it is meant."""

    text: str
    kind: str
    service: str
    id: str
    weight: int = 0


def parse(text: str) -> Change:
    """`drain=web/a` or `weight:web/b=50`."""
    kind = re.split("[:=]", text, maxsplit=1)[0]
    bare, equals, number = text.rpartition("=") if kind == "weight" else (text, "", "")
    found = _CHANGE.fullmatch(bare)
    if kind not in KINDS or found is None:
        raise ValueError(f"the change {text!r} can't be read; write {EXAMPLES}")
    if kind == "weight" and not (number.isascii() and number.isdigit() and int(number) <= MAX_WEIGHT):
        raise ValueError(f"the change {text!r} needs a weight of 0 to {MAX_WEIGHT}, as in weight:web/b=50")
    return Change(text, kind, found["service"], found["id"], int(number) if equals else 0)


def try_changes(
    services: Mapping[str, Service], texts: Sequence[str]
) -> tuple[dict[str, Service], list[str]]:
    """The services that the changes touch, as they would be, and what each change does, for people."""
    touched: dict[str, Service] = {}
    effects = []
    for text in texts:
        change = parse(text)
        service = find(services, change.service)
        service = touched.get(service.name, service)
        instance = find_instance(service, change.id)
        after = _KINDS[change.kind](instance, change)
        others = (i for i in service.instances if i is not instance)
        changed = sorted([*others, *([after] if after is not None else [])], key=lambda i: i.id)
        touched[service.name] = _judge_again(replace(service, instances=tuple(changed)))
        effects.append(f"if {text}: {_tell(instance, after)}")
    return touched, effects


def find(services: Mapping[str, Service], name: str) -> Service:
    """The service of that name, or of that label; ValueError names what exists."""
    found = services.get(name)
    if found is None:
        found = next((s for s in services.values() if s.label == name.lower()), None)
    if found is None:
        raise ValueError(f"no service {name!r}; {list_near(name, services)}")
    return found


def find_instance(service: Service, id: str) -> Instance:
    found = next((i for i in service.instances if i.id == id), None)
    if found is None:
        found = next((i for i in service.instances if i.label == id.lower()), None)
    if found is None:
        ids = [i.id for i in service.instances]
        raise ValueError(f"no instance {id!r} in service {service.name!r}; {list_near(id, ids)}")
    return found


def list_near(wanted: str, names: Sequence[str] | Mapping[str, object]) -> str:
    """`there are a, b and 3 more`: what exists, the likeliest first."""
    every = sorted(names)
    if not every:
        return "there is none"
    close = get_close_matches(wanted, every, MAX_NAMED, 0.5)
    shown = (close + [name for name in every if name not in close])[:MAX_NAMED]
    more = f" and {len(every) - len(shown)} more" if len(every) > len(shown) else ""
    return f"there are {', '.join(shown)}{more}" if len(every) > 1 else f"there is {every[0]}"


# --- one instance ------------------------------------------------------------------------------------


def _drain(i: Instance, change: Change) -> Instance:
    return _stand(i, State.DRAINED, f"if {change.text}")


def _undrain(i: Instance, change: Change) -> Instance:
    if i.state is not State.DRAINED:
        return i
    status = i.registration.status
    # What its check says can't be seen behind the drain: it goes on as if that passed.
    return _stand(i, State.HEALTHY if status == "up" else State(status), f"if {change.text}")


def _down(i: Instance, change: Change) -> Instance:
    return i if i.state is State.DRAINED else _stand(i, State.DOWN, f"if {change.text}")


def _up(i: Instance, change: Change) -> Instance:
    if i.state is State.DRAINED or (i.state in SERVING and i.answered):
        return i
    return _stand(i, State.HEALTHY, f"if {change.text}")


def _weigh(i: Instance, change: Change) -> Instance:
    return replace(i, weight=change.weight, reason=f"{i.reason}; weight {change.weight}".removeprefix("; "))


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
    closed = [
        replace(i, answered=i.state in SERVING, reason=i.reason.removesuffix(GIVEN))
        for i in service.instances
    ]
    instances, opened = fail_open(closed, service.settings.fail_open)
    notes = [note for note in service.note.split("; ") if note and not note.startswith("fail_open")]
    kept = tuple(
        before if before == after else after
        for before, after in zip(service.instances, instances, strict=True)
    )
    return replace(service, instances=kept, note="; ".join([opened, *notes] if opened else notes))


def _tell(before: Instance, after: Instance | None) -> str:
    if after is None:
        return f"{before.id} is registered no more"
    if after is before:
        return f"{before.id} stays {before.state}"
    if after.state is not before.state:
        return f"{before.id} is {after.state}, not {before.state}"
    return f"{before.id} has the weight {after.weight}, not {before.weight}"
