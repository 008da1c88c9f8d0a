"""`zkdns instances SERVICE`: one row an instance, with its state and why."""

from __future__ import annotations

import json
from typing import Any

import click

from zkdns.cli import complete, options, registries, show
from zkdns.cli.show import Column
from zkdns.web import shapes

COLUMNS = (
    Column("ID"),
    Column("ADDRESS", folds=15),
    Column("PORT", right=True, spare=2),
    Column("WEIGHT", right=True, spare=1),
    Column("PRIO", right=True, spare=4),
    Column("SHARE", right=True),
    Column("STATE"),
    Column("SINCE", spare=5),
    Column("TAGS", spare=3),
    Column("REASON", folds=20),
)


@click.command(short_help="The instances of a service, with state and reason.")
@click.argument("service", shell_complete=complete.services)
@options.zone
@options.failover
@options.reads_registry
def command(
    service: str,
    zone: tuple[str, ...],
    failover: tuple[str, ...],
    registry: tuple[str, ...],
    config: str | None,
    as_json: bool,
) -> None:
    """The instances of SERVICE: address, weight in force, share of first places, state, and why."""
    settings = options.load(registry, config, zone, failover)

    async def work(registries: registries.Registries) -> None:
        found = registries.find(service)
        due = registries.compile([found]).services[found.name].shares()
        said = shapes.service(found, settings.ttl, settings.zone[0], shapes.Firsts(due=due))
        if as_json:
            click.echo(json.dumps(said, ensure_ascii=False))
            return
        if said["instances"]:
            show.print_table(show.open_console(), COLUMNS, map(_row, said["instances"]))
        else:
            click.echo(f"no instance of {found.name} is registered")
        if found.note:
            click.echo(show.clean(found.note))

    registries.run(settings, work)


def _row(said: dict[str, Any]) -> tuple[object, ...]:
    addresses = ", ".join([said["host"]] if said["host"] else said["address"])
    return (
        said["id"],
        addresses,
        said["port"],
        said["weight"],
        said["priority"],
        show.percent(said["share"]),
        said["state"],
        said["since"],
        ", ".join(said["tags"]),
        said["reason"],
    )
