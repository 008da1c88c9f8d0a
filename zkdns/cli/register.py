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
from zkdns.cli.holder import Holder, Notes
from zkdns.cli.running import ENDING, Program, TtlCheck, wait_for_the_end
from zkdns.config import RegistryURL
from zkdns.registry.fields import BadData
from zkdns.registry.formats import native


class Pair(click.ParamType):  # type: ignore[type-arg]
    """KEY=VALUE."""

    name = "pair"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not (key and equals):
            self.fail(f"{value!r} is no KEY=VALUE", param, ctx)
        return key, text


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
@click.option("--weight", type=options.Whole(0, 65535), metavar="N", help="[default: 1]")
@click.option("--priority", type=options.Whole(0, 65535), metavar="N", help="Lower first.  [default: 0]")
@click.option("--tag", multiple=True, metavar="TAG", help="Repeatable.")
@click.option("--port-name", "ports", type=Pair(), multiple=True, metavar="NAME=N", help="Repeatable.")
@click.option("--meta", type=Pair(), multiple=True, metavar="K=V", help="Repeatable.")
@click.option("--ttl-check", type=Words(), metavar="CMD", help="Registered only while this succeeds.")
@click.option(
    "--ttl-interval", type=click.FloatRange(0.1, 3600), default=5.0, metavar="SECONDS", show_default=True,
    help="How often it is run, and how long it may take.",
)  # fmt: skip
@options.registry
@options.settings_file
def command(
    service: str,
    program: tuple[str, ...],
    id: str | None,
    ttl_check: tuple[str, ...] | None,
    ttl_interval: float,
    registry: tuple[str, ...],
    config: str | None,
    **fields: Any,
) -> int:
    """Hold one instance of SERVICE registered in ZooKeeper while this runs.

    With `-- CMD ARGS`, run that program, register it while it lives, and end with its exit code.
    """
    settings = options.load(registry, config)
    url = next((url for url in settings.registry if url.scheme == "zk"), None)
    if url is None:
        raise Failure("instances register in ZooKeeper, and no --registry is a zk:// one")
    payload = describe(url, **fields)
    port = payload.get("port")
    id = id or (f"{socket.gethostname()}-{port}" if port else socket.gethostname())
    for what, name in (("SERVICE", service), ("--id", id)):
        if not name or "/" in name or "\0" in name or name in (".", "..", "zookeeper"):
            raise click.BadParameter(f"{name!r} can't be a znode's name", param_hint=what)
    path = f"{url.root.rstrip('/')}/{service}/{id}"
    holder = Holder(
        url.hosts, settings.zookeeper, path, msgspec.json.encode(payload), say, Notes(url.hosts, path)
    )
    environment = {
        "ZKDNS_ADDRESS": _first(payload["address"]),
        "ZKDNS_PORT": str(port or ""),
        "ZKDNS_ID": id,
    }
    check = TtlCheck(ttl_check, environment, ttl_interval, Vouched(holder)) if ttl_check else None
    return run(holder, check, program)


def run(holder: Holder, check: TtlCheck | None, program: tuple[str, ...]) -> int:
    """Hold it until the program ends, or a signal asks us to."""
    running = Program(program) if program else None

    def before(number: signal.Signals) -> None:
        if number in ENDING:  # no more answers first, then the program may go
            if check is not None:
                check.stop()
            holder.give_up()

    holder.start()
    try:
        if check is None:
            holder.want(True)
        else:
            check.start()
        if running is not None:
            return running.wait(before)
        wait_for_the_end()
        return 0
    finally:
        before(signal.SIGTERM)
        holder.stop()


class Vouched:
    """Registered while the check succeeds, and one line whenever that changes."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._before: bool | None = None

    def __call__(self, good: bool, why: str) -> None:
        if good != self._before:
            self._before = good
            if not good:
                say(f"the ttl check fails ({why}): not registered")
            self._holder.want(good)


def describe(
    url: RegistryURL,
    address: tuple[str, ...],
    port: int | None,
    weight: int | None,
    priority: int | None,
    tag: tuple[str, ...],
    ports: tuple[tuple[str, str], ...],
    meta: tuple[tuple[str, str], ...],
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
    try:
        native.from_table(payload)
    except BadData as error:
        raise click.UsageError(f"{error.what}; {error.cure}") from None
    return payload


def own_address(hosts: str) -> str:
    """This machine's address toward the ensemble."""
    host, _, port = hosts.split(",")[0].rpartition(":")
    try:
        family, _, _, _, there = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(there)  # sends nothing: it asks the kernel for a route
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Failure(
            f"can't tell this machine's address toward {host}: {error.strerror}; give --address"
        ) from None


def _first(address: str | list[str]) -> str:
    return address if isinstance(address, str) else address[0]


def say(text: str) -> None:
    """On stderr: what the program prints stays its own."""
    try:
        print(f"zkdns register: {text}", file=sys.stderr, flush=True)
    except OSError:
        pass
