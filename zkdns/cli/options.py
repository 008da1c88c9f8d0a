"""The options that several commands share, and how they become settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeAlias

import click

from zkdns import config
from zkdns.config import Settings
from zkdns.model import ConfigError
from zkdns.registry.url import RegistryURL


class Unbounded(click.ParamType):  # type: ignore[type-arg]
    """A number whose bounds are for others to know. `kind`: int or float."""

    name = "number"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            return self._kind(value)
        except ValueError:
            self.fail(f"{value!r} is no {'whole ' if self._kind is int else ''}number", param, ctx)


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


class Number(click.FloatRange):
    """The same of a number that need not be whole; it may have no upper bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        bounds = f"from {self.min:g} {'on' if self.max is None else f'to {self.max:g}'}"
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number {bounds}", param, ctx)
        if not (float(self.min or 0) <= number and (self.max is None or number <= self.max)):
            self.fail(f"{value} is no number {bounds}", param, ctx)
        return number


class Halves(click.ParamType):  # type: ignore[type-arg]
    """Two texts with a mark between them. `form`: how they are to be written; `may_end`: whether there may be
    nothing behind the mark."""

    name = "halves"

    def __init__(self, mark: str, form: str, *, may_end: bool = False) -> None:
        self._mark = mark
        self._form = form
        self._may_end = may_end

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        head, mark, rest = str(value).partition(self._mark)
        if not (head and mark and (rest or self._may_end)):
            self.fail(f"{value!r} is no {self._form}", param, ctx)
        return head, rest


# ZKDNS_REGISTRY is read by config.load, which names it in its errors; click would say --registry.
registry = click.option(
    "--registry",
    metavar="URL",
    multiple=True,
    help="[NAME=]zk://HOST:PORT,…/ROOT or file:PATH; repeatable, the first that names an instance wins. "
    f"[env ZKDNS_REGISTRY; default {config.DEFAULT_REGISTRY}]",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shapes of the HTTP API.")

settings_file = click.option(
    "--config", "config", metavar="FILE", type=click.Path(), help="A TOML file with settings; flags win."
)


Load: TypeAlias = Callable[[], Settings]
"""Reads the settings that a command's flags name. Raises ConfigError."""


def reads_registry(command: Callable[..., Any]) -> Callable[..., Any]:
    """--registry, --config and --json: for each command that reads the registry. It is given `load`, which
    knows these flags and those of `OTHERS` that it has as well."""

    @wraps(command)
    def with_load(registry: tuple[str, ...], config: str | None, **flags: Any) -> Any:
        others = {name: flags.pop(name) for name in OTHERS if name in flags}
        return command(load=lambda: load(registry, config, **others), **flags)

    return registry(settings_file(as_json(with_load)))


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


def is_given(flag: str) -> bool:
    """Whether the command that runs was given this flag, as in `ttl_interval`: one that has a default has a
    value all the same."""
    source = click.get_current_context().get_parameter_source(flag)
    return source is not click.core.ParameterSource.DEFAULT


def refuse_without(flag: str, other: str, is_there: bool) -> None:
    """A flag that says nothing without another one."""
    if not is_there and is_given(flag.removeprefix("--").replace("-", "_")):
        raise click.UsageError(f"{flag} says nothing without {other}")


OTHERS = ("zone", "failover", "zones")
"""Flags that are settings, of commands that read the registry."""


def first_ensemble(settings: Settings, what: str) -> RegistryURL:
    """The first zk:// registry, in whose ensemble `what` is. ConfigError where there is none."""
    for url in settings.registry:
        if url.scheme == "zk":
            return url
    raise ConfigError("--registry", f"{what} in ZooKeeper, and none of them is a zk:// one")


def load(registry: Sequence[str], config_file: str | None, **others: Any) -> Settings:
    """The settings of a command with these flags, and `others` of `OTHERS`. Raises ConfigError."""
    return config.load({"registry": tuple(registry), "config": config_file, **others})
