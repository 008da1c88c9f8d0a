"""What changed in the answers, as lines that can be read again, and the answers of any moment among them.

Rules: pure. A line is whole or it is nothing: its checksum stands first. A journal is segments; each has all
services as they stood when it began (a snapshot), so that one segment alone rebuilds any of its moments. A
flood of changes is summed up by service, and the service is told anew after it; until then nobody knows how
it stood.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from zkdns.files import MIB
from zkdns.lists import some_of
from zkdns.model import Change, Instance, Service
from zkdns.printable import printable
from zkdns.topology import NO_TOPOLOGY, Network, Place, Topology
from zkdns.wall import each

VERSION = 1
MAX_AT_ONCE = 2_000
"""Changes of one moment beyond which they are summed up by service."""
SLICE = 200
"""Instances in one line of a snapshot."""
MAX_UNPACKED_BYTES = 64 * MIB
"""Of one line: 200 instances, each of 256 KiB, or the whole map of networks."""
MAX_NAMED = 3
"""Instances that a sum names."""


_FRACTION = re.compile(r"-?[0-9]{1,999}(/[1-9][0-9]{0,999})?", re.ASCII)
"""As they are written; of `1e999999999` Python would make that number."""

NOT_READ: Final = (
    msgspec.ValidationError, KeyError, TypeError, ValueError, ArithmeticError, RecursionError,
    NotImplementedError, zlib.error,
)  # fmt: skip
"""What reading a line of another version, or of somebody else's making, may end with."""


class OutOfReach(Exception):
    """The journal doesn't reach that moment; the text says how far it does."""


Shells: TypeAlias = Mapping[str, Service | None]
"""By name: a service without its instances, where that became another; None where it went."""


@dataclass(frozen=True, slots=True)
class Record:
    """What came together at one moment: `changes`, and the services' own side of them."""

    changes: tuple[Change, ...]
    shells: Shells = field(default_factory=dict)
    topology: Topology | None = None
    """Where networks stand from then on, where that became another."""
    lost: frozenset[str] = frozenset()
    """Services whose changes are sums: how they stand is known again when they are told anew."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which changes are asked for: "" and None for any. `since` and `until`: seconds since the epoch."""

    service: str = ""
    id: str = ""
    since: float | None = None
    until: float | None = None
    limit: int = 1000

    def takes(self, change: Change) -> bool:
        """Whether this change is asked for."""
        return (
            (not self.service or change.service == self.service)
            and (not self.id or change.id == self.id)
            and (self.since is None or change.at >= self.since)
            and (self.until is None or change.at <= self.until)
        )

    def newest(self, changes: Iterable[Change]) -> list[Change]:
        """The newest of those that are asked for, oldest first."""
        return list(deque((c for c in changes if self.takes(c)), maxlen=max(0, self.limit)))


class LeftOut(NamedTuple):
    """Of a service that changed too often for all of it to be kept: how many of its changes went before those
    of others did, and since when its own are known."""

    service: str
    changes: int
    since: float


class History(NamedTuple):
    """What was asked for, oldest first. `since`: how far back the journal reaches, None: there is none yet.
    `left_out`: who of those asked for reaches less far."""

    changes: Sequence[Change] = ()
    since: float | None = None
    left_out: tuple[LeftOut, ...] = ()


def gather(changes: Sequence[Change], shells: Shells, topology: Topology | None = None) -> Record:
    """What is to be kept of one moment's changes."""
    if len(changes) <= MAX_AT_ONCE:
        return Record(tuple(changes), shells, topology)
    sums: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        sums.setdefault((change.service, change.what), []).append(change)
    lost = frozenset(service for (service, _), some in sums.items() if len(some) > 1)
    known = {name: shell for name, shell in shells.items() if name not in lost}
    return Record(tuple(_sum(some) for some in sums.values()), known, topology, lost)


def _sum(changes: Sequence[Change]) -> Change:
    first = changes[0]
    if len(changes) == 1:
        return first
    why = some_of([change.id for change in changes], MAX_NAMED) + (f": {first.why}" if first.why else "")
    return replace(first, id="", was="", now=f"{len(changes)} instances", why=why, instance=None)


# --- the state that changes make ----------------------------------------------------------------------


class World:
    """Services as they stood, brought forward record by record."""

    def __init__(self, services: Mapping[str, Service] | None = None) -> None:
        self.topology = NO_TOPOLOGY
        self.unknown: dict[str, LeftOut] = {}
        """Services of which nobody knows how they stood; those that `services` gives of them are empty."""
        self._shells: dict[str, Service] = {}
        self._instances: dict[str, dict[str, Instance]] = {}
        for name, service in (services or {}).items():
            self._shells[name] = replace(service, instances=())
            self._instances[name] = {i.id: i for i in service.instances}

    def copy(self) -> World:
        other = World()
        other.topology = self.topology
        other.unknown = dict(self.unknown)
        other._shells = dict(self._shells)
        other._instances = {name: dict(own) for name, own in self._instances.items()}
        return other

    def put(self, name: str, shell: Service | None) -> None:
        """A service without its instances; None takes it out with them."""
        if shell is None:
            self._shells.pop(name, None)
            self._instances.pop(name, None)
        else:
            self._shells[name] = shell
            self._instances.setdefault(name, {})

    def place(self, name: str, instances: Iterable[Instance]) -> None:
        """These instances stand in the service, beside those that do."""
        self._instances.setdefault(name, {}).update((i.id, i) for i in instances)

    def hide(self, left: LeftOut) -> None:
        """Of this service nobody knows how it stood; its name is known all the same."""
        name = left.service
        shell = self._shells.get(name) or Service(name, name.lower(), "")
        self._shells[name], self._instances[name] = shell, {}
        self.unknown[name] = left

    def apply(self, record: Record) -> None:
        """Everything that happened at one moment."""
        if record.topology is not None:
            self.topology = record.topology
        for name, shell in record.shells.items():
            if shell is not None:
                self.put(name, shell)
        for change in record.changes:
            self.change(change)
        for name, shell in record.shells.items():
            if shell is None:
                self.put(name, None)

    def change(self, change: Change) -> None:
        own = self._instances.get(change.service)
        if own is None or not change.id:
            return
        if change.what == "gone":
            own.pop(change.id, None)
        elif change.instance is not None:
            own[change.id] = change.instance

    def services(self) -> dict[str, Service]:
        """All services, their instances in the order of their ids."""
        return {
            name: replace(shell, instances=tuple(i for _, i in sorted(self._instances[name].items())))
            for name, shell in self._shells.items()
        }


# --- lines ------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One line read again: its kind, and what is in it."""

    kind: str
    fields: dict[str, Any]


DAMAGED = "damaged"
"""The kind of a line of which nothing is known, but that it was there."""


def spell(kind: str, fields: Mapping[str, Any]) -> bytes:
    """A line: eight hex digits of CRC-32, a space, JSON, a newline."""
    text = msgspec.json.encode({"k": kind, **fields}, enc_hook=_encode)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read_lines(data: bytes) -> Iterator[Line]:
    """The whole lines; a torn end costs what is torn. What is no line and stands before others is DAMAGED."""
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        line = data[at:end]
        at = end + 1
        try:
            if len(line) < 10 or int(line[:8], 16) != zlib.crc32(line[9:]):
                raise ValueError
            fields = msgspec.json.decode(line[9:])
            yield Line(fields.pop("k"), fields)
        except (ValueError, KeyError, AttributeError, RecursionError):
            yield Line(DAMAGED, {})


def spell_snapshot(
    services: Mapping[str, Service], at: float, topology: Topology = NO_TOPOLOGY
) -> Iterator[bytes]:
    """The lines that a segment begins with."""
    yield spell("begin", {"version": VERSION, "at": at, "services": len(services)})
    yield _spell_map(at, topology)
    for service in services.values():
        yield spell("shell", {"at": at, "name": service.name, "shell": replace(service, instances=())})
        yield from _spell_instances(service)
    yield spell("whole", {"at": at})


Spelled: TypeAlias = tuple[str, bytes, Change | None]
"""A line, which service it is of ("": none), and the change that it tells of."""


def spell_record(at: float, record: Record) -> bytes:
    """The lines of one record."""
    return b"".join(line for _, line, _ in spell_lines(at, record))


def spell_lines(at: float, record: Record) -> list[Spelled]:
    lines: list[Spelled] = [
        (name, spell("shell", {"at": at, "name": name, "shell": shell}), None)
        for name, shell in record.shells.items()
        if shell is not None
    ]
    # Of a change that can't be spelled at least who it was of is kept: the rest of the moment is whole.
    lines += each(
        record.changes,
        lambda change: (change.service, spell("change", {"at": at, "c": change}), change),
        lambda change, error: (
            change.service, spell("change", {"at": at, "c": _unspelled(change, error)}), change,
        ),
    )  # fmt: skip
    lines += [
        (name, spell("shell", {"at": at, "name": name, "shell": None}), None)
        for name, shell in record.shells.items()
        if shell is None
    ]
    lines += [(name, spell_lost(at, name), None) for name in sorted(record.lost)]
    if record.topology is not None:
        lines.append(("", _spell_map(at, record.topology), None))
    return lines


def spell_lost(at: float, name: str) -> bytes:
    return spell("lost", {"at": at, "name": name})


def spell_anew(at: float, name: str, service: Service | None) -> Iterator[bytes]:
    """How it stands now; None: it is gone."""
    shell = None if service is None else replace(service, instances=())
    yield spell("anew", {"at": at, "name": name, "shell": shell})
    if service is not None:
        yield from _spell_instances(service)
    yield spell("known", {"at": at, "name": name})


def _spell_instances(service: Service) -> Iterator[bytes]:
    rest = iter(service.instances)
    while some := list(islice(rest, SLICE)):
        yield spell("some", {"name": service.name, "z": _pack(some)})


def _unspelled(change: Change, error: str) -> Change:
    service, id = printable(change.service), printable(change.id)
    return Change(change.at, change.zxid, service, id, change.what, "", "", error)


def _spell_map(at: float, topology: Topology) -> bytes:
    networks = [(f"{base:x}", bits, *place) for base, bits, place in topology.networks]
    value = {"networks": networks, "own": tuple(topology.own), "clients": topology.clients}
    return spell("map", {"at": at, "z": _pack(value)})


def _read_map(packed: str) -> Topology:
    value = _unpack(packed)
    networks = tuple(Network(int(base, 16), bits, Place(*place)) for base, bits, *place in value["networks"])
    clients = {zone: _read(Fraction, share) for zone, share in value["clients"].items()}
    return Topology(networks, Place(*value["own"]), clients)


def _pack(value: Any) -> str:
    return base64.b64encode(zlib.compress(msgspec.json.encode(value, enc_hook=_encode), 1)).decode()


def _unpack(text: str) -> Any:
    unpack = zlib.decompressobj()
    data = unpack.decompress(base64.b64decode(text), MAX_UNPACKED_BYTES)
    if not unpack.eof:
        raise ValueError("it unpacks to more than was ever packed")
    return msgspec.json.decode(data)


def changes_in(lines: Iterable[Line]) -> Iterator[Change]:
    """The changes of a segment, without the instances that they are about."""
    for line in lines:
        if line.kind == "change":
            try:
                fields = {**line.fields["c"], "instance": None}
                yield msgspec.convert(fields, Change, strict=False)
            except (msgspec.ValidationError, TypeError, KeyError):
                continue  # of another version


def replay(lines: Iterable[Line], moment: float) -> World:
    """How all stood at a moment of this segment; OutOfReach after a damaged line, until the next snapshot."""
    world, whole, known, has_damage = World(), False, True, False
    for line in lines:
        fields = line.fields
        if whole and fields.get("at", 0.0) > moment:
            break
        try:
            if line.kind == "begin":
                world, whole, known, has_damage = World(), False, fields["version"] == VERSION, False
            elif line.kind == "whole":
                whole = True
            elif line.kind == "lost":
                world.hide(LeftOut(fields["name"], 0, moment))
            elif line.kind == "known":
                world.unknown.pop(fields["name"], None)
            elif line.kind == DAMAGED:
                has_damage = True
            elif line.kind in ("shell", "anew"):
                shell = fields["shell"]
                if line.kind == "anew":
                    world.put(fields["name"], None)
                world.put(fields["name"], None if shell is None else _decode(shell, Service))
            elif line.kind == "some":
                world.place(fields["name"], _decode(_unpack(fields["z"]), list[Instance]))
            elif line.kind == "map":
                world.topology = _read_map(fields["z"])
            elif line.kind == "change":
                world.change(_decode(fields["c"], Change))
        except NOT_READ as error:
            raise OutOfReach("the journal of that time was written by another version of zkdns") from error
    if has_damage:
        raise OutOfReach("the journal of that time is damaged: a line of it can't be read")
    if not whole or not known:
        raise OutOfReach("the journal of that time is cut short, or of another version of zkdns")
    return world


def _encode(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _decode(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind, dec_hook=_read, strict=False)


def _read(kind: type, value: Any) -> Any:
    if kind is Fraction and isinstance(value, str) and _FRACTION.fullmatch(value):
        return Fraction(value)
    raise NotImplementedError(kind.__name__)
