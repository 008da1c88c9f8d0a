"""`zkdns explain`: why the answer is what it is, and what would change it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import click

from zkdns.cli import asking, complete, options, registries, show
from zkdns.cli.history import DEFAULT_SERVER, Moment
from zkdns.cli.say import say_json
from zkdns.cli.show import Column
from zkdns.dns import names
from zkdns.explain import what_if
from zkdns.explain.explain import explain, read_client, read_name, read_type

COLUMNS = (
    Column("INSTANCE"),
    Column(""),
    Column("STATE"),
    Column("WEIGHT", right=True, spare=1),
    Column("SHARE", right=True),
    Column("ADDRESS", folds=15, spare=2),
    Column("REASON", folds=20),
)

SHAPE: asking.Shape = {
    "name": str, "type": str, "rcode": str, "stale": bool, "answer": list, "instances": list, "notes": list,
}  # fmt: skip
ROW: asking.Shape = {
    "id": str, "in": bool, "state": str, "reason": str, "share": (int, float), "service": str,
    "weight": (int, float, type(None)), "address": list,
}  # fmt: skip
MORE: dict[str, Any] = {"service": "", "weight": None, "address": []}
"""What an older server's row may lack."""

_ADDRESS = re.compile(r"[\d.]+|\[?[\da-fA-F:.%]*:[\da-fA-F:.]*\]?")
"""What is an address, or was meant as one."""

Ask = Callable[[tuple[str, ...]], dict[str, Any]]
"""What is said with these changes tried."""


@click.command(short_help="Why an answer is what it is.")
@click.argument("name", shell_complete=complete.names)
@click.argument("qtype", metavar="[TYPE]", default="")
@click.option("--client", metavar="ADDR", help="The address that asks; 127.0.0.1 by default.")
@click.option(
    "--if",
    "changes",
    metavar="CHANGE",
    multiple=True,
    help=f"Tried on a copy, nothing is changed; repeatable: {what_if.EXAMPLES}.",
)
@click.option(
    "--server",
    metavar="URL",
    help="Ask this running server, as in http://127.0.0.1:8053, and not the registry.",
)
@click.option(
    "--at",
    "moment",
    type=Moment(ends=True),
    metavar="TIME",
    help="The answer as the server gave it then: 14:02, 2h ago, 2026-11-28T14:02:00Z.",
)
@options.zone
@options.failover
@options.reads_registry
def command(
    name: str,
    qtype: str,
    client: str | None,
    changes: tuple[str, ...],
    server: str | None,
    moment: float | None,
    load: options.Load,
    as_json: bool,
) -> None:
    """Why the answer to NAME TYPE (A by default; an address stands for its PTR) is what it is.

    NAME may also be a service's (`web`) or SERVICE/ID. Shows the answer that would be given next, and each
    instance, in or out, with the reason and its share of first places. With --if also what it would be,
    beside what it is. With --server all of it is what that server says: the answer that it would give next,
    with its own checks and its own age. --at asks a server (http://127.0.0.1:8053 without --server) for its
    journal.
    """
    qtype = qtype or ("PTR" if _ADDRESS.fullmatch(name.strip()) else "A")
    try:
        if _may_be_no_service(name):
            read_name(name)
        read_type(qtype)
        read_client(client)
        for text in changes:
            what_if.parse(text)
        if moment is not None and server is None:
            server = DEFAULT_SERVER
        at = asking.read_url(server) if server is not None else ""
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    if at:
        _refuse_beside_server()
        _tell(lambda tried: _ask_server(at, name, qtype, client, tried, moment), changes, as_json)
        return
    settings = load()

    async def work(registries: registries.Registries) -> None:
        try:
            qname = registries.read_name(name)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        ask = _asking_registries(registries, qname, qtype, client, changes)
        try:
            _tell(ask, changes, as_json)
        except ValueError as error:
            raise click.ClickException(str(error)) from None

    registries.run(settings, work)


def _asking_registries(
    registries: registries.Registries, qname: bytes, qtype: str, client: str | None, changes: tuple[str, ...]
) -> Ask:
    """As of one moment, whatever is tried."""
    snapshot, name = registries.compile_for(qname).snapshot(), names.text(qname)
    routes = dict(registries.pipeline.routes.in_force)
    now = time.time()
    more = registries.pipeline.preview(what_if.targets_in(changes), now)()
    lifted = registries.pipeline.undrained(what_if.undrained_in(changes), now)

    def ask(tried: tuple[str, ...]) -> dict[str, Any]:
        return explain(
            snapshot, name, qtype,
            client=client, changes=tried, forwards=registries.forwards, routes=routes, more=more,
            lifted=lifted,
        )  # fmt: skip

    return ask


def _may_be_no_service(name: str) -> bool:
    """Whether what is no domain name is nothing else either: ZooKeeper has names of any characters and
    length, and who has read the registry knows which there are."""
    return name.isascii() and ("\\" in name or "" in name.removesuffix(".").split("."))


def _refuse_beside_server() -> None:
    """What would say nothing to a server, which has a registry and zones of its own."""
    asks = "--server" if options.is_given("server") else "--at"
    for name in ("registry", "config", "zone", "failover"):
        if options.is_given(name):
            raise click.UsageError(
                f"--{name} and {asks} don't go together: the server that is asked has its own"
            )


def _ask_server(
    server: str, name: str, qtype: str, client: str | None, tried: tuple[str, ...], at: float | None
) -> dict[str, Any]:
    asked: dict[str, asking.Value] = {"name": name, "type": qtype, "client": client, "if": tried}
    if at is not None:
        asked["at"] = str(at)
    reply = asking.get(server, "/api/v1/explain", asked, SHAPE)
    for row in reply["instances"]:
        asking.hold_to(server, MORE | row if isinstance(row, dict) else row, ROW)
    return reply


def _tell(ask: Ask, changes: tuple[str, ...], as_json: bool) -> None:
    account = ask(changes)
    if as_json:
        say_json(account)
    else:
        _show(account, ask(()) if changes else None)


def _show(account: dict[str, Any], before: dict[str, Any] | None) -> None:
    console = show.open_console()
    asked = show.clean(f"{account['name']} {account['type']}: {account['rcode']}")
    console.print(f"{asked}{', stale' if account['stale'] else ''}", soft_wrap=True)
    if before is not None and before["rcode"] != account["rcode"]:
        console.print(f"  (now: {show.clean(before['rcode'])})")
    for rdata in account["answer"]:
        console.print(f"  {show.clean(str(rdata))}", soft_wrap=True)
    if account["instances"]:
        console.print()
        _show_instances(console, account, before)
    if account["notes"]:
        console.print()
    for note in account["notes"]:
        console.print(f"* {show.clean(str(note))}", soft_wrap=not console.is_terminal)


def _show_instances(console: Any, account: dict[str, Any], before: dict[str, Any] | None) -> None:
    columns = list(COLUMNS)
    now = [MORE | one for one in account["instances"]]
    old = {(i["service"], i["id"]): i for i in (MORE | one for one in before["instances"])} if before else {}
    several = len({i["service"] for i in now}) > 1
    if before is not None:
        columns.insert(4, Column("NOW", right=True))
    rows = []
    for one in now:
        row = [
            f"{one['service']}/{one['id']}" if several else one["id"],
            "in" if one["in"] else "out",
            one["state"],
            one["weight"],
            show.percent(one["share"]),
            ", ".join(map(str, one["address"])),
            one["reason"],
        ]
        if before is not None:
            known = old.get((one["service"], one["id"]))
            row.insert(4, show.percent(known["share"]) if known is not None else None)
        rows.append(row)
    show.print_table(console, columns, rows)
