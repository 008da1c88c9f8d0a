"""Which map of networks is in force: that of /zkdns/topology, else the settings'.

Rules: pure. A node that can't be read leaves the last good one in force, and is told; a bad entry costs
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from zkdns.answers.builder import Builder
from zkdns.client_map import client_map
from zkdns.config import Settings
from zkdns.lists import plural
from zkdns.model import Change, Problem, fault
from zkdns.pipeline.inputs import MapRead
from zkdns.registry.fields import ABSENT, decode, show
from zkdns.roots import TOPOLOGY
from zkdns.topology import CURE, NOWHERE, Topology, parse_place, parse_topology

LARGE_BYTES = 16 * 1024
"""Data from which on a map is read in a thread: ten thousand networks take a tenth of a second."""

LARGE_ENTRIES = 512
"""The same of one in the settings, by what is in it."""


class Localities:
    """`topology`: the map in force; `problems`: what is wrong with the node."""

    def __init__(self, settings: Settings) -> None:
        self._data: bytes | None = None
        self._now = _read(None, None, settings)

    @property
    def topology(self) -> Topology:
        return self._now.topology

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._now.problems

    def take_settings(self, settings: Settings) -> None:
        if _said(settings) == _said(self._now.settings):
            self._now = replace(self._now, settings=settings)
        else:
            self._now = _parse(self._now.data, self._now.entries, settings)

    def take_settings_aside(self, settings: Settings) -> Callable[[], MapRead] | None:
        """The same where that is to be done in a thread: its work. Until what comes of it is taken
        (`take_read`), the last map holds."""
        stands = settings.topology if self._now.entries is None else self._now.entries
        size = len(stands) + len(settings.topology_clients) + len(settings.ecs_from)
        if size < LARGE_ENTRIES or _said(settings) == _said(self._now.settings):
            return None
        self._now = before = replace(self._now, settings=settings)
        return lambda: _parse_or_keep(before)

    def take_node(self, data: bytes | None) -> None:
        """What stands in the node; None where there is none."""
        if data != self._data:
            self._data = data
            self._now = _read_or_keep(data, self._now)

    def take_aside(self, data: bytes | None) -> Callable[[], MapRead] | None:
        """The same where that is to be done in a thread: its work. What comes of it is for `take_read`."""
        if data == self._data or data is None or len(data) < LARGE_BYTES:
            return None
        self._data = data
        before = self._now
        return lambda: _read_or_keep(data, before)

    def take_read(self, read: MapRead) -> None:
        """What was read in a thread; what came too late is none."""
        if read.data != self._data:
            return
        if _said(read.settings) == _said(self._now.settings):
            self._now = replace(read, settings=self._now.settings)
        else:
            self._now = _parse(read.data, read.entries, self._now.settings)

    @property
    def where(self) -> str:
        """What says so."""
        return "the settings" if self._now.entries is None else TOPOLOGY

    def put_in_force(self, builder: Builder, now: float) -> Change | None:
        """Answers are made by this map from now on. The change, where it differs from the last."""
        before, topology = builder.topology, self.topology
        builder.set_topology(topology, clients=self._now.clients)
        if topology == before:
            return None
        was, moved = _tell(before), _tell(topology)
        return Change(now, 0, "", "topology", "settings", was, moved, f"set so in {self.where}")


def _read_or_keep(data: bytes | None, before: MapRead) -> MapRead:
    """An error of ours leaves the last map in force."""
    try:
        return _read(data, before, before.settings)
    except Exception as error:
        return replace(before, data=data, problems=(fault(TOPOLOGY, error),))


def _parse_or_keep(before: MapRead) -> MapRead:
    """What stood before, under settings that are new. An error of ours leaves it in force."""
    try:
        return _parse(before.data, before.entries, before.settings)
    except Exception as error:
        return replace(before, problems=(fault(TOPOLOGY, error),))


def _read(data: bytes | None, before: MapRead | None, settings: Settings) -> MapRead:
    value = decode(data) if data else None
    if value is not None and not isinstance(value, Mapping) and before is not None:
        what = "no JSON" if value is ABSENT else f"{show(value)}, not a JSON object"
        problem = Problem(TOPOLOGY, f"its data is {what}", f"{CURE}; the last good map holds")
        return replace(before, data=data, problems=(problem,))
    return _parse(data, value, settings)


def _parse(data: bytes | None, entries: Mapping[str, object] | None, settings: Settings) -> MapRead:
    own = parse_place(settings.location) if settings.location else NOWHERE
    stands = settings.topology if entries is None else entries
    topology, problems = parse_topology(TOPOLOGY, stands, settings.topology_clients, own)
    clients = client_map(topology, settings.ecs_from)
    clients.prepare()
    return MapRead(data, settings, entries, topology, problems if entries is not None else (), clients)


def _said(settings: Settings) -> tuple[object, ...]:
    """What settings say of where clients are."""
    return settings.location, settings.topology, settings.topology_clients, settings.ecs_from


def _tell(topology: Topology) -> str:
    """For people."""
    networks, zones = len(topology.networks), len({place.zone for place in topology.places})
    return f"{plural(networks, 'network')} in {plural(zones, 'zone')}"
