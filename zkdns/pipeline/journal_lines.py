"""The journal as lines that can be read again, and how all stood at any moment among them.

Rules: pure. A line is whole or it is nothing: its checksum stands first. A journal is segments; each has all
services as they stood when it began (a snapshot), so that one segment alone rebuilds any of its moments.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from zkdns.files import MIB
from zkdns.model import Change, Instance, Service
from zkdns.pipeline.journal import LeftOut, OutOfReach, Record, World
from zkdns.printable import printable
from zkdns.topology import NO_TOPOLOGY, Network, Place, Topology
from zkdns.wall import walk

VERSION = 1
SLICE = 200
"""Instances in one line of a snapshot."""
MAX_UNPACKED_BYTES = 64 * MIB
"""Of one line: 200 instances, each of 256 KiB, or the whole map of networks."""

_FRACTION = re.compile(r"-?[0-9]{1,999}(/[1-9][0-9]{0,999})?", re.ASCII)
"""As they are written; of `1e999999999` Python would make that number."""

NOT_READ: Final = (
    msgspec.ValidationError, KeyError, TypeError, ValueError, ArithmeticError, RecursionError,
    AttributeError, NotImplementedError, zlib.error,
)  # fmt: skip
"""What reading a line of another version, or of somebody else's making, may end with."""


class Line(NamedTuple):
    """One line read again: its kind, and what is in it."""

    kind: str
    fields: dict[str, Any]


BEGIN = "begin"
"""The kind of the line that a snapshot begins with."""

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
            fields = msgspec.json.decode(line[9:], type=dict[str, Any])
            yield Line(fields.pop("k"), fields)
        except (ValueError, KeyError, RecursionError):
            yield Line(DAMAGED, {})


def spell_snapshot(
    services: Mapping[str, Service],
    at: float,
    topology: Topology = NO_TOPOLOGY,
    away: Iterable[str] = (),
) -> Iterator[bytes]:
    """The lines that a segment begins with. `away`: registries that are out of reach."""
    begin = {"version": VERSION, "at": at, "services": len(services), "away": sorted(away)}
    yield spell(BEGIN, begin)
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


def spell_lines(at: float, record: Record) -> Iterator[Spelled]:
    """The same one by one, each as it is asked for."""
    for name, shell in record.shells.items():
        if shell is not None:
            yield name, spell("shell", {"at": at, "name": name, "shell": shell}), None
    # Of a change that can't be spelled at least who it was of is kept: the rest of the moment is whole.
    yield from walk(
        record.changes,
        lambda change: (change.service, spell("change", {"at": at, "c": change}), change),
        lambda change, error: (
            change.service, spell("change", {"at": at, "c": _unspelled(change, error)}), change,
        ),
    )  # fmt: skip
    for name, shell in record.shells.items():
        if shell is None:
            yield name, spell("shell", {"at": at, "name": name, "shell": None}), None
    for name in sorted(record.lost):
        yield name, spell_lost(at, name), None
    if record.topology is not None:
        yield "", _spell_map(at, record.topology), None


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


class CutShort(OutOfReach):
    """A segment that was ended before it told how all stood as it began."""


def replay(lines: Iterable[Line], moment: float) -> World:
    """How all stood at a moment of this segment; OutOfReach after a damaged line, until the next snapshot.
    CutShort where the snapshot has no end."""
    world, whole, known, has_damage = World(), False, True, False
    for line in lines:
        fields = line.fields
        try:
            if whole and fields.get("at", 0.0) > moment:
                break
            if line.kind == BEGIN:
                world, whole, known, has_damage = World(), False, fields["version"] == VERSION, False
                world.away.update(fields.get("away", ()))
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
    if not known:
        raise OutOfReach("the journal of that time was written by another version of zkdns")
    if not whole:
        raise CutShort("the journal of that time is cut short")
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
