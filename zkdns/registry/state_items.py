"""What stands in a state file, as items of msgpack: a head with the overrides, for each service its fields
and its instances in slices.

Rules: pure. What can't be spelled for an error of ours costs itself: it is left out and told, and the rest is
written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from zkdns.model import (
    Catalog,
    Check,
    Instance,
    Override,
    Problem,
    Registration,
    Service,
    ServiceSettings,
    fault,
)
from zkdns.routes import Route
from zkdns.wall import blame

T = TypeVar("T")

SLICE: Final = 100
"""Instances in one item: under a millisecond of packing."""

_KINDS = (Registration, Check, Route, ServiceSettings, Instance, Service, Problem, Override)


class NotRead(Exception):
    """The content makes no sense: why."""


def _columns(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _fingerprint() -> bytes:
    shape = [(kind.__name__, [(f.name, str(f.type)) for f in fields(kind)]) for kind in _KINDS]
    return hashlib.sha256(repr(shape).encode()).digest()[:8]


FINGERPRINT: Final = _fingerprint()
_REGISTRATION = _columns(Registration)
_INSTANCE = _columns(Instance)
_AT = _INSTANCE.index("registration")


def _row_type(columns: tuple[str, ...], types: dict[str, Any]) -> Any:
    return tuple.__class_getitem__(tuple(types[name] for name in columns))


_REGISTRATION_ROW = _row_type(_REGISTRATION, get_type_hints(Registration))
_INSTANCE_ROW = _row_type(_INSTANCE, get_type_hints(Instance) | {"registration": _REGISTRATION_ROW})
_ROWS: Any = list.__class_getitem__(_INSTANCE_ROW)


class Head(msgspec.Struct, array_like=True):
    serial: int
    services: int
    problems: list[Problem]
    overrides: list[tuple[str, str, Override]]
    source: str = ""
    stale_since: float | None = None
    topology: bytes | None = None


class _ServiceHead(msgspec.Struct, array_like=True):
    name: str
    label: str
    path: str
    settings: ServiceSettings
    note: str
    offices: tuple[str, ...]
    slices: int


def _row(instance: Instance) -> tuple[Any, ...]:
    values = [getattr(instance, name) for name in _INSTANCE]
    values[_AT] = tuple(getattr(instance.registration, name) for name in _REGISTRATION)
    return tuple(values)


def _instance(row: Any) -> Instance:
    values = list(row)
    values[_AT] = Registration(*values[_AT])
    return Instance(*values)


def spell(
    catalog: Catalog,
    overrides: Mapping[tuple[str, str], Override],
    source: str,
    topology: bytes | None,
    faults: list[Problem],
) -> Iterator[bytes]:
    """All of it, item by item. `faults`: is told what is left out."""
    encode = msgspec.msgpack.Encoder(enc_hook=_pack).encode
    ordered = [(service, id, order) for (service, id), order in overrides.items()]
    head = Head(
        catalog.serial, len(catalog.services), list(catalog.problems), ordered, source, catalog.stale_since,
        topology,
    )  # fmt: skip
    try:
        spelled = encode(head)
    except Exception:
        head.problems = _spellable(encode, head.problems, lambda problem: problem.path, faults)
        head.overrides = _spellable(encode, ordered, lambda one: f"{one[0]}/{one[1]}", faults)
        spelled = encode(head)
    yield spelled
    for service in catalog.services.values():
        try:
            yield encode(_head_of(service))
        except Exception as error:
            faults.append(fault(service.path, error))
            continue
        rest = iter(service.instances)
        while some := list(islice(rest, SLICE)):
            try:
                spelled = _spell_slice(encode, some)
            except Exception:
                attempt = partial(_spell_slice, encode)
                spelled = attempt(_spellable(attempt, some, lambda instance: instance.path, faults))
            yield spelled


def _spell_slice(encode: Callable[[Any], bytes], some: Sequence[Instance]) -> bytes:
    return encode([_row(instance) for instance in some])


def _head_of(service: Service) -> _ServiceHead:
    slices = -(-len(service.instances) // SLICE)
    return _ServiceHead(
        service.name, service.label, service.path, service.settings, service.note, service.offices, slices,
    )  # fmt: skip


def _spellable(
    spell: Callable[[Sequence[T]], bytes], items: list[T], path_of: Callable[[T], str], faults: list[Problem]
) -> list[T]:
    """Those that can be spelled; of the others it is told."""
    blamed = blame(items, spell)
    faults += [fault(path_of(items[n]), error) for n, error in blamed.items()]
    return [item for n, item in enumerate(items) if n not in blamed]


def _pack(value: Any) -> Any:
    """What msgpack has no word for: the shares of a route."""
    if isinstance(value, Fraction):
        return value.as_integer_ratio()
    raise TypeError(type(value))


def _unpack(kind: type, value: Any) -> Any:
    if kind is Fraction:
        return Fraction(*value)
    raise TypeError(kind)


def read_head(item: bytes) -> Head:
    """Raises what msgspec does."""
    return msgspec.msgpack.decode(item, type=Head, dec_hook=_unpack)


def read(items: Iterator[bytes]) -> tuple[Catalog, Mapping[tuple[str, str], Override], Head]:
    """What was spelled; NotRead."""
    try:
        head = read_head(next(items))
        decode_head = msgspec.msgpack.Decoder(_ServiceHead, dec_hook=_unpack).decode
        decode_rows = msgspec.msgpack.Decoder(_ROWS).decode
        services = {}
        for item in items:  # not as many as there were, where one could not be spelled
            service_head = decode_head(item)
            instances: list[Instance] = []
            for _ in range(service_head.slices):
                instances += map(_instance, decode_rows(next(items)))
            services[service_head.name] = Service(
                service_head.name,
                service_head.label,
                service_head.path,
                service_head.settings,
                tuple(instances),
                service_head.note,
                offices=service_head.offices,
            )
    except (
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        ZeroDivisionError,
        StopIteration,
        RecursionError,
    ) as error:
        raise NotRead(str(error)) from None
    overrides = {(service, id): order for service, id, order in head.overrides}
    catalog = Catalog(services, tuple(head.problems), head.serial, True, head.stale_since)
    return catalog, overrides, head
