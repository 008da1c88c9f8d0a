"""The status page: whole as HTML, without a line of script; the script only keeps it fresh.

Rules: pure; it may run in a thread, beside the server that it shows. Everything that comes from a registry, a
file or a query is escaped by `words.esc`. No outside resource, no inline style or script (the
Content-Security-Policy forbids both). Each part has a section of its own that is always there.
"""

from __future__ import annotations

from importlib import import_module

from zkdns.web.page.view import Asked, Past, View

__all__ = ["Asked", "Past", "View", "render"]


def render(view: View, asked: Asked) -> str:
    """The page for what was asked. Whoever asks for the first one loads its parts: a start need not."""
    text: str = import_module(f"{__name__}.whole").render(view, asked)
    return text
