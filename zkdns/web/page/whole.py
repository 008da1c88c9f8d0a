"""The page as a whole: its frame, and each part in its place.

Rules: pure, as all of the room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zkdns import __version__
from zkdns.wall import each
from zkdns.web.page import fleet
from zkdns.web.page.explaining import explained, form
from zkdns.web.page.incident import incident
from zkdns.web.page.overview import count, empty_services, problems, summary
from zkdns.web.page.service import opened
from zkdns.web.page.services import services
from zkdns.web.page.view import Asked, View
from zkdns.web.page.words import esc, section


def render(view: View, asked: Asked) -> str:
    """The page for what was asked."""
    main: dict[str, Callable[[], str]] = {
        "summary": lambda: summary(view, asked),
        "explained": lambda: explained(view, asked),
        "empty": lambda: empty_services(view),
        "problems": lambda: problems(view),
        **({"opened": lambda: opened(asked.service, view)} if asked.service else {}),
        "services": lambda: services(view, asked),
    }
    beside: dict[str, Callable[[], str]] = {
        "queries": lambda: fleet.queries(view),
        "recent": lambda: incident(view),
        "changes": _changes,
        "ask": lambda: form(asked),
        "replicas": lambda: fleet.replicas(view),
        "registry": lambda: fleet.registry(view),
        "forwarding": lambda: fleet.forwarding(view),
    }
    return _frame(_parts(main), _parts(beside), asked, count(view))


def _parts(parts: Mapping[str, Callable[[], str]]) -> str:
    """Each has its section; one that we fall over says so in its place."""
    return "".join(each(parts, lambda id: parts[id](), lambda id, error: section(id, id, esc(error), "bad")))


def _frame(main: str, beside: str, asked: Asked, count: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{count}zkdns</title>'
        '<link rel="stylesheet" href="/static/page.css"><link rel="icon" href="/static/icon.svg">'
        '<script src="/static/page.js" defer></script></head><body>'
        '<a class="skip" href="#main">Skip to content</a>'
        '<header><h1><a href="/">zkdns</a></h1>'
        '<form role="search" action="/"><label for="q">Find</label>'
        f'<input id="q" name="q" type="search" value="{esc(asked.q)}" autocomplete="off" '
        'placeholder="name, address, id, tag, meta"><button>Find</button></form>'
        '<p id="live" role="status" aria-live="polite"></p></header>'
        '<p id="lost" role="alert" hidden></p>'
        f'<main id="main"><div class="first">{main}</div><div class="beside">{beside}</div></main>'
        f'<footer>zkdns {esc(__version__)} · <a href="/metrics">metrics</a> · '
        '<a href="/api/v1/services">API</a></footer></body></html>'
    )


def _changes() -> str:
    return (
        '<section id="changes" aria-labelledby="changes-head"><h2 id="changes-head">Live changes</h2>'
        '<ol id="events" aria-live="off"></ol><p id="no-events">Changes show here as they happen.</p>'
        "<noscript><p>They need JavaScript; or read <code>/api/v1/events</code>.</p></noscript></section>"
    )
