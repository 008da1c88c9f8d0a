"""The upstreams in force: from the settings and resolv.conf, probed in the background, shown to people.

Rules: one asyncio loop; never raises out of it once it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from zkdns.config import Settings
from zkdns.dns.message import spell_query
from zkdns.files import MIB, mark_of, read_bounded
from zkdns.forward.probe import Probe, probe_question
from zkdns.forward.resolution import Attempt
from zkdns.forward.resolvconf import RESOLV_CONF, parse_upstream, upstreams_of
from zkdns.forward.upstream import TOTAL, Upstream
from zkdns.model import ConfigError, Problem

log = logging.getLogger("zkdns.forward")

TICK = 0.25
LOOK = 2.0
"""Seconds between two looks at resolv.conf."""
REMEMBERED = 4 * TOTAL
"""Seconds after which a probe that comes back is no longer known."""


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """What people see of an upstream. `state`: healthy, dead or loop; `latency` in seconds."""

    address: str
    state: str
    why: str
    latency: float


def loop_at(address: str) -> Problem:
    """The upstream there leads back to us."""
    what = f"upstream {address} leads back to this server: it is turned off"
    return Problem("--forward", what, "name a resolver that does not forward to this server, by whatever way")


class Upstreams:
    """`all` in the order of the settings; `changed` is called when that list has changed."""

    def __init__(
        self,
        settings: Settings,
        resolv_conf: Path,
        clock: Callable[[], float],
        draw: Random,
        changed: Callable[[], None],
    ) -> None:
        self.all: tuple[Upstream, ...] = ()
        self.problem = ""
        self._settings = settings
        self._resolv_conf = resolv_conf
        self._text = ""
        self._seen: object = None
        self._clock = clock
        self._draw = draw
        self._changed = changed
        self._probes: dict[bytes, tuple[Upstream, float]] = {}
        self._probing: dict[Upstream, Probe] = {}
        self._task: asyncio.Task[None] | None = None

    def configure(self, settings: Settings) -> None:
        """Takes new settings; raises ConfigError, and keeps the old ones, where they can't be."""
        text = self._read() if RESOLV_CONF in settings.forward else ""
        addresses = upstreams_of(settings.forward, settings.listen, text)
        trusted = [parse_upstream(each, "forward_trusted") for each in settings.forward_trusted]
        for address in trusted:
            if settings.forward and RESOLV_CONF not in settings.forward and address not in addresses:
                raise ConfigError("forward_trusted", f"{address} is none of the upstreams in forward")
        known = {upstream.address: upstream for upstream in self.all}
        before, self.all = self.all, tuple(known.get(address) or Upstream(address) for address in addresses)
        for upstream in self.all:
            upstream.trusted = upstream.address in trusted
        self._settings, self._text = settings, text
        self.problem = "" if self.all or not settings.forward else f"no upstream in {self._resolv_conf}"
        if self.all != before:
            self._changed()

    @property
    def usable_ones(self) -> frozenset[object]:
        return frozenset(upstream for upstream in self.all if upstream.usable)

    @property
    def usable(self) -> bool:
        """Whether one of them answered when it was last asked."""
        return any(upstream.usable for upstream in self.all)

    @property
    def looping(self) -> bool:
        """Whether all of them lead back to us."""
        return bool(self.all) and all(upstream.looping for upstream in self.all)

    def status(self) -> tuple[UpstreamStatus, ...]:
        return tuple(UpstreamStatus(str(u.address), u.state, u.why, u.latency) for u in self.all)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="upstreams")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for probe in self._probing.values():
            probe.close()
        self._probing.clear()

    def is_probe(self, name: bytes) -> bool:
        """Whether who asks for this name is a probe of ours, come back; if so, its upstream is turned off."""
        sent = self._probes.get(name)
        if sent is None:
            return False
        upstream = sent[0]
        if not upstream.looping:
            problem = loop_at(str(upstream.address))
            log.warning("%s; %s", problem.what, problem.cure)
        upstream.loop(self._clock())
        probe = self._probing.get(upstream)
        if probe is not None:
            probe.came_back = True
        return True

    async def _keep(self) -> None:
        look_at = self._clock() + LOOK
        while True:
            now = self._clock()
            try:
                for upstream in self.all:
                    if upstream not in self._probing and now >= upstream.probe_at:
                        self._probe(upstream, now)
                if now >= look_at:
                    look_at = now + LOOK
                    self._look()
            except Exception:  # the next turn tries again
                log.exception("upstreams could not be looked after")
            await asyncio.sleep(TICK)

    def _probe(self, upstream: Upstream, now: float) -> None:
        self._probes = {name: sent for name, sent in self._probes.items() if now - sent[1] < REMEMBERED}
        question, own = probe_question(upstream, self._draw)
        self._probes.update(dict.fromkeys(own, (upstream, now)))
        ident = self._draw.getrandbits(16)
        packet = spell_query(ident, question, True, 0, upstream.edns)
        attempt = Attempt(upstream, ident, question, packet, self._clock(), edns=upstream.edns)
        self._probing[upstream] = Probe(attempt, self._clock, self._probing)

    def _look(self) -> None:
        """Reads resolv.conf again where it has changed."""
        if RESOLV_CONF not in self._settings.forward:
            return
        try:
            mark = mark_of(self._resolv_conf.stat())
            if mark == self._seen:
                return
            self._seen = mark  # what can't be read is tried, and told, once
            self.configure(self._settings)
        except (OSError, ConfigError):
            return
        shown = ", ".join(str(upstream.address) for upstream in self.all) or "none"
        log.info("%s changed: upstreams are now %s", self._resolv_conf, shown)

    def _read(self) -> str:
        """resolv.conf's text; the last one while it can't be read."""
        try:
            data, self._seen = read_bounded(self._resolv_conf, MIB)
        except OSError as error:
            log.warning("%s can't be read: %s", self._resolv_conf, error.strerror or error)
            return self._text
        return data.decode("utf-8", "replace")
