"""The options that several commands share, and how they become settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from zkdns import config
from zkdns.config import Settings

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number within bounds, and an error that says so and no more."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number from {self.min} to {self.max}", param, ctx)
        if not int(self.min or 0) <= number <= int(self.max or 0):
            self.fail(f"{value} is not within {self.min} to {self.max}", param, ctx)
        return number


# ZKDNS_REGISTRY is read by config.load, which names it in its errors; click would say --registry.
registry = click.option(
    "--registry",
    metavar="URL",
    multiple=True,
    help="zk://HOST:PORT,…/ROOT?format=auto or file:PATH; repeatable, the first that names an instance wins. "
    f"[env ZKDNS_REGISTRY; default {config.DEFAULT_REGISTRY}]",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shapes of the HTTP API.")

settings_file = click.option(
    "--config", "config", metavar="FILE", type=click.Path(), help="A TOML file with settings; flags win."
)


def reads_registry(command: F) -> F:
    """--registry, --config and --json: for each command that reads the registry."""
    return registry(settings_file(as_json(command)))


zone = click.option(
    "--zone",
    metavar="NAME",
    multiple=True,
    help="The zones that the services stand in; repeatable. [default: svc.local]",
)


failover = click.option(
    "--failover",
    metavar="NAME",
    multiple=True,
    help="A registry that stands behind the others; repeatable. [default: as the registered servers have it]",
)


def load(
    registry: Sequence[str], config_file: str | None, zone: Sequence[str] = (), failover: Sequence[str] = ()
) -> Settings:
    """The settings of a command that has no flags beside those above. Raises ConfigError."""
    flags = {"registry": registry, "zone": zone, "failover": failover}
    return config.load({"config": config_file, **{name: tuple(given) for name, given in flags.items()}})
