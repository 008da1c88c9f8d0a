"""`zkdns demo`: a real ZooKeeper, sample services that come and go, the server and its page.

Rules: all on loopback; all files in one temporary directory; whatever was started is ended, however
this ends. Without a ZooKeeper the same services come from the file registry.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import click

from zkdns import ensemble
from zkdns.cli import Failure, options
from zkdns.cli.sample_services import (
    INSTANCES,
    LEADER,
    MEMBERS,
    QUESTIONS,
    QUESTIONS_OF_THE_CLUSTER,
    ROUND,
    SCOPE,
    SETTINGS,
    Payload,
)
from zkdns.cli.say import say
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.zk.nodes import Nodes, Overtaken, Refused, open_nodes

HOST = "127.0.0.1"
ROOT = "/services"
CLUSTER = f"/service/{SCOPE}"


class Registry(Protocol):
    """Where the sample services register. `url`: of its services; `more`: what else is served."""

    url: str
    more: tuple[str, ...]

    def settings(self, service: str, payload: Payload) -> None: ...

    def put(self, service: str, id: str, payload: Payload | None) -> None: ...

    def lead(self, who: str | None) -> None:
        """Who leads the PostgreSQL cluster from now on, if there is one."""


class ZooKeeperRegistry:
    """Ephemeral znodes in one session, as a real service would make them."""

    def __init__(self, nodes: Nodes, hosts: str) -> None:
        self.url = f"zk://{hosts}{ROOT}"
        self.more: tuple[str, ...] = (f"zk://{hosts}/?preset=patroni",)
        self._nodes = nodes
        for name, member in MEMBERS.items():
            nodes.create(f"{CLUSTER}/members/{name}", json.dumps(member).encode(), ephemeral=True)

    def settings(self, service: str, payload: Payload) -> None:
        self._nodes.create(f"{ROOT}/{service}", json.dumps(payload).encode())

    def put(self, service: str, id: str, payload: Payload | None) -> None:
        path = f"{ROOT}/{service}/{id}"
        if payload is None:
            self._nodes.delete(path)
            return
        try:
            self._nodes.set(path, json.dumps(payload).encode())
        except Overtaken:  # it is not there
            self._nodes.create(path, json.dumps(payload).encode(), ephemeral=True)

    def lead(self, who: str | None) -> None:
        path = f"{CLUSTER}/leader"
        with suppress(Overtaken):
            self._nodes.delete(path)
        if who is not None:
            self._nodes.create(path, who.encode(), ephemeral=True)


class FileRegistry:
    """A TOML file, written aside and renamed at each change."""

    more: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.url = f"file:{path}"
        self._path = path
        self._services: dict[str, Payload] = {}
        self._instances: dict[tuple[str, str], Payload] = {}

    def settings(self, service: str, payload: Payload) -> None:
        self._services[service] = payload
        self._write()

    def put(self, service: str, id: str, payload: Payload | None) -> None:
        if payload is None:
            del self._instances[service, id]
        else:
            self._instances[service, id] = payload
        self._write()

    def lead(self, who: str | None) -> None:
        """A file holds no elections."""

    def _write(self) -> None:
        lines = []
        for service, settings in self._services.items():
            lines += [f"[{service}]", *_pairs(settings), ""]
            for (of, id), payload in self._instances.items():
                if of == service:
                    lines += [f"[[{service}.instances]]", f'id = "{id}"', *_pairs(payload), ""]
        aside = self._path.with_suffix(".new")
        aside.write_text("\n".join(lines))
        aside.replace(self._path)


def _pairs(payload: Payload) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in payload.items()]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pairs(value)) + " }"
    return json.dumps(value)  # the strings, numbers and lists of JSON are TOML's


@click.command("demo", short_help="A server with sample services that come and go, to try.")
@click.option(
    "--for", "seconds", type=options.Number(min=0), metavar="SECONDS", help="End by itself after that long."
)
@click.option(
    "--every", type=options.Number(min=0.05), default=4.0, metavar="SECONDS", show_default=True,
    help="From change to change.",
)  # fmt: skip
@click.option(
    "--file", "from_file", is_flag=True, help="The file registry, even where a ZooKeeper is installed."
)
def command(seconds: float | None, every: float, from_file: bool) -> None:
    """Try it: sample services that come and go, and a server to ask for them.

    Runs a real ZooKeeper where one is installed, all of it on loopback, and prints dig lines to try.
    """
    until = time.monotonic() + seconds if seconds is not None else float("inf")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zkdns-demo-")))
            registry = stack.enter_context(open_registry(directory, from_file))
            for service, settings in SETTINGS.items():
                registry.settings(service, settings)
            for (service, id), payload in INSTANCES.items():
                registry.put(service, id, payload)
            registry.lead(LEADER)
            port, page = choose_port(5300), choose_port(8053)
            server = stack.enter_context(serve(directory, (registry.url, *registry.more), port, page))
            show(registry, port, page)
            go_round(registry, server, every, until)
    except KeyboardInterrupt:
        pass  # the way to end it
    say("", "All of it is ended.")


@contextmanager
def open_registry(directory: Path, from_file: bool) -> Iterator[Registry]:
    """ZooKeeper where it can be had, else the file registry, and a word on which."""
    with ExitStack() as stack:
        if not from_file:
            try:
                yield stack.enter_context(open_zookeeper(directory / "zookeeper"))
            except (ensemble.Missing, ensemble.NotStarted) as why:
                say(*str(why).split("\n"), err=True)
                say("The same services come from the file registry instead.", "", err=True)
            else:
                return
        yield FileRegistry(directory / "services.toml")


@contextmanager
def open_zookeeper(directory: Path) -> Iterator[Registry]:
    ensemble.find()
    directory.mkdir()
    server = ensemble.Server(directory, choose_port(2181))
    try:
        server.start()
        with open_nodes(server.hosts, ZooKeeperSettings(session_timeout=4)) as nodes:
            yield ZooKeeperRegistry(nodes, server.hosts)
    finally:
        server.stop()


@contextmanager
def serve(directory: Path, urls: Sequence[str], port: int, page: int) -> Iterator[subprocess.Popen[bytes]]:
    """`zkdns serve` as a process, ready; its log in the temporary directory."""
    path = directory / "zkdns.log"
    words = ["serve", "--listen", f"{HOST}:{port}", "--http", f"{HOST}:{page}"]
    for url in urls:
        words += ["--registry", url]
    with path.open("wb") as log:
        process = subprocess.Popen(
            ensemble.tie([sys.executable, "-m", "zkdns", *words]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # What is set here for another server is none of the demo's.
            env={name: value for name, value in os.environ.items() if not name.startswith("ZKDNS_")},
            start_new_session=True,  # Ctrl-C is for the demo, which ends its parts in order
        )
    try:
        deadline = time.monotonic() + 60
        while "ready" not in (output := path.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                last = output.strip().splitlines()[-1:] or ["it said nothing"]
                raise Failure(f"the server did not get ready: {last[0]}")
            time.sleep(0.05)
        yield process
    finally:
        ensemble.end(process)


def show(registry: Registry, port: int, page: int) -> None:
    url = registry.url
    say(f"registry     {url}")
    for other in registry.more:
        say(f"             {other}")
    say(f"status page  http://{HOST}:{page}/")
    say("", "Try in another terminal, and again as services come and go:", "")
    for question in (*QUESTIONS, *(QUESTIONS_OF_THE_CLUSTER if registry.more else ())):
        say(f"  dig @{HOST} -p {port} +short {question}")
    ours = "zkdns" if shutil.which("zkdns") else f"{sys.executable} -m zkdns"
    say("", f"  {ours} watch --registry {url}")
    say(f"  {ours} explain web.svc.local --registry {url}")
    for other in registry.more:
        say(f"  {ours} discover {other.partition('/?')[0]}")
    say("", "Ctrl-C ends it all.", "")


def go_round(registry: Registry, server: subprocess.Popen[bytes], every: float, until: float) -> None:
    """Make one change after another until it is time."""
    changes = [change for change in ROUND if change.service != SCOPE or registry.more]
    for change in itertools.cycle(changes):
        wake = time.monotonic() + every
        while (now := time.monotonic()) < min(wake, until):
            if server.poll() is not None:
                raise Failure(f"the server ended with exit code {server.returncode}")
            time.sleep(min(0.2, min(wake, until) - now))
        if now >= until:
            return
        try:
            if change.service == SCOPE:
                registry.lead(change.payload if isinstance(change.payload, str) else None)
            elif not isinstance(change.payload, str):
                registry.put(change.service, change.id, change.payload)
        except Refused as why:
            raise Failure(f"ZooKeeper: {why}") from why
        say(f"{time.strftime('%H:%M:%S')}  {f'{change.service}/{change.id}':12}  {change.what}")


def choose_port(preferred: int) -> int:
    """`preferred` where it is free for UDP and TCP, else one that is."""
    for port in (preferred, 0, 0, 0):
        try:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            ):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                stream.bind((HOST, port))
                chosen: int = stream.getsockname()[1]
                datagrams.bind((HOST, chosen))
        except OSError:
            continue
        return chosen
    raise Failure(f"no free port on {HOST}")
