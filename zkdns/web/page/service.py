"""One service, opened: how to ask for it, its instances with all they say, and what stands beside them.

Rules: pure; see words. What stands beside the instances is `beside`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from zkdns.model import Service
from zkdns.wall import each
from zkdns.web import shapes
from zkdns.web.page.beside import beside
from zkdns.web.page.timeline import timeline
from zkdns.web.page.view import View
from zkdns.web.page.words import ago, badge, bar, broken, esc, heads, query, section, table, title

COLUMNS = ("Instance", "State", "Why", "Address", "Weight", "Share due and given", "Registered")

SHOWN = 500
"""Instances of an opened service; the JSON has all of them."""


def opened(name: str, view: View) -> str:
    service = view.status.services.get(name)
    if service is None:
        text = f"No service {name} is registered."
        shown = section("opened", "Service", f'<p class="verdict">{esc(text)}</p>', "bad")
        return shown + beside(name, view) + timeline_of_gone(view)
    return _service(service, view) + beside(name, view) + timeline(service, view)


def timeline_of_gone(view: View) -> str:
    """A service that is no more may have a last day."""
    if not view.past.changes:
        return section("day", "The last day", "")
    return timeline(Service(view.past.changes[0].service, "", ""), view)


def _service(service: Service, view: View) -> str:
    status = view.status
    document = shapes.service(service, status.ttl, status.zones[0], view.firsts, SHOWN)
    recent, ever = sum(view.firsts.recent.values()), sum(view.firsts.ever.values())
    since = {i.id: i.since for i in service.instances}
    rows = each(
        document["instances"],
        lambda i: _instance(i, since[i["id"]], recent, view),
        lambda i, error: broken(i["id"], i.get("error", error), len(COLUMNS)),
    )
    own = " of its own" * (view.beside.route is not None)
    empty = f'<tr><td colspan="{len(COLUMNS)}">No instance{own} is registered.'
    beyond = len(service.instances) - SHOWN
    more = f"<p>and {beyond:,} more in the JSON</p>" if beyond > 0 else ""
    note = f'<p class="warn">{esc(document["note"])}</p>' if document["note"] else ""
    outage = status.outages.get(service.name)
    if outage is not None and outage.had:
        note += f'<p class="lack">Without a healthy instance since {ago(outage.at, view.now)}.</p>'
    json = f'<a href="/api/v1/services/{quote(document["name"], safe="")}">JSON</a>'
    why = f'<a href="/?{query(explain=document["dns_name"])}#explain">explain</a>'
    return section(
        "opened", "",
        f"{title('opened', esc(document['name']))}"
        f"<p><code>{esc(document['dns_name'])}</code> "
        f"· policy {esc(document['policy'])} · TTL {document['ttl']} s · "
        f'{_check(service)}<code>{esc(document["path"])}</code> · {json} · {why} · <a href="/">close</a></p>'
        f"{_ask(document['dns_name'], status.address)}{note}"
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


def _instance(i: Mapping[str, Any], since: float, recent: int, view: View) -> str:
    where = ", ".join(i["address"]) + (f" port {i['port']}" if i["port"] else "")
    weight = f"{i['weight']}" + (
        f" (registered {i['registered_weight']})" if i["weight"] != i["registered_weight"] else ""
    )
    tags = "".join(f' <span class="tag">{esc(t)}</span>' for t in i["tags"])
    bars = bar("due", i["share"]) + bar("given", i["given"] if recent else None)
    known = "".join(f"<dt>{esc(key)}<dd>{esc(value)}" for key, value in _known(i))
    if (probe := view.beside.probes.get(i["id"])) is not None:
        known += f"<dt>last probe<dd>{ago(probe.at, view.now)}: {esc(probe.why or 'good')}"
    return (
        f'<tr class="{"" if i["in"] else "out"}" data-key="{esc(i["id"])}">'
        f'<th scope="row">{esc(i["id"])}{tags}'
        f'<details data-key="more"><summary>more</summary><dl>{known}</dl></details>'
        f"<td>{badge(i['state'])}<td>{esc(i['reason'])}<td>{esc(where)}"
        f"<td>{esc(weight)}, priority {i['priority']}<td>{bars}"
        f"<div class=bar><span>ever</span> {i['first_answers']:,}</div><td>{ago(since, view.now)}"
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
