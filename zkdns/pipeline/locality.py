"""Which map of networks is in force: that of /zkdns/topology, else the settings'.

Rules: pure. A node that can't be read leaves the last good one in force, and is told; a bad entry costs
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zkdns.config import Settings
from zkdns.model import Problem, Service
from zkdns.registry.fields import ABSENT, decode, show
from zkdns.registry.source import TOPOLOGY
from zkdns.topology import CURE, NOWHERE, Topology, parse_place, parse_topology


class Localities:
    """`problems`: what is wrong with the node."""

    def __init__(self, settings: Settings) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._settings = settings
        self._good: Mapping[str, object] | None = None
        self._data: bytes | None = None
        self.topology = self._parse()

    def take_settings(self, settings: Settings) -> None:
        self._settings = settings
        self.topology = self._parse()

    def take_node(self, data: bytes | None) -> None:
        """What stands in the node; None where there is none."""
        if data == self._data:
            return
        self._data = data
        value = decode(data) if data else None
        if value is not None and not isinstance(value, Mapping):
            what = "no JSON" if value is ABSENT else f"{show(value)}, not a JSON object"
            self.problems = (Problem(TOPOLOGY, f"its data is {what}", f"{CURE}; the last good map holds"),)
            return
        self._good = value
        self.topology = self._parse()

    @property
    def where(self) -> str:
        """What says so."""
        return "the settings" if self._good is None else TOPOLOGY

    def _parse(self) -> Topology:
        settings = self._settings
        entries = settings.topology if self._good is None else self._good
        own = parse_place(settings.location) if settings.location else NOWHERE
        topology, problems = parse_topology(TOPOLOGY, entries, settings.topology_clients, own)
        self.problems = problems if self._good is not None else ()
        return topology


def tell(topology: Topology) -> str:
    """For people."""
    networks, zones = len(topology.networks), len({place.zone for place in topology.places})
    return f"{networks} networks in {zones} zones"


def concerned(services: Mapping[str, Service]) -> Iterable[str]:
    """The services whose answers have to do with the map."""
    return [name for name, service in services.items() if service.settings.near != "off"]
