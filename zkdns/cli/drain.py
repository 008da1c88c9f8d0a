"""`zkdns drain`: an instance gets no more answers, until it is undrained or its time is over."""

from __future__ import annotations

from shlex import quote
from typing import Any, Final

import click

from zkdns.cli import Failure, options, overrides, show
from zkdns.cli.history import clock
from zkdns.cli.holders import MAX_NAMED, TIMES_TTL, Outcome, Vigil, tell_back
from zkdns.cli.replicas import http_sides
from zkdns.cli.say import say
from zkdns.lists import plural, some_of
from zkdns.overrides import describe, is_drained, lay
from zkdns.roots import SERVERS

MAX_TOLD: Final = 20
"""Replicas that are away, one a line, and of those that give it still."""

NEVER_BACK = (
    "they are gone, asked once and keep what they got (a JVM that caches for ever, nginx, which resolves the "
    "names of its configuration at start), or go on with open connections"
)


@click.command(short_help="Take an instance out of all answers.")
@overrides.target
@overrides.span
@overrides.why
@click.option("--wait", "waits", is_flag=True, help="Wait until no client can hold it any more.")
@click.option(
    "--timeout", type=overrides.SPAN, default="10m", show_default=True, metavar="SPAN",
    help="With --wait: give up after so long, exit 1.",
)  # fmt: skip
@options.reads_registry
def command(
    target: tuple[str, str],
    span: float | None,
    why: str,
    waits: bool,
    timeout: float,
    load: options.Load,
    as_json: bool,
) -> None:
    """Take an instance out of all answers, on every replica, whatever it registers.

    With --wait all replicas are asked who was given it within twice the TTL before, until each of these
    clients has asked again, or twice the TTL has gone by. Those that never came back are named.
    """
    options.refuse_without("--timeout", "--wait", waits)
    with overrides.operate(load()) as operator:
        service, instance = operator.find(*target)
        order = overrides.signed(why, span, drain=True)
        _, after = operator.change(service.name, instance.id, lambda held, now: lay(order, held))
        ordered = operator.ordered()
        replicas = http_sides(operator.nodes) if waits else {}
    name = f"{service.name}/{instance.id}"
    in_service = sum(not is_drained(ordered.get((service.name, i.id)), order.at) for i in service.instances)
    left = f"{in_service} of {len(service.instances)} instances of {service.name} are not drained"
    lines = f"{name}: {describe(after or order)}", left
    if not waits:
        overrides.report(as_json, service.name, instance.id, after, *lines)
        return
    if not as_json:
        say(*lines)
    if not replicas:
        raise Failure(f"{name} is drained, but no server is registered that could be asked who was given it")
    try:
        outcome = Vigil(service.name, instance.id, replicas, ttl=service.settings.ttl).wait(timeout)
    except KeyboardInterrupt:
        say(f"the drain of {name} stays in force; `zkdns undrain {quote(name)}` ends it", err=True)
        raise
    if as_json:
        overrides.report(True, service.name, instance.id, after, wait=spell(outcome))
    else:
        tell(name, service.name, outcome)
    if not outcome.is_over:
        raise Failure(f"{name}: {tell_open(outcome, timeout)}; it stays drained")


def tell(name: str, service: str, outcome: Outcome) -> None:
    """For people, with those that may still hold it, one a line."""
    holders = outcome.holders
    if not outcome.is_known:
        say("some whom a replica told had to make room for others there; they too were waited for")
    _tell_replicas(name, outcome)
    given, back = len(holders.given), len(holders.back)
    span = f"{TIMES_TTL * outcome.ttl:.15g} s, twice the TTL"
    if not given:
        if outcome.ttls:  # of whom no replica told nothing is known, not even that there is nobody
            say(f"no client was given {name} within {span}")
        return
    say(tell_back(back, given, f"{name} within {span}"))
    if not holders.left:
        return
    say("these never came back:" if outcome.is_over else "these may still hold it:")
    for row in holders.left:
        asked = f" for {row.service}" if row.service != service else ""
        times = plural(row.queries, "query", "queries")
        say(f"  {row.client}  last at {clock(row.last)}{asked}, {times}")
    if outcome.is_over:
        say(f"what they were told has run out: {NEVER_BACK}")


def _tell_replicas(name: str, outcome: Outcome) -> None:
    """Those that are away, and those that hold it up."""
    giving = outcome.giving
    away = [replica for replica in outcome.unheard if replica not in giving]
    for replica in giving[:MAX_TOLD]:
        say(f"replica {replica} has not taken the drain, and may give {name} still: {_if_rogue(replica)}")
    if (more := len(giving) - MAX_TOLD) > 0:
        say(f"the same of {plural(more, 'more replica')}")
    for replica in away[:MAX_TOLD]:
        reason = show.clean(outcome.unheard[replica])
        say(f"replica {replica} is away: {reason}; whom it told is not known")
    if (more := len(away) - MAX_TOLD) > 0:
        say(f"the same of {plural(more, 'more replica')}")
    if not outcome.is_over and (alone := outcome.alone_with_its_ttl) is not None:
        replica, others = alone
        says = f"replica {replica} alone says that the TTL is {outcome.ttl:.0f} s"
        rest = f"the others {others:.0f} s at most: the service's own `ttl` would count instead"
        say(f"{says}, {rest}; {_if_rogue(replica)}")


def _if_rogue(replica: str) -> str:
    """What to do about one that nobody knows: whoever may write there can pose as a server."""
    return f"if it is no server of yours, delete {SERVERS}/{replica}"


def tell_open(outcome: Outcome, timeout: float) -> str:
    """What is open at the end of the time, in a line."""
    held, giving = len(outcome.holders.left), outcome.giving
    if held or outcome.holders.given:
        clients = f"after {timeout:.15g} s {plural(held, 'client')} may still hold it"
        return f"{clients}, and {some_of(giving, MAX_NAMED)} may give it still" if giving else clients
    if giving:
        return f"after {timeout:.15g} s {some_of(giving, MAX_NAMED)} may give it still"
    return "no replica told who was given it"


def spell(outcome: Outcome) -> dict[str, Any]:
    holders = outcome.holders
    return {
        "over": outcome.is_over,
        "given": sorted({client for client, _ in holders.given}),
        "asked_again": sorted({client for client, _ in holders.back}),
        "left": list(dict.fromkeys(row.client for row in holders.left)),
        "away": dict(outcome.unheard),
        "giving": outcome.giving,
        "ttl": outcome.ttl,
    }
