"""`zkdns serve`: the server, in the foreground."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import click

from zkdns import config, log
from zkdns.cli.say import say
from zkdns.server.lifecycle import Server


@click.command(short_help="The server, in the foreground.")
@click.option(
    "--registry", multiple=True, metavar="URL", help="[NAME=]zk://H:P,…/ROOT?format=… or file:PATH."
)
@click.option("--failover", multiple=True, metavar="NAME", help="A registry that stands behind the others.")
@click.option("--zone", multiple=True, metavar="NAME", help="A zone that the services stand in.")
@click.option("--listen", multiple=True, metavar="ADDR:PORT", help="Where to answer, UDP and TCP.")
@click.option("--http", metavar="ADDR:PORT", help="Status page, API, metrics; empty turns it off.")
@click.option("--engine", metavar="|".join(config.ENGINES), help="Who answers UDP and TCP.")
@click.option("--workers", type=int, metavar="N", help="Answering threads of the native engine.")
@click.option(
    "--forward", multiple=True, metavar="ADDR[:PORT]", help="Upstream for other names, or resolv.conf."
)
@click.option("--forward-allow", multiple=True, metavar="CIDR", help="Who may have names forwarded.")
@click.option("--zones", metavar="DIR", help="Zone files (*.zone) to serve beside the services.")
@click.option("--state", metavar="DIR", help="Where the last known catalog is kept.")
@click.option("--ttl", type=int, metavar="N", help="Seconds, where the service sets none.")
@click.option(
    "--advertise", metavar="ADDR[:PORT]",
    help="How replicas and people reach this server.  [default: its address toward ZooKeeper]",
)  # fmt: skip
@click.option("--near", metavar="off|prefer|balanced", help="What services do that don't say.")
@click.option("--location", metavar="[REGION/]ZONE", help="Where this server stands.")
@click.option("--lameduck", type=float, metavar="N", help="Seconds to answer on after SIGTERM.")
@click.option("--log-format", metavar="text|json", help="Log lines for people or for machines.")
@click.option("--config", metavar="FILE", help="A TOML file with these and the finer settings.")
@click.option("--test", is_flag=True, help="Say what is wrong with the settings, and start nothing.")
def command(test: bool, **flags: Any) -> None:
    """Answer DNS queries from what is registered, until SIGTERM."""
    settings = config.load(flags)
    if test:
        asyncio.run(prepare(settings))
        say("the settings are good")
        return
    log.set_up(settings.log_format)

    async def serve() -> None:
        await Server(settings, lambda: config.load(flags)).run()

    # What is imported by now stays for good, and the catalog has no cycles: left as it is, the collector
    # walks all of it again and again while it loads. So it takes little at a time (2,000 young objects
    # cost under a millisecond, 100,000 some 20 ms), and the rest hardly ever.
    gc.freeze()
    gc.set_threshold(2_000, 50, 1_000)
    # The mirror reads on a thread of its own, and large services are compiled on others: neither should a
    # query wait the usual 5 ms for its turn, nor a change while the loop answers a flood.
    sys.setswitchinterval(0.0001)
    asyncio.run(serve())


async def prepare(settings: config.Settings) -> None:
    """All of a start that the settings alone can make fail; no address is bound. Raises ConfigError."""
    Server(settings, lambda: settings)
