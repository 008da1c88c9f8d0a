"""What a system puts into the ensemble, as data: where its nodes stand and what each of them says.

Rules: pure. A `Place` is one layout and the function that reads a node there; `BadData` is the only
error that it may raise, and costs that node alone. What a node says are `Part`s: a registration, whose
leader it names, or a detail of a member that stands elsewhere. `arrange` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from msgspec import Struct

from zkdns.model import Registration
from zkdns.registry.endpoints import MAX_URL_CHARACTERS
from zkdns.registry.fields import BadData
from zkdns.registry.formats import Node
from zkdns.registry.layout import Layout, layout, name_service


@dataclass(frozen=True, slots=True)
class Member:
    """One instance, where the node's own name is not its id. `registration` None: only its details,
    which stand in another node, can tell how it is reached."""

    id: str
    registration: Registration | None


class Leads(Struct, frozen=True):
    """A vote: `who` (a member's id, or its host:port) leads if no vote of a lower `order` stands.

    `tags`: those of the office, where a place has elections for several.
    """

    who: str
    order: int = 0
    tags: tuple[str, ...] | None = None


class Detail(Struct, frozen=True):
    """What one node tells of a member that another node registers."""

    id: str
    value: object


Part: TypeAlias = Registration | Member | Leads | Detail
"""A bare Registration is a member whose id is its node's name."""

Read: TypeAlias = Callable[[Node, Mapping[str, str]], Iterable[Part]]
"""Reads a node (its name and data) and what the layout's holes took of its path. Nothing: it is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place where a system's nodes stand.

    `service`: the service's name, with `{service}` for what the path says; `stem` is the part of it
    that `as=NAME` replaces. `members`: whether a folder here makes a service, with or without
    instances in it. `offices`: the tags of whoever is elected here, `leader` first; their names exist
    while nobody bears them.
    """

    layout: Layout
    service: str
    read: Read
    members: bool = True
    offices: tuple[str, ...] = ()
    stem: str = ""

    def service_of(self, holes: Mapping[str, str]) -> str:
        """The name of the service that a node of these holes is of."""
        return name_service(self.service, holes)

    def parts(self, node: Node, holes: Mapping[str, str]) -> tuple[tuple[Part, ...], BadData | None]:
        """What the node says, and what is wrong with it: what it said before that counts. (A vote holds
        its place in the line though its voter can't be read.)"""
        parts: list[Part] = []
        if len(node.name) > MAX_URL_CHARACTERS:  # ZooKeeper takes names of a megabyte
            what = f"its name has more than {MAX_URL_CHARACTERS} characters"
            return (), BadData(what, "delete it: no system has such names")
        try:
            for part in self.read(node, holes):
                if isinstance(part, Member) and not part.id:  # that would be the service itself
                    return tuple(parts), BadData("the id that it tells is empty", "set it")
                if isinstance(part, Member) and len(part.id) > MAX_URL_CHARACTERS:  # it stands in the data
                    what = f"the id that it tells has more than {MAX_URL_CHARACTERS} characters"
                    return tuple(parts), BadData(what, "delete it: no system has such ids")
                parts.append(part)
        except BadData as error:
            return tuple(parts), error
        return tuple(parts), None

    def renamed(self, other: str) -> Place:
        """The same with the services named by `as=`. ValueError where that would make one of many."""
        if "{service}" in other:
            return replace(self, service=other.replace("{service}", self.service), stem="")
        if not self.stem:
            raise ValueError(f"as={other}: the path names the service; write as={other}-{{service}}")
        return replace(self, service=self.service.replace(self.stem, other, 1), stem=other)


def place(
    where: str,
    service: str,
    read: Read,
    *,
    members: bool = True,
    offices: tuple[str, ...] = (),
    stem: str | None = None,
) -> Place:
    """A Place by its layout's text. Unless told, `as=` replaces the whole name, if it is ours to give."""
    if stem is None:
        stem = "" if "{service}" in service else service
    return Place(layout(where), service, read, members, offices, stem)


Finish: TypeAlias = Callable[[Registration | None, tuple[str, ...], object], Registration]
"""Completes a member: its registration, the tags of the offices that it holds, its detail or None."""


@dataclass(frozen=True, slots=True)
class Preset:
    """One system.

    `places`: in order of trust; the first that registers an id wins. `finish`: completes members
    where more than adding the offices' tags is to be done. `chroot`: whether it stands below the
    URL's path (else below the ensemble's root). `usual`: where below a root it likes to stand, for
    `discover`, which looks at the root and two levels below it anyway. `with_hosts`: its places where the
    hosts in the URL tell something that the nodes leave out.
    """

    name: str
    places: tuple[Place, ...]
    finish: Finish | None = None
    chroot: bool = True
    usual: tuple[Layout, ...] = ()
    with_hosts: Callable[[str], tuple[Place, ...]] | None = None

    def renamed(self, other: str) -> Preset:
        """The same with its services named by `as=`; ValueError says why that can't be."""
        return replace(self, places=tuple(place.renamed(other) for place in self.places))
