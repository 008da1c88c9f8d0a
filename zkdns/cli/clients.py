"""`zkdns clients`: who was told of a service, when, and what stood first."""

from __future__ import annotations

import click

from zkdns.cli import asking, told
from zkdns.cli.history import DEFAULT_SERVER, servers
from zkdns.cli.say import say_json
from zkdns.web import shapes


@click.command(short_help="Who asked for a service, and what they were told.")
@click.argument("service", metavar="SERVICE")
@servers
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shape of the HTTP API.")
def command(service: str, servers: tuple[str, ...], as_json: bool) -> None:
    """Which clients were told of a service: the first and the last time, how often, and which instance stood
    first in the last answer.

    A client is an address: behind a resolver that caches, the resolver's. Asks a running server, or several,
    whose accounts are made one.
    """
    with told.ask_all(servers or (DEFAULT_SERVER,), service=service) as account:
        if as_json:
            say_json(shapes.clients(account))
        else:
            told.print_told(account, f"nobody asked for {service}")
            if account.is_kept and not account.rows:
                asking.note_unknown(servers or (DEFAULT_SERVER,), service)
