"""Forwarding: names outside our zones go to upstream resolvers, through one cache.

Rules: one asyncio loop; `answer` never raises and never waits: what is in the cache is replied to
at once, the rest when an exchange has an outcome. What is decided stands in `upstream`, what is
kept in `cache`; here are sockets, timers and the clients that wait. Each question goes out on a
socket of its own, so on a source port of its own (RFC 5452, section 9.2).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from zkdns.answers.names import text, wire
from zkdns.config import Settings
from zkdns.model import ConfigError
from zkdns.serve.cache import SIZE, Cache, Stored
from zkdns.serve.hosts import Resolved, Unresolved, addresses_in
from zkdns.serve.message import failure, read_query, read_reply, skim, spell_query
from zkdns.serve.probe import PROBE_MARK, Probe, probe_question
from zkdns.serve.resolvconf import PATH, RESOLV_CONF, upstreams_of
from zkdns.serve.sockets import connect, converse, is_local_lack, reason
from zkdns.serve.upstream import (
    NETWORK_ERROR,
    NO_REACHABLE_AUTHORITY,
    TOTAL,
    Answered,
    Attempt,
    Exchange,
    Failed,
    Upstream,
    order,
)

log = logging.getLogger("zkdns.forward")

Reply: TypeAlias = Callable[[bytes], None]

MOST = 1000
"""Questions under way; a tenth of it for one client."""
MOST_OF_CLIENT = MOST // 10
MOST_WAITING = 1000
"""Clients that wait for one and the same question."""
STALE_AFTER = 1.8
"""Seconds a client waits where an expired answer is at hand (RFC 8767, section 5)."""
OFTEN = 3
TICK = 0.25
LOOK = 2.0
"""Seconds between two looks at resolv.conf."""
SERVFAIL = 2
REFUSED = 5
PROHIBITED = 18
STREAM = 65535


@dataclass(slots=True, eq=False)
class Flight:
    """One question under way, the clients that wait for it, and what it holds of the system."""

    key: bytes
    exchange: Exchange
    client: str | None
    stale: Stored | None = None
    waiting: list[tuple[bytes, int, int, int, Reply]] = field(default_factory=list)
    sockets: dict[Attempt, socket.socket] = field(default_factory=dict)
    streams: set[asyncio.Task[None]] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    patience: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """What people see of an upstream. `state`: healthy, dead or loop; `latency` in seconds."""

    address: str
    state: str
    why: str
    latency: float


@dataclass(frozen=True, slots=True)
class ForwardStatus:
    upstreams: tuple[UpstreamStatus, ...]
    cached: int
    in_flight: int
    cache_hits: int
    problem: str


class Forwarder:
    """Asks upstreams for what clients want to know, and remembers what they said.

    The counters are plain numbers that only grow: `queries` by upstream and rcode (or what went
    wrong), `cache_hits` (`stale_hits` of them), `joined`, `limited`, `refused`, `forgeries`, `prefetches`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        resolv_conf: Path = PATH,
        cache_size: int = SIZE,
        clock: Callable[[], float] = time.monotonic,
        draw: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._resolv_conf = resolv_conf
        self._resolv_text = ""
        self._resolv_seen: object = None
        self._clock = clock
        self._draw = draw or random.SystemRandom()
        self._cache = Cache(clock, cache_size)
        self._upstreams: tuple[Upstream, ...] = ()
        self._flights: dict[bytes, Flight] = {}
        self._load: Counter[str] = Counter()
        self._probes: dict[bytes, tuple[Upstream, float]] = {}
        self._probing: dict[Upstream, Probe] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._allows: Callable[[str], bool] = _permit(())
        self.problem = ""
        self.queries: Counter[tuple[str, str]] = Counter()
        self.cache_hits = 0
        self.stale_hits = 0
        self.joined = 0
        self.limited = 0
        self.refused = 0
        self.forgeries = 0
        self.prefetches = 0
        self._configure(settings)

    # --- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._keep(), name="forward")

    async def stop(self, wait: float = 0.0) -> None:
        """Ends; questions under way may still be answered for `wait` seconds, then get SERVFAIL."""
        self._stopping = True
        end = self._clock() + wait
        while self._flights and self._clock() < end:  # noqa: ASYNC110  (many flights, one clock of our own)
            await asyncio.sleep(0.02)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        streams = [task for flight in self._flights.values() for task in flight.streams]
        for flight in list(self._flights.values()):
            self._finish(flight, Failed(NO_REACHABLE_AUTHORITY, "the server is stopping"))
        for probe in list(self._probing.values()):
            probe.close()
        self._probing.clear()
        if streams:
            await asyncio.gather(*streams, return_exceptions=True)

    def reload(self, settings: Settings) -> None:
        """Takes new settings; raises ConfigError, and keeps the old ones, where they can't be."""
        self._configure(settings)

    def _configure(self, settings: Settings) -> None:
        text = self._read_resolv_conf() if RESOLV_CONF in settings.forward else ""
        addresses = upstreams_of(settings.forward, settings.listen, text)
        allows = _permit(settings.forward_allow) if settings.forward else _permit(())
        known = {upstream.address: upstream for upstream in self._upstreams}
        upstreams = tuple(known.get(address) or Upstream(address) for address in addresses)
        if [u.address for u in upstreams] != [u.address for u in self._upstreams]:
            self._cache.clear()  # other upstreams may know other names
        self._settings, self._upstreams, self._allows = settings, upstreams, allows
        self._resolv_text = text
        self.problem = "" if upstreams or not settings.forward else f"no upstream in {self._resolv_conf}"

    def _read_resolv_conf(self) -> str:
        """The file's text; the last one while it can't be read."""
        try:
            seen = self._resolv_conf.stat()
            text = self._resolv_conf.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            log.warning("%s can't be read: %s", self._resolv_conf, error.strerror or error)
            return self._resolv_text
        self._resolv_seen = _mark(seen)
        return text

    @property
    def enabled(self) -> bool:
        return bool(self._settings.forward)

    def allows(self, client: str) -> bool:
        """Whether this client may have names forwarded (RA, or else REFUSED with EDE 18)."""
        return self._allows(client)

    async def _keep(self) -> None:
        """Probes the upstreams and looks at resolv.conf, for ever."""
        look_at = self._clock() + LOOK
        while True:
            now = self._clock()
            for upstream in self._upstreams:
                if upstream not in self._probing and now >= upstream.probe_at:
                    self._probe(upstream, now)
            if now >= look_at:
                look_at = now + LOOK
                self._look_at_resolv_conf()
            await asyncio.sleep(TICK)

    def _look_at_resolv_conf(self) -> None:
        if RESOLV_CONF not in self._settings.forward:
            return
        try:
            if _mark(self._resolv_conf.stat()) == self._resolv_seen:
                return
            self._configure(self._settings)
        except (OSError, ConfigError):
            return
        log.info(
            "%s changed: upstreams are now %s",
            self._resolv_conf,
            ", ".join(str(u.address) for u in self._upstreams),
        )

    def _probe(self, upstream: Upstream, now: float) -> None:
        self._probes = {name: found for name, found in self._probes.items() if now - found[1] < 4 * TOTAL}
        question, own = probe_question(upstream, self._draw)
        self._probes.update(dict.fromkeys(own, (upstream, now)))
        self._probing[upstream] = Probe(
            upstream, question, self._draw.getrandbits(16), self._clock, self._probing
        )

    def status(self) -> ForwardStatus:
        """What the page shows."""
        return ForwardStatus(
            tuple(UpstreamStatus(str(u.address), u.state, u.why, u.latency) for u in self._upstreams),
            len(self._cache),
            len(self._flights),
            self.cache_hits,
            self.problem,
        )

    # --- asked --------------------------------------------------------------------------------------

    def answer(self, query: bytes, client: str, limit: int, reply: Reply) -> None:
        """Reply to a query for a name that is not ours, now or later. `limit`: what the transport
        takes; 65535 on a stream, where the client's EDNS size says nothing."""
        made = self.cached(query, limit) if self._allows(client) else None
        if made is not None:
            reply(made)
            return
        self._answer_slowly(query, client, limit, reply)

    def cached(self, query: bytes, limit: int) -> bytes | None:
        """The reply, where a fresh one is in the cache and the query is a plain one."""
        asked = skim(query)
        if asked is None:
            return None
        key, end, size = asked
        try:
            stored = self._cache.find(key)
        except KeyError:
            return None
        now = self._clock()
        if now >= stored.expires:
            return None
        self.cache_hits += 1
        stored.hits += 1
        if now >= stored.renew_at and stored.hits > OFTEN:
            self._renew(key, stored, now)
        return stored.reply(query, end, size, limit, now)

    def forget(self) -> None:
        """Empties the cache: some of its names may be ours from now on."""
        self._cache.clear()

    def _answer_slowly(self, query: bytes, client: str | None, limit: int, reply: Reply) -> None:
        if len(query) < 12:
            return
        if client is not None and not self._allows(client):
            self.refused += 1
            reply(
                failure(
                    query, REFUSED, PROHIBITED, "this client may not have names forwarded", limit, ra=False
                )
            )
            return
        asked = read_query(query)
        if asked is None:
            reply(failure(query, 1, 0, "", limit))
            return
        key, end, size = asked
        if self._probes and self._seen_probe(key):
            reply(failure(query, SERVFAIL, NETWORK_ERROR, "a forwarding loop", limit))
            return
        now = self._clock()
        stored = self._cache.get(key)
        if stored is not None and (now < stored.expires or not any(u.usable for u in self._upstreams)):
            self.cache_hits += 1
            self.stale_hits += now >= stored.expires
            reply(stored.reply(query, end, size, limit, now))
            return
        self._join(key, query, end, size, limit, client, reply, stored, now)

    def _join(
        self, key: bytes, query: bytes, end: int, size: int, limit: int, client: str | None, reply: Reply,
        stale: Stored | None, now: float,
    ) -> None:  # fmt: skip
        rd = bool(query[2] & 1) or client is None
        flight = self._flights.get(key + b"\1" if rd else key)
        if flight is not None and len(flight.waiting) < MOST_WAITING:
            self.joined += 1
            flight.waiting.append((query, end, size, limit, reply))
            return
        why = self._over_limit(client) if flight is None else "too many clients wait for this name"
        if why:
            self.limited += 1
            if stale is not None:
                self.stale_hits += 1
                reply(stale.reply(query, end, size, limit, now))
            else:
                reply(failure(query, SERVFAIL, NO_REACHABLE_AUTHORITY, why, limit))
            return
        flight = self._take_off(key, rd, client, now)
        flight.waiting.append((query, end, size, limit, reply))
        if stale is not None:
            flight.stale = stale
            flight.patience = asyncio.get_running_loop().call_later(STALE_AFTER, self._give_stale, flight)
        self._step(flight)

    def _over_limit(self, client: str | None) -> str:
        if self._stopping:
            return "the server is stopping"
        if len(self._flights) >= MOST:
            return "too many forwarded queries in flight"
        if client is not None and self._load[client] >= MOST_OF_CLIENT:
            return "too many forwarded queries of this client in flight"
        return ""

    def _renew(self, key: bytes, stored: Stored, now: float) -> None:
        """Fetched anew just before it ends, so that nobody waits for what is asked often."""
        stored.renew_at = math.inf
        if key + b"\1" in self._flights or len(self._flights) >= MOST // 2 or self._stopping:
            return
        self.prefetches += 1
        self._step(self._take_off(key, True, None, now))

    def is_probe(self, query: bytes) -> bool:
        """Whether this is our own probe, come back; if so, its upstream is turned off."""
        if not self._probes or PROBE_MARK not in query.lower():
            return False
        asked = read_query(query)
        return asked is not None and self._seen_probe(asked[0])

    def _seen_probe(self, key: bytes) -> bool:
        name = key[:-5]
        # A resolver that minimises names (RFC 9156) shows the last label first.
        found = self._probes.get(name)
        if found is None:
            return False
        upstream = found[0]
        if not upstream.looping:
            log.warning("upstream %s leads back to this server: it is turned off", upstream.address)
        upstream.loop(self._clock())
        probe = self._probing.get(upstream)
        if probe is not None:
            probe.came_back = True
        return True

    async def resolve(self, name: str) -> Resolved:
        """The addresses of a name, as clients of ours would get them. Raises Unresolved."""
        try:
            owner = wire(name)
        except ValueError as error:
            raise Unresolved(str(error)) from None
        found = await asyncio.gather(self._addresses(owner, 1), self._addresses(owner, 28))
        addresses = found[0].addresses + found[1].addresses
        if not addresses:
            raise Unresolved(f"{name} has no address")
        return Resolved(addresses, min(each.ttl for each in found if each.addresses))

    async def _addresses(self, owner: bytes, rtype: int) -> Resolved:
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def reply(data: bytes) -> None:
            if not done.done():
                done.set_result(data)

        question = owner + rtype.to_bytes(2, "big") + b"\0\1"
        self._answer_slowly(spell_query(0, question, True, 0, True), None, STREAM, reply)
        message = read_reply(await done)
        if message is None or message.rcode not in (0, 3):
            raise Unresolved(f"{text(owner)} can't be resolved: no upstream gives an answer")
        if message.rcode == 3:
            raise Unresolved(f"{text(owner)} does not exist")
        return addresses_in(message, owner, rtype)

    # --- flights ------------------------------------------------------------------------------------

    def _take_off(self, key: bytes, rd: bool, client: str | None, now: float) -> Flight:
        exchange = Exchange(key[:-1], key[-1], rd, order(self._upstreams), now, self._draw)
        flight = Flight(key + b"\1" if rd else key, exchange, client)
        self._flights[flight.key] = flight
        if client is not None:
            self._load[client] += 1
        return flight

    def _step(self, flight: Flight) -> None:
        """Does what is due, and comes again when something will be."""
        exchange = flight.exchange
        while (attempt := exchange.due(self._clock())) is not None:
            self._send(flight, attempt)
        for attempt in [a for a in flight.sockets if a.done]:
            self._close(flight.sockets.pop(attempt))
        if exchange.outcome is not None:
            self._finish(flight, exchange.outcome)
            return
        if flight.timer is not None:
            flight.timer.cancel()
        delay = max(0.0, exchange.wake - self._clock())
        flight.timer = asyncio.get_running_loop().call_later(delay, self._step, flight)

    def _send(self, flight: Flight, attempt: Attempt) -> None:
        if attempt.tcp:
            task = asyncio.create_task(self._converse(flight, attempt))
            flight.streams.add(task)
            task.add_done_callback(flight.streams.discard)
            return
        try:
            sock = flight.sockets.get(attempt)
            if sock is None:
                sock = connect(attempt.upstream)
                flight.sockets[attempt] = sock
                asyncio.get_running_loop().add_reader(sock.fileno(), self._read, flight, attempt, sock)
            sock.send(attempt.packet)
        except BlockingIOError:
            pass  # lost, as any datagram may be
        except OSError as error:
            flight.exchange.fail(attempt, reason(error), self._clock(), local=is_local_lack(error))

    def _read(self, flight: Flight, attempt: Attempt, sock: socket.socket) -> None:
        for _ in range(32):
            try:
                data = sock.recv(65535)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                flight.exchange.fail(attempt, reason(error), self._clock())
                break
            flight.exchange.receive(attempt, data, self._clock())
            if attempt.done:
                break
        else:
            return
        self._step(flight)

    async def _converse(self, flight: Flight, attempt: Attempt) -> None:
        """The attempt over TCP."""
        try:
            data = await converse(attempt.upstream, attempt.packet)
            flight.exchange.receive(attempt, data, self._clock())
        except OSError as error:
            flight.exchange.fail(attempt, reason(error), self._clock(), local=is_local_lack(error))
        except EOFError:
            flight.exchange.fail(attempt, "the connection ended early", self._clock())
        if flight.key in self._flights and self._flights[flight.key] is flight:
            self._step(flight)

    def _finish(self, flight: Flight, outcome: Answered | Failed) -> None:
        self._flights.pop(flight.key, None)
        if flight.client is not None:
            self._load[flight.client] -= 1
            if not self._load[flight.client]:
                del self._load[flight.client]
        for timer in (flight.timer, flight.patience):
            if timer is not None:
                timer.cancel()
        for sock in flight.sockets.values():
            self._close(sock)
        flight.sockets.clear()
        current = asyncio.current_task()
        for task in list(flight.streams):
            if task is not current:
                task.cancel()
        self.forgeries += flight.exchange.forgeries
        for upstream, what in flight.exchange.log:
            self.queries[str(upstream.address), what] += 1
        key = flight.exchange.question + bytes((flight.exchange.flags,))
        now = self._clock()
        stored = None
        if isinstance(outcome, Answered):
            stored = Stored(outcome.message, key, now, cut=outcome.cut)
            if flight.exchange.rd and not outcome.cut and outcome.upstream in self._upstreams:
                self._cache.put(key, stored)
        elif flight.waiting and (stored := flight.stale or self._cache.get(key)) is not None:
            self.stale_hits += len(flight.waiting)
            self.cache_hits += len(flight.waiting)
        waiting, flight.waiting = flight.waiting, []
        for query, end, size, limit, reply in waiting:
            if stored is not None:
                reply(stored.reply(query, end, size, limit, now))
            elif isinstance(outcome, Failed):
                reply(failure(query, SERVFAIL, outcome.code, outcome.text, limit))

    def _give_stale(self, flight: Flight) -> None:
        """Those who waited long enough get the expired answer; the exchange goes on."""
        assert flight.stale is not None  # noqa: S101
        waiting, flight.waiting = flight.waiting, []
        self.stale_hits += len(waiting)
        self.cache_hits += len(waiting)
        now = self._clock()
        for query, end, size, limit, reply in waiting:
            reply(flight.stale.reply(query, end, size, limit, now))

    @staticmethod
    def _close(sock: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()


def _permit(networks: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a client's address is within one of the networks; each is worked out once."""
    allowed = []
    for each in networks:
        try:
            allowed.append(ipaddress.ip_network(each, strict=False))
        except ValueError:
            raise ConfigError(f"forward_allow {each!r}", "expected a network such as 10.0.0.0/8") from None

    @lru_cache(4096)
    def permits(client: str) -> bool:
        try:
            address = ipaddress.ip_address(client.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in allowed)

    return permits


def _mark(seen: os.stat_result) -> object:
    return seen.st_mtime_ns, seen.st_size, seen.st_ino
