"""`zkdns instances SERVICE`: one row an instance, with its state and why."""

from __future__ import annotations

from typing import Any

import click

from zkdns.cli import complete, options, registries, show
from zkdns.cli.say import say, say_json
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
    load: options.Load,
    as_json: bool,
) -> None:
    """The instances of SERVICE: address, weight in force, share of first places, state, and why."""
    settings = load()

    async def work(registries: registries.Registries) -> None:
        named = registries.find(service)
        due = registries.compile([named]).services[named.name].shares()
        document = shapes.service(named, settings.ttl, settings.zone[0], shapes.Firsts(due=due))
        if as_json:
            say_json(document)
            return
        if document["instances"]:
            show.print_table(show.open_console(), COLUMNS, map(_row, document["instances"]))
        else:
            say(f"no instance of {named.name} is registered")
        if named.note:
            say(show.clean(named.note))

    registries.run(settings, work)


def _row(instance: dict[str, Any]) -> tuple[object, ...]:
    addresses = ", ".join([instance["host"]] if instance["host"] else instance["address"])
    return (
        instance["id"],
        addresses,
        instance["port"],
        instance["weight"],
        instance["priority"],
        show.percent(instance["share"]),
        instance["state"],
        instance["since"],
        ", ".join(instance["tags"]),
        instance["reason"],
    )
