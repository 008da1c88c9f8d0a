"""Who answers UDP and TCP: the native engine's threads, or Python in the loop. Both give the same answers.

Rules: the rest of the server publishes, counts and stops through this, and knows no difference.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from zkdns.answers.table import Delta, Entry, Name
from zkdns.config import Address, Settings
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP, MAX_MESSAGE_BYTES
from zkdns.forward.cache import Cache, Replies
from zkdns.forward.forwarder import Forwarder
from zkdns.model import ConfigError
from zkdns.serve import cores, native
from zkdns.serve.clients import NO_DEMAND, NOT_KEPT, Demand, Told, join_demand, merge, pick, sum_up
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.places import Limits
from zkdns.serve.listen.refused import refused
from zkdns.serve.listen.tcp import TcpListener

if TYPE_CHECKING:
    from zkdns.serve.listen.udp import UdpListener

log = logging.getLogger("zkdns.engine")

LIMITS = Limits()
"""Of TCP, those that clients may rely on."""

MAX_ONE_BY_ONE = 1000
"""Reverse names that are forgotten by name; for more at once all of them go, which takes no longer."""


class PythonEngine:
    """Plain Python: one socket of each kind an address, read in the loop."""

    name = "python"

    def __init__(self, dispatcher: Dispatcher, limits: Limits = LIMITS) -> None:
        self.dispatcher = dispatcher
        self.faults = 0
        """Names that could not be put in force, for an error of ours."""
        self._listeners: list[UdpListener] = []
        self._tcp = TcpListener(dispatcher, limits)
        self._loop = asyncio.get_running_loop()

    async def start(self, listen: Sequence[Address], workers: int) -> None:
        from zkdns.serve.listen.udp import UdpListener  # with ctypes: the native engine needs neither

        streams = []
        for address in listen:
            try:
                streams.append(bind(address, socket.SOCK_STREAM))
                sock = bind(address, socket.SOCK_DGRAM)
            except OSError as error:
                raise refused("--listen", str(address), error) from None
            self._listeners.append(UdpListener(sock, self.dispatcher, address.wildcard))
        for listener in self._listeners:
            listener.start(self._loop)
        self._tcp.start(streams)

    def configure(self, settings: Settings) -> None:
        self.dispatcher.configure(settings)

    def apply(self, delta: Delta) -> None:
        """Put a Delta in force, in one step between two queries. An error of ours costs the one name that it
        meets: the rest goes in piece by piece."""
        try:
            self._put(delta)
        except Exception:
            log.exception("a change is put in force in pieces after an error of our own")
            for part in delta.pieces():
                try:
                    self._put(part)
                except Exception as error:
                    self.faults += 1
                    log.error("what is left out: %r (%r)", [*part.entries, *part.names], error)

    def prepare(self, entries: Mapping[bytes, Entry], names: Mapping[bytes, Name]) -> None:
        """What is about to be put in force, where that is work: it is called in any thread."""

    def _put(self, delta: Delta) -> None:
        """What upstreams said of names that are ours from now on is forgotten."""
        forwarder = self.dispatcher.forwarder
        if forwarder is not None and len(forwarder.cache):
            self._forget(delta, forwarder)
        self.dispatcher.table.apply(delta)
        if delta.services and self.dispatcher.first_questions is not None:
            self.dispatcher.first_questions.moved(delta.services)

    def _forget(self, delta: Delta, forwarder: Forwarder) -> None:
        known, come = self.dispatcher.table.names, delta.names
        apexes = [
            name
            for name, value in come.items()
            if value is not None and name not in known
            if not any(above in known or come.get(above) is not None for above in names.suffixes(name))
        ]
        if apexes:
            forwarder.forget(apexes, below=True)
        held = self.dispatcher.table.holders
        addresses = [address for address, holders in delta.holders.items() if holders and address not in held]
        if len(addresses) <= MAX_ONE_BY_ONE:
            forwarder.forget(map(names.reverse, addresses))
        else:
            forwarder.forget(names.REVERSE, below=True)

    async def stop(self) -> None:
        """Take no new queries over UDP and no new connections, and answer what has come."""
        await self._tcp.leave()
        for listener in self._listeners:
            listener.retire(self._loop)

    def close(self) -> None:
        """Answer what is here, and end."""
        self._tcp.close()
        for listener in self._listeners:
            listener.close()

    @property
    def lack(self) -> str:
        """What is lacking here for new connections; "" for nothing."""
        return self._tcp.lacking.why

    def counts(self) -> Counter[tuple[str, int, int]]:
        """Queries answered by transport, type and rcode."""
        return Counter(self.dispatcher.counts)

    def dropped(self) -> Counter[str]:
        """Queries that nobody answers, by reason."""
        drops = Counter(self.dispatcher.dropped)
        drops["buffer"] += sum(listener.missed for listener in self._listeners)
        return drops

    def connections(self) -> tuple[int, int]:
        """TCP connections that are open, and the bytes that wait for them, in and out."""
        return len(self._tcp.open), self._tcp.held

    def closed(self) -> Counter[str]:
        """TCP connections that we ended, by reason: `idle`, `limit` or `backlog`."""
        return Counter(self._tcp.closed)

    def search_misses(self) -> Counter[str]:
        """Names that a search list made, by client."""
        return Counter(self.dispatcher.search_misses)

    def told(self, service: str | None, client: str | None) -> Callable[[], Told]:
        """Who was told what: of one service, of one client, or all. What it gives may be called in a
        thread."""
        clients = self.dispatcher.clients
        if clients is None:
            return lambda: NOT_KEPT
        rows, forgotten = clients.copy(), clients.forgotten
        return lambda: Told(merge(pick(rows, service, client)), forgotten)

    def demand(self, since: float, most: int) -> Callable[[], Demand]:
        """How often each service was asked for, and by whom of those seen since. What it gives may be called
        in a thread."""
        clients = self.dispatcher.clients
        if clients is None:
            return lambda: NO_DEMAND
        return partial(sum_up, clients.copy(), dict(clients.gone), since, most)

    def cache_hits(self) -> int:
        """Replies that an upstream had given before."""
        forwarder = self.dispatcher.forwarder
        return 0 if forwarder is None else forwarder.cache_hits

    def latency(self) -> tuple[tuple[float, ...], tuple[int, ...], float]:
        """Upper bounds, counts (one more: above them all), and the sum in seconds."""
        return self.dispatcher.times.read()


class NativeEngine(PythonEngine):
    """Threads of their own for the plain case; what they hand over is answered here, in the loop."""

    name = "native"

    def __init__(self, dispatcher: Dispatcher, engine: native.Native, limits: Limits = LIMITS) -> None:
        super().__init__(dispatcher, limits)
        self._limits = limits
        self.native = engine

    async def start(self, listen: Sequence[Address], workers: int) -> None:
        try:
            addresses = [(a.host, a.port) for a in listen]
            self.native.start(addresses, workers or cores.available(), self._limits)
        except OSError as error:
            where = error.filename or ", ".join(map(str, listen))
            raise refused("--listen", where, error) from None
        forwarder = self.dispatcher.forwarder if self.native.cache is not None else None
        self.native.watch(self._loop, self._taken, None if forwarder is None else forwarder.renew)

    def configure(self, settings: Settings) -> None:
        super().configure(settings)
        self.native.sample(settings.query_log_sample)
        self.native.offer_recursion(settings.forward_allow if settings.forward else ())

    def prepare(self, entries: Mapping[bytes, Entry], names: Mapping[bytes, Name]) -> None:
        self.native.prepare(entries, names)

    def _put(self, delta: Delta) -> None:
        self.native.apply(delta)
        super()._put(delta)

    def _taken(self, packet: bytes, route: native.Route) -> None:
        limit = HIGHEST_UDP if route.transport == "udp" else MAX_MESSAGE_BYTES
        request = self.dispatcher.read(packet, route.host, route.transport, limit)
        outcome = self.dispatcher.dispatch(request, route.sampled, route.waited)
        if isinstance(outcome, bytes):
            self.native.reply(route, outcome)
        elif outcome is not None:
            outcome.then(partial(self.native.reply, route))

    async def stop(self) -> None:
        await asyncio.to_thread(self.native.stop)

    def close(self) -> None:
        self.native.close()

    def counts(self) -> Counter[tuple[str, int, int]]:
        counts = super().counts()
        counts.update(self.native.replies())
        return counts

    @property
    def lack(self) -> str:
        return self.native.lack

    def connections(self) -> tuple[int, int]:
        return self.native.connections()

    def closed(self) -> Counter[str]:
        return Counter(self.native.closed())

    def dropped(self) -> Counter[str]:
        drops = super().dropped()
        totals = self.native.totals()
        drops["not a query"] += totals["dropped"]
        drops["buffer"] += totals["missed"]
        drops["queue"] += totals["overflowed"]
        drops["share"] += totals["beyond"]
        drops["send"] += totals["unsent"]
        return drops

    def search_misses(self) -> Counter[str]:
        return super().search_misses() + Counter(self.native.search_misses())

    def told(self, service: str | None, client: str | None) -> Callable[[], Told]:
        by_python = super().told(service, client)

        def join() -> Told:
            here = by_python()
            if not here.is_kept:
                return here
            rows, forgotten = self.native.told(service, client)
            return Told(merge([*here.rows, *rows]), here.forgotten + forgotten)

        return join

    def demand(self, since: float, most: int) -> Callable[[], Demand]:
        by_python = super().demand(since, most)

        def join() -> Demand:
            here = by_python()
            return join_demand(here, self.native.demand(since, most), most) if here.is_kept else here

        return join

    def cache_hits(self) -> int:
        return super().cache_hits() + self.native.totals()["cached"]

    def latency(self) -> tuple[tuple[float, ...], tuple[int, ...], float]:
        latency = self.native.latency()
        return latency.bounds, latency.counts, latency.seconds


def choose_cache(settings: Settings) -> Replies:
    """Where what upstreams answer is kept: with the engine that answers."""
    limit, entries = settings.cache_mb << 20, settings.cache_entries
    if settings.engine == "python" or native.WHY_NOT:
        return Cache(limit, entries)
    return native.NativeCache(limit, entries)


def open_native(
    wanted: str, cache: Replies | None = None, *, client_table: bool = True
) -> native.Native | None:
    """The native engine where `--engine` wants it and it is there; `auto` takes it where it was built.
    `cache`: the one that `choose_cache` gave for it."""
    if wanted == "python":
        return None
    if native.WHY_NOT:
        if wanted == "native":
            raise ConfigError("--engine native", f"the native engine was not built: {native.WHY_NOT}")
        log.info("the native engine was not built (%s): plain Python answers", native.WHY_NOT)
        return None
    own = cache if isinstance(cache, native.NativeCache) else None
    return native.Native(cache=own, client_table=client_table)


def choose(dispatcher: Dispatcher, engine: native.Native | None) -> PythonEngine:
    return NativeEngine(dispatcher, engine) if engine is not None else PythonEngine(dispatcher)
