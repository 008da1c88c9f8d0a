"""The status page: whole as HTML, without a line of script; the script only keeps it fresh.

Rules: pure; it may run in a thread, beside the server that it shows. Everything that comes from a
registry, a file or a query is escaped here, by `_`. No outside resource, no inline style or script (the
Content-Security-Policy forbids both).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from zkdns import __version__
from zkdns.model import Problem, Service
from zkdns.web import shapes
from zkdns.web.shapes import Firsts
from zkdns.web.status import Status

PAGE = 100
"""Services a page."""

INSTANCE_COLUMNS = ("Instance", "State", "Why", "Address", "Weight", "Share due and given", "Since")

SHOWN = 500
"""Instances of an opened service; the JSON has all of them."""


@dataclass(frozen=True, slots=True)
class View:
    """A server at one moment. `status`: see zkdns.server.status; `ready`: a catalog is loaded, lameduck or
    not; `firsts`: the first answers of the service that is opened, by instance; `now`: seconds since the
    epoch."""

    of: Status
    firsts: Firsts
    now: float

    @property
    def status(self) -> Mapping[str, Any]:
        return self.of.spell()

    @property
    def ready(self) -> bool:
        return self.of.loaded

    @property
    def services(self) -> Mapping[str, Service]:
        return self.of.services

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.of.problems

    @property
    def ttl(self) -> int:
        return self.of.ttl


def _(text: object) -> str:
    return escape(str(text), quote=True)


def render(view: View, query: Mapping[str, str]) -> str:
    """The page for this query string: `service` opens one, `q` searches, `page` turns."""
    search = query.get("q", "")[:200]
    opened = query.get("service", "")
    body = [_summary(view), _problems(view)]
    if opened:
        service = view.services.get(opened)
        body.append(_service(service, view) if service else _unknown(opened))
    body += [_services(view, search, opened, _number(query.get("page", "1")))]
    body += [_changes(), _registry(view.status), _forwarding(view.status), _replicas(view)]
    return _frame("".join(body), search)


def _frame(body: str, search: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>zkdns</title>'
        '<link rel="stylesheet" href="/static/page.css"><link rel="icon" href="/static/icon.svg">'
        '<script src="/static/page.js" defer></script></head><body>'
        '<a class="skip" href="#main">Skip to content</a>'
        '<header><h1><a href="/">zkdns</a></h1>'
        f'<form role="search" action="/"><label for="q">Find a service</label>'
        f'<input id="q" name="q" type="search" value="{_(search)}" autocomplete="off">'
        "<button>Find</button></form>"
        '<p id="live" role="status" aria-live="polite"></p></header>'
        f'<main id="main">{body}</main>'
        f'<footer>zkdns {_(__version__)} · <a href="/metrics">metrics</a> · '
        '<a href="/api/v1/services">API</a></footer></body></html>'
    )


def _summary(view: View) -> str:
    status, services = view.status, view.services.values()
    states = Counter(str(i.state) for s in services for i in s.instances)
    down = sum(1 for outage in view.of.outages.values() if outage.had)
    if not view.ready:
        word, why = "bad", "Not ready: the first catalog is not loaded yet. Our names get SERVFAIL (EDE 14)."
    elif status["stale_seconds"]:
        age = _age(status["stale_seconds"])
        word, why = "warn", f"Stale: the registry has been out of reach for {age}. Answers go on, with EDE 3."
    elif down:
        word, why = "warn", f"{down} service{'s' * (down != 1)} without a healthy instance."
    else:
        word, why = (
            "good",
            "All services have a healthy instance." if services else "No service is registered.",
        )
    counts = "".join(f"<li>{_badge(state)} {n:,}</li>" for state, n in states.most_common())
    return (
        f'<section id="summary" data-live aria-label="Summary" class="{word}"><p class="verdict">{_(why)}</p>'
        f"<ul class=counts><li><b>{len(services):,}</b> services</li>"
        f"<li><b>{states.total():,}</b> instances</li>{counts}</ul></section>"
    )


def _problems(view: View) -> str:
    problems = view.problems
    if not problems:
        return '<section id="problems" data-live aria-label="Problems"></section>'
    rows = "".join(f"<tr><td><code>{_(p.path)}</code><td>{_(p.what)}<td>{_(p.cure)}" for p in problems[:PAGE])
    more = f"<p>and {len(problems) - PAGE:,} more in <a href=/api/v1/problems>the API</a></p>"
    return (
        f'<section id="problems" data-live class="bad"><h2>Problems ({len(problems):,})</h2>'
        '<div class="scroll"><table><thead><tr><th scope="col">Where<th scope="col">What is wrong'
        f'<th scope="col">Cure</thead><tbody>{rows}</tbody></table></div>'
        f"{more if len(problems) > PAGE else ''}</section>"
    )


def _services(view: View, search: str, opened: str, page: int) -> str:
    wanted = search.lower()
    found = [s for n, s in sorted(view.services.items()) if wanted in n.lower() or wanted in s.label]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(page, 1), pages)
    rows = "".join(_row(s, view.ttl, search, opened) for s in found[(page - 1) * PAGE : page * PAGE])
    empty = "Nothing is registered yet." if not search else "No service matches."
    turn = ""
    if pages > 1:
        links = []
        for text, to in (("Previous", page - 1), ("Next", page + 1)):
            if 1 <= to <= pages:
                links.append(f'<a rel="{text.lower()[:4]}" href="/?{_query(q=search, page=to)}">{text}</a>')
        turn = f'<nav aria-label="Pages">Page {page} of {pages} {" ".join(links)}</nav>'
    table = (
        '<div class="scroll"><table><thead><tr><th scope="col">Service<th scope="col">Healthy'
        '<th scope="col">States<th scope="col">Policy<th scope="col">TTL</thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    shown = table if rows else f"<p>{empty}</p>"
    return f'<section id="services" data-live><h2>Services ({len(found):,})</h2>{shown}{turn}</section>'


def _row(s: Service, default_ttl: int, search: str, opened: str) -> str:
    states = Counter(str(i.state) for i in s.instances)
    word = "bad" if s.instances and not s.healthy() else ""
    here = ' aria-current="true"' if s.name == opened else ""
    ttl = s.settings.ttl if s.settings.ttl is not None else default_ttl
    badges = " ".join(f"{_badge(state)} {n}" for state, n in states.most_common())
    link = f'<a href="/?{_query(q=search, service=s.name)}"{here}>{_(s.name)}</a>'
    return (
        f'<tr class="{word}"><th scope="row">{link}'
        f"<td>{s.healthy()} / {len(s.instances)}<td>{badges or '–'}<td>{_(s.settings.policy)}<td>{ttl} s"
    )


def _service(service: Service, view: View) -> str:
    said = shapes.service(service, view.ttl, view.status["zones"][0], view.firsts, SHOWN)
    total = sum(view.firsts.recent.values())
    rows = "".join(_instance(i, total) for i in said["instances"])
    beyond = len(service.instances) - SHOWN
    more = f"<p>and {beyond:,} more in the JSON</p>" if beyond > 0 else ""
    note = f'<p class="warn">{_(said["note"])}</p>' if said["note"] else ""
    empty = f'<tr><td colspan="{len(INSTANCE_COLUMNS)}">No instance is registered.'
    json = f'<a href="/api/v1/services/{quote(said["name"], safe="")}">JSON</a>'
    return (
        '<section id="opened" data-live aria-labelledby="opened-name">'
        f'<h2 id="opened-name">{_(said["name"])}</h2>'
        f"<p><code>{_(said['dns_name'])}</code> · policy {_(said['policy'])} · TTL {said['ttl']} s · "
        f'<code>{_(said["path"])}</code> · {json} · <a href="/">close</a></p>{note}'
        f'<div class="scroll"><table><thead><tr>{_heads(*INSTANCE_COLUMNS)}</thead>'
        f"<tbody>{rows or empty}</tbody></table></div>{more}"
        f"<p>Share: the part of first places. Given: what this server counted, {total:,} in all.</p>"
        "</section>"
    )


def _instance(i: Mapping[str, Any], total: int) -> str:
    given = i["given"]
    where = ", ".join(i["address"]) + (f" port {i['port']}" if i["port"] else "")
    weight = f"{i['weight']}" + (
        f" (registered {i['registered_weight']})" if i["weight"] != i["registered_weight"] else ""
    )
    tags = "".join(f' <span class="tag">{_(t)}</span>' for t in i["tags"])
    bars = _bar("due", i["share"]) + _bar("given", given)
    return (
        f'<tr class="{"" if i["in"] else "out"}"><th scope="row">{_(i["id"])}{tags}'
        f"<br><code>{_(i['path'])}</code><td>{_badge(i['state'])}<td>{_(i['reason'])}<td>{_(where)}"
        f"<td>{_(weight)}, priority {i['priority']}<td>{bars}<td>{_(i['since'])}"
    )


def _bar(word: str, share: float) -> str:
    said = f"{share:.1%}"
    return (
        f'<div class="bar"><span>{word}</span> <meter min="0" max="1" value="{share:.4f}" '
        f'aria-label="{word} {said}">{said}</meter> {said}</div>'
    )


def _unknown(name: str) -> str:
    return f'<section id="opened" class="bad"><p>No service {_(name)} is registered.</p></section>'


def _changes() -> str:
    return (
        '<section id="changes"><h2>Changes</h2><ol id="events" aria-live="off"></ol>'
        '<p id="no-events">Changes show here as they happen.</p>'
        "<noscript><p>They need JavaScript; or read <code>/api/v1/events</code>.</p></noscript></section>"
    )


def _registry(status: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope=row><code>{_(r['url'])}</code><td>{_badge('connected' if r['connected'] else 'away')}"
        f"<td>{r.get('nodes', ''):,}<td>{_(r.get('zxid', ''))}<td>{_(r.get('resyncs', ''))}"
        f"<td>{_(r.get('audit_repairs', ''))}<td>{_(r.get('trouble', ''))}"
        if "nodes" in r
        else f"<tr><th scope=row><code>{_(r['url'])}</code><td>{_badge('connected')}<td><td><td><td><td>"
        for r in status["registries"]
    )
    files = "".join(f"<li><code>{_(f)}</code></li>" for f in status["zone_files"])
    return (
        '<section id="registry" data-live><h2>Registry and zones</h2><div class="scroll"><table><thead><tr>'
        f"{_heads('Registry', 'State', 'Nodes', 'zxid', 'Readings', 'Repairs', 'Trouble')}</thead>"
        f"<tbody>{rows}</tbody></table></div><p>Zones {_(', '.join(status['zones']))} · "
        f"serial {status['serial']} · lag {_lag(status['lag_seconds'])} · engine {_(status['engine'])}</p>"
        f"{f'<ul>{files}</ul>' if files else ''}</section>"
    )


def _forwarding(status: Mapping[str, Any]) -> str:
    misses = "".join(
        f"<li>{_(client or 'others')}: {n:,}</li>" for client, n in status["search_misses"].items()
    )
    misses = (
        '<section id="misses" data-live><h2>Search lists</h2><p>These clients ask for names outside with a '
        f"zone of ours behind them; set their <code>ndots</code> to 1.</p><ul>{misses}</ul></section>"
        if misses
        else ""
    )
    if not status["upstreams"]:
        return misses
    rows = "".join(
        "<tr>" + "".join(f"<td>{_(value)}" for value in upstream.values()) for upstream in status["upstreams"]
    )
    return misses + (
        '<section id="upstreams" data-live><h2>Upstreams</h2><div class="scroll"><table><thead><tr>'
        f"{_heads(*status['upstreams'][0])}</thead><tbody>{rows}</tbody></table></div></section>"
    )


def _replicas(view: View) -> str:
    status = view.status
    if not status["replicas"]:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{_(id)}{' (this one)' if id == status['replica'] else ''}"
        f"<td>{_(r.get('address', ''))}<td>{_(r.get('version', ''))}<td>{_(r.get('serial', 0))}"
        f"<td>{_lag(r.get('lag'))}<td>{_age(max(0.0, view.now - r.get('at', 0.0)))} ago"
        for id, r in status["replicas"].items()
    )
    return (
        '<section id="replicas" data-live><h2>Replicas</h2><div class="scroll"><table><thead><tr>'
        f"{_heads('Replica', 'Address', 'Version', 'Serial', 'Lag', 'Told')}</thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _heads(*names: str) -> str:
    return "".join(f'<th scope="col">{_(name)}' for name in names)


def _lag(seconds: float | None) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds is not None else "not measured yet"


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _badge(state: object) -> str:
    return f'<span class="state {_(state)}">{_(state)}</span>'


def _query(**parts: object) -> str:
    return _(urlencode({k: v for k, v in parts.items() if v not in ("", None)}))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
