"""`zkdns watch [SERVICE]`: each change as it happens.

Rules: on a terminal a view that is drawn anew; elsewhere one line a change, written at once. Either
goes on through a loss of the registry, and says so.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.live import Live

from zkdns.cli import complete, options, registries, show
from zkdns.cli.live import View, spell_event
from zkdns.cli.say import say, say_json
from zkdns.lists import plural
from zkdns.model import Change
from zkdns.web import shapes

LOOK = 0.5
"""Seconds between two looks at whether the registry is within reach."""

REST = 0.1
"""Seconds between two drawings: a flood of changes is for reading, too."""

Events = asyncio.Queue[dict[str, Any]]


@click.command(short_help="Each change of the registry, as it happens.")
@click.argument("service", required=False, shell_complete=complete.services)
@options.failover
@options.reads_registry
def command(
    service: str | None,
    load: options.Load,
    as_json: bool,
) -> int:
    """Each change of SERVICE, or of all services, as it happens: what came, went, or changed, and why.

    On a terminal it is a view of how all stands, with the last changes below. Elsewhere each change is a
    line; with --json one event a line, as in /api/v1/events. Ctrl-C ends it.
    """
    settings = load()
    console = show.open_console()
    alive = sys.stdout.isatty() and not console.is_dumb_terminal and not as_json

    async def work(registries: registries.Registries) -> int:
        name = registries.find(service).name if service is not None else None
        events: Events = asyncio.Queue()

        def take(changes: Sequence[Change]) -> None:
            for event in shapes.events(c for c in changes if name in (None, c.service)):
                events.put_nowait(event)

        registries.follow(take)
        if alive:
            where = ", ".join(url.text for url in settings.registry)
            return await _draw(console, registries, events, View(name, where))
        services = registries.services
        watched = [services[name]] if name is not None else list(services.values())
        instances = sum(len(s.instances) for s in watched)
        held = f"{plural(len(watched), 'service')}, {plural(instances, 'instance')}"
        tell(f"watching {held}; Ctrl-C ends it")
        if registries.away:
            tell(registries.tell_away())
        return await _print(console, registries, events, as_json)

    return registries.run(settings, work)


async def _print(console: Console, registries: registries.Registries, events: Events, as_json: bool) -> int:
    away = False
    while True:
        try:
            event = await asyncio.wait_for(events.get(), LOOK)
        except TimeoutError:
            if away != (registries.stale_since is not None):
                away = not away
                tell("the registry is out of reach" if away else "the registry is back")
            continue
        if as_json:
            say_json(event)
        else:
            console.print(spell_event(event, time.time()), soft_wrap=True)
            console.file.flush()


def tell(text: str) -> None:
    """Beside the events, for people."""
    say(f"{time.strftime('%H:%M:%S')}  {text}", err=True)


async def _draw(console: Console, registries: registries.Registries, events: Events, view: View) -> int:
    """Until Ctrl-C or SIGTERM; either way the terminal is left as it was found."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not ended.is_set():
            live.update(_drawn(console, registries, view), refresh=True)
            await _gather(events, view)
    return 128 + signal.SIGTERM


def _drawn(console: Console, registries: registries.Registries, view: View) -> RenderableType:
    size = console.size
    return view.draw(
        registries.services,
        len(registries.problems),
        registries.stale_since,
        size.width,
        size.height,
        time.time(),
    )


async def _gather(events: Events, view: View) -> None:
    """What comes until the next drawing."""
    try:
        view.take(await asyncio.wait_for(events.get(), LOOK), time.time())
    except TimeoutError:
        return
    await asyncio.sleep(REST)
    while not events.empty():
        view.take(events.get_nowait(), time.time())
