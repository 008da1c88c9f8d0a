"""Why an answer is what it is, and what it would be: a form whose result is an address that can be passed on.

Rules: pure; see words. It shows the shape of /api/v1/explain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from zkdns.web.page.view import Asked, View
from zkdns.web.page.words import badge, bar, esc, heads, section, service_link, table, title

TYPES = ("A", "AAAA", "SRV", "TXT", "PTR")
ANSWERS = 50
"""Records that are shown."""


def form(asked: Asked) -> str:
    options = "".join(
        f"<option{' selected' * (t == (asked.type or 'A'))}>{t}</option>"
        for t in dict.fromkeys((*TYPES, esc(asked.type.upper() or "A")))
    )
    return (
        f'<section id="explain" aria-labelledby="explain-head">{title("explain", "Explain, and what if")}'
        '<form action="/#explained"><label for="explain-name">Name</label>'
        f'<input id="explain-name" name="explain" value="{esc(asked.explain)}" placeholder="web.svc.local" '
        f'autocomplete="off" required><label for="explain-type">Type</label>'
        f'<select id="explain-type" name="type">{options}</select>'
        '<label for="explain-client">Client</label>'
        f'<input id="explain-client" name="client" value="{esc(asked.client)}" placeholder="its address" '
        'autocomplete="off"><label for="explain-if">If</label>'
        f'<input id="explain-if" name="if" value="{esc(asked.tried)}" autocomplete="off" '
        'placeholder="drain=web/a weight:web/b=50"><button>Explain</button></form></section>'
    )


def explained(view: View, asked: Asked) -> str:
    account = view.explained
    if account is None:
        return section("explained", "Explained", "")
    if isinstance(account, str):
        return section("explained", "Explained", f'<p class="lack">{esc(account)}</p>', "bad")
    return section("explained", "", _result(account, asked))


def _result(account: Mapping[str, Any], asked: Asked) -> str:
    head = f"{esc(account['name'])} {esc(account['type'])}: {esc(account['rcode'])}"
    tried = f"<p>If {esc(asked.tried)}</p>" if asked.tried else ""
    answers = "".join(f"<li><code>{esc(a)}</code>" for a in account["answer"][:ANSWERS])
    notes = "".join(f"<li>{esc(note)}" for note in account["notes"])
    rows = [
        f'<tr class="{"" if i["in"] else "out"}"><th scope="row">{service_link(i["service"])}/{esc(i["id"])}'
        f"<td>{'in' if i['in'] else 'out'}<td>{badge(i['state'])}<td>{esc(i['reason'])}"
        f"<td>{bar('due', i['share'])}"
        for i in account["instances"][:500]
    ]
    columns = heads("Instance", "In or out", "State", "Why", "Share")
    shown = table(columns, rows, "Instances of the answer") if rows else ""
    again = [("name", asked.explain), ("type", asked.type or "A"), ("client", asked.client)]
    again += [("if", change) for change in asked.changes]
    json = f'<a href="/api/v1/explain?{esc(urlencode([pair for pair in again if pair[1]]))}">JSON</a>'
    return (
        f"{title('explained', head)}{tried}<ul>{answers}</ul><ul class=notes>{notes}</ul>{shown}"
        f'<p>{json} <a href="/">close</a></p>'
    )
