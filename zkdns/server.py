"""The loop and the wiring: who is started, who tells whom, and the only references that change.

Rules: one asyncio loop. A part that fails to start is the operator's error and ends the start; a part
that fails later is logged and costs only itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable

from zkdns import __version__
from zkdns.answers import ede, names
from zkdns.answers.answers import Answers
from zkdns.config import Address, Settings
from zkdns.health.judge import ServiceView, judge
from zkdns.model import ConfigError, Instance, Service
from zkdns.publish import Publisher
from zkdns.registry.file import FileSource
from zkdns.registry.source import ZooKeeperSource
from zkdns.serve.exchange import Exchange
from zkdns.serve.forward import Forwarder
from zkdns.serve.hosts import Hosts, Resolved, Unresolved, ask_machine
from zkdns.serve.tcp import TcpListener
from zkdns.serve.udp import UdpListener, bind

log = logging.getLogger("zkdns")

NOT_READY = ede.option(ede.NOT_READY, "the first catalog is not loaded yet")
STALE = ede.option(ede.STALE_ANSWER, "the registry is out of reach")
TOO_OLD = ede.option(ede.NO_REACHABLE_AUTHORITY, "the registry is out of reach for longer than stale_max")

FIRST_ROUND = 3.0
"""Seconds that `ready` waits for host names at most."""


class Server:
    """`run` serves until it is told to stop."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self.settings = settings
        self.name = f"{socket.gethostname()}"
        self.answers = Answers(settings.zone, server_addresses(settings.listen), settings.ttl)
        self.answers.set_failure(NOT_READY)
        self.ready = False
        self.lameduck = False
        self.reload_failed = False
        self.started = time.time()
        self._reload = reload
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._loaded = asyncio.Event()
        self.publisher = Publisher(self.answers, self._judge, self._addresses_of, self._loop.call_later)
        self.publisher.published = self._published
        self.forwarder = Forwarder(settings)
        self.exchange = Exchange(self.answers, self.forwarder)
        self.hosts = Hosts(self._resolve, self._host_changed)
        self._hosted: dict[str, set[str]] = {}
        self.sources: list[ZooKeeperSource | FileSource] = []
        self.tcp = TcpListener(self.exchange)
        self.udp: list[UdpListener] = []
        for text, said in {
            "version.bind": f"zkdns {__version__}",
            "version.server": f"zkdns {__version__}",
            "id.server": self.name,
            "hostname.bind": self.name,
        }.items():
            self.answers.identity[names.wire(text)] = said

    # --- life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        for sig in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(sig, self._stopping.set)
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.start()
        try:
            await self._stopping.wait()
        finally:
            await self.stop()

    async def start(self) -> None:
        await self._listen()
        await self.forwarder.start()
        self._open_sources()
        self._loop.create_task(self._get_ready(), name="ready")

    async def _listen(self) -> None:
        streams = []
        for address in self.settings.listen:
            try:
                datagrams = bind(address, socket.SOCK_DGRAM)
                self.udp.append(UdpListener(datagrams, self.exchange, address.wildcard))
                stream = bind(address, socket.SOCK_STREAM)
                stream.listen(1024)
            except OSError as error:
                raise ConfigError(f"--listen {address}", error.strerror or str(error)) from None
            streams.append(stream)
        await self.tcp.start(streams)
        for listener in self.udp:
            listener.start(self._loop)

    def _open_sources(self) -> None:
        for url in self.settings.registry:
            if url.scheme == "file":
                source = FileSource(url.path, self._sources_changed)
                source.load()
                self.sources.append(source)
            else:
                self.sources.append(
                    ZooKeeperSource(url, self.settings.zookeeper, lambda root: self._sources_changed(), {})
                )
        for each in self.sources:
            each.start()
        self._sources_changed()

    async def _get_ready(self) -> None:
        await self._loaded.wait()
        try:
            await asyncio.wait_for(self.hosts.settled(), FIRST_ROUND)
        except TimeoutError:
            pass
        while not self.publisher.idle:
            await asyncio.sleep(0.005)  # noqa: ASYNC110  (a few turns of the loop at start)
        self.ready = True
        self._tell_age()
        catalog = self.publisher.catalog
        log.info(
            "ready: engine %s, zones %s, %d services, %d instances, on %s",
            "python",
            ", ".join(self.settings.zone),
            len(catalog.services),
            sum(len(s.instances) for s in catalog.services.values()),
            ", ".join(map(str, self.settings.listen)),
        )

    async def stop(self) -> None:
        """Lameduck, then take no more, answer what is here, end."""
        self.lameduck = True
        if self.settings.lameduck:
            log.info("lameduck for %g s: /ready is 503, answers go on", self.settings.lameduck)
            await asyncio.sleep(self.settings.lameduck)
        self.tcp.stop_accepting()
        for listener in self.udp:
            listener.close(self._loop)
        await self.forwarder.stop(0.5)
        self.tcp.close()
        await self.hosts.stop()
        for source in self.sources:
            await source.stop()
        log.info("stopped")

    def reload(self) -> None:
        """SIGHUP: settings and zone files again; what is wrong is told, and the old stays in force."""
        try:
            settings = self._reload()
            self.forwarder.reload(settings)
        except ConfigError as error:
            self.reload_failed = True
            log.error("reload: %s; the old settings stay in force", error)
            return
        self.reload_failed = False
        fixed = ("registry", "zone", "listen", "http", "engine", "workers", "state", "zookeeper", "ttl")
        for name in fixed:
            if getattr(settings, name) != getattr(self.settings, name):
                log.warning("reload: %s needs a restart; the old one stays in force", name)
        self.settings = settings
        log.info("reload: done")

    # --- from the world to the answers -----------------------------------------------------------------

    def _sources_changed(self) -> None:
        catalogs = [source.catalog for source in self.sources]
        if not all(c.complete for c in catalogs) and not self.ready:
            return
        self.publisher.take(catalogs)
        self._follow_hosts()
        self._tell_age()
        if not self._loaded.is_set() and self.publisher.registered.complete:
            self._loaded.set()

    def _tell_age(self) -> None:
        """How the answers tell of the registry: not there yet, out of reach, or all well."""
        registered = self.publisher.registered
        self.answers.stale = STALE if registered.stale_since is not None else b""
        if not self.ready:
            return
        too_old = (
            self.settings.stale_max > 0
            and registered.stale_since is not None
            and time.time() - registered.stale_since > self.settings.stale_max
        )
        self.answers.set_failure(TOO_OLD if too_old else b"")

    def _published(self) -> None:
        self.answers.set_serial(self.publisher.registered.serial)

    def _judge(self, service: Service, now: float, previous: Service | None) -> tuple[Service, float | None]:
        return judge(service, ServiceView(), now, previous)

    # --- host names ---------------------------------------------------------------------------------

    def _follow_hosts(self) -> None:
        hosted: dict[str, set[str]] = {}
        for service in self.publisher.registered.services.values():
            for i in service.instances:
                if i.registration.host:
                    hosted.setdefault(i.registration.host, set()).add(service.name)
        self._hosted = hosted
        self.hosts.want(hosted)
        self.publisher.forget_hosts()

    def _host_changed(self, host: str, addresses: tuple[str, ...]) -> None:
        self.publisher.mark(self._hosted.get(host, ()))

    def _addresses_of(self, service: str, instance: Instance) -> tuple[str, ...]:
        host = (instance.registration.host or "").rstrip(".").lower()
        if host in {f"{service}.{zone}" for zone in self.settings.zone}:
            return ()  # the service's own name: it would keep itself alive
        return self.hosts.addresses(instance.registration.host or "")

    async def _resolve(self, host: str) -> Resolved:
        own = self._resolve_own(host.rstrip(".").lower())
        if own is not None:
            return own
        return await (self.forwarder.resolve(host) if self.forwarder.enabled else ask_machine(host))

    def _resolve_own(self, host: str) -> Resolved | None:
        """A host name in a zone of ours: what is registered there by address; never by another host
        name, so that two services can't keep each other's dead addresses alive."""
        zone = next((z for z in self.settings.zone if host.endswith("." + z)), None)
        if zone is None:
            return None
        *instance, label = host.removesuffix("." + zone).split(".")
        for service in self.publisher.services.values():
            if service.label == label and len(instance) < 2:
                chosen = [
                    i for i in service.instances if (i.label == instance[0] if instance else i.answered)
                ]
                addresses = tuple(dict.fromkeys(a for i in chosen for a in i.registration.addresses))
                if addresses:
                    return Resolved(addresses, 1)
        raise Unresolved(f"{host} has no address here")


def server_addresses(listen: tuple[Address, ...]) -> tuple[str, ...]:
    """The addresses that the zone's NS name has: where we listen, or where this machine is reached."""
    found = [a.host for a in listen if not a.wildcard]
    for a in listen:
        if a.wildcard:
            family, far = (socket.AF_INET6, "2001:db8::1") if ":" in a.host else (socket.AF_INET, "192.0.2.1")
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect((far, 53))  # sends nothing: it asks the kernel for a route
                    found.append(probe.getsockname()[0])
                except OSError:
                    found.append("::1" if ":" in a.host else "127.0.0.1")
    return tuple(dict.fromkeys(found)) or ("127.0.0.1",)
