"""`zkdns asks`: which services a client asked for, when, and what stood first."""

from __future__ import annotations

import click

from zkdns.cli import told
from zkdns.cli.history import DEFAULT_SERVER, servers
from zkdns.cli.say import say_json
from zkdns.serve.clients import read_client
from zkdns.web import shapes


@click.command(short_help="What a client asked for, and what it was told.")
@click.argument("client", metavar="ADDR")
@servers
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shape of the HTTP API.")
def command(client: str, servers: tuple[str, ...], as_json: bool) -> None:
    """Which services a client, known by its address, was told of: the first and the last time, how often, and
    which instance stood first in the last answer.

    Asks a running server, or several, whose accounts are made one.
    """
    try:
        address = read_client(client)
    except ValueError:
        raise click.UsageError(f"{client!r} is no IP address") from None
    with told.ask_all(servers or (DEFAULT_SERVER,), client=address) as account:
        if as_json:
            say_json(shapes.clients(account))
        else:
            told.print_told(account, f"{address} asked for no service")
