"""What `zkdns watch` shows on a terminal: how all stands now, and below it the last changes.

Rules: `View` draws what it is told for a terminal of a given size, and fills no more than that; it
knows no terminal and no clock. What does not fit is counted, and what is in trouble goes first.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from rich.console import Group, RenderableType
from rich.text import Text

from zkdns.cli import show
from zkdns.cli.show import Column
from zkdns.lists import plural
from zkdns.model import SERVING, Instance, Service

SERVICES: Final = (
    Column("SERVICE"),
    Column("HEALTHY", right=True),
    Column("OF", right=True),
    Column("NOT HEALTHY", spare=1),
    Column("CHANGED", right=True, spare=2),
    Column("NOTE", spare=3),
)
INSTANCES: Final = (
    Column("INSTANCE"),
    Column("STATE"),
    Column("WEIGHT", right=True, spare=3),
    Column("ADDRESS", spare=4),
    Column("CHANGED", right=True, spare=2),
    Column("REASON", spare=1),
)

Shown: TypeAlias = Service | Instance

KEPT: Final = 200
"""Changes that are remembered: more than the tallest terminal shows."""


class View:
    """`service`: the one that is watched, None for all. `where`: the registries, for people."""

    def __init__(self, service: str | None, where: str) -> None:
        self._service = service
        self._where = where
        self._changes: deque[Text] = deque(maxlen=KEPT)
        self._changed: dict[tuple[str, str], float] = {}

    def take(self, event: Mapping[str, Any], at: float) -> None:
        """One change (as in /api/v1/events), that was seen at a time."""
        self._changes.appendleft(spell_event(event, at))
        service = event["service"]
        for instance in {"", event.get("instance", "")}:
            self._changed[service, instance] = at

    def draw(
        self,
        services: Mapping[str, Service],
        problems: int,
        away_since: float | None,
        width: int,
        height: int,
        now: float,
    ) -> RenderableType:
        """All of it, in at most so many lines. `away_since`: when the registry went out of reach."""
        shown = [s for s in services.values() if self._service in (None, s.name)]
        lines: list[RenderableType] = [_line(self._head(shown, problems))]
        if away_since is not None:
            since = time.strftime("%H:%M:%S", time.localtime(away_since))
            warning = f"the registry is out of reach since {since}: this is what was last known"
            lines.append(_line(Text(warning, "bold red")))
        below = min(len(self._changes), max(0, (height - len(lines) - 4) // 3))
        room = height - len(lines) - (below + 1 if below else 0) - 2  # an empty line, and the columns' names
        if room > 0 and shown:
            lines += [Text(), *self._table(shown, room, width, now)]
        elif room > 0:
            what = "no service" if self._service is None else f"no {show.clean(self._service)}"
            lines += [Text(), _line(Text(f"{what} is registered"))]
        if below:
            lines += [Text(), *(_line(change) for change in list(self._changes)[:below])]
        return Group(*lines[:height])

    def _head(self, shown: list[Service], problems: int) -> Text:
        total = sum(len(s.instances) for s in shown)
        healthy = sum(s.healthy() for s in shown)
        what = plural(len(shown), "service") if self._service is None else show.clean(self._service)
        head = Text.assemble(
            (what, "bold"),
            f", {plural(total, 'instance')}, ",
            (f"{healthy} healthy", _style(healthy, total)),
        )
        if problems:
            head.append(f", {plural(problems, 'problem')} (zkdns check)", "yellow")
        return head.append(f"   {show.clean(self._where)}   Ctrl-C ends it", "dim")

    def _table(self, shown: list[Service], room: int, width: int, now: float) -> Iterable[RenderableType]:
        if self._service is None:
            columns, every = SERVICES, sorted(shown, key=lambda s: s.name)
            rows = [self._rate(_is_in_trouble(s), s.name, "", s) for s in every]
        else:
            columns, name = INSTANCES, self._service
            rows = [self._rate(i.state not in SERVING, name, i.id, i) for i in shown[0].instances]
        left = 0
        if len(rows) > room:
            left = len(rows) - max(0, room - 1)
            rows = sorted(rows, key=lambda row: (not row[0], -row[1]))[: max(0, room - 1)]
        cells = [_spell_row(what, _ago(changed, now)) for _, changed, what in rows]
        yield show.build_table(columns, cells, width)
        if left:
            yield _line(Text(f"… and {left} more: those in trouble and the last changed are shown", "dim"))

    def _rate(self, trouble: bool, service: str, instance: str, what: Shown) -> tuple[bool, float, Shown]:
        """With what decides who is shown where there is no room for all."""
        return trouble, self._changed.get((service, instance), 0.0), what


def _is_in_trouble(service: Service) -> bool:
    return service.healthy() < len(service.instances) or not service.instances


def _spell_row(what: Shown, changed: str) -> tuple[object, ...]:
    if isinstance(what, Instance):
        return what.id, str(what.state), what.weight, ", ".join(what.addresses), changed, what.reason
    states = Counter(str(i.state) for i in what.instances if i.state not in SERVING)
    out = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    healthy, total = what.healthy(), len(what.instances)
    return what.name, Text(str(healthy), _style(healthy, total)), total, out, changed, what.note


def spell_event(event: Mapping[str, Any], at: float) -> Text:
    """One line: when, who, what, and why."""
    name = event["service"] + (f"/{event['instance']}" if "instance" in event else "")
    change, state, was = event["change"], event.get("state", ""), event.get("was", "")
    line = Text(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {show.clean(name):<24}  ")
    line.append(f"{change:<7}", show.STYLES.get(change, ""))
    if change != "removed" and was and was != state:
        line.append("  ").append(was, show.STYLES.get(was, "")).append(" -> ")
        line.append(state, show.STYLES.get(state, ""))
    elif state:
        line.append("  ").append(state, show.STYLES.get(state, ""))
    elif was:
        line.append(f"  was {was}")
    if "address" in event:
        line.append(f"  {show.clean(', '.join(event['address']))}  weight {event['weight']}")
    if event.get("reason"):
        line.append(f"  ({show.clean(event['reason'])})")
    return line


def _line(text: Text) -> Text:
    """It never takes a second one."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _style(healthy: int, total: int) -> str:
    return "green" if healthy == total else "yellow" if healthy else "red"


def _ago(at: float, now: float) -> str:
    if not at:
        return "-"
    seconds = max(0, round(now - at))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
