"""The nodes of one service, as a preset read them -> its instances, and who of them leads.

Rules: pure; any order of the same nodes gives the same. Of the votes of an office the one with the lowest
order counts, and if it names no member nobody leads: the second in line is no leader. At most one instance
bears an office's tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

from zkdns.model import Instance, Problem, Registration
from zkdns.registry.fields import BadData, share
from zkdns.registry.labels import to_label
from zkdns.registry.places import Detail, Leads, Member, Part, Place, Preset


@dataclass(frozen=True, slots=True)
class Found:
    """One node that fits a place, read. `id`: what `{id}` took, or the node's name."""

    path: str
    id: str
    place: Place
    parts: tuple[Part, ...]
    since: float = 0.0
    ephemeral: bool = True


@dataclass(frozen=True, slots=True)
class Arranged:
    """`instances` by id; `offices`: the tags whose names exist though nobody may bear them now."""

    instances: tuple[Instance, ...] = ()
    offices: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def offices_of(preset: Preset, service: str) -> tuple[str, ...]:
    """The offices' tags of a service, by its name."""
    tags = (tag for place in preset.places if _may_name(place, service) for tag in place.offices)
    return tuple(dict.fromkeys(tags))


def arrange(preset: Preset, service: str, found: Iterable[Found]) -> Arranged:
    """The service's instances, as far as they can be read."""
    rank = {place: at for at, place in enumerate(preset.places)}
    nodes = sorted(found, key=lambda node: (rank[node.place], node.path))
    members: dict[str, tuple[Found, Registration | None]] = {}
    details: dict[str, object] = {}
    for node in nodes:
        for part in node.parts:
            if isinstance(part, Registration):
                members.setdefault(node.id, (node, part))
            elif isinstance(part, Member):
                members.setdefault(part.id, (node, part.registration))
            elif isinstance(part, Detail):
                details.setdefault(part.id, part.value)
    held = _elect(nodes, members)
    instances = []
    problems = []
    for id, (node, registration) in members.items():
        tags = held.get(id, ())
        try:
            whole = (preset.finish or add_offices)(registration, tags, details.get(id))
        except BadData as error:
            problems.append(Problem(node.path, error.what, error.cure))
            continue
        instances.append(
            Instance(id, to_label(id), node.path, whole, node.since, node.ephemeral, weight=whole.weight)
        )
    instances.sort(key=attrgetter("id"))
    return Arranged(tuple(instances), offices_of(preset, service), tuple(problems))


def add_offices(registration: Registration | None, held: tuple[str, ...], detail: object) -> Registration:
    """What is done where a preset has no `finish` of its own."""
    if registration is None:
        raise BadData("nothing tells how it is reached", "register its address")
    if not held:
        return registration
    return replace(registration, tags=share(tuple(dict.fromkeys((*registration.tags, *held)))))


def _may_name(place: Place, service: str) -> bool:
    head, hole, tail = place.service.partition("{service}")
    if not hole:
        return head == service
    return service.startswith(head) and service.endswith(tail) and len(service) > len(head) + len(tail)


def _elect(
    nodes: list[Found], members: Mapping[str, tuple[Found, Registration | None]]
) -> dict[str, tuple[str, ...]]:
    """The tags of the offices that each member holds, by its id."""
    votes: dict[tuple[str, ...], tuple[int, str, str]] = {}
    for node in nodes:
        for part in node.parts:
            if isinstance(part, Leads):
                office = node.place.offices if part.tags is None else part.tags
                vote = part.order, node.path, part.who
                votes[office] = min(votes.get(office, vote), vote)
    held: dict[str, tuple[str, ...]] = {}
    by_endpoint: dict[str, str] | None = None
    for office, (_, _, who) in votes.items():
        id: str | None = who
        if who not in members:
            if by_endpoint is None:
                by_endpoint = _endpoints(members)
            id = by_endpoint.get(who.lower())
        if id is not None:
            held[id] = (*held.get(id, ()), *office)
    return held


def _endpoints(members: Mapping[str, tuple[Found, Registration | None]]) -> dict[str, str]:
    """The id of each member by each host:port of it, IPv6 in brackets."""
    ends: dict[str, str] = {}
    for id, (_, registration) in members.items():
        if registration is None:
            continue
        hosts = [f"[{a}]" if ":" in a else a for a in registration.addresses]
        hosts += [registration.host] if registration.host else []
        ports = {registration.port, *(port for _, port in registration.ports)}
        for host in hosts:
            for port in ports:
                ends.setdefault(f"{host}:{port}", id)
    return ends
