"""Who answers UDP: the native engine's threads, or Python in the loop. Both give the same answers.

Rules: the rest of the server publishes, counts and stops through this, and knows no difference.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Sequence

from zkdns.answers.builder import Answers
from zkdns.config import Address, Settings
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.model import ConfigError
from zkdns.serve import cores, native
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.listen.refused import refused
from zkdns.serve.listen.udp import UdpListener, bind

log = logging.getLogger("zkdns.engine")


class PythonEngine:
    """Plain Python: one socket an address, read in the loop."""

    name = "python"

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._listeners: list[UdpListener] = []
        self._loop = asyncio.get_running_loop()

    def start(self, listen: Sequence[Address], workers: int) -> None:
        for address in listen:
            try:
                sock = bind(address, socket.SOCK_DGRAM)
            except OSError as error:
                raise refused("--listen", str(address), error) from None
            self._listeners.append(UdpListener(sock, self.dispatcher, address.wildcard))
        for listener in self._listeners:
            listener.start(self._loop)

    def configure(self, settings: Settings) -> None:
        self.dispatcher.configure(settings)

    def publish(self, answers: Answers) -> None:
        answers.take_changes()

    def publish_afresh(self, answers: Answers) -> None:
        answers.take_changes()

    def stop(self) -> None:
        for listener in self._listeners:
            listener.retire(self._loop)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    def counts(self) -> Counter[tuple[str, int, int]]:
        """Queries answered by transport, type and rcode."""
        return Counter(
            {(t, int.from_bytes(q, "big"), r): n for (t, q, r), n in self.dispatcher.counts.items()}
        )

    def dropped(self) -> Counter[str]:
        found = Counter(self.dispatcher.dropped)
        found["buffer"] += sum(listener.missed for listener in self._listeners)
        return found

    def search_misses(self) -> Counter[str]:
        """Names that a search list made, by client."""
        return Counter(self.dispatcher.search_misses)

    def latency(self) -> tuple[tuple[float, ...], tuple[int, ...], float]:
        """Upper bounds, counts (one more: above them all), and the sum in seconds."""
        return self.dispatcher.times.read()


class NativeEngine(PythonEngine):
    """Threads of their own for the plain case; what they hand over is answered here."""

    name = "native"

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(dispatcher)
        self.native = native.Native()
        dispatcher.position = self.native.take_position
        dispatcher.answers.drawn = lambda key, entry: self.native.position_of(entry)
        self._serial = -1
        self._networks: tuple[str, ...] = ()

    def start(self, listen: Sequence[Address], workers: int) -> None:
        try:
            self.native.start([(a.host, a.port) for a in listen], workers or cores.available())
        except OSError as error:
            where = error.filename or ", ".join(map(str, listen))
            raise refused("--listen", where, error) from None
        self.native.watch(self._loop, self._taken)

    def configure(self, settings: Settings) -> None:
        super().configure(settings)
        self.native.sample(settings.query_log_sample)
        self._networks = settings.forward_allow if settings.forward else ()
        self.native.offer_recursion(self._networks)

    def publish(self, answers: Answers) -> None:
        moved = answers.serial != self._serial
        self._serial = answers.serial
        self.native.publish(answers.take_changes(), answers.zones if moved else (), answers.stale)

    def publish_afresh(self, answers: Answers) -> None:
        answers.take_changes()
        self._serial = answers.serial
        self.native.publish(
            None,
            answers.zones,
            answers.stale,
            entries=list(answers.table.items()),
            names=list(answers.names.items()),
            afresh=True,
        )
        self.native.offer_recursion(self._networks)  # an empty table offers it to nobody

    def _taken(self, packet: bytes, route: native.Route) -> None:
        def reply(made: bytes) -> None:
            if not self.native.reply(route, made):
                self.dispatcher.dropped["send"] += 1

        made = self.dispatcher.handle(
            packet, route.host, HIGHEST_UDP, "udp", reply, sampled=route.sampled, waited=route.waited
        )
        if made is not None:
            reply(made)

    def stop(self) -> None:
        self.native.stop()

    def close(self) -> None:
        self.native.close()

    def counts(self) -> Counter[tuple[str, int, int]]:
        found = super().counts()
        for (qtype, rcode), n in self.native.replies().items():
            found["udp", qtype, rcode] += n
        return found

    def dropped(self) -> Counter[str]:
        found = super().dropped()
        totals = self.native.totals()
        found["not a query"] += totals["dropped"]
        found["buffer"] += totals["missed"]
        found["queue"] += totals["overflowed"]
        found["send"] += totals["unsent"]
        return found

    def search_misses(self) -> Counter[str]:
        return super().search_misses() + Counter(self.native.search_misses())

    def latency(self) -> tuple[tuple[float, ...], tuple[int, ...], float]:
        latency = self.native.latency()
        return latency.bounds, latency.counts, latency.seconds


def choose(wanted: str, dispatcher: Dispatcher) -> PythonEngine:
    """The engine that `--engine` names; `auto` takes native where it was built."""
    if wanted == "python":
        return PythonEngine(dispatcher)
    if native.WHY_NOT:
        if wanted == "native":
            raise ConfigError("--engine native", f"the native engine was not built: {native.WHY_NOT}")
        log.info("the native engine was not built (%s): plain Python answers", native.WHY_NOT)
        return PythonEngine(dispatcher)
    return NativeEngine(dispatcher)
