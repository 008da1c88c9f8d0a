"""`zkdns register`: one instance is registered for as long as this runs."""

from __future__ import annotations

import shlex
import signal
import socket
import sys
from typing import Any

import click
import msgspec

from zkdns.cli import Failure, options
from zkdns.cli.found_as import dns_names, loopback_warning
from zkdns.cli.keeper import Keeper
from zkdns.cli.running import ENDING, PASSED_ON, Program, TtlCheck, wait_for_the_end
from zkdns.cli.signals import Signals
from zkdns.cli.times import Span
from zkdns.model import MAX_WEIGHT
from zkdns.printable import printable
from zkdns.registry.fields import BadData
from zkdns.registry.formats import native
from zkdns.registry.layout import name_service
from zkdns.registry.url import RegistryURL, is_node_name, registration_path
from zkdns.registry.zk import route
from zkdns.registry.zk.notes import Notes
from zkdns.topology import parse_place

STATUSES = ("up", "starting", "draining", "down")

PAIR = options.Halves("=", "KEY=VALUE", may_end=True)
PORT = options.Halves("=", "NAME=N")
LINGER = Span(lambda seconds: 0 <= seconds <= 86_400, "within 0 and a day")


class Words(click.ParamType):  # type: ignore[type-arg]
    """A command line, split as a shell would and run without one."""

    name = "words"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            words = tuple(shlex.split(str(value)))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not words:
            self.fail("is empty", param, ctx)
        return words


@click.command(short_help="Hold one instance registered while this runs.")
@click.argument("service")
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD ARGS]")
@click.option("--id", metavar="ID", help="The instance's id.  [default: this host's name and the port]")
@click.option(
    "--address",
    metavar="ADDR",
    multiple=True,
    help="Repeatable.  [default: this machine's address toward the ensemble]",
)
@click.option("--port", type=options.Whole(1, 65535), metavar="N")
@click.option("--weight", type=options.Whole(0, MAX_WEIGHT), metavar="N", help="[default: 1]")
@click.option("--priority", type=options.Whole(0, MAX_WEIGHT), metavar="N", help="Lower first.  [default: 0]")
@click.option("--tag", multiple=True, metavar="TAG", help="Repeatable.")
@click.option("--port-name", "ports", type=PORT, multiple=True, metavar="NAME=N", help="Repeatable.")
@click.option("--meta", type=PAIR, multiple=True, metavar="K=V", help="Repeatable.")
@click.option("--zone", metavar="ZONE", help="Where it stands, [REGION/]ZONE: for services with `near`.")
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), help="[default: tcp]")
@click.option("--status", type=click.Choice(STATUSES), help="As it is registered.  [default: up]")
@click.option("--ttl-check", type=Words(), metavar="CMD", help="Registered only while this succeeds.")
@click.option(
    "--ttl-interval", type=options.Number(0.1, 3600), default=5.0, metavar="SECONDS", show_default=True,
    help="How often it is run, and how long it may take.",
)  # fmt: skip
@click.option(
    "--linger", type=LINGER, default=0.0, metavar="SPAN",
    help="Between the end of the registration and that of the program: 10s, 1m.  [default: 0]",
)  # fmt: skip
@options.registry
@options.settings_file
def command(
    service: str,
    program: tuple[str, ...],
    id: str | None,
    ttl_check: tuple[str, ...] | None,
    ttl_interval: float,
    linger: float,
    registry: tuple[str, ...],
    config: str | None,
    **fields: Any,
) -> int:
    """Hold one instance of SERVICE registered in ZooKeeper while this runs.

    With `-- CMD ARGS`, run that program, register it while it lives, and end with its exit code. The
    program is ended after the registration, by `--linger` where clients need time to notice. Of several
    --registry it is in the first zk:// one.
    """
    options.refuse_without("--ttl-interval", "--ttl-check", ttl_check is not None)
    settings = options.load(registry, config)
    url = options.first_ensemble(settings, "instances register")
    payload = describe(url, **fields)
    port = payload.get("port")
    id = id or (f"{socket.gethostname()}-{port}" if port else socket.gethostname())
    for what, name in (("SERVICE", service), ("--id", id)):
        if not is_node_name(name) or name == "zookeeper":
            raise click.BadParameter(f"{name!r} can't be a znode's name", param_hint=what)
    try:
        path = registration_path(url, service, id)
    except ValueError as error:
        raise click.UsageError(f"{url.text}: {error}") from None
    named = name_service(url.service, {"service": service})
    names = dns_names(named, id, payload, settings.zone[0])
    if warning := loopback_warning(payload["address"], url.hosts):
        say(warning)

    def tell(line: str) -> None:
        say(line)
        if line.startswith("registered "):
            say(f"found as {', '.join(names)}")

    data = msgspec.json.encode(payload)
    keeper = Keeper(
        url.hosts, settings.zookeeper, path=path, data=data, say=tell, notes=Notes(url.hosts, path)
    )
    environment = {
        "ZKDNS_ADDRESS": _first(payload["address"]),
        "ZKDNS_PORT": str(port or ""),
        "ZKDNS_ID": id,
    }
    check = TtlCheck(ttl_check, environment, ttl_interval, Vouched(keeper)) if ttl_check else None
    return run(keeper, check, program, linger)


def run(keeper: Keeper, check: TtlCheck | None, program: tuple[str, ...], linger: float) -> int:
    """Hold it until the program ends, or a signal asks us to."""
    signals = Signals(PASSED_ON)
    running = Program(program, signals) if program else None

    def before(number: signal.Signals) -> None:
        if number in ENDING:  # no more answers first, then the program may go
            if check is not None:
                check.stop()
            keeper.give_up()

    keeper.start()
    try:
        if check is None:
            keeper.want(True)
        else:
            check.start()
        if running is not None:
            return running.wait(before, linger)
        wait_for_the_end(signals, before, linger)
        return 0
    finally:
        before(signal.SIGTERM)
        keeper.stop()


class Vouched:
    """Registered while the check succeeds, and one line whenever that changes."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._before: bool | None = None
        self._lacking = ""

    def __call__(self, good: bool | None, why: str) -> None:
        lacking = why if good is None else ""
        if lacking and lacking != self._lacking:
            say(f"the ttl check can't be run ({why}): as it was")
        self._lacking = lacking
        if good is not None and good != self._before:
            self._before = good
            if not good:
                say(f"the ttl check fails ({why}): not registered")
            self._keeper.want(good)


def describe(
    url: RegistryURL,
    *,
    address: tuple[str, ...],
    port: int | None,
    weight: int | None,
    priority: int | None,
    tag: tuple[str, ...],
    ports: tuple[tuple[str, str], ...],
    meta: tuple[tuple[str, str], ...],
    zone: str | None,
    protocol: str | None,
    status: str | None,
) -> dict[str, Any]:
    """The registration's JSON, with what was given and no more. Checked as the server will."""
    payload: dict[str, Any] = {}
    if len(address) > 1:
        payload["address"] = list(address)
    else:
        payload["address"] = address[0] if address else own_address(url.hosts)
    if port is not None:
        payload["port"] = port
    if weight is not None:
        payload["weight"] = weight
    if priority is not None:
        payload["priority"] = priority
    if tag:
        payload["tags"] = list(tag)
    if ports:
        payload["ports"] = {name: int(n) if n.isascii() and n.isdigit() else n for name, n in ports}
    if meta:
        payload["meta"] = dict(meta)
    for name, text in (("zone", zone), ("protocol", protocol), ("status", status)):
        if text is not None:
            payload[name] = text
    try:
        if zone is not None:
            parse_place(zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--zone") from None
    try:
        native.from_table(payload)
    except BadData as error:
        raise click.UsageError(f"{error.what}; {error.cure}") from None
    return payload


def own_address(hosts: str) -> str:
    """This machine's address toward the ensemble."""
    try:
        return route.own_address(hosts)
    except OSError as error:
        raise Failure(
            f"can't tell this machine's address toward {hosts}: {error.strerror}; give --address"
        ) from None


def _first(address: str | list[str]) -> str:
    return address if isinstance(address, str) else address[0]


def say(text: str) -> None:
    """On stderr: what the program prints stays its own."""
    try:
        print(f"zkdns register: {printable(text)}", file=sys.stderr, flush=True)
    except OSError:
        pass
