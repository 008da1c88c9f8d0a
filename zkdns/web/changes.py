"""What changed between two states of a service, as events that people read and programs follow.

Rules: pure; one event a change of one instance or of the service itself.
"""

from __future__ import annotations

from typing import Any

from zkdns.model import Instance, Service
from zkdns.web.shapes import moment


def between(before: Service | None, after: Service | None, at: float) -> list[dict[str, Any]]:
    """The events, in the order of ids. Keys: at, service, instance (absent for the service itself),
    change (added, removed, changed), state, reason, weight, in, was (the state before)."""
    name = (after or before).name if (after or before) else ""  # type: ignore[union-attr]
    base = {"at": moment(at), "service": name}
    events: list[dict[str, Any]] = []
    if before is None or after is None:
        events.append(base | {"change": "added" if before is None else "removed"})
    old = {i.id: i for i in before.instances} if before else {}
    new = {i.id: i for i in after.instances} if after else {}
    for id in sorted(old.keys() | new.keys()):
        was, now = old.get(id), new.get(id)
        if was is now:
            continue
        if now is None:
            assert was is not None  # noqa: S101  (one of the two is there)
            events.append(base | {"instance": id, "change": "removed", "was": str(was.state)})
        elif was is None:
            events.append(base | {"instance": id, "change": "added"} | _said(now))
        elif _said(was) != _said(now) or was.registration != now.registration:
            events.append(base | {"instance": id, "change": "changed", "was": str(was.state)} | _said(now))
    if before is not None and after is not None and before.settings != after.settings:
        events.append(base | {"change": "changed", "reason": "settings"})
    return events


def _said(i: Instance) -> dict[str, Any]:
    return {
        "state": str(i.state),
        "reason": i.reason,
        "weight": i.weight,
        "in": i.answered,
        "address": list(i.addresses),
    }
