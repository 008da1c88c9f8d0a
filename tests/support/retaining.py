"""What the loss guard keeps, without a pause."""

from __future__ import annotations

from collections.abc import Callable

from zkdns.health import guard
from zkdns.health.guard import NO_GRACE, Grace, Losses
from zkdns.model import Instance, Service
from zkdns.steps import finish


def retain(
    losses: Losses,
    previous: Service | None,
    current: Service | None,
    now: float,
    released: Callable[[Instance], bool] = lambda instance: False,
    grace: Grace = NO_GRACE,
) -> Losses:
    return finish(guard.retain(losses, previous, current, now, released, grace))
