"""The native engine seen from Python: publish to it, start it, answer what it hands over.

Rules: the compiled module is imported here and nowhere else, and may be missing. The engine counts
positions for both: the counter of an Entry that it holds is its own, and goes back to Python's when it lets
go of the Entry.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from ipaddress import ip_network
from typing import Any, Protocol

from msgspec import Struct

from zkdns.answers.table import Delta, Entry, Name
from zkdns.forward.cache import MAX_BODY_BYTES, MAX_BYTES, MAX_ENTRIES
from zkdns.forward.stored import Kept, Stored
from zkdns.polling import prefer
from zkdns.serve.clients import Asker, ClientRow, Demand
from zkdns.serve.listen.bind import BUFFER_BYTES
from zkdns.serve.listen.lacking import Lacking
from zkdns.serve.listen.places import Limits
from zkdns.turn import ALONE_SECONDS, FEW, TURN_SECONDS, go_on

_native: Any = None
WHY_NOT = ""
"""Why there is no native engine, in a few words; "" where there is one."""
try:
    _native = import_module("zkdns._native")
except ModuleNotFoundError:
    WHY_NOT = "no Rust 1.85 when it was installed, or a failed build; pip install -v tells which"
except ImportError as error:
    WHY_NOT = str(error)

log = logging.getLogger(__name__)

MAX_QUEUED = 8192
"""How many packets may wait for Python; past that they are dropped and counted."""

PART = 8
"""When so large a part of that waits for its turn, each client is held to its own (`handover.rs`)."""

MAX_PER_TURN = 64
"""How many packets are taken in one turn of the loop at most, however little each costs."""


class Route(Protocol):
    """Where a handed-over packet came from. Only the engine knows the rest of the way back. `transport`:
    udp or tcp; `sampled`: it came for the query log; `waited`: seconds since it was handed over."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def transport(self) -> str: ...
    @property
    def sampled(self) -> bool: ...
    @property
    def waited(self) -> float: ...


Taken = Callable[[bytes, Route], None]
Due = Callable[[bytes], None]


class Latency(Struct, frozen=True):
    """How long replies took: `counts[i]` of them up to `bounds[i]` seconds, the last above them all.
    The counts are exact, the times are those of one round in sixteen."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


class NativeCache:
    """What upstreams answered, in the engine's memory: its threads give what is fresh by themselves."""

    def __init__(self, limit: int = MAX_BYTES, entries: int = MAX_ENTRIES) -> None:
        if _native is None:
            raise RuntimeError(f"the native engine is not built: {WHY_NOT}")
        self.native = _native.Cache(limit, entries, time.monotonic())

    def get(self, key: bytes, now: float) -> Kept | None:
        kept: Kept | None = self.native.get(key, now)
        return kept

    def put(self, key: bytes, stored: Stored, share: int) -> None:
        if stored.ttl > 0 and len(stored.body) <= MAX_BODY_BYTES:
            self.native.put(key, stored, share)

    def forget(self, owners: Iterable[bytes], below: bool = False) -> None:
        self.native.forget(list(owners), below)

    def clear(self) -> None:
        self.native.clear()

    def take_due(self) -> list[bytes]:
        """Keys of what is asked often and is about to end: each is told once."""
        keys: list[bytes] = self.native.take_due()
        return keys

    @property
    def used(self) -> int:
        """Bytes that what is kept is charged."""
        used: int = self.native.used()
        return used

    def __len__(self) -> int:
        return len(self.native)


class Native:
    """One engine: its table, its threads, its sockets. `cache`: what its threads may give of upstreams'
    answers. `client_table`: whether it is noted who was told what."""

    def __init__(
        self,
        queue: int = MAX_QUEUED,
        cache: NativeCache | None = None,
        *,
        client_table: bool = True,
        tick: Callable[[], float] = time.perf_counter,
    ) -> None:
        if _native is None:
            raise RuntimeError(f"the native engine is not built: {WHY_NOT}")
        self.cache = cache
        self._engine = _native.Engine(queue, None if cache is None else cache.native, client_table)
        self._tick = tick
        self._loop: asyncio.AbstractEventLoop | None = None
        self._taken: Taken | None = None
        self._due: Due | None = None
        self._replies: list[tuple[Route, bytes]] = []
        self._flushing = False
        self._left: list[tuple[bytes, Route]] = []
        """Packets that were taken, and wait for another turn."""
        self._goes_on = False
        """Whether they have one already: there is one in each turn of the loop, and no more."""
        self._lacking = Lacking("TCP", log)

    @property
    def lack(self) -> str:
        """What is lacking here for new connections; "" for nothing."""
        return self._lacking.why

    # --- what is answered -------------------------------------------------------------------------

    def apply(self, delta: Delta) -> None:
        """Put a Delta in force in one step. Where it raises, the table before stays."""
        self._engine.apply(delta)

    def prepare(self, entries: Mapping[bytes, Entry], names: Mapping[bytes, Name]) -> None:
        """Pack what is about to be put in force, in any thread: of a service of thousands that would take a
        turn of the loop. Step by step, since none of them lets others run. What fails is met by `apply`."""
        with suppress(Exception):
            for key, entry in entries.items():
                for one in (entry, *(entry.variants or {}).values()):
                    for tier in one.tiers:
                        self._engine.prepare_rotation(tier.rotation)
                self._engine.prepare(key, entry)
            known: set[int] = set()
            for name in names.values():
                if name.instances is not None and id(name.instances) not in known:
                    known.add(id(name.instances))
                    self._engine.prepare_instances(name.instances)

    def prepared(self) -> int:
        """How many values are packed and not in force yet."""
        count: int = self._engine.prepared()
        return count

    def size(self) -> tuple[int, int]:
        """How many entries and names are in force."""
        size: tuple[int, int] = self._engine.size()
        return size

    def offer_recursion(self, networks: Iterable[str]) -> None:
        """Who is told that recursion is available (RA): clients in these networks, nobody where none."""
        prefixes = [ip_network(n, strict=False) for n in networks]
        pairs = [(str(n.network_address), n.prefixlen) for n in prefixes]
        self._engine.offer_recursion(pairs)

    def respond(
        self, packet: bytes, limit: int, ra: int = 0, now: float | None = None, client: str = ""
    ) -> bytes | None:
        """The answer in the plain case; None where Python has to say. `now`: for what upstreams answered,
        None for this moment. `client`: its address in text."""
        answer: bytes | None = self._engine.respond(packet, limit, ra, now, client)
        return answer

    # --- positions -------------------------------------------------------------------------------------

    def take_position(self, entry: Entry) -> int:
        """The next number of this Entry, whoever gives the answer."""
        counter = entry.counter
        n: int | None = self._engine.take_position(counter)
        if n is None:
            n = counter.position
            counter.position = n + 1
        return n

    def position_of(self, entry: Entry) -> int:
        """Where this Entry stands, over all threads; it stays there. Any thread may ask."""
        n: int | None = self._engine.position_of(entry.counter)
        return entry.counter.position if n is None else n

    # --- running -----------------------------------------------------------------------------------

    def start(
        self, listen: Iterable[tuple[str, int]], workers: int = 1, tcp: Limits | None = None
    ) -> list[tuple[str, int]]:
        """Bind and answer: `workers` threads for each address over UDP, and as many over TCP. Returns what
        was bound, with its port. Raises OSError that names the address."""
        tcp = tcp or Limits()
        bound: list[tuple[str, int]] = self._engine.start(
            list(listen), workers, BUFFER_BYTES, (tcp.connections, tcp.bytes, tcp.idle)
        )
        return bound

    def watch(self, loop: asyncio.AbstractEventLoop, taken: Taken, due: Due | None = None) -> None:
        """Have `taken` called in `loop` with each packet that is Python's to answer, and `due` with the
        key of each answer of an upstream that is to be fetched anew."""
        self._loop, self._taken, self._due = loop, taken, due
        loop.add_reader(self._engine.fileno(), self._readable)
        prefer(loop, self._engine.fileno())

    def sample(self, every: int) -> None:
        """Have one packet in so many handed over whatever it asks, for the query log; 0: none."""
        self._engine.sample(every)

    def _readable(self) -> None:
        if not self._goes_on:  # else what is left has its turn behind all else that is due
            self.take()

    def _go_on(self) -> None:
        self._goes_on = False
        if self._loop is not None:
            self.take()

    def take(self) -> None:
        """Answer what waits now, a turn of it."""
        for kind, packet, what in self._engine.take_faults():
            match kind:
                case "packet":
                    log.error("the native engine failed on packet %s: %s", packet.hex(), what)
                case "elsewhere":
                    log.error("a thread of the native engine goes on after an error of ours: %s", what)
                case "lack":
                    self._lacking.meet(what.lower())
        taken = self._taken
        if taken is not None:
            self._flushing = True  # below, all at once
            try:
                self._take_until(taken, self._tick() + TURN_SECONDS)
            finally:
                self._flush()
        if self._due is not None and self.cache is not None:
            for key in self.cache.take_due():
                self._due(key)

    def _take_until(self, taken: Taken, until: float) -> None:
        """Some are compiled first, and take longer: the rest of a few waits for another turn then."""
        latest = until + ALONE_SECONDS
        for _ in range(MAX_PER_TURN // FEW):
            packets, self._left = self._left or self._engine.take(FEW), []
            for at, (packet, route) in enumerate(packets, 1):
                taken(packet, route)
                if at < len(packets) and self._tick() >= latest:
                    self._left = packets[at:]
                    if self._loop is not None and not self._goes_on:
                        self._goes_on = True
                        go_on(self._loop, self._go_on)
                    return
            if len(packets) < FEW or self._tick() >= until:
                return

    def reply(self, route: Route, reply: bytes) -> None:
        """Send a reply by the socket, and from the address, that its query came to, or over its
        connection: at the end of the loop's turn, with all others of it. What can't be sent is counted."""
        self._replies.append((route, reply))
        if self._loop is None:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._replies:
            replies, self._replies = self._replies, []
            self._engine.send(replies)

    def stop(self) -> None:
        """Take no new queries over UDP and no new connections, answer what has come: half a second at
        most, from any thread. What was handed over can still be taken, and replied to, until `close`."""
        self._engine.stop()

    def close(self) -> None:
        """Let Python answer what still waits, then close the sockets and let go of the loop."""
        self._engine.stop()
        self._engine.finish()
        if self._taken is not None:
            while self._left or self._engine.waiting():
                self.take()
        self._flush()
        if self._loop is not None:
            self._loop.remove_reader(self._engine.fileno())
            self._loop = self._taken = None
        self._engine.close()

    # --- what it has done --------------------------------------------------------------------------

    def replies(self) -> dict[tuple[str, int, int], int]:
        """Replies by transport, type (0 stands for all above 254) and rcode; exact."""
        counts: dict[tuple[str, int, int], int] = self._engine.replies()
        return counts

    def connections(self) -> tuple[int, int]:
        """TCP connections that are open, and the bytes that wait for them, in and out."""
        counts: tuple[int, int] = self._engine.connections()
        return counts

    def closed(self) -> dict[str, int]:
        """TCP connections that we ended, by reason."""
        counts: dict[str, int] = self._engine.closed()
        return counts

    def search_misses(self) -> dict[str, int]:
        """Names that a search list made (NXDOMAIN two labels and more below what there is), by client;
        "" for those of all clients past the first thousand."""
        counts: dict[str, int] = self._engine.search_misses()
        return counts

    def told(self, service: str | None, client: str | None) -> tuple[list[ClientRow], int]:
        """Who was told what, by each thread: the rows of one service, of one client, or all; and how many
        rows had to go. Any thread may ask."""
        rows, forgotten = self._engine.told(service, client)
        return [ClientRow(*row) for row in rows], forgotten

    def demand(self, since: float, most: int) -> Demand:
        """How often each service was asked for, and so many of the clients seen since. Any thread may ask."""
        services, clients = self._engine.demand(since, most)
        return Demand(services, [Asker(*row) for row in clients])

    def totals(self) -> Counter[str]:
        """`dropped` (replies, or too short), `cached` (upstreams' answers), `passed` (to Python),
        `overflowed` (no room there), `beyond` (none in their client's part), `unsent`, `panics`, `rounds`
        (system calls that brought packets)."""
        return Counter(self._engine.totals())

    def latency(self) -> Latency:
        """How long replies took, from their packet being read to being sent."""
        counts, seconds = self._engine.latency()
        return Latency(tuple(_native.BOUNDS), tuple(counts), seconds)
