"""`zkdns undrain`: what an operator ordered for an instance ends now."""

from __future__ import annotations

import click

from zkdns.cli import Failure, options, overrides
from zkdns.lists import MAX_NEAR, some_of
from zkdns.model import Override
from zkdns.overrides import describe, strip
from zkdns.registry.overrides import once


@click.command(short_help="End an instance's override.")
@overrides.target
@options.reads_registry
def command(target: tuple[str, str], load: options.Load, as_json: bool) -> None:
    """End a drain; where the instance is not drained, end the weight that was set for it.

    A weight that was set beside a drain holds on.
    """
    with overrides.operate(load()) as operator:
        held = operator.ordered()
        service, id = target
        if target not in held:
            known, instance = operator.find(service, id)
            service, id = known.name, instance.id
        if (service, id) not in held:
            others = some_of([f"{s}/{i}" for s, i in sorted(once(held))], MAX_NEAR)
            raise Failure(
                f"{service}/{id} has no override; " + (f"those have: {others}" if others else "none has")
            )
        before, after = operator.change(service, id, lambda held, now: _end(held))
    ended = "" if before is None else f" (it was {describe(before)})"
    on = "" if after is None else f"; {describe(after)} holds on"
    overrides.report(as_json, service, id, after, f"{service}/{id}: override ended{ended}{on}")


def _end(held: Override | None) -> Override | None:
    rest = strip(held, drain=True)
    return None if rest == held else rest
