"""`zkdns drain`: an instance gets no more answers, until it is undrained or its time is over."""

from __future__ import annotations

import click

from zkdns.cli import options, overrides
from zkdns.overrides import describe, is_drained, lay


@click.command(short_help="Take an instance out of all answers.")
@overrides.target
@overrides.span
@overrides.why
@options.reads_registry
def command(
    target: tuple[str, str],
    span: float | None,
    why: str,
    registry: tuple[str, ...],
    config: str | None,
    as_json: bool,
) -> None:
    """Take an instance out of all answers, on every replica, whatever it registers."""
    with overrides.operate(options.load(registry, config)) as operator:
        service, instance = operator.find(*target)
        order = overrides.signed(why, span, drain=True)
        _, after = operator.change(service.name, instance.id, lambda held, now: lay(order, held))
        ordered = operator.ordered()
    name = f"{service.name}/{instance.id}"
    in_service = sum(not is_drained(ordered.get((service.name, i.id)), order.at) for i in service.instances)
    left = f"{in_service} of {len(service.instances)} instances of {service.name} are not drained"
    line = f"{name}: {describe(after or order)}\n{left}"
    overrides.report(as_json, service.name, instance.id, after, line)
