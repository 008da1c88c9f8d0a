"""What is another between two states of a service, as Changes.

Rules: pure; in the order of ids, the service itself last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from zkdns.model import Change, Instance, Service, ServiceSettings, State


def between(before: Service | None, after: Service | None, at: float, zxid: int) -> list[Change]:
    """All that is another. A service that comes or goes tells so itself, and each of its instances too."""
    found = list(_of_instances(before, after, at, zxid))
    if before is None and after is not None:
        found.insert(0, Change(at, zxid, after.name, "", "registered", "", "registered", "its node is there"))
    elif after is None and before is not None:
        found.insert(0, Change(at, zxid, before.name, "", "gone", "registered", "", "its node is gone"))
    elif before is not None and after is not None and before.settings != after.settings:
        was, now = _differing(before.settings, after.settings)
        found.append(Change(at, zxid, after.name, "", "settings", was, now, "set so in its node"))
    return found


def _of_instances(before: Service | None, after: Service | None, at: float, zxid: int) -> Iterator[Change]:
    name = after.name if after is not None else before.name if before is not None else ""
    old = {i.id: i for i in before.instances} if before is not None else {}
    new = {i.id: i for i in after.instances} if after is not None else {}
    for id in sorted(old.keys() | new.keys()):
        was, now = old.get(id), new.get(id)
        if was is now:
            continue
        if now is None:
            assert was is not None  # noqa: S101  (one of the two is there)
            yield Change(at, zxid, name, id, "gone", str(was.state), "", _why_gone(was), "", was)
        elif was is None:
            yield Change(at, zxid, name, id, "registered", "", str(now.state), now.reason, "", now)
        else:
            yield from _of_one(was, now, at, zxid, name)


def _of_one(was: Instance, now: Instance, at: float, zxid: int, name: str) -> Iterator[Change]:
    if (was.state, was.reason, was.answered) != (now.state, now.reason, now.answered):
        why = now.reason or ("registered so" if now.state is State.HEALTHY else "")
        yield Change(at, zxid, name, now.id, "state", str(was.state), str(now.state), why, "", now)
    if was.weight != now.weight:
        why = now.reason or "registered so"
        yield Change(at, zxid, name, now.id, "weight", str(was.weight), str(now.weight), why, "", now)
    old, new = _tell(was), _tell(now)
    # Its status and its weight were told already.
    rest = replace(was.registration, status=now.registration.status, weight=now.registration.weight)
    if old != new or rest != now.registration:
        yield Change(at, zxid, name, now.id, "registered", old, new, "registered so", "", now)


def _tell(i: Instance) -> str:
    """Where an instance is, as people read it."""
    where = ", ".join(i.addresses) or i.registration.host or ""
    return f"{where} port {i.registration.port}" if i.registration.port else where


def _why_gone(i: Instance) -> str:
    if i.state is State.SUSPECT:
        return "its time as a suspect is over"
    return "its session ended, or it deregistered" if i.ephemeral else "its node was deleted"


def _differing(was: ServiceSettings, now: ServiceSettings) -> tuple[str, str]:
    names = [f.name for f in fields(ServiceSettings) if getattr(was, f.name) != getattr(now, f.name)]
    return tuple(  # type: ignore[return-value]
        ", ".join(f"{name} {_value(getattr(one, name))}" for name in names if name != "given")
        for one in (was, now)
    )


def _value(value: object) -> str:
    kind = getattr(value, "type", None)
    return f"{kind}" if kind is not None else "unset" if value is None else str(value)
