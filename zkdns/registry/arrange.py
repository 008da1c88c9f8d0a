"""The nodes of one service, as a preset read them -> its instances, and who of them leads.

Rules: pure; any order of the same nodes gives the same. Of the votes of an office the one with the lowest
order counts, and if it names no member nobody leads: the second in line is no leader. At most one instance
bears an office's tags.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct

from zkdns.model import UNSEEN, Instance, Problem, Registration, Stat, fault
from zkdns.order import sort
from zkdns.registry.fields import BadData, share
from zkdns.registry.labels import to_label
from zkdns.registry.places import Detail, Member, Part, Place, Preset
from zkdns.registry.unread import unread
from zkdns.steps import Steps, walk


@dataclass(slots=True, eq=False)
class Found:
    """One node that fits a place, read; to be kept for as long as the node stands so. `id`: what `{id}`
    took, or the node's name."""

    path: str
    id: str
    place: Place
    parts: tuple[Part, ...]
    stat: Stat = UNSEEN
    _instances: tuple[Instance, ...] = field(default=(), init=False, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Found) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        stat = self.stat
        return self.path, self.id, self.place, self.parts, stat.ctime, stat.ephemeral, stat.owner

    def instance(self, id: str, registration: Registration) -> Instance:
        """The instance that the node registers; the same object for the same registration, so that a
        service of thousands is put together of what there is."""
        for known in self._instances:
            if known.id == id and (known.registration is registration or known.registration == registration):
                return known
        one = Instance(
            id,
            to_label(id),
            self.path,
            registration,
            self.stat.ctime,
            self.stat.ephemeral,
            weight=registration.weight,
            owner=self.stat.owner,
            zxid=self.stat.mzxid,
        )
        self._instances = (one, *(known for known in self._instances if known.id != id))
        return one


class Arranged(Struct, frozen=True):
    """`instances` by id; `offices`: the tags whose names exist though nobody may bear them now."""

    instances: tuple[Instance, ...] = ()
    offices: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def offices_of(preset: Preset, service: str) -> tuple[str, ...]:
    """The offices' tags of a service, by its name."""
    tags = (tag for place in preset.places if _may_name(place, service) for tag in place.offices)
    return tuple(dict.fromkeys(tags))


def arrange(preset: Preset, service: str, finds: Sequence[Found]) -> Steps[Arranged]:
    """The service's instances, as far as they can be read, with pauses."""
    by_place: dict[int, list[Found]] = {}
    rank = {id(place): at for at, place in enumerate(preset.places)}
    members: dict[str, _Member] = {}
    details: dict[str, object] = {}
    votes: dict[tuple[str, ...], tuple[int, str, str]] = {}

    def sort_out(some: Sequence[Found]) -> None:
        for node in some:
            by_place.setdefault(rank[id(node.place)], []).append(node)

    def take(some: Sequence[Found]) -> None:
        for node in some:
            at = rank[id(node.place)]
            for part in node.parts:
                if isinstance(part, Registration):
                    _put(members, node.id, _Member(at, node, part))
                elif isinstance(part, Member):
                    _put(members, part.id, _Member(at, node, part.registration))
                elif isinstance(part, Detail):
                    details[part.id] = part.value
                else:
                    office = node.place.offices if part.tags is None else part.tags
                    vote = part.order, node.path, part.who
                    votes[office] = min(votes.get(office, vote), vote)

    yield from walk(finds, sort_out)
    for at in sorted(by_place):
        yield from walk(by_place[at], take)
    held = yield from _elect(votes, members)
    complete = preset.finish or add_offices
    instances: list[Instance] = []
    problems: list[Problem] = []

    def make(some: Sequence[tuple[str, _Member]]) -> None:
        for id_, (_, node, registration) in some:
            try:
                whole = complete(registration, held.get(id_, ()), details.get(id_))
            except BadData as error:
                problem = Problem(node.path, error.what, error.cure)
            except Exception as error:  # ours: it costs this member, and the others go on
                problem = fault(node.path, error)
            else:
                instances.append(node.instance(id_, whole))
                continue
            problems.append(problem)
            instances.append(unread(id_, node.path, node.stat, problem.what))

    yield from walk([*members.items()], make)
    yield from sort(instances, attrgetter("id"))
    problems.sort(key=attrgetter("path"))
    return Arranged(tuple(instances), offices_of(preset, service), tuple(problems))


class _Member(NamedTuple):
    at: int
    node: Found
    registration: Registration | None


def _put(members: dict[str, _Member], id: str, one: _Member) -> None:
    """Of several nodes with one id the first place's counts, and of one place's the first path's."""
    known = members.setdefault(id, one)
    if known is not one and (one.at, one.node.path) < (known.at, known.node.path):
        members[id] = one


def add_offices(registration: Registration | None, held: tuple[str, ...], detail: object) -> Registration:
    """What is done where a preset has no `finish` of its own."""
    if registration is None:
        raise BadData("nothing tells how it is reached", "register its address")
    if not held:
        return registration
    return replace(registration, tags=share(tuple(dict.fromkeys((*registration.tags, *held)))))


def _may_name(place: Place, service: str) -> bool:
    head, hole, end = place.service.partition("{service}")
    if not hole:
        return head == service
    return service.startswith(head) and service.endswith(end) and len(service) > len(head) + len(end)


def _elect(
    votes: Mapping[tuple[str, ...], tuple[int, str, str]], members: Mapping[str, _Member]
) -> Steps[dict[str, tuple[str, ...]]]:
    """The tags of the offices that each member holds, by its id."""
    held: dict[str, tuple[str, ...]] = {}
    elsewhere = {who.lower() for _, _, who in votes.values() if who and who not in members}
    ids: dict[str, str] = {}
    if elsewhere:
        ids = yield from _find(elsewhere, members)
    for office, (_, _, who) in sorted(votes.items()):
        id = who if who in members else ids.get(who.lower())
        if id is not None:
            held[id] = (*held.get(id, ()), *office)
    return held


def _find(ends: Collection[str], members: Mapping[str, _Member]) -> Steps[dict[str, str]]:
    """Of each of these host:port, IPv6 in brackets, the member that is reached there; of several the first by
    its id."""
    ids: dict[str, str] = {}

    def look(some: Sequence[tuple[str, _Member]]) -> None:
        for id, (_, _, registration) in some:
            for end in _ends(registration, ends) if registration is not None else ():
                ids[end] = min(ids.get(end, id), id)

    yield from walk([*members.items()], look)
    return ids


def _ends(registration: Registration, wanted: Collection[str]) -> Iterator[str]:
    """Those of these host:port where it is reached."""
    hosts = {f"[{a}]" if ":" in a else a for a in registration.addresses} | {registration.host}
    ports = {str(registration.port), *(str(port) for _, port in registration.ports)}
    for end in wanted:
        host, _, port = end.rpartition(":")
        if host in hosts and port in ports:
            yield end
