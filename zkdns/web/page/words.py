"""The page's small words: escaped text, badges, ages, links, tables.

Rules: pure. Whatever comes from a registry, a file or a query goes through `esc` on its way into the page;
the functions here take plain text and escape it themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from zkdns.printable import printable

_DIGIT = re.compile(r"\d")

UNITS = ((86400, "d"), (3600, "h"), (60, "min"))

WORD = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s'\"]+")
"""Quoted words, and others. Each is met once: a pattern that tries again takes the square of a long text."""


def esc(text: object) -> str:
    plain = str(text)
    if not plain.isprintable():  # a mark of direction would turn around what stands beside it
        plain = "".join(c if c in "\n\r\t" else printable(c) for c in plain)
    return escape(plain, quote=True)


def kind(text: str) -> str:
    """A sentence without what is of one case alone (quoted words, and words with digits: addresses, counts,
    zxids): those of one kind are the same."""
    return WORD.sub(lambda word: "…" if word[0][0] in "'\"" or _DIGIT.search(word[0]) else word[0], text)


def span(seconds: float) -> str:
    """A stretch of time, as people say it."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def per_second(rate: float) -> str:
    """A rate, as exact as it is small."""
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}" if rate >= 0.1 else "under 0.1"


def lag(seconds: float | None) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds is not None else "not measured yet"


def ago(at: float, now: float, text: str = "") -> str:
    """How long ago, or in the words that are given, with the moment itself for whoever points at it."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return esc(at)
    exact = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f'<time datetime="{exact}" title="{exact}">{text or f"{span(now - at)} ago"}</time>'


def until(at: float, now: float) -> str:
    """In how long, in the same way."""
    if at <= now:
        return ago(at, now)
    return ago(at, now, f"in {span(at - now)}")


def badge(state: object) -> str:
    return f'<span class="state {esc(state)}">{esc(state)}</span>'


def query(**parts: object) -> str:
    """A query string for an attribute; what is empty is left out."""
    return esc(urlencode({k: v for k, v in parts.items() if v not in ("", None, 1)}))


def service_link(name: str, text: str | None = None) -> str:
    return f'<a href="/?{query(service=name)}">{esc(text if text is not None else name)}</a>'


def number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def heads(*names: str) -> str:
    return "".join(f'<th scope="col">{esc(name)}' for name in names)


def table(head: str, rows: Iterable[str], name: str) -> str:
    """`head` and `rows` are markup. What is wider than its place moves by keyboard too (WCAG 2.1.1)."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{esc(name)}"><table><thead><tr>{head}'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def section(id: str, label: str, body: str, kind: str = "") -> str:
    """A part that is kept fresh. One without a body is there all the same: it may have one later."""
    name = f'aria-labelledby="{id}-head"' if f'id="{id}-head"' in body else f'aria-label="{esc(label)}"'
    return f'<section id="{id}" data-live {name} class="{kind}">{body}</section>'


def broken(name: str, error: str, columns: int) -> str:
    """The row of what we fell over."""
    return f'<tr class="bad"><th scope="row">{esc(name)}<td colspan="{columns - 1}">{esc(error)}'


def title(id: str, text: str) -> str:
    """The heading of a section. `text` is markup."""
    return f'<h2 id="{id}-head">{text}</h2>'


def bar(word: str, share: float | None) -> str:
    if share is None:
        return f'<div class="bar"><span>{word}</span> none yet</div>'
    percent = f"{share:.1%}"
    return (
        f'<div class="bar"><span>{word}</span> <meter min="0" max="1" value="{share:.4f}" '
        f'aria-label="{word} {percent}">{percent}</meter> {percent}</div>'
    )
