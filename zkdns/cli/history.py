"""`zkdns history`: what changed in the answers, when and why, as one server or all of them tell it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from msgspec import structs

from zkdns.cli import Failure, asking, complete, options, show
from zkdns.cli.say import say, say_json
from zkdns.cli.show import Column
from zkdns.cli.times import parse_moment
from zkdns.lists import plural
from zkdns.model import Change, ConfigError
from zkdns.pipeline.journal import History, LeftOut, Query
from zkdns.pipeline.journal_merge import merge
from zkdns.pipeline.journal_reading import find_damage, read_changes
from zkdns.registry.labels import find_name
from zkdns.web import shapes
from zkdns.web.moments import lasts

DEFAULT_SERVER: Final = "http://127.0.0.1:8053"
DAY_SECONDS: Final = 86_400.0

COLUMNS = (
    Column("AT"),
    Column("SERVICE"),
    Column("INSTANCE"),
    Column("WHAT"),
    Column("FROM", folds=10, spare=1),
    Column("TO", folds=10),
    Column("WHY", folds=20),
    Column("ZXID", right=True, spare=2),
)

SHAPE: asking.Shape = {"changes": list, "since": (str, type(None))}
LEFT_OUT: asking.Shape = {"service": str, "changes": int, "since": str}
ROW: asking.Shape = {
    "at": str, "zxid": int, "service": str, "id": str, "what": str, "from": str, "to": str, "why": str,
    "by": str,
}  # fmt: skip


class Moment(click.ParamType):  # type: ignore[type-arg]
    """14:02, 2h ago, 2026-11-28T14:02:00Z: seconds since the epoch. `ends`: the last of what is named."""

    name = "time"

    def __init__(self, *, ends: bool = False) -> None:
        self._ends = ends

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_moment(str(value), time.time()) + (lasts(str(value)) if self._ends else 0.0)
        except ValueError as error:
            self.fail(str(error), param, ctx)


servers = click.option(
    "--server", "servers", metavar="URL", multiple=True,
    help=f"A server's --http; repeatable: what several tell is told once. [default: {DEFAULT_SERVER}]",
)  # fmt: skip
state = click.option(
    "--state", metavar="DIR", type=click.Path(), help="A server's state directory, running or not."
)


@click.command(short_help="What changed, when and why.")
@click.argument("target", metavar="[SERVICE[/ID]]", default="", shell_complete=complete.services)
@click.option("--since", type=Moment(), metavar="TIME", help="From when on: 14:02, 2h, 2026-11-28T14:02:00Z.")
@click.option("--until", type=Moment(ends=True), metavar="TIME", help="Up to when.")
@click.option(
    "--limit", type=options.Whole(1, 10_000), default=1000, metavar="N", show_default=True,
    help="The newest so many.",
)  # fmt: skip
@servers
@state
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shape of the HTTP API.")
def command(
    target: str,
    since: float | None,
    until: float | None,
    limit: int,
    servers: tuple[str, ...],
    state: str | None,
    as_json: bool,
) -> None:
    """What changed in the answers: instances that came, went or changed state, weights, settings, routes,
    leaders, registries out of reach. Each line says when, from what to what, and why.

    Asks a running server, or several, whose accounts are made one; with --state a state directory is read,
    whether its server runs or not. Without a state directory a server remembers its newest 10,000 changes.
    A service that changes all the time loses changes of its own, not those of others; a line says so.
    """
    if servers and state:
        raise click.UsageError("--server and --state don't go together")
    if since is not None and until is not None and until < since:
        raise click.UsageError("--until is before --since")
    service, _, id = target.partition("/")
    query = Query(service, id, since, until, limit)
    if state:
        _say(_read(Path(state), query), as_json)
        return
    with asking.of_each(servers or (DEFAULT_SERVER,), lambda url: _ask(url, query)) as accounts:
        reach = min((one.since for one in accounts if one.since is not None), default=None)
        # Each has looked for the names that it knows the service and the instance by.
        every = structs.replace(query, service="", id="")
        changes = every.newest(merge([one.changes for one in accounts]))
        _say(History(changes, reach, _join([one.left_out for one in accounts])), as_json)
        if service and not (changes or as_json):
            asking.note_unknown(servers or (DEFAULT_SERVER,), service)


def _say(known: History, as_json: bool) -> None:
    if as_json:
        say_json(shapes.history(known))
    else:
        _show(known)


def _read(directory: Path, query: Query) -> History:
    try:
        if not directory.is_dir():
            raise ConfigError(f"--state {directory}", "no such directory")
        for name, what in find_damage(directory).items():
            say(f"{directory / name}: {what}", err=True)
        known = read_changes(directory, query)
        if query.service and not known.changes:
            known = read_changes(directory, _by_label(directory, query))
    except OSError as error:
        raise Failure(f"--state {directory}: {error.strerror or error}") from None
    if known.since is None:
        say(f"--state {directory}: there is no journal", err=True)
    return known


def _by_label(directory: Path, query: Query) -> Query:
    """The same, of what has these names in DNS. Nothing else tells who was there than the newest changes."""
    changes = read_changes(directory, Query(limit=10_000)).changes
    service = find_name((c.service for c in changes), query.service) or query.service
    ids = (c.id for c in changes if c.service == service and c.id)
    return structs.replace(query, service=service, id=(query.id and find_name(ids, query.id)) or query.id)


def _ask(server: str, query: Query) -> History:
    asked: dict[str, asking.Value] = {"service": query.service, "id": query.id, "limit": str(query.limit)}
    asked |= {k: str(v) for k, v in (("since", query.since), ("until", query.until)) if v is not None}
    reply = asking.get(server, "/api/v1/history", asked, SHAPE)
    changes = [_change(asking.hold_to(server, row, ROW)) for row in reply["changes"]]
    rows = reply.get("left_out", [])
    left = [asking.hold_to(server, row, LEFT_OUT) for row in rows if isinstance(rows, list)]
    left_out = tuple(LeftOut(row["service"], row["changes"], seconds(row["since"])) for row in left)
    return History(changes, seconds(reply["since"]) if reply["since"] else None, left_out)


def _join(accounts: Sequence[Sequence[LeftOut]]) -> tuple[LeftOut, ...]:
    """What is known of nobody: of a service that each server left changes out of, by who left the fewest."""
    services = [{one.service: one for one in account} for account in accounts]
    common = [name for name in services[0] if all(name in other for other in services)]
    return tuple(min((other[name] for other in services), key=lambda one: one.since) for name in common)


def _change(row: dict[str, Any]) -> Change:
    return Change(
        seconds(row["at"]), row["zxid"], row["service"], row["id"], row["what"], row["from"], row["to"],
        row["why"], row["by"],
    )  # fmt: skip


def seconds(text: str) -> float:
    """Since the epoch, of a time as the API tells it."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise Failure(f"a time that can't be read: {text[:40]!r}") from None


def _show(known: History) -> None:
    console = show.open_console()
    if known.changes:
        show.print_table(console, COLUMNS, map(_row, known.changes))
    else:
        console.print("nothing changed")
    if known.since is None:
        console.print("* nothing is remembered yet")
    else:
        console.print(f"* the journal reaches back to {clock(known.since)}")
    for left in known.left_out:
        older = f"{plural(left.changes, 'older change')} left out"
        console.print(f"* {show.clean(left.service)} changed too often: {older}, up to {clock(left.since)}")


def _row(c: Change) -> list[object]:
    why = f"{c.why} (by {c.by})" if c.by and c.by not in c.why else c.why
    return [clock(c.at), c.service, c.id, c.what, c.was, c.now, why, f"{c.zxid:#x}" if c.zxid else ""]


def clock(at: float) -> str:
    """In the reader's own time zone; the date where it is not of the last day. A damaged journal, or a server
    that is none of ours, may tell a time that no calendar has: that is the number itself."""
    try:
        moment = datetime.fromtimestamp(at).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s"
    text = f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"
    return text if abs(time.time() - at) < DAY_SECONDS else f"{moment:%Y-%m-%d} {text}"
