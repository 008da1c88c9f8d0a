"""What `clients`, `asks` and `drain --wait` share: servers asked who was told what.

Rules: what several servers tell of a client and service is one row, the latest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from zkdns.cli import asking, show
from zkdns.cli.history import clock, seconds
from zkdns.cli.show import Column
from zkdns.lists import plural
from zkdns.serve.clients import ClientRow, Told, merge

COLUMNS: Final = (
    Column("CLIENT"),
    Column("SERVICE"),
    Column("FIRST", spare=2),
    Column("LAST"),
    Column("QUERIES", right=True, spare=1),
    Column("LAST FIRST"),
)

SHAPE: asking.Shape = {"clients": list, "forgotten": int}
ROW: asking.Shape = {
    "client": str, "service": str, "first": str, "last": str, "queries": int, "last_first": str,
}  # fmt: skip


def ask(
    server: str,
    service: str = "",
    client: str = "",
    timeout: float = asking.TIMEOUT,
    most: int = asking.MAX_REPLY_BYTES,
) -> tuple[Told, float]:
    """What one server tells, and when by its clock; Failure where it can't be asked. `most`: bytes of its
    reply."""
    asked: dict[str, asking.Value] = {"service": service, "client": client}
    reply, at = asking.get_dated(server, "/api/v1/clients", asked, SHAPE, timeout, most)
    rows = tuple(_row(asking.hold_to(server, row, ROW)) for row in reply["clients"])
    return Told(rows, reply["forgotten"], reply.get("kept") is not False), at


def _row(row: dict[str, Any]) -> ClientRow:
    times = seconds(row["first"]), seconds(row["last"])
    zone, beyond = row.get("zone", ""), row.get("beyond", "")  # which older servers don't tell
    if not (isinstance(zone, str) and isinstance(beyond, str)):
        zone = beyond = ""
    at = seconds(beyond) if beyond else 0.0
    return ClientRow(row["client"], row["service"], *times, row["queries"], row["last_first"], zone, at)


@contextmanager
def ask_all(servers: Sequence[str], service: str = "", client: str = "") -> Iterator[Told]:
    """What all of them tell, as one account."""
    with asking.of_each(servers, lambda url: ask(url, service, client)[0]) as accounts:
        rows = merge(row for one in accounts for row in one.rows)
        yield Told(rows, sum(one.forgotten for one in accounts), any(one.is_kept for one in accounts))


def print_told(account: Told, nobody: str) -> None:
    """A table for people. `nobody`: what is said where it has no row."""
    console = show.open_console()
    if not account.is_kept:
        console.print("* who was told is not kept there: client_table is false")
        return
    if account.rows:
        show.print_table(console, COLUMNS, map(_cells, account.rows))
    else:
        console.print(nobody)
    if account.forgotten:
        console.print(f"* {plural(account.forgotten, 'row')} had to make room for others: forgotten")


def _cells(row: ClientRow) -> Sequence[object]:
    return [row.client, row.service, clock(row.first), clock(row.last), row.queries, row.last_first]
