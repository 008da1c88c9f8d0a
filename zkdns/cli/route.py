"""`zkdns route`: lays a route over a service, shows what is in force, or ends it.

Rules: a tier is a run of TARGET[=SHARE]; `--then` begins the next one. What is laid is one node under
/zkdns/overrides, which every replica follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

import click

from zkdns.cli import Failure, options, overrides, registries, show
from zkdns.cli.say import say, say_json
from zkdns.cli.show import Column
from zkdns.config import Settings
from zkdns.model import Override
from zkdns.overrides import describe, in_force, lay_route
from zkdns.pipeline.pipeline import Pipeline
from zkdns.routes import Route, Target, Tier, at_time, parse_route, spell_tiers, tell_tiers
from zkdns.web import shapes

THEN = "--then"
COLUMNS = (
    Column("SERVICE"), Column("ROUTE", folds=24), Column("FROM"), Column("UNTIL", spare=1),
    Column("NOTE", spare=2, folds=20),
)  # fmt: skip


class Words(click.Command):
    """`--then` stands between targets, as they stand themselves."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [word if word != THEN else "," for word in args])


@click.command(cls=Words, short_help="Let a service's name stand for others.")
@click.argument("service", required=False)
@click.argument("targets", nargs=-1, metavar="[TARGET[=SHARE]…] [--then TARGET[=SHARE]…]…")
@click.option(
    "--spill",
    type=options.Number(0, 1),
    metavar="SHARE",
    help="Below this healthy share the next tier helps.",
)
@click.option("--over", metavar="SPAN", type=overrides.SPAN, help="Move there in even steps: 30m, 2h.")
@overrides.span
@overrides.why
@click.option("--end", is_flag=True, help="End what is laid over the service.")
@options.failover
@options.reads_registry
def command(
    service: str | None, targets: tuple[str, ...], spill: float | None, over: float | None,
    span: float | None, why: str, end: bool,
    load: options.Load, as_json: bool,
) -> None:  # fmt: skip
    """Let a service's name stand for others: `zkdns route web web-v1=90 web-v2=10 --then web@dc2`.

    `--then` begins the next tier, which helps where the one before it can't. A SHARE is 0 to 65535. With
    SERVICE alone it shows the route in force, with nothing all of them.
    """
    is_described = any(map(options.is_given, ("spill", "over", "span", "why")))
    if end and (service is None or targets or is_described or options.is_given("failover")):
        raise click.UsageError("--end takes a SERVICE and nothing else")
    if not end and not targets:
        if is_described:
            raise click.UsageError("there is no TARGET: what should the name stand for?")
        _show(load(), service, as_json)
        return
    assert service is not None  # noqa: S101  (targets come after it)
    if not service or "/" in service or service in (".", ".."):
        raise click.UsageError(f"{service!r} is no name of a service")
    fields: dict[str, object] = {"to": _read(targets), "spill": spill, "over": over} if targets else {}
    route = _parse(fields) if fields else None
    notes: list[str] = []
    with overrides.operate(load()) as operator:
        service = operator.name_of(service)
        if route is None:
            before, after = operator.change(service, "", lambda held, now: None)
            if before is None:
                raise Failure(f"no route is laid over {service}")
            line = f"{service}: ended ({describe(before)})"
        else:
            after, notes = _lay(
                operator, service, route, fields, lambda moved: overrides.signed(why, span, route=moved)
            )
            line = f"{service}: {describe(after)}" if after is not None else service
    overrides.report(as_json, service, "", after, line)
    for note in notes:
        say(f"note: {note}", err=True)


def _lay(
    operator: overrides.Operator, service: str, route: Route, fields: Mapping[str, object],
    sign: Callable[[Route], Override],
) -> tuple[Override | None, list[str]]:  # fmt: skip
    """What is laid over the service now, and what is to be said of it. `fields`: the route as it would be
    written; one that moves begins at what is in force. `sign`: makes an order of a route."""
    behind = operator.as_servers_have_it().failover
    is_moving = fields["over"] is not None
    own = operator.settings_of(service).route if is_moving or behind else None

    def change(held: Override | None, now: float) -> Override:
        moved = route
        if is_moving:
            standing = _standing(service, held, own, behind, now)
            moved = _parse({**fields, "from": spell_tiers(standing)})
        return lay_route(sign(moved), held, now)

    before, after = operator.change(service, "", change)
    notes = [f"{t} is not there now: it counts as without instances" for t in _unknown(operator, route)]
    if own is None and (before is None or before.route is None):
        notes += _left_out(operator, service, route, behind)
    return after, notes


def _unknown(operator: overrides.Operator, route: Route) -> list[Target]:
    return [target for target in route.targets() if not operator.knows(target)]


def _left_out(
    operator: overrides.Operator, service: str, route: Route, behind: tuple[str, ...]
) -> Iterator[str]:
    """What stood behind by --failover, and does so no more: a route takes its place as a whole."""
    registries = {target.registry for target in route.targets() if target.service == service}
    for name in behind:
        if registries and name not in registries and operator.knows(Target(service, "", name)):
            then = f"--then {service}@{name}"
            yield f"{name} does not stand behind {service} meanwhile: add {then} where it should"


def _read(words: tuple[str, ...]) -> list[dict[str, int]]:
    """The tiers that the words spell; UsageError tells what is wrong."""
    tiers: list[dict[str, int]] = [{}]
    for word in words:
        if word == ",":
            tiers.append({})
            continue
        target, equals, share = word.partition("=")
        if equals and not (share.isascii() and share.isdigit()):
            raise click.UsageError(f"the share in {word!r} is no whole number")
        if target in tiers[-1]:
            raise click.UsageError(f"{target!r} stands twice in a tier")
        tiers[-1][target] = int(share) if equals else 1
    if not all(tiers):
        raise click.UsageError("a tier has no target: --then stands between targets")
    return tiers


def _parse(fields: dict[str, object]) -> Route:
    try:
        return parse_route(fields)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _standing(
    service: str, held: Override | None, own: Route | None, failover: tuple[str, ...], now: float
) -> tuple[Tier, ...]:
    """The tiers in force at this moment, which a move begins from."""
    for override in in_force(held, now):
        if override.route is not None:
            return _whole(at_time(override.route, now)[0])
    if own is not None:
        return _whole(at_time(own, now)[0])
    return _parse({"to": [{service: 1}, *({str(Target(service, "", r)): 1} for r in failover)]}).tiers


def _whole(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """With whole numbers for shares, as a node has them."""
    whole: list[Tier] = []
    for tier in tiers:
        total = sum(share for _, share in tier)
        if any(share.denominator > 1 for _, share in tier) and total:
            tier = tuple((target, Fraction(round(share * 10_000 / total))) for target, share in tier)
        whole.append(tier)
    return tuple(whole)


def _show(settings: Settings, service: str | None, as_json: bool) -> None:
    async def work(known: registries.Registries) -> None:
        routes = known.pipeline.routes
        names = sorted(routes.in_force)
        if service is not None:
            name = known.find(service).name
            if name not in routes.in_force and not as_json:
                say(f"{name} has no route: its name stands for its own instances")
                return
            names = [name] if name in routes.in_force else []
        if as_json:
            document = shapes.routes({name: routes.in_force[name] for name in names})
            say_json(document)
            return
        if not names:
            say("no service has a route")
            return
        show.print_table(show.open_console(), COLUMNS, [_row(known.pipeline, name) for name in names])

    registries.run(settings, work)


def _row(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    """Of a service that has a route: what it gives now, and what it moves to."""
    route, beyond = pipeline.routes.in_force[name], pipeline.routes.beyond(name)
    laid = pipeline.services[name].stands_for
    notes = []
    if route.over is not None and laid is not None:
        notes.append(f"moves to {tell_tiers(laid.route.tiers)} until {shapes.moment(laid.route.ends())}")
    if beyond.route is not None and beyond.route.note:
        notes.append(beyond.route.note)
    until = shapes.moment(route.until) if route.until is not None else ""
    return name, tell_tiers(route.tiers), route.source, until, "; ".join(notes)
