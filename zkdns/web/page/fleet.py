"""The server among the others: registries, zones, replicas with their serials and lags, upstreams, clients.

Rules: pure; see words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from zkdns.pipeline.replica import ServerNode
from zkdns.web.page.view import View
from zkdns.web.page.words import ago, badge, esc, heads, lag, per_second, query, section, span, table, title
from zkdns.web.status import RegistryStatus

OLD: Final = 90.0
"""Seconds after which a replica that told nothing is away: it tells every 30."""

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
SPARK: Final = 40
"""Blocks in a line at most."""

ADDRESS: Final = re.compile(r"[\w.-]+:\d+|\[[0-9a-fA-F:.]+\]:\d+")
"""What a link may lead to; anybody who may write below /zkdns/servers chooses the text."""


def registry(view: View) -> str:
    status = view.status
    rows = [_registry(r) for r in status.registries]
    files = "".join(f"<li><code>{esc(f)}</code></li>" for f in status.zone_files)
    shown = table(
        heads("Registry", "State", "Nodes", "zxid", "Readings", "Repairs", "Trouble"), rows, "Registries"
    )
    return section(
        "registry", "",
        f"{title('registry', 'Registry and zones')}{shown}<p>Zones {esc(', '.join(status.zones))} · "
        f"serial {status.serial} · lag {lag(status.lag_seconds)} · engine {esc(status.engine)} · began "
        f"{ago(status.started, view.now)}</p>{f'<ul>{files}</ul>' if files else ''}",
    )  # fmt: skip


def _registry(r: RegistryStatus) -> str:
    away = f" for {span(r.stale_seconds)}" if r.stale_seconds else ""
    counts: Sequence[object] = (f"{r.nodes:,}", r.zxid, r.resyncs, r.audit_repairs) if r.zxid else [""] * 4
    cells = "".join(f"<td>{esc(value)}" for value in (*counts, r.trouble))
    state = badge("connected" if r.connected else "away")
    return f'<tr><th scope="row"><code>{esc(r.url)}</code><td>{state}{away}{cells}'


def replicas(view: View) -> str:
    status = view.status
    if not status.replicas:
        return section("replicas", "Replicas", "")
    newest = max(r.serial for r in status.replicas.values())
    rows = [_replica(id, r, newest, view) for id, r in sorted(status.replicas.items())]
    head = heads("Replica", "Address", "Version", "Serial", "Lag", "Queries a second", "Told")
    shown = table(head, rows, "Replicas")
    return section("replicas", "", title("replicas", f"Replicas ({len(rows)})") + shown)


def _replica(id: str, r: ServerNode, newest: int, view: View) -> str:
    is_this = id == view.status.replica
    serial = view.status.serial if is_this else r.serial
    state = "" if serial == newest or is_this else " differs"
    away = f" {badge('away')}" if view.now - r.at > OLD else ""
    name = f'<a href="http://{esc(r.http)}/">{esc(id)}</a>' if ADDRESS.fullmatch(r.http) else esc(id)
    return (
        f'<tr data-key="{esc(id)}"><th scope="row">{name}{" (this one)" * is_this}'
        f"<td>{esc(r.address)}<td>{esc(r.version)}<td>{serial}{state}"
        f"<td>{lag(r.lag)}<td>{_rate(r, is_this, view)}<td>{ago(r.at, view.now)}{away}"
    )


def _rate(r: ServerNode, is_this: bool, view: View) -> str:
    if is_this and view.load.total:
        return per_second(view.load.total[-1])
    return per_second(r.rate) if r.rate is not None else ""


def forwarding(view: View) -> str:
    status = view.status
    misses = "".join(
        f"<li>{esc(client or 'others')}: {n:,}</li>" for client, n in status.search_misses.items()
    )
    advice = (
        f"{title('misses', 'Search lists')}<p>These clients ask for names outside with a zone of ours behind "
        f"them; set their <code>ndots</code> to 1.</p><ul>{misses}</ul>"
    )
    upstreams = status.spell()["upstreams"]
    shown = ""
    if upstreams:
        rows = ["<tr>" + "".join(f"<td>{esc(value)}" for value in each.values()) for each in upstreams]
        shown = title("upstreams", "Upstreams") + table(heads(*upstreams[0]), rows, "Upstreams")
    return section("misses", "Search lists", advice if misses else "") + section(
        "upstreams", "Upstreams", shown
    )


def queries(view: View) -> str:
    """Queries a second, with the last hour as a line, and the clients that ask most."""
    rates = view.load.total
    if not rates:
        return section("queries", "Queries", "")
    text = f"{per_second(rates[-1])} queries a second; at most {per_second(max(rates))} in the last hour"
    return section(
        "queries", "Queries",
        f'<p>{text} <span class="spark" role="img" aria-label="{text}">{spark(rates)}</span></p>'
        f"{_top_clients(view)}",
    )  # fmt: skip


def spark(rates: Sequence[float]) -> str:
    """These as a line of blocks, each as high as the highest that it stands for."""
    each = -(-len(rates) // SPARK)
    tops = [max(rates[n : n + each]) for n in range(0, len(rates), each)]
    top = max(*tops, 1.0)
    return "".join(BLOCKS[math.ceil(rate / top * (len(BLOCKS) - 1))] for rate in tops)


def _top_clients(view: View) -> str:
    if not view.load.clients:
        return ""
    rows = [
        f'<tr data-key="{esc(one.client)}"><th scope="row">'
        f'<a href="/api/v1/clients?{query(client=one.client)}">{esc(one.client)}</a>'
        f"<td>{per_second(one.rate)}<td>{one.queries:,}"
        for one in view.load.clients
    ]
    head = heads("Client", "Queries a second", "In all")
    return f"<h2>Who asks most</h2>{table(head, rows, 'Clients that ask most')}"
