"""What a shell may complete: services, and instances as SERVICE/ID, read from the registry that is named.

Rules: reads only; silent, and bounded in time: whoever presses TAB wants nothing but words. A word goes onto
the command line as it stands, and anybody may have registered it: one that means something to a shell, such
as `$(reboot)`, is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Callable, Iterable, Mapping

import click
from click.shell_completion import CompletionItem

from zkdns import config
from zkdns.model import Service

PATIENCE = 3.0
"""Seconds."""

MAX_WORDS = 1000
"""That are told at once: no terminal shows more."""

_HARMLESS = re.compile(r"[\w./@:%+,][\w./@:%+,-]*")
"""No quotes, spaces, patterns or substitutions, and no dash in front, where a flag has it."""


def services(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of services."""
    return _complete(ctx, incomplete, lambda known: known)


def instances(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """SERVICE/ID; before the slash the services that there are."""
    name, slash, _ = incomplete.partition("/")

    def words(known: Mapping[str, Service]) -> Iterable[str]:
        if not slash:
            return (f"{one}/" for one in known)
        return (f"{name}/{i.id}" for i in known[name].instances) if name in known else ()

    return _complete(ctx, incomplete, words)


def names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The DNS names of services, in the first zone."""
    zone = (ctx.params.get("zone") or ("svc.local",))[0]
    return _complete(ctx, incomplete, lambda known: (f"{s.label}.{zone}" for s in known.values()))


def _complete(
    ctx: click.Context, incomplete: str, words: Callable[[Mapping[str, Service]], Iterable[str]]
) -> list[CompletionItem]:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            known = asyncio.run(_read(ctx))
    except Exception:  # a registry that can't be read completes nothing
        return []
    matches = sorted(w for w in words(known) if w.startswith(incomplete) and _HARMLESS.fullmatch(w))
    return [CompletionItem(word) for word in matches[:MAX_WORDS]]


async def _read(ctx: click.Context) -> Mapping[str, Service]:
    from zkdns.cli.registries import Registries  # large, and nothing but TAB needs it here

    settings = config.load({key: ctx.params.get(key) for key in ("registry", "config", "zone")})
    registries = Registries(settings)
    try:
        await asyncio.wait_for(registries.load(), PATIENCE)
        return dict(registries.services)
    finally:
        await registries.stop()
