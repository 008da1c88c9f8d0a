"""The list of services: the worst first, chosen by state and by words, sorted by any column.

Rules: pure; see words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from zkdns.answers.routed import Routed
from zkdns.lists import some_of
from zkdns.model import Instance, Service
from zkdns.order import in_order
from zkdns.wall import each
from zkdns.web.page.overview import Lost, is_empty, lost, names_given
from zkdns.web.page.view import Asked, View
from zkdns.web.page.words import badge, broken, esc, per_second, query, section, table, title

PAGE = 100
"""Services a page."""

NAMED = 3
"""Instances that are named beside a service, where words found them."""

EMPTY = "empty"
"""The state, in the page's own words, of a service without instances."""


def worst(s: Service) -> tuple[Any, ...]:
    """The smaller the part that is healthy the earlier; what has no instance stands behind what has."""
    return s.healthy() / len(s.instances) if s.instances else 1.0, bool(s.instances), s.name


def columns(view: View) -> dict[str, tuple[str, Callable[[Service], Any]]]:
    """By the word that sorts by it: how a column is called, and what it is sorted by."""
    rates = view.load.services
    asked = {"asked": ("Queries a second", lambda s: (-rates.get(s.name, 0.0), s.name))}
    return {
        "name": ("Service", lambda s: s.name),
        "worst": ("Healthy", worst),
        "instances": ("Instances", lambda s: (-len(s.instances), s.name)),
        **(asked if view.load.is_kept else {}),
        "policy": ("Policy", lambda s: (s.settings.policy, s.name)),
        "ttl": ("TTL", lambda s: (s.settings.ttl if s.settings.ttl is not None else -1, s.name)),
    }


def services(view: View, asked: Asked) -> str:
    listed = [
        (s, hits)
        for s in view.status.services.values()
        if asked.state != EMPTY or is_empty(s, view)
        for hits in [find(s, asked)]
        if hits is not None
    ]
    column = asked.sort.removeprefix("-")
    known = columns(view)
    by = known[column if column in known else "worst"][1]
    gone = lost(view)
    down = {*gone.without, *gone.nobody} if by is worst else set()
    ordered = in_order(
        listed,
        lambda pair: (pair[0].name not in down, by(pair[0])),
        reverse=asked.sort.startswith("-"),
    )
    pages = max(1, -(-len(listed) // PAGE))
    page = min(max(asked.page, 1), pages)
    rows = each(
        [*islice(ordered, (page - 1) * PAGE, page * PAGE)],
        lambda pair: _row(*pair, view, asked, gone),
        lambda pair, error: broken(pair[0].name, error, len(known)),
    )
    shown = table(_heads(asked, known), rows, "Services")
    if not rows:
        shown = f"<p>{'No service matches.' if asked.q or asked.state else _nothing(view)}</p>"
    head = title("services", f"Services ({len(listed):,})")
    return section("services", "", head + _chosen(asked) + shown + _turn(page, pages, asked))


def _nothing(view: View) -> str:
    """Where we look, for who registers elsewhere."""
    if not view.status.loaded:
        return "Nothing is known yet."
    return f"Nothing is registered yet in {esc(', '.join(r.url for r in view.status.registries))}."


def find(s: Service, asked: Asked) -> list[str] | None:
    """The instances that were meant, none where the service itself was; None where neither was."""
    if asked.state == EMPTY:
        if s.instances:
            return None
    elif asked.state and not any(i.state == asked.state for i in s.instances):
        return None
    wanted = asked.q.lower()
    if wanted in s.name.lower() or wanted in s.label:
        return []
    return [i.id for i in s.instances if any(wanted in text.lower() for text in _texts(i))] or None


def _texts(i: Instance) -> Iterator[str]:
    """What an instance is known by."""
    r = i.registration
    yield i.id
    yield from i.addresses
    if r.host:
        yield r.host
    yield from r.tags
    if r.zone:
        yield r.zone
    for key, value in r.meta:
        yield f"{key}={value}"


def _row(s: Service, hits: Iterable[str], view: View, asked: Asked, gone: Lost) -> str:
    states = Counter(str(i.state) for i in s.instances)
    route = view.routed.get(s.name)
    is_down = s.name in gone.without or s.name in gone.nobody
    word = "bad" if is_down else "" if s.healthy() or route is not None else "unused"
    here = ' aria-current="true"' if s.name == asked.service else ""
    ttl = s.settings.ttl if s.settings.ttl is not None else view.status.ttl
    badges = " ".join(f"{badge(state)} {n}" for state, n in states.most_common())
    if route is not None:
        badges = f"{badge('route')} {_leads(route)} {badges}"
    ids = list(hits)
    which = f' <span class="hits">{esc(some_of(ids, NAMED))}</span>' if ids else ""
    to = query(q=asked.q, state=asked.state, sort=asked.sort, page=asked.page, service=s.name)
    return (
        f'<tr class="{word}" data-key="{esc(s.name)}"><th scope="row">'
        f'<a href="/?{to}"{here}>{esc(s.name)}</a>{which}<td>{s.healthy()} / {len(s.instances)}'
        f"<td>{badges or badge(EMPTY)}{_rate(s, view)}<td>{esc(s.settings.policy)}<td>{ttl} s"
    )


def _rate(s: Service, view: View) -> str:
    return f"<td>{per_second(view.load.services.get(s.name, 0.0))}" if view.load.is_kept else ""


def _leads(route: Routed) -> str:
    """Where its name leads, in few words."""
    text = route.note or (
        "nobody is given" if not route.name.first else f"to {', '.join(names_given(route))}"
    )
    return f'<span class="hits">{esc(text)}</span>'


def _heads(asked: Asked, known: Mapping[str, tuple[str, Callable[[Service], Any]]]) -> str:
    now = asked.sort or "worst"
    cells = []
    for key, (name, _) in known.items():
        is_on = now.removeprefix("-") == key
        to = f"-{key}" if now == key else key
        order = ("descending" if now.startswith("-") else "ascending") if is_on else "none"
        arrow = {"ascending": " ▲", "descending": " ▼", "none": ""}[order]
        href = query(q=asked.q, state=asked.state, service=asked.service, sort=to)
        link = f'<a href="/?{href}#services">{name}<span aria-hidden="true">{arrow}</span></a>'
        text = link if key != "instances" else f"States, by {link}"
        cells.append(f'<th scope="col" aria-sort="{order}">{text}')
    return "".join(cells)


def _chosen(asked: Asked) -> str:
    """What the list was narrowed by, and the way back."""
    if not (asked.q or asked.state):
        return ""
    words = [f"with “{esc(asked.q)}”"] if asked.q else []
    if asked.state:
        words.append(f"with {badge(asked.state)}")
    back = f'<a href="/?{query(sort=asked.sort, service=asked.service)}">show all</a>'
    return f'<p class="chosen">Those {" and ".join(words)} · {back}</p>'


def _turn(page: int, pages: int, asked: Asked) -> str:
    if pages == 1:
        return ""
    links = []
    for text, to in (("Previous", page - 1), ("Next", page + 1)):
        if 1 <= to <= pages:
            where = query(q=asked.q, state=asked.state, sort=asked.sort, page=to)
            links.append(f'<a rel="{text.lower()[:4]}" href="/?{where}">{text}</a>')
    return f'<nav aria-label="Pages">Page {page} of {pages} {" ".join(links)}</nav>'
