"""What stands beside a service's instances: the route that its name is, the shares from zone to zone, and who
asked for it.

Rules: pure; see words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zkdns.answers.routed import Routed
from zkdns.explain.routing import TargetShare
from zkdns.lists import plural
from zkdns.routes import tell_tiers
from zkdns.serve.clients import ClientRow, Told
from zkdns.web.page.view import View
from zkdns.web.page.words import (
    ago,
    bar,
    esc,
    heads,
    query,
    section,
    service_link,
    span,
    table,
    title,
    until,
)

ASKERS = 50
"""Clients that are shown, the latest; the JSON has all of them."""

SOURCES = {
    "node": "written in its node",
    "override": "laid over it by an operator",
    "failover": "by --failover",
}


def beside(name: str, view: View) -> str:
    one = view.beside
    return _route(one.route, one.targets, view) + _zones(one.zones) + _askers(name, one.told, view.now)


# --- its route --------------------------------------------------------------------------------------------


def _route(route: Routed | None, targets: Sequence[TargetShare], view: View) -> str:
    if route is None:
        return section("route", "Route", "")
    rows = [_target(t, view) for t in targets]
    head = heads("Tier", "Target", "Share", "Healthy", "Share due and given", "First places")
    text = ". ".join(_about(route, view.now))
    note = "".join(f'<p class="warn">{esc(note)}</p>' for note in (route.note, *route.notes) if note)
    lacks = "".join(f'<p class="lack">{esc(problem)}</p>' for problem in route.problems)
    nobody = '<p class="lack">It gives nobody now.</p>' if not route.name.first else ""
    shown = table(head, rows, "Targets of the route")
    return section("route", "", f"{title('route', 'Route')}<p>{text}.</p>{nobody}{note}{lacks}{shown}")


def _about(route: Routed, now: float) -> Iterator[str]:
    """Where it comes from, and how long it stays so."""
    standing = route.in_force
    yield f"The name stands for {esc(tell_tiers(standing.tiers))}"
    yield esc(SOURCES.get(standing.source, standing.source).capitalize())
    if standing.over is not None:
        yield f"Its shares move, over {span(standing.over)} in all"
    if standing.until is not None:
        yield f"It ends {until(standing.until, now)}"
    if standing.spill:
        yield f"Spill {float(standing.spill):g}"


def _target(t: TargetShare, view: View) -> str:
    service = t.target.service
    name = service_link(service, str(t.target)) if service in view.status.services else esc(t.target)
    bars = bar("due", t.due) + bar("given", t.given if sum(view.firsts.recent.values()) else None)
    return (
        f'<tr class="{"" if t.due else "out"}" data-key="{esc(f"{t.tier} {t.target}")}"><td>{t.tier}'
        f'<th scope="row">{name}<td>{t.share:.6g}<td>{t.healthy} of {t.registered}<td>{bars}<td>{t.answers:,}'
    )


# --- from zone to zone ------------------------------------------------------------------------------------


def _zones(zones: Sequence[Mapping[str, Any]]) -> str:
    """From the clients' zone to the instances'."""
    if not zones:
        return section("zones", "From zone to zone", "")
    asked = {z["from"] for z in zones if z["answers"]}
    rows = [
        f'<tr data-key="{esc(z["from"])} {esc(z["to"])}"><th scope="row">{esc(z["from"] or "no zone")}'
        f"<td>{esc(z['to'] or 'no zone')}<td>{bar('due', z['share'])}"
        f"{bar('given', z['given'] if z['from'] in asked else None)}<td>{z['answers']:,}"
        for z in zones
    ]
    columns = heads("Clients of zone", "Instances of zone", "Share due and given", "First places")
    shown = table(columns, rows, "Answers from zone to zone")
    caption = "<p>Of what the clients of a zone get; given since the server began.</p>"
    return section("zones", "", title("zones", "From zone to zone") + caption + shown)


# --- who asked --------------------------------------------------------------------------------------------


def _askers(name: str, account: Told, now: float) -> str:
    if not account.is_kept:
        shown = "<p>Nobody notes it: the setting <code>client_table</code> is off.</p>"
        return section("askers", "", title("askers", "Who asked") + shown)
    rows = [_asker(row, now) for row in account.rows[:ASKERS]]
    head = title("askers", f"Who asked ({plural(len(account.rows), 'client')})")
    if not rows:
        nobody = "<p>Nobody asked this server for it yet.</p>"
        return section("askers", "", head + nobody + _forgotten(account))
    json = f'<a href="/api/v1/clients?{query(service=name)}">JSON</a>'
    beyond = len(account.rows) - ASKERS
    more = f"and {beyond:,} more, longer ago · " if beyond > 0 else ""
    shown = table(
        heads("Client", "Queries", "Last", "First", "What stood first last"), rows, "Clients that asked"
    )
    return section("askers", "", f"{head}{shown}<p>{more}{json}</p>{_forgotten(account)}")


def _asker(row: ClientRow, now: float) -> str:
    return (
        f'<tr data-key="{esc(row.client)}"><th scope="row">{esc(row.client)}<td>{row.queries:,}'
        f"<td>{ago(row.last, now)}<td>{ago(row.first, now)}<td>{esc(row.last_first or 'nobody')}"
    )


def _forgotten(account: Told) -> str:
    if not account.forgotten:
        return ""
    gone = f"{plural(account.forgotten, 'row')} had to go, of whatever service"
    return f"<p>{gone}: there is room for so many alone.</p>"
