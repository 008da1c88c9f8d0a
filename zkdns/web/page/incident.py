"""What changed in the last hour over all services, by cause: one line for what one cause did.

Rules: pure; see words. What a server reads when it begins is no change of the world's.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkdns.lists import plural, some_of
from zkdns.model import Change
from zkdns.web.page.timeline import by_service, spell
from zkdns.web.page.view import View
from zkdns.web.page.words import ago, esc, heads, kind, section, service_link, table, title

HOUR = 3600.0
"""Seconds that are told of."""
BEGINNING = 10.0
"""Seconds after its start for which a server reads what is there."""
CAUSES = 12
"""Rows, the latest first."""
NAMED = 5
"""Services that a row names."""
SHOWN = 20
"""Changes that a row unfolds to."""


def causes(changes: Sequence[Change], started: float) -> list[list[Change]]:
    """The changes by what made them, those of the newest cause first."""
    groups: dict[tuple[str, str, str, str], list[Change]] = {}
    for c in changes:
        if c.what == "registered" and not c.was and c.at < started + BEGINNING:
            continue
        moved = f"{c.was} → {c.now}" if c.what == "state" else ""
        groups.setdefault((c.what, moved, kind(c.why), c.by), []).append(c)
    return sorted(groups.values(), key=lambda some: -some[-1].at)


def incident(view: View) -> str:
    groups = causes(view.recent.changes, view.status.started)
    since = view.recent.since
    reach = ""
    if since is not None and since > view.now - HOUR:
        reach = f"<p>The journal begins {ago(since, view.now)}.</p>"
    if view.recent.left_out:
        whose = some_of([left.service for left in view.recent.left_out], NAMED)
        reach += f"<p>Changed too often for all of it to be kept: {esc(whose)}.</p>"
    total = sum(map(len, groups))
    head = title("recent", f"The last hour by cause ({plural(total, 'change')})")
    if not groups:
        return section("recent", "", title("recent", "The last hour") + f"<p>Nothing changed.</p>{reach}")
    rows = [_row(some, view.now) for some in groups[:CAUSES]]
    more = f"<p>and {len(groups) - CAUSES:,} more causes</p>" if len(groups) > CAUSES else ""
    shown = table(heads("When", "What", "Why", "By", "Whose"), rows, "Changes of the last hour by cause")
    return section("recent", "", head + shown + more + reach)


def _row(some: Sequence[Change], now: float) -> str:
    first, last = some[0], some[-1]
    moved = f"{last.was} → {last.now}" if last.what == "state" else last.what
    why = last.why if len({c.why for c in some}) == 1 else kind(last.why)
    whose = by_service(some)
    named = [f"{_whose(name)}{f' ({n})' if n > 1 else ''}" for name, n in list(whose.items())[:NAMED]]
    names = some_of(named, NAMED, len(whose))
    when = ago(last.at, now) + (f", first {ago(first.at, now)}" if last.at - first.at > 60 else "")
    lines = "".join(
        f"<li>{ago(c.at, now)} {esc(f'{c.service}/{c.id}'.strip('/'))}: {esc(spell(c))}"
        for c in list(reversed(some))[:SHOWN]
    )
    each = (
        f'<details data-key="each"><summary>each</summary><ul>{lines}</ul></details>' if len(some) > 1 else ""
    )
    key = esc(f"{last.what} {moved} {kind(last.why)} {last.by}")
    return (
        f'<tr data-key="{key}"><td>{when}<td><b>{len(some):,}</b> × {esc(moved)}<td>{esc(why)}'
        f"<td>{esc(last.by)}<td>{names}{each}"
    )


def _whose(name: str) -> str:
    return service_link(name) if name else "a registry"
