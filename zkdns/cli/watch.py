"""`zkdns watch [SERVICE]`: each change as it happens.

Rules: one line a change, written at once. It goes on through a loss of the registry, and says so.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from zkdns.cli import options, reading, show
from zkdns.model import Service
from zkdns.web import changes

LOOK = 0.5
"""Seconds between two looks at whether the registry is within reach."""


@click.command(short_help="Each change of the registry, as it happens.")
@click.argument("service", required=False)
@options.reads_registry
def command(service: str | None, registry: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """Each change of SERVICE, or of all services, as it happens: what came, went, or changed, and why.

    With --json one event a line, as in /api/v1/events. Ctrl-C ends it.
    """
    settings = options.load(registry, config)

    async def work(registries: reading.Registries) -> None:
        name = registries.find(service).name if service is not None else None
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def take(before: Service | None, after: Service | None) -> None:
            of = (after or before).name if (after or before) else ""  # type: ignore[union-attr]
            if name is None or of == name:
                for event in changes.between(before, after, time.time()):
                    events.put_nowait(event)

        registries.publisher.changed.append(take)
        services = registries.publisher.services
        watched = [services[name]] if name is not None else list(services.values())
        instances = sum(len(s.instances) for s in watched)
        tell(f"watching {len(watched)} services, {instances} instances; Ctrl-C ends it")
        await _follow(registries, events, as_json)

    reading.run(settings, work)


async def _follow(
    registries: reading.Registries, events: asyncio.Queue[dict[str, Any]], as_json: bool
) -> None:
    console = show.open_console()
    away = False
    while True:
        try:
            event = await asyncio.wait_for(events.get(), LOOK)
        except TimeoutError:
            if away != registries.is_stale:
                away = registries.is_stale
                tell("the registry is out of reach" if away else "the registry is back")
            continue
        if as_json:
            click.echo(json.dumps(event, ensure_ascii=False))
        else:
            show_event(console, event)


def tell(text: str) -> None:
    """Beside the events, for people."""
    click.echo(f"{time.strftime('%H:%M:%S')}  {text}", err=True)


def show_event(console: Console, event: dict[str, Any]) -> None:
    """One line: when, who, what, and why."""
    name = event["service"] + (f"/{event['instance']}" if "instance" in event else "")
    change, state, was = event["change"], event.get("state", ""), event.get("was", "")
    line = Text(f"{time.strftime('%H:%M:%S')}  {show.clean(name):<24}  ")
    line.append(f"{change:<7}", show.STYLES.get(change, ""))
    if change != "removed" and was and was != state:
        line.append("  ").append(was, show.STYLES.get(was, "")).append(" -> ")
        line.append(state, show.STYLES.get(state, ""))
    elif state:
        line.append("  ").append(state, show.STYLES.get(state, ""))
    elif was:
        line.append(f"  was {was}")
    if "address" in event:
        line.append(f"  {show.clean(', '.join(event['address']))}  weight {event['weight']}")
    if event.get("reason"):
        line.append(f"  ({show.clean(event['reason'])})")
    console.print(line, soft_wrap=True)
    console.file.flush()
