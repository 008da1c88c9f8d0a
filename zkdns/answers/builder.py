"""The builder's ledger: what each service and each zone brings, whose addresses are whose, and what moved.

Rules: no I/O, no clock; lives in the loop, save `compile`, which may run in a thread. It never sees the
table that answers are read from: it hands out a Delta of what moved since the last, and Snapshots of
one moment. Publishing by difference and from nothing come to the same table (tests hold it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import structs

from zkdns.answers.compilation import Surroundings, compile_service
from zkdns.answers.deferred import defer
from zkdns.answers.entries import single
from zkdns.answers.first_places import Closed, Counted, Ended, FirstAnswers, FirstPlaceCounts
from zkdns.answers.holders import Holders
from zkdns.answers.leftovers import Leftovers
from zkdns.answers.own_names import browsing, own_names, server_entries, soa_of
from zkdns.answers.precedence import Precedence
from zkdns.answers.routed import NOTHING, Beyond
from zkdns.answers.service import ServiceAnswers, readdressed
from zkdns.answers.snapshot import Snapshot
from zkdns.answers.table import (
    EVERY,
    FRESH,
    OWN,
    Delta,
    Entry,
    Holder,
    Name,
    Staleness,
    Table,
    Zone,
    position_of,
)
from zkdns.client_map import NO_CLIENTS, ClientMap, client_map
from zkdns.dns import names
from zkdns.dns.records import OWNER
from zkdns.dns.types import SOA
from zkdns.model import Service
from zkdns.topology import NO_TOPOLOGY, Topology


class Builder:
    """`services`: what stands, by name. `position_of`: where an Entry's rotation stands, as the engine in
    force counts it. `aside`: whether what services of thousands gave is left for others to count
    (`take_uncounted`)."""

    def __init__(
        self,
        zones: Sequence[str],
        addresses: Sequence[str] = ("127.0.0.1",),
        ttl: int = 5,
        position_of: Callable[[Entry], int] = position_of,
        *,
        aside: bool = False,
    ) -> None:
        self.zones = tuple(Zone(n, names.wire(z)) for n, z in enumerate(zones))
        self.zone_names = tuple(zones)
        self.ttl = ttl
        self.serial = -1
        self.services: dict[str, ServiceAnswers] = {}
        self.position_of = position_of
        self.topology = NO_TOPOLOGY
        self.clients = NO_CLIENTS
        self._staleness: dict[int, Staleness] = {}
        self._first_places = FirstPlaceCounts(aside)
        self._addresses = tuple(addresses)
        self._precedence = Precedence(self.zones, self.services)
        self._holders = Holders()
        self._leftovers = Leftovers()
        self._forget()
        for zone in self.zones:
            self._put_server(zone)
        self.set_serial(0)
        self._precedence.build_in(dict(own for zone in self.zones for own in own_names(zone, ttl)))

    # --- out ------------------------------------------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """Whether addresses moved that are not in what `take` gave last, names of files are not laid yet, or
        something is to be let go of."""
        return self._holders.has_work or self._precedence.has_more or self._leftovers.has_work

    def take(self, addresses: int | None = None) -> Delta:
        """What moved since the last call; all there is at the first. Of the addresses of a service that has
        thousands so many at most, and then some of a file's names alone."""
        holders = self._holders.take(addresses)
        self._leftovers.drop()
        delta = Delta(
            *self._precedence.take(whole=addresses is None),
            self._moved_zones, self._moved_staleness, self._moved_services, holders,
            self._moved_serial, self._moved_clients,
        )  # fmt: skip
        self._forget()
        return delta

    def _forget(self) -> None:
        self._moved_zones: dict[int, Zone] = {}
        self._moved_staleness: dict[int, Staleness] = {}
        self._moved_services: dict[str, ServiceAnswers | None] = {}
        self._moved_serial: int | None = None
        self._moved_clients: ClientMap | None = None

    def snapshot(self) -> Snapshot:
        """What stands at this moment; nothing of it is ever written again."""
        return Snapshot(
            self.zones,
            self.zone_names,
            self._addresses,
            self.ttl,
            self.serial,
            dict(self._staleness),
            dict(self.services),
            self._precedence.beneath,
            self.position_of,
            self.topology,
            self.clients,
            self._first_places.copy(),
        )

    def holders(self, qname: bytes) -> tuple[str, ...]:
        """The services with an instance at the address of a reverse name."""
        address = names.address_of(qname)
        return self._holders.of(address) if address is not None else ()

    def is_built_in(self, owner: bytes) -> bool:
        """Whether a name is there without any service or file."""
        return self._precedence.is_built_in(owner)

    def given(self, service: str) -> FirstAnswers:
        """What the service gave until now, to be counted: in any thread, for of thousands it takes long."""
        answers = self.services.get(service)
        standing = answers.first_places.values() if answers is not None else ()
        return self._first_places.given(service, standing, self.position_of)

    def walk_first_answers(self, of: str | None = None) -> Iterator[FirstAnswers]:
        """The same of all services, or of one (`first_places.count`)."""
        every = [of] if of is not None else [*self.services, *self._first_places.names()]
        return map(self.given, dict.fromkeys(every))

    def take_uncounted(self) -> list[FirstAnswers]:
        """What services of thousands gave until others stood in their place, to be counted aside."""
        return self._first_places.take_uncounted()

    def take_counted(self, counted: Counted) -> None:
        """So much of it was."""
        self._first_places.put(counted)
        for closed in counted.closed:
            if isinstance(closed.before, ServiceAnswers):
                self._leftovers.put(closed.before)

    # --- the zones' own ---------------------------------------------------------------------------------

    def _put_server(self, zone: Zone) -> None:
        for key, entry in server_entries(zone, self._addresses, self.ttl):
            self._precedence.put(key, entry)

    def set_ttl(self, ttl: int) -> None:
        """Seconds where a service sets none; a service has them once it is compiled again."""
        self.ttl = ttl
        for zone in self.zones:
            self._put_server(zone)
            self._precedence.replace_built_in(*browsing(zone, ttl))

    def set_serial(self, serial: int) -> None:
        """The serial of every zone's SOA (32 bits)."""
        if serial == self.serial:
            return
        self.serial = self._moved_serial = serial
        zones = [Zone(zone.index, zone.apex, soa_of(zone, serial)) for zone in self.zones]
        for zone in zones:
            self._moved_zones[zone.index] = zone
            self._precedence.put(zone.apex + SOA.to_bytes(2, "big"), single(OWNER + zone.soa, OWN))
        self.zones = tuple(zones)

    def set_topology(
        self, topology: Topology, ecs_from: Sequence[str] = (), clients: ClientMap | None = None
    ) -> None:
        """Where clients stand; a service knows of it once it is compiled again. `clients`: the same as it is
        searched, where that was made already."""
        self.topology = topology
        clients = clients or client_map(topology, ecs_from)
        if clients != self.clients:
            self.clients = self._moved_clients = clients

    def set_staleness(self, staleness: Staleness, origin: int = EVERY) -> None:
        """How old what this origin says is from now on."""
        if self._staleness.get(origin, FRESH) != staleness:
            self._staleness[origin] = self._moved_staleness[origin] = staleness

    def staleness(self, origin: int = EVERY) -> Staleness:
        return self._staleness.get(origin, FRESH)

    def put_beneath(self, files: Iterable[tuple[bytes, Name]], *, in_turns: bool = False) -> None:
        """The names of zone files, in place of those before: now, or some with each `take`."""
        self._precedence.put_beneath(files)
        if not in_turns:
            self._precedence.lay(whole=True)

    def label_of(self, owner: bytes) -> str | None:
        """The label right below the apex of a zone of services, as text."""
        return self._precedence.label_of(owner)

    # --- services ---------------------------------------------------------------------------------------

    def compile(
        self, service: Service, origin: int = EVERY, beyond: Beyond = NOTHING, ready: int | None = None
    ) -> ServiceAnswers:
        """The answers that would stand for this service now. `ready`: how many names of its tags, and of its
        ports, are compiled before they are asked for, where that is less than may be."""
        old = self.services.get(service.name)
        counters = old.counters() if old else {}
        around = Surroundings(self.zones, self.ttl, self.topology, ready)
        return compile_service(service, around, counters, origin, beyond)

    def defer(self, service: Service, origin: int = EVERY) -> ServiceAnswers | None:
        """What stands for this service until somebody asks for it; None where that is to be compiled now: it
        was asked for, or a zone may begin below its name."""
        old = self.services.get(service.name)
        if self._precedence.is_nested or (old is not None and not old.deferred):
            return None
        return defer(service, self.zones, self.ttl, origin)

    def replace(self, name: str, answers: ServiceAnswers | None) -> None:
        """Put `answers` where the service's old ones were; None takes the service out."""
        old = self.services.pop(name, None)
        ends: dict[bytes, int] = {}
        ended: list[Ended] = []
        for key, places in old.first_places.items() if old is not None else ():
            ends[key] = end = self.position_of(places.entry)
            if end != places.start:
                ended.append((places, end))
        answers = self._carry_on(answers, ends)
        is_to_be_counted = self._first_places.close(name, Closed(tuple(ended), old, answers))
        if old is not None and not is_to_be_counted:
            self._leftovers.put(old)
        if answers is not None:
            self.services[name] = answers
        if old is not None or answers is not None:
            self._moved_services[name] = answers
        self._replace_holders(name, old, answers)
        self._precedence.replace(name, old, answers)

    @staticmethod
    def _carry_on(answers: ServiceAnswers | None, ends: Mapping[bytes, int]) -> ServiceAnswers | None:
        """Counted from where the old ones were: answering goes on while the new ones are compiled."""
        if answers is None or all(
            ends.get(k, one.start) == one.start for k, one in answers.first_places.items()
        ):
            return answers
        places = {
            key: one
            if (start := ends.get(key, one.start)) == one.start
            else structs.replace(one, start=start)
            for key, one in answers.first_places.items()
        }
        return structs.replace(answers, first_places=places)

    def _replace_holders(self, name: str, old: ServiceAnswers | None, new: ServiceAnswers | None) -> None:
        if old and new and old.service is new.service and old.grouped is new.grouped is None:
            return
        gone, come = old.addresses if old else (), new.addresses if new else ()
        if old and new:
            gone, come = readdressed(old, new)
        self._holders.replace(name, gone, come)


def build_table(snapshot: Snapshot, services: Iterable[ServiceAnswers]) -> Table:
    """What is answered from these services and the zones' own; all others are known by name alone."""
    builder = Builder(snapshot.zone_names, snapshot.addresses, snapshot.ttl, snapshot.position_of)
    builder.set_serial(snapshot.serial)
    for origin, staleness in snapshot.staleness.items():
        builder.set_staleness(staleness, origin)
    builder.put_beneath(snapshot.files.items())
    for answers in services:
        builder.replace(answers.service.name, answers)
    delta = builder.take()
    held: dict[str, Holder | None] = {**snapshot.services, **delta.services}
    return Table(structs.replace(delta, services=held, clients=snapshot.clients))
