"""What is registered in good order and may surprise all the same: notes beside the problems of `check`.

Rules: pure. A note costs no instance and fails no check; one for a service, not one for each instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from zkdns.answers.builder import Builder
from zkdns.answers.table import Entry, Table
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.dns.types import AAAA, SRV, A
from zkdns.lists import some_of
from zkdns.model import Instance, Override, Problem, Service, State
from zkdns.printable import printable
from zkdns.registry import presets
from zkdns.registry.overrides import decode, once, path
from zkdns.registry.settings import CHECK, ELSEWHERE, SETTINGS
from zkdns.serve.request import Request
from zkdns.serve.respond import respond_whole

MAX_NAMED = 5
"""Instances that a note names."""
_TYPES = {A: "A", AAAA: "AAAA", SRV: "SRV"}
_TRUNCATED = 0x02
"""TC, in the third byte of a message."""


def lint(
    services: Mapping[str, Service],
    overrides: Mapping[tuple[str, str], Override],
    zones: Sequence[str],
    builder: Builder,
    each: Callable[[Sequence[Service]], Iterable[Service]] = iter,
) -> list[Problem]:
    """All notes. `builder`: the same services, compiled; `each` gives them one by one."""
    table = Table(builder.take())
    notes = [note for zone in zones for note in _on_zone(zone)]
    for service in map(_readable, each([service for _, service in sorted(services.items())])):
        notes += _on_places(service)
        notes += _on_ports(service)
        notes += _on_persistence(service)
        notes += _on_unknown_keys(service)
        notes += _on_loopback(service)
        notes += _on_sizes(service, builder, table)
    notes += _on_overrides(services, overrides)
    return notes


def _readable(service: Service) -> Service:
    """Without the instances that a problem tells of already."""
    return replace(service, instances=tuple(i for i in service.instances if i.state is not State.UNREADABLE))


def formats(service: Service) -> dict[str, int]:
    """How many instances were read in which format."""
    read = (i for i in service.instances if i.state is not State.UNREADABLE)
    return dict(sorted(Counter(i.registration.format for i in read).items()))


def _on_zone(zone: str) -> Iterator[Problem]:
    if zone == "local" or zone.endswith(".local"):
        what = "names below .local go to multicast DNS on many machines (RFC 6762), and never come here"
        cure = f"with systemd-resolved set Domains=~{zone}, or choose a zone below a domain of your own"
        yield Problem(f"zone {zone}", what, cure)


def _on_places(service: Service) -> Iterator[Problem]:
    places: dict[tuple[str, int], list[Instance]] = {}
    for i in service.instances:
        for address in i.addresses or ((i.registration.host or ""),):
            places.setdefault((address, i.registration.port), []).append(i)
    for (address, port), meeting in places.items():
        if len(meeting) > 1:
            what = f"{_list(i.id for i in meeting)} are all at {address}, port {port}"
            yield Problem(
                service.path, what, "end the registrations that are not meant; their weights add up"
            )


def _on_ports(service: Service) -> Iterator[Problem]:
    without = [i for i in service.instances if not i.registration.port]
    if without and len(without) == len(service.instances):
        yield Problem(service.path, "no instance has a port, so SRV is empty", "register a port with each")
    elif without:
        what = f"without a port, and so in no SRV answer: {_list(i.id for i in without)}"
        yield Problem(service.path, what, "register a port with each")


def _on_persistence(service: Service) -> Iterator[Problem]:
    # In a file nothing is bound to a session; what other systems keep for good is their own affair.
    lasting = [
        i
        for i in service.instances
        if not i.ephemeral and i.zxid and i.registration.format not in presets.names()
    ]
    if lasting:
        which = _list(i.id for i in lasting)
        what = f"persistent nodes, which stay when the process dies: {which}"
        yield Problem(service.path, what, "create ephemeral nodes, or give the service a check")


def _on_unknown_keys(service: Service) -> Iterator[Problem]:
    for key in service.settings.unknown:
        section, dot, name = key.rpartition(".")
        near = get_close_matches(name, CHECK if dot else (*SETTINGS, *ELSEWHERE), 1)
        what = f"its settings have {printable(key)}, which is no setting"
        yield Problem(service.path, what, f"write {section + dot}{near[0]}" if near else "leave it out")


def _on_loopback(service: Service) -> Iterator[Problem]:
    here = [i.id for i in service.instances if any(a == "::1" or a.startswith("127.") for a in i.addresses)]
    if here:
        what = f"at a loopback address, which leads each client to itself: {_list(here)}"
        yield Problem(service.path, what, "register the host's own address, if others are to reach it")


def _on_sizes(service: Service, builder: Builder, table: Table) -> Iterator[Problem]:
    answers = builder.services.get(service.name)
    for key, entry in answers.entries.items() if answers is not None else ():
        qname, rtype = key[:-2], int.from_bytes(key[-2:], "big")
        if rtype not in _TYPES or not qname.endswith(table.zones[0].apex):
            continue
        for edns, size in ((True, HIGHEST_UDP), (False, 512)):
            if _is_cut(qname, rtype, edns, table, entry):
                what = f"{names.text(qname).rstrip('.')} {_TYPES[rtype]} passes {size} bytes"
                who = "" if edns else " from clients without EDNS"
                what += f": over UDP it is cut, and asked again over TCP{who}"
                yield Problem(service.path, what, f"set answers below {service.settings.answers}")
                break


def _is_cut(qname: bytes, rtype: int, edns: bool, table: Table, entry: Entry) -> bool:
    turn: Callable[[Entry], int] = lambda one: 0  # noqa: E731
    opt = b"\0\0\x29" + HIGHEST_UDP.to_bytes(2, "big") + bytes(6) if edns else b""
    counts = b"\0\1" + bytes(5) + (b"\1" if edns else b"\0")
    query = b"\0\0\0\0" + counts + qname + rtype.to_bytes(2, "big") + b"\0\1" + opt
    reply = respond_whole(Request(query), table, turn)
    return isinstance(reply, bytes) and bool(reply[2] & _TRUNCATED)


def _on_overrides(
    services: Mapping[str, Service], overrides: Mapping[tuple[str, str], Override]
) -> Iterator[Problem]:
    registered = {(name, i.id) for name, service in services.items() for i in service.instances}
    met = {decode(key) for key in overrides if key in registered}
    for (name, id), order in sorted(once(overrides).items()):
        if id and (name, id) not in registered and (name, id) not in met:  # a route is of no instance
            word = "drain" if order.drain else f"weight {order.weight}"
            what = f"an override ({word}) of an instance that is not registered"
            yield Problem(path(name, id), what, "register it again, or delete the node")


def _list(ids: Iterable[str]) -> str:
    return some_of(list(ids), MAX_NAMED)
