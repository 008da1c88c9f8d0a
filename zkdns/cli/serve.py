"""`zkdns serve`: the server, in the foreground."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import click

from zkdns import config, log
from zkdns.cli import options
from zkdns.cli.say import say
from zkdns.polling import new_loop
from zkdns.serve.listen.ports import Ports
from zkdns.server import collector
from zkdns.server.lifecycle import Server

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DEFAULTS = config.Settings()


def flag(
    name: str, metavar: str, help: str, default: str = "", kind: options.Unbounded | None = None
) -> Callable[[Decorated], Decorated]:
    """A setting's flag. Its help ends with what holds without it: `default`, or what `config` has."""
    value = getattr(DEFAULTS, name)
    is_many = isinstance(value, tuple)
    default = default or (", ".join(map(str, value)) if is_many else str(value)) or "none"
    return click.option(
        f"--{name.replace('_', '-')}", metavar=metavar, multiple=is_many, type=kind,
        help=f"{help}{' Repeatable.' if is_many else ''}  [default: {default}]",
    )  # fmt: skip


@click.command(short_help="The server, in the foreground.")
@flag(
    "registry", "URL", "[NAME=]zk://HOST:PORT,…/ROOT?format=… or file:PATH.",
    f"$ZKDNS_REGISTRY, else {config.DEFAULT_REGISTRY}",
)  # fmt: skip
@flag("failover", "NAME", "A registry that stands behind the others.")
@flag("zone", "NAME", "A zone that the services stand in.")
@flag("listen", "ADDR:PORT", "Where to answer, UDP and TCP.")
@flag("http", "ADDR:PORT", "Status page, API, metrics; empty turns it off.")
@flag("engine", "|".join(config.ENGINES), "Who answers UDP and TCP.")
@flag("workers", "N", "Answering threads of the native engine.", "one a core", options.Unbounded(int))
@flag("forward", "ADDR[:PORT]", "Upstream for other names, or resolv.conf.", "none: REFUSED")
@flag("forward_allow", "CIDR", "Who may have names forwarded.", "loopback and private ranges")
@flag("zones", "DIR", "Zone files (*.zone) to serve beside the services.")
@flag("state", "DIR", "Where the last known catalog and the journal are kept.")
@flag("ttl", "N", "Seconds, where the service sets none.", kind=options.Unbounded(int))
@flag(
    "advertise", "ADDR[:PORT]", "How replicas and people reach this server.", "its address toward ZooKeeper"
)
@flag("near", "off|prefer|balanced", "`near` of services that set none.")
@flag("location", "[REGION/]ZONE", "Where this server stands.")
@flag("lameduck", "N", "Seconds to answer on after SIGTERM.", "0", options.Unbounded(float))
@flag("log_format", "text|json", "Log lines for people or for machines.")
@click.option("--config", metavar="FILE", help="A TOML file with these and the finer settings; flags win.")
@click.option("--test", is_flag=True, help="Say what is wrong with the settings, and start nothing.")
def command(test: bool, **flags: Any) -> None:
    """Answer DNS queries from what is registered, until SIGTERM."""
    settings = config.load(flags)
    if test:
        asyncio.run(prepare(settings))
        say("the settings are good")
        return
    log.set_up(settings.log_format)

    ports = Ports()

    async def serve() -> None:
        await Server(ports.choose(settings), lambda: ports.choose(config.load(flags))).run()

    collector.set_pace()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())


async def prepare(settings: config.Settings) -> None:
    """All of a start that the settings alone can make fail; no address is bound. Raises ConfigError."""
    Server(settings, lambda: settings)
