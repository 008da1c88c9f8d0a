"""`zkdns replicas`: the servers that are registered under /zkdns/servers.

Rules: what a server wrote may be of any version; what is missing or odd is shown as "-".
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import click
from rich.table import Table

from zkdns.cli import Failure, options
from zkdns.cli.asking import read_url
from zkdns.cli.say import say, say_json
from zkdns.cli.show import clean, open_console
from zkdns.cli.waiting import Waiting
from zkdns.pipeline.replica import MAX_BYTES, read_node
from zkdns.registry.zk.nodes import Nodes, Refused, open_nodes
from zkdns.roots import SERVERS

MAX_LAG: Final = 86_400 * 365
"""Seconds: what is beyond is no lag, and may be no number that can be written."""

COLUMNS: Final = ("id", "address", "version", "serial", "lag")


@click.command(short_help="The servers that are registered, and how far behind they are.")
@options.reads_registry
def command(load: options.Load, as_json: bool) -> None:
    """The servers registered under /zkdns/servers.

    `lag`: the seconds that a server's last write took to come back to it through its own watch, as a
    change of the registry does.
    """
    settings = load()
    hosts = options.first_ensemble(settings, "replicas register").hosts
    with ExitStack() as stack:
        with Waiting().phase(f"connecting to {hosts}"):
            nodes = stack.enter_context(open_nodes(hosts, settings.zookeeper))
        try:
            servers = nodes.get_below(SERVERS)
        except Refused as why:
            raise Failure(f"ZooKeeper at {hosts}: {SERVERS}: {why}") from None
    replicas = tabulate({name: node.data for name, node in servers.items()})
    if as_json:
        say_json({"replicas": replicas})
    elif not replicas:
        say(f"no server is registered under {SERVERS} at {hosts}")
    else:
        show(replicas)


def http_sides(nodes: Nodes) -> dict[str, str]:
    """By id of each server that is registered, the URL of its HTTP side, "" where it has none."""
    sides = {name: read_node(node.data).http for name, node in nodes.get_below(SERVERS).items()}
    return {name: _url(http) for name, http in sides.items()}


def _url(http: str) -> str:
    """Of an address and port; "" where it is anything else: whoever may write there would choose what is
    asked of whom."""
    try:
        url = read_url(f"http://{http}")
    except ValueError:
        return ""
    return url if http and not urlsplit(url).path else ""


def tabulate(nodes: dict[str, bytes]) -> list[dict[str, Any]]:
    """One row a server."""
    return [_row(name, data) for name, data in nodes.items()]


def _row(name: str, data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data if len(data) <= MAX_BYTES else b"")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        fields = {}
    address = fields.get("address")
    if isinstance(address, list):
        address = ", ".join(map(str, address))
    # Servers leave out what is 0; whoever tells a version would tell a serial.
    serial, lag = fields.get("serial", 0 if "version" in fields else None), fields.get("lag")
    return {
        "id": name,
        "address": address if isinstance(address, str) else None,
        "version": fields["version"] if isinstance(fields.get("version"), str) else None,
        "serial": serial if type(serial) is int and 0 <= serial < 1 << 32 else None,
        "lag": round(float(lag), 6) if isinstance(lag, int | float) and 0 <= lag <= MAX_LAG else None,
    }


def show(replicas: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("serial", "lag") else "left", no_wrap=True)
    for row in replicas:
        table.add_row(*(_text(column, row[column]) for column in COLUMNS))
    open_console().print(table)


def _text(column: str, value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f} s" if column == "lag" else clean(str(value))
