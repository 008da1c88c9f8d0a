"""One service, opened: how to ask for it, its instances with all they say, and what stands beside them.

Rules: pure; see words. `beside` is the place for what is laid over a service (routes), for where its answers
go (zones) and for who asked: each is rendered where the server tells it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from zkdns.model import Service
from zkdns.web import shapes
from zkdns.web.page.timeline import timeline
from zkdns.web.page.view import View
from zkdns.web.page.words import ago, badge, bar, esc, heads, plural, query, section, table, title

COLUMNS = ("Instance", "State", "Why", "Address", "Weight", "Share due and given", "Registered")

SHOWN = 500
"""Instances of an opened service; the JSON has all of them."""

ASKERS = 50


def opened(name: str, view: View) -> str:
    service = view.status.services.get(name)
    if service is None:
        told = f"No service {name} is registered."
        return section("opened", "Service", f'<p class="verdict">{esc(told)}</p>', "bad") + timeline_of_gone(
            view
        )
    return _service(service, view) + beside(view) + timeline(service, view)


def timeline_of_gone(view: View) -> str:
    """A service that is no more may have a last day."""
    if not view.past.changes:
        return section("day", "The last day", "")
    return timeline(Service(view.past.changes[0].service, "", ""), view)


def _service(service: Service, view: View) -> str:
    status = view.status
    said = shapes.service(service, status.ttl, status.zones[0], view.firsts, SHOWN)
    recent, ever = sum(view.firsts.recent.values()), sum(view.firsts.ever.values())
    since = {i.id: i.since for i in service.instances}
    rows = [_instance(i, since[i["id"]], recent, view.now) for i in said["instances"]]
    empty = f'<tr><td colspan="{len(COLUMNS)}">No instance is registered.'
    beyond = len(service.instances) - SHOWN
    more = f"<p>and {beyond:,} more in the JSON</p>" if beyond > 0 else ""
    note = f'<p class="warn">{esc(said["note"])}</p>' if said["note"] else ""
    outage = status.outages.get(service.name)
    if outage is not None and outage.had:
        note += f'<p class="lack">Without a healthy instance since {ago(outage.at, view.now)}.</p>'
    json = f'<a href="/api/v1/services/{quote(said["name"], safe="")}">JSON</a>'
    why = f'<a href="/?{query(explain=said["dns_name"])}#explain">explain</a>'
    return section(
        "opened", "",
        f"{title('opened', esc(said['name']))}"
        f"<p><code>{esc(said['dns_name'])}</code> · policy {esc(said['policy'])} · TTL {said['ttl']} s · "
        f'{_check(service)}<code>{esc(said["path"])}</code> · {json} · {why} · <a href="/">close</a></p>'
        f"{_ask(said['dns_name'], status.address)}{note}"
        f"{table(heads(*COLUMNS), rows or [empty], 'Instances')}{more}"
        f"<p>Due and given: parts of the first places; given is of the {recent:,} since the weights changed "
        f"last, and {ever:,} were given since the server began.</p>",
    )  # fmt: skip


def _check(service: Service) -> str:
    check = service.settings.check
    if check is None:
        return ""
    return f"check {esc(check.type)} every {check.interval:g} s · "


def _ask(name: str, address: str) -> str:
    """Lines to ask for it with, ready to be copied."""
    host, _, port = address.rpartition(":")
    where = f" @{host.strip('[]')} -p {port}" if host else ""
    lines = "".join(
        f"<li><code>{esc(line)}</code> "
        f'<button type="button" class="copy" data-copy="{esc(line)}">Copy</button>'
        for kind in ("A", "SRV")
        for line in [f"dig{where} {name} {kind}"]
    )
    return f'<ul class="dig" aria-label="Ask for it">{lines}</ul>'


def _instance(i: Mapping[str, Any], since: float, recent: int, now: float) -> str:
    where = ", ".join(i["address"]) + (f" port {i['port']}" if i["port"] else "")
    weight = f"{i['weight']}" + (
        f" (registered {i['registered_weight']})" if i["weight"] != i["registered_weight"] else ""
    )
    tags = "".join(f' <span class="tag">{esc(t)}</span>' for t in i["tags"])
    bars = bar("due", i["share"]) + bar("given", i["given"] if recent else None)
    known = "".join(f"<dt>{esc(key)}<dd>{esc(value)}" for key, value in _known(i))
    return (
        f'<tr class="{"" if i["in"] else "out"}" data-key="{esc(i["id"])}">'
        f'<th scope="row">{esc(i["id"])}{tags}'
        f'<details data-key="more"><summary>more</summary><dl>{known}</dl></details>'
        f"<td>{badge(i['state'])}<td>{esc(i['reason'])}<td>{esc(where)}"
        f"<td>{esc(weight)}, priority {i['priority']}<td>{bars}"
        f"<div class=bar><span>ever</span> {i['first_answers']:,}</div><td>{ago(since, now)}"
    )


def _known(i: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All that an instance says of itself and has no column of its own."""
    yield "name", i["name"]
    yield "path", i["path"]
    for key in ("host", "zone", "protocol", "format"):
        if i[key]:
            yield key, i[key]
    for name, port in i["ports"].items():
        yield f"port {name}", str(port)
    for key, value in i["meta"].items():
        yield f"meta {key}", value


# --- beside the instances ---------------------------------------------------------------------------------


def beside(view: View) -> str:
    return _routes(view.routes) + _zones(view.zones) + _askers(view.askers)


def _routes(routes: Sequence[Mapping[str, Any]]) -> str:
    if not routes:
        return section("routes", "Route", "")
    rows = [
        f"<tr><td>{n}<td>{esc(target)}<td>{esc(share)}<td>{esc(route.get('source') or '')}"
        f"<td>{esc(route.get('until') or '')}"
        for route in routes
        for n, tier in enumerate(route["tiers"], 1)
        for target, share in tier.items()
    ]
    shown = table(heads("Tier", "Target", "Share", "From", "Until"), rows, "Route")
    return section("routes", "", title("routes", "Route") + shown)


def _zones(zones: Sequence[Mapping[str, Any]]) -> str:
    """From the clients' zone to the instances'."""
    if not zones:
        return section("zones", "From zone to zone", "")
    rows = [
        f'<tr><th scope="row">{esc(z["from"] or "none")}<td>{esc(z["to"] or "none")}'
        f"<td>{bar('given', z['share'])}"
        for z in zones
    ]
    shown = table(heads("From zone", "To zone", "Share"), rows, "Answers from zone to zone")
    return section("zones", "", title("zones", "From zone to zone") + shown)


def _askers(askers: Sequence[Mapping[str, Any]]) -> str:
    if not askers:
        return section("askers", "Who asked", "")
    rows = [
        f'<tr><th scope="row">{esc(a["client"])}<td>{a["queries"]:,}<td>{esc(a["last"])}'
        f"<td>{esc(a['last_first'])}"
        for a in askers[:ASKERS]
    ]
    more = f"<p>and {len(askers) - ASKERS:,} more</p>" if len(askers) > ASKERS else ""
    shown = table(heads("Client", "Queries", "Last", "What stood first"), rows, "Clients")
    head = title("askers", f"Who asked ({plural(len(askers), 'client')})")
    return section("askers", "", head + shown + more)
