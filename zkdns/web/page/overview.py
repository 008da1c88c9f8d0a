"""The first thing to see: the verdict, what is empty since when and why, and what is wrong with the data.

Rules: pure; see words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from zkdns.model import Problem, Service
from zkdns.pipeline.outages import Outage
from zkdns.web.page.view import Asked, View
from zkdns.web.page.words import (
    ago,
    badge,
    esc,
    heads,
    kind,
    plural,
    query,
    section,
    service_link,
    span,
    table,
    title,
)

SHOWN = 20
"""Rows of a kind; the rest is counted."""

FEW = 6
"""Problems that are shown unfolded."""


def outages(view: View) -> dict[str, Outage]:
    """The services that had instances and have none that is healthy, the newest first."""
    lost = [(name, outage) for name, outage in view.status.outages.items() if outage.had]
    return dict(sorted(lost, key=lambda pair: (-pair[1].at, pair[0])))


def summary(view: View, asked: Asked) -> str:
    status, services = view.status, view.status.services.values()
    states = Counter(str(i.state) for s in services for i in s.instances)
    down = len(outages(view))
    unused = sum(not s.instances for s in services) - sum(
        not status.services[name].instances for name in outages(view) if name in status.services
    )
    if not status.loaded:
        word, why = "bad", "Not ready: the first catalog is not loaded yet. Our names get SERVFAIL (EDE 14)."
    elif down:
        word, why = "bad", f"{plural(down, 'service')} without a healthy instance."
    elif status.stale_seconds:
        word, why = "warn", ""
    elif services:
        word, why = "good", f"All{' other' * bool(unused)} services have a healthy instance."
    else:
        word, why = "good", "No service is registered."
    if status.stale_seconds:
        away = f"Stale: the registry has been out of reach for {span(status.stale_seconds)}."
        why = f"{why} {away} Answers go on, with EDE 3.".strip()
    if unused:
        why += f" {plural(unused, 'service')} never had an instance since the server began."
    chips = "".join(_chip(state, n, asked) for state, n in states.most_common())
    if empty := sum(not s.instances for s in services):
        chips += _chip("empty", empty, asked)
    return section(
        "summary", "Summary",
        f'<p class="verdict">{esc(why)}</p><ul class="counts"><li><b>{len(services):,}</b> services</li>'
        f"<li><b>{states.total():,}</b> instances</li>{chips}</ul>",
        word,
    )  # fmt: skip


def _chip(state: str, n: int, asked: Asked) -> str:
    here = ' aria-current="true"' if asked.state == state else ""
    return f'<li><a class="chip" href="/?{query(state=state)}#services"{here}>{badge(state)} {n:,}</a></li>'


def empty_services(view: View) -> str:
    """What is out now: since when, and by what."""
    lost = outages(view)
    rows = [_lost(name, outage, view) for name, outage in list(lost.items())[:SHOWN]]
    if not rows:
        return section("empty", "Without a healthy instance", "")
    more = f"<p>and {len(lost) - SHOWN:,} more</p>" if len(lost) > SHOWN else ""
    head = heads("Service", "Since", "What happened", "Now")
    body = title("empty", f"Without a healthy instance ({len(lost):,})")
    return section("empty", "", body + table(head, rows, "Services without a healthy instance") + more, "bad")


def _lost(name: str, outage: Outage, view: View) -> str:
    service = view.status.services.get(name)
    return (
        f'<tr data-key="{esc(name)}"><th scope="row">{service_link(name)}<td>{ago(outage.at, view.now)}'
        f"<td>{esc(_cause(outage))}<td>{_now(service)}"
    )


def _cause(outage: Outage) -> str:
    change = outage.change
    if change is None:
        return "it was so when the server began, or when it was registered"
    went = "is gone" if change.what == "gone" else f"became {change.now}"
    return f"{change.id or 'it'} {went}" + (f": {change.why}" if change.why else "")


def _now(service: Service | None) -> str:
    if service is None or not service.instances:
        return "no instance is registered"
    states = Counter(str(i.state) for i in service.instances)
    return " ".join(f"{badge(state)} {n}" for state, n in states.most_common())


# --- problems -------------------------------------------------------------------------------------------


def problems(view: View) -> str:
    found = view.status.problems
    if not found:
        return section("problems", "Problems", "")
    kinds: dict[str, list[Problem]] = {}
    for problem in found:
        kinds.setdefault(kind(problem.what), []).append(problem)
    owners = {service.path: name for name, service in view.status.services.items()}
    groups = sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    unfolded = len(found) <= FEW
    body = "".join(_group(name, some, owners, unfolded) for name, some in groups[:SHOWN])
    if len(groups) > SHOWN:
        body += f"<p>and {len(groups) - SHOWN:,} more kinds in <a href=/api/v1/problems>the API</a></p>"
    return section("problems", "", title("problems", f"Problems ({len(found):,})") + body, "bad")


def _group(name: str, some: Sequence[Problem], owners: Mapping[str, str], unfolded: bool) -> str:
    # Of one kind or of one case: where there is one alone, its own words say more.
    said = some[0].what if len(some) == 1 else name
    rows = [
        f'<tr data-key="{esc(p.path)}"><td>{_owner(p.path, owners)}<td><code>{esc(p.path)}</code>'
        f"<td>{esc(p.what)}<td>{esc(p.cure)}"
        for p in some[:SHOWN]
    ]
    more = f"<p>and {len(some) - SHOWN:,} more in <a href=/api/v1/problems>the API</a></p>"
    return (
        f'<details data-key="{esc(name)}"{" open" * unfolded}><summary><b>{len(some):,}</b> {esc(said)}'
        f"</summary>{table(heads('Service', 'Where', 'What is wrong', 'Cure'), rows, said)}"
        f"{more if len(some) > SHOWN else ''}</details>"
    )


def _owner(path: str, owners: Mapping[str, str]) -> str:
    """The service that a problem is of: the nearest above it."""
    at = path
    while at:
        if at in owners:
            return service_link(owners[at])
        at = at.rpartition("/")[0]
    return "–"
