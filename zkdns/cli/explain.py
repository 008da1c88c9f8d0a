"""`zkdns explain`: why the answer is what it is, and what would change it."""

from __future__ import annotations

import json
from typing import Any

import click

from zkdns.cli import options, reading, show
from zkdns.cli.show import Column
from zkdns.explain import explain, read_name, read_type
from zkdns.why import suppose

COLUMNS = (
    Column("INSTANCE"),
    Column(""),
    Column("STATE"),
    Column("WEIGHT", right=True, spare=1),
    Column("SHARE", right=True),
    Column("ADDRESS", folds=15, spare=2),
    Column("REASON", folds=20),
)


@click.command(short_help="Why an answer is what it is.")
@click.argument("name")
@click.argument("qtype", metavar="[TYPE]", default="")
@click.option("--client", metavar="ADDR", help="The address that asks; 127.0.0.1 by default.")
@click.option(
    "--if",
    "changes",
    metavar="CHANGE",
    multiple=True,
    help=f"Tried on a copy, nothing is changed; repeatable: {suppose.EXAMPLES}.",
)
@options.zone
@options.reads_registry
def command(
    name: str,
    qtype: str,
    client: str | None,
    changes: tuple[str, ...],
    zone: tuple[str, ...],
    registry: tuple[str, ...],
    config: str | None,
    as_json: bool,
) -> None:
    """Why the answer to NAME TYPE (A by default; an address stands for its PTR) is what it is.

    Shows the answer that would be given next, and each instance, in or out, with the reason and its
    share of first places. With --if also what it would be, beside what it is.
    """
    settings = options.load(registry, config, zone)
    qtype = qtype or ("PTR" if name.strip().replace(".", "").isdigit() or ":" in name else "A")
    try:
        qname = read_name(name)
        read_type(qtype)
        for text in changes:
            suppose.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    async def work(registries: reading.Registries) -> None:
        answers = registries.compile_for(qname)

        def ask(tried: tuple[str, ...]) -> dict[str, Any]:
            return explain(
                answers, registries.catalog, name, qtype,
                client=client, changes=tried, forwards=registries.forwards,
            )  # fmt: skip

        try:
            said = ask(changes)
            before = ask(()) if changes else None
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        if as_json:
            click.echo(json.dumps(said, ensure_ascii=False))
        else:
            _show(said, before)

    reading.run(settings, work)


def _show(said: dict[str, Any], before: dict[str, Any] | None) -> None:
    console = show.open_console()
    console.print(f"{said['name']} {said['type']}: {said['rcode']}{', stale' if said['stale'] else ''}")
    if before is not None and before["rcode"] != said["rcode"]:
        console.print(f"  (now: {before['rcode']})")
    for rdata in said["answer"]:
        console.print(f"  {show.clean(rdata)}", soft_wrap=True)
    if said["instances"]:
        console.print()
        _show_instances(console, said, before)
    if said["notes"]:
        console.print()
    for note in said["notes"]:
        console.print(f"* {show.clean(note)}", soft_wrap=not console.is_terminal)


def _show_instances(console: Any, said: dict[str, Any], before: dict[str, Any] | None) -> None:
    columns = list(COLUMNS)
    old = {(i["service"], i["id"]): i for i in before["instances"]} if before is not None else {}
    several = len({i["service"] for i in said["instances"]}) > 1
    if before is not None:
        columns.insert(4, Column("NOW", right=True))
    rows = []
    for one in said["instances"]:
        row = [
            f"{one['service']}/{one['id']}" if several else one["id"],
            "in" if one["in"] else "out",
            one["state"],
            one["weight"],
            show.percent(one["share"]),
            ", ".join(one["address"]),
            one["reason"],
        ]
        if before is not None:
            known = old.get((one["service"], one["id"]))
            row.insert(4, show.percent(known["share"]) if known is not None else None)
        rows.append(row)
    show.print_table(console, columns, rows)
