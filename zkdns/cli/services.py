"""`zkdns services`: what the registry holds, one row a service."""

from __future__ import annotations

import time

import click

from zkdns.answers.routed import Routed
from zkdns.cli import options, registries, show
from zkdns.cli.say import say, say_json
from zkdns.cli.show import Column
from zkdns.model import Service
from zkdns.routes import tell_tiers
from zkdns.web import shapes

COLUMNS = (
    Column("SERVICE"),
    Column("HEALTHY", right=True),
    Column("INSTANCES", right=True),
    Column("POLICY", spare=2),
    Column("TTL", right=True, spare=3),
    Column("NAME", spare=1),
    Column("NOTE", folds=20),
)


@click.command(short_help="The services that are registered.")
@options.zone
@options.failover
@options.reads_registry
def command(
    load: options.Load,
    as_json: bool,
) -> None:
    """The services that are registered, how many of their instances are healthy, and their names."""
    settings = load()

    async def work(registries: registries.Registries) -> None:
        catalog = registries.catalog
        if not catalog.services:
            registries.demand_read()
        if as_json:
            builder = registries.compile(catalog.services.values())
            shown = {name: one.shown(builder.zones[0]) for name, one in builder.services.items()}
            since = catalog.stale_since
            document = shapes.services(
                catalog.services,
                shown,
                ttl=settings.ttl,
                serial=catalog.serial,
                stale_seconds=max(0.0, time.time() - since) if since is not None else None,
            )
            say_json(document)
            return
        if not catalog.services:
            say(f"no service: {registries.nothing}")
            return
        beyond = registries.beyond()
        routes = {name: beyond(name).route for name in catalog.services}
        rows = [
            (
                s.name,
                s.healthy(),
                len(s.instances),
                s.settings.policy,
                s.settings.ttl if s.settings.ttl is not None else settings.ttl,
                f"{s.label}.{settings.zone[0]}",
                s.note or _trouble(s, routes[s.name]),
            )
            for _, s in sorted(catalog.services.items())
        ]
        show.print_table(show.open_console(), COLUMNS, rows)
        if empty := sum(not _gives(s, routes[s.name]) for s in catalog.services.values()):
            say(f"{empty} of {len(rows)} without a healthy instance", err=True)
        if problems := registries.problems:
            say(f"{len(problems)} problem{'s' * (len(problems) > 1)}: see zkdns check", err=True)

    registries.run(settings, work)


def _gives(service: Service, route: Routed | None) -> bool:
    """Whether anybody stands behind its name now."""
    return bool(service.healthy()) if route is None else bool(route.name.first)


def _trouble(service: Service, route: Routed | None) -> str:
    """What an empty service should not be silent about, and whom its name stands for."""
    if route is not None and route.in_force.source != "failover":
        stands_for = f"stands for {tell_tiers(route.in_force.tiers)}"
        return stands_for if _gives(service, route) else f"{stands_for}: none healthy"
    if route is not None and (route.note or _gives(service, route)):
        return route.note
    if not service.instances:
        return "no instance"
    return "" if service.healthy() else "none healthy"
