"""The first thing to see: the verdict, what is empty since when and why, and what is wrong with the data.

Rules: pure; see words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from zkdns.answers.routed import Routed
from zkdns.lists import plural
from zkdns.model import Problem, Service
from zkdns.pipeline.outages import Outage
from zkdns.web.page.view import Asked, View
from zkdns.web.page.words import (
    ago,
    badge,
    esc,
    heads,
    kind,
    query,
    section,
    service_link,
    span,
    table,
    title,
)
from zkdns.web.status import RegistryStatus

SHOWN = 20
"""Rows of a kind; the rest is counted."""

FEW = 6
"""Problems that are shown unfolded."""


class Lost(Struct, frozen=True):
    """Services that had instances and have none that is healthy, the newest first: those `without` any to
    give, and those `replaced` by what their routes give. `nobody`: further routes that give nobody."""

    without: Mapping[str, Outage]
    replaced: Mapping[str, Outage]
    nobody: Sequence[str]

    @property
    def down(self) -> int:
        """Services whose names give nobody."""
        return len(self.without) + len(self.nobody)


def lost(view: View) -> Lost:
    had = [(name, outage) for name, outage in view.status.outages.items() if outage.had]
    had.sort(key=lambda pair: (-pair[1].at, pair[0]))
    giving = {name for name, route in view.routed.items() if route.name.first}
    without = {name: outage for name, outage in had if name not in giving}
    replaced = {name: outage for name, outage in had if name in giving}
    return Lost(without, replaced, sorted(view.routed.keys() - giving - without.keys()))


def count(view: View) -> str:
    """For the tab's title."""
    down = lost(view).down
    return f"({down}) " if down else ""


def summary(view: View, asked: Asked) -> str:
    status, services = view.status, view.status.services.values()
    states = Counter(str(i.state) for s in services for i in s.instances)
    gone = lost(view)
    unused = sum(
        not s.instances
        for name, s in status.services.items()
        if name not in gone.without and name not in gone.replaced and name not in view.routed
    )
    away = [r for r in status.registries if r.stale_seconds]
    if not status.loaded:
        why = f"Not ready: {_waited_for(status.registries)}. Our names get SERVFAIL (EDE 14)."
        word = "bad"
    elif gone.down:
        word, why = "bad", f"{plural(gone.down, 'service')} without a healthy instance."
    elif away or gone.replaced:
        word, why = "warn", ""
    elif services:
        word, why = "good", f"All{' other' * bool(unused)} services have a healthy instance."
    else:
        word, why = "good", "No service is registered."
    if gone.replaced:
        why += f" {plural(len(gone.replaced), 'service')} without one of its own: the route gives others."
    if away:
        why += f" {_stale(away, len(status.registries))}"
    if unused:
        why += f" {plural(unused, 'service')} never had an instance since the server began."
    chips = "".join(_chip(state, n, asked) for state, n in states.most_common())
    if empty := sum(is_empty(s, view) for s in services):
        chips += _chip("empty", empty, asked)
    return section(
        "summary", "Summary",
        f'<p class="verdict">{esc(why.strip())}</p><ul class="counts">'
        f"<li><b>{len(services):,}</b> services</li><li><b>{states.total():,}</b> instances</li>{chips}</ul>",
        word,
    )  # fmt: skip


def is_empty(service: Service, view: View) -> bool:
    """Without an instance, and its name stands for no others'."""
    return not service.instances and service.name not in view.routed


def _waited_for(registries: Sequence[RegistryStatus]) -> str:
    """What keeps the first catalog away: the registries that are not read yet, and what each complains of."""
    text = "the first catalog is not loaded yet"
    each = [f"{r.url}: {r.trouble}" for r in registries if r.trouble and not r.whole]
    return f"{text} ({'; '.join(each)})" if each else text


def _stale(away: Sequence[RegistryStatus], of: int) -> str:
    """Which registries are away, each with its own age."""
    if of == 1:
        text = f"Stale: the registry has been out of reach for {span(away[0].stale_seconds)}."
    else:
        each = ", ".join(f"{r.name} for {span(r.stale_seconds)}" for r in away)
        text = f"Stale: {len(away)} of {of} registries out of reach ({each})."
    return f"{text} Answers {'that come from them ' * (of > 1)}go on, with EDE 3."


def _chip(state: str, n: int, asked: Asked) -> str:
    here = ' aria-current="true"' if asked.state == state else ""
    return f'<li><a class="chip" href="/?{query(state=state)}#services"{here}>{badge(state)} {n:,}</a></li>'


def empty_services(view: View) -> str:
    """What is out now: since when, and by what."""
    gone = lost(view)
    out = [*gone.without.items(), *((name, None) for name in gone.nobody), *gone.replaced.items()]
    if not out:
        return section("empty", "Without a healthy instance", "")
    rows = [_lost(name, outage, view) for name, outage in out[:SHOWN]]
    more = f"<p>and {len(out) - SHOWN:,} more</p>" if len(out) > SHOWN else ""
    head = heads("Service", "Since", "What happened", "Now")
    body = title("empty", f"Without a healthy instance ({len(out):,})")
    shown = table(head, rows, "Services without a healthy instance")
    return section("empty", "", body + shown + more, "bad" if gone.down else "")


def _lost(name: str, outage: Outage | None, view: View) -> str:
    since = ago(outage.at, view.now) if outage is not None else ""
    cause = _cause(outage) if outage is not None else "none of its route's targets has one"
    return (
        f'<tr data-key="{esc(name)}"><th scope="row">{service_link(name)}<td>{since}'
        f"<td>{esc(cause)}<td>{_now(view.status.services.get(name), view.routed.get(name))}"
    )


def _cause(outage: Outage) -> str:
    change = outage.change
    if change is None:
        return "it was so when the server began, or when it was registered"
    went = "is gone" if change.what == "gone" else f"became {change.now}"
    return f"{change.id or 'it'} {went}" + (f": {change.why}" if change.why else "")


def _now(service: Service | None, route: Routed | None) -> str:
    if route is not None:
        given = f"given: {', '.join(names_given(route))}" if route.name.first else "nobody is given"
        return esc(route.note or given)
    if service is None or not service.instances:
        return "no instance is registered"
    states = Counter(str(i.state) for i in service.instances)
    return " ".join(f"{badge(state)} {n}" for state, n in states.most_common())


def names_given(route: Routed) -> list[str]:
    """The targets that give now."""
    return [str(target) for tier in route.composed.due for target, share in tier if share]


# --- problems -------------------------------------------------------------------------------------------


def problems(view: View) -> str:
    problems = view.status.problems
    if not problems:
        return section("problems", "Problems", "")
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(kind(problem.what), []).append(problem)
    owners = {service.path: name for name, service in view.status.services.items()}
    groups = sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    unfolded = len(problems) <= FEW
    body = "".join(_group(name, some, owners, unfolded) for name, some in groups[:SHOWN])
    if len(groups) > SHOWN:
        body += f"<p>and {len(groups) - SHOWN:,} more kinds in <a href=/api/v1/problems>the API</a></p>"
    return section("problems", "", title("problems", f"Problems ({len(problems):,})") + body, "bad")


def _group(name: str, some: Sequence[Problem], owners: Mapping[str, str], unfolded: bool) -> str:
    # Of one kind or of one case: where there is one alone, its own words say more.
    text = some[0].what if len(some) == 1 else name
    rows = [
        f'<tr data-key="{esc(p.path)}"><td>{_owner(p.path, owners)}<td><code>{esc(p.path)}</code>'
        f"<td>{esc(p.what)}<td>{esc(p.cure)}"
        for p in some[:SHOWN]
    ]
    more = f"<p>and {len(some) - SHOWN:,} more in <a href=/api/v1/problems>the API</a></p>"
    return (
        f'<details data-key="{esc(name)}"{" open" * unfolded}><summary><b>{len(some):,}</b> {esc(text)}'
        f"</summary>{table(heads('Service', 'Where', 'What is wrong', 'Cure'), rows, text)}"
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
