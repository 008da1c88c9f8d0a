"""`zkdns weight`: another weight for an instance than the registered one."""

from __future__ import annotations

import click

from zkdns.cli import options, overrides
from zkdns.model import MAX_WEIGHT
from zkdns.overrides import describe, lay


@click.command(short_help="Set another weight for an instance.")
@overrides.target
@click.argument("weight", metavar="N", type=options.Whole(0, MAX_WEIGHT))
@overrides.span
@overrides.why
@options.reads_registry
def command(
    target: tuple[str, str],
    weight: int,
    span: float | None,
    why: str,
    load: options.Load,
    as_json: bool,
) -> None:
    """Set another weight for an instance than it registers, 0 to 65535; `undrain` ends it."""
    with overrides.operate(load()) as operator:
        service, instance = operator.find(*target)
        order = overrides.signed(why, span, weight=weight)
        _, after = operator.change(service.name, instance.id, lambda held, now: lay(order, held))
    registered = instance.registration.weight
    line = f"{service.name}/{instance.id}: {describe(after or order)}; it registers {registered}"
    overrides.report(as_json, service.name, instance.id, after, line)
