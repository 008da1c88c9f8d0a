"""A service's last day: instances as rows, their states as colours with a word for each, changes as marks.

Rules: pure; `rows` is arithmetic alone. A mark is a link to the line that tells its change, so that a
keyboard reaches it. What was before the journal is unknown, and shown so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from zkdns.lists import plural
from zkdns.model import SERVING, Change, Service
from zkdns.web.page.view import Past, View
from zkdns.web.page.words import ago, esc, heads, section, span, table, title

DAY, MIN_REUSE_SECONDS = 86400.0, 10.0
"""Seconds that the picture shows: at most a day, where the journal is younger less."""
ROWS = 40
"""Instances that are drawn, those that changed most first."""
MARKS = 100
"""Changes that are marked and told, the newest."""
ROOMY = 12.0
"""Percent of the width from which on a state's word has room."""
UNKNOWN = "unknown"
GIVEN = frozenset(map(str, SERVING))


class Span(Struct, frozen=True):
    """`state`: "" where the instance was not registered."""

    begin: float
    end: float
    state: str


class Row(Struct, frozen=True):
    """`flaps`: how often it left the answers or came back."""

    id: str
    spans: tuple[Span, ...]
    flaps: int
    changes: tuple[Change, ...]


def beginning(past: Past, now: float) -> float:
    """Where the picture begins: a day ago, or with a journal that is younger."""
    return max(now - DAY, min(past.since if past.since is not None else now, now - MIN_REUSE_SECONDS))


def rows(service: Service, past: Past, now: float) -> list[Row]:
    """What was of each instance that is or was there, from the beginning on."""
    by_id: dict[str, list[Change]] = {i.id: [] for i in service.instances}
    for change in past.changes:
        if change.id:
            by_id.setdefault(change.id, []).append(change)
    states = {i.id: str(i.state) for i in service.instances}
    begin = beginning(past, now)
    return [_row(id, own, states.get(id, ""), begin, past.since, now) for id, own in sorted(by_id.items())]


def _row(
    id: str, changes: Sequence[Change], state: str, begin: float, since: float | None, now: float
) -> Row:
    known = min(max(begin, since if since is not None else now), now)
    moves = [(min(max(c.at, known), now), *move) for c in changes if (move := _move(c)) is not None]
    at, held = known, moves[0][1] if moves else state
    spans = [Span(begin, known, UNKNOWN)] if known > begin else []
    flaps = 0
    for moment, was, became in moves:
        spans.append(Span(at, moment, held))
        at, held = moment, became
        flaps += bool(was and became) and (was in GIVEN) != (became in GIVEN)
    spans.append(Span(at, now, held))
    return Row(id, tuple(s for s in spans if s.end > s.begin), flaps, tuple(changes))


def _move(change: Change) -> tuple[str, str] | None:
    """From which state to which, "" for not registered; None where it tells of something else."""
    if change.what in ("state", "gone"):
        return change.was, change.now
    if change.what == "registered" and not change.was:
        return "", change.now
    return None


# --- as markup ------------------------------------------------------------------------------------------


def timeline(service: Service, view: View) -> str:
    bars = rows(service, view.past, view.now)
    if not bars and not view.past.changes:
        return section("day", "The last day", "")
    marked = list(view.past.changes)[-MARKS:]
    shown = sorted(bars, key=lambda row: (-len(row.changes), row.id))[:ROWS]
    begin = beginning(view.past, view.now)
    lines = [_line(row, begin, view.now, marked) for row in sorted(shown, key=lambda row: row.id)]
    more = f"<p>and {plural(len(bars) - ROWS, 'instance')} that changed less</p>" if len(bars) > ROWS else ""
    axis = '<div class="axis" aria-hidden="true">' + "".join(_axis(view.now - begin)) + "</div>"
    over = f'<span class="unseen">States since {span(view.now - begin)} ago</span>{axis}'
    head = f'<th scope="col">Instance<th scope="col" class="strip">{over}<th scope="col">Flaps'
    flaps = sum(row.flaps for row in bars)
    caption = f"<p>{plural(len(view.past.changes), 'change')}, {plural(flaps, 'flap')}.{_reach(view)}</p>"
    drawn = table(head, lines, "The last day of each instance") if lines else ""
    return section("day", "", title("day", "The last day") + caption + drawn + more + _told(marked, view.now))


def _reach(view: View) -> str:
    since = view.past.since
    if since is None:
        return " No journal is kept yet."
    if view.past.left_out:
        older = plural(sum(left.changes for left in view.past.left_out), "older change")
        return f" It changed too often: {older} up to {ago(since, view.now)} were left out."
    return f" The journal begins {ago(since, view.now)}." if since > view.now - DAY else ""


def _axis(width: float) -> Iterator[str]:
    for part in (0, 25, 50, 75):
        yield f"<span>{span(width * (100 - part) / 100)} ago</span>"
    yield "<b>now</b>"


def _line(row: Row, begin: float, now: float, marked: Sequence[Change]) -> str:
    marks = [c for c in row.changes if c.at >= begin and c in marked]
    bars = "".join(_bar(s, marks, begin, now) for s in row.spans)
    text = ", ".join(f"{s.state or 'not registered'} {span(s.end - s.begin)}" for s in row.spans)
    return (
        f'<tr data-key="day {esc(row.id)}"><th scope="row">{esc(row.id)}<td class="strip">'
        f'<div class="day" role="group" aria-label="{esc(f"{row.id}: {text}")}">{bars}</div>'
        f"<td>{row.flaps or ''}"
    )


def _bar(s: Span, marks: Sequence[Change], begin: float, now: float) -> str:
    """A span as one rule after another, each as wide as the time from one mark to the next: HTML alone, whose
    widths need no style in place."""
    ended = "until now" if s.end >= now else f"until {span(now - s.end)} ago"
    tip = esc(f"{s.state} for {span(s.end - s.begin)}, {ended}" if s.state else "not registered")
    # A mark at the very end has the last span to stand in.
    own = [c for c in marks if s.begin <= c.at and (c.at < s.end or s.end >= now)]
    edges = [s.begin, *(min(c.at, s.end) for c in own), s.end]
    parts = [_rule(s.state, tip, (b - a) / (now - begin) * 100) for a, b in pairwise(edges)]
    return parts[0] + "".join(_mark(c) + part for c, part in zip(own, parts[1:], strict=True))


def _rule(state: str, tip: str, percent: float) -> str:
    if percent <= 0:
        return ""
    word = f' data-state="{esc(state)}"' if percent >= ROOMY else ""
    return f'<hr class="span {esc(state) or "absent"}" width="{percent:.2f}%" title="{tip}"{word}>'


def _mark(c: Change) -> str:
    text = esc(f"{c.id}: {spell(c)}")
    return f'<a class="mark" href="#{anchor(c)}" aria-label="{text}" title="{text}"></a>'


def anchor(c: Change) -> str:
    """Where the line stands that tells the change; the same at each look."""
    return esc(f"at-{c.at * 1000:.0f}-{c.what}-{c.id}".replace(" ", "_"))


def spell(c: Change) -> str:
    """A change in one line."""
    moved = " → ".join(part for part in (c.was, c.now) if part)
    text = f"{c.what} ({moved})" if moved and moved != c.what else c.what
    return text + (f": {c.why}" if c.why else "") + (f", by {c.by}" if c.by else "")


def _told(marked: Sequence[Change], now: float) -> str:
    if not marked:
        return ""
    lines = [
        f'<tr id="{anchor(c)}" tabindex="-1"><td>{ago(c.at, now)}<td>{esc(c.id or "the service")}'
        f"<td>{esc(spell(c))}"
        for c in reversed(marked)
    ]
    return (
        f'<details data-key="told" open><summary>Its changes ({len(marked)})</summary>'
        f"{table(heads('When', 'Who', 'What'), lines, 'Changes of the last day')}</details>"
    )


def by_service(changes: Sequence[Change]) -> Mapping[str, int]:
    """How many changes each service had, the most first."""
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.service] = counts.get(change.service, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
