"""What stands in an ensemble, seen from above: which systems, where, with how many instances.

Rules: no I/O: `wants` says what to look at next, `take` brings it, until nothing is wanted. Bounded: at
most MAX_LOOKS nodes are listed or read, MAX_CHILDREN of a folder are gone into, SAMPLE of them read at first;
what was left out is told (`cut`). A system is recognised where one of its members can be read; what a
preset made of a node is no plain registration as well.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypeVar

from zkdns.model import Instance
from zkdns.registry import formats, presets
from zkdns.registry.arrange import Found, arrange
from zkdns.registry.formats import Node
from zkdns.registry.layout import Layout
from zkdns.registry.places import Preset
from zkdns.steps import finish

DEPTH: Final = 2
"""How far below the start a system's own root is looked for."""

MAX_LOOKS: Final = 30_000
"""Nodes that are listed or read."""

MAX_CHILDREN: Final = 300
"""Of one folder that are gone into."""

MAX_READ: Final = 50
"""Members of one service that are read; beyond, they are counted."""

SAMPLE_CHILDREN: Final = 20
SAMPLE: Final = 2
"""Folders, and nodes of each, that are read to see what they are."""

OURS: Final = frozenset({"zkdns", "zookeeper"})
"""Children of `/` that hold no one's services."""


class Look(NamedTuple):
    """The children of a path, or its data."""

    path: str
    listing: bool


Reply: TypeAlias = tuple[str, ...] | bytes | None
"""Names, data, or None for what is not there or may not be read."""

T = TypeVar("T")
Walk: TypeAlias = Generator[tuple[Look, ...], list[Reply], T]
"""A part of the survey: it yields what it needs next, all at once, and is given the replies."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One system. `system`: a preset's name, or those of the formats that were met; `services`: how many
    instances each has; `instances`: those that were read; `offices`: the tags that an election gives."""

    system: str
    path: str
    preset: Preset | None
    services: dict[str, int]
    instances: dict[str, tuple[Instance, ...]] = field(default_factory=dict)
    offices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    nodes: frozenset[str] = field(default=frozenset(), repr=False)


class Survey:
    """`start`: where to begin. `cut`: whether something was left out."""

    def __init__(self, start: str = "/") -> None:
        self.cut = False
        self._findings: list[Finding] = []
        self._known: dict[Look, Reply] = {}
        self._waiting: list[tuple[Walk[None], tuple[Look, ...]]] = []
        self._new: deque[Walk[None]] = deque((self._walk_usual(start), self._walk_root(start, DEPTH)))

    @property
    def looks(self) -> int:
        """How many nodes were looked at."""
        return len(self._known)

    def findings(self) -> list[Finding]:
        """What stands there: what a more telling layout explains is not told again as something plainer, nor
        what a service has beside its folder of instances (Dubbo's consumers beside its providers)."""
        kept: list[Finding] = []
        explained: set[str] = set()
        services: set[str] = set()
        for finding in sorted(self._findings, key=lambda f: (-_literals(f), f.path.count("/"), f.path)):
            if not finding.nodes <= explained and finding.path not in services:
                explained |= finding.nodes
                kept.append(finding)
                services |= {service for path in finding.nodes if (service := _whose_folder(path))}
        return sorted(kept, key=lambda f: (f.path, f.system))

    def wants(self) -> list[Look]:
        """What to look at next; nothing once all is found."""
        self._advance()
        every = dict.fromkeys(look for _, looks in self._waiting for look in looks)
        wanted = [look for look in every if look not in self._known]
        room = MAX_LOOKS - len(self._known)
        if len(wanted) <= room:
            return wanted
        # What goes beyond the bound is as if it were not there.
        self.cut = True
        self._known = _Bounded(self._known)
        if not room:
            self._advance()
        return wanted[:room]

    def take(self, look: Look, reply: Reply) -> None:
        self._known[look] = reply

    def _advance(self) -> None:
        """Every walk as far as it goes with what is known."""
        waiting, self._waiting = self._waiting, []
        for walk, looks in waiting:
            self._go(walk, looks)
        while self._new:
            self._go(self._new.popleft(), None)

    def _go(self, walk: Walk[None], looks: tuple[Look, ...] | None) -> None:
        try:
            if looks is None:
                looks = next(walk)
            while all(look in self._known for look in looks):
                looks = walk.send([self._known[look] for look in looks])
        except StopIteration:
            return
        self._waiting.append((walk, looks))

    # --- walks ------------------------------------------------------------------------------------------

    def _walk_root(self, path: str, depth: int) -> Walk[None]:
        """`path` as the root of a system, and what stands below it likewise."""
        children = yield from _list(path)
        if path == "/":
            children = [child for child in children if child not in OURS]
        there = set(children)
        for preset in _presets():
            firsts = [place.layout.segments[0] for place in preset.places if place.members]
            if preset.chroot and any(not first.hole and first.literal in there for first in firsts):
                self._new.append(self._walk_preset(preset, path))
        some = self._some(children) if depth else children[:SAMPLE_CHILDREN]
        self._new.append(self._walk_services(path, children, some))
        if depth:
            self._new += [self._walk_root(_join(path, child), depth - 1) for child in some]

    def _walk_usual(self, start: str) -> Walk[None]:
        """What likes to stand deeper, and what stands at the ensemble's own root."""
        for preset in _presets():
            if not preset.chroot and start == "/":
                yield from self._walk_preset(preset, "/")
            for usual in preset.usual:
                for path, _ in (yield from self._fit(usual, start)):
                    yield from self._walk_preset(preset, path)

    def _walk_preset(self, preset: Preset, root: str) -> Walk[None]:
        finds: dict[str, list[Found]] = {}
        counts: Counter[str] = Counter()
        nodes: set[str] = set()
        for place in preset.places:
            read: Counter[str] = Counter()
            sample = []
            for path, holes in (yield from self._fit(place.layout, root)):
                nodes.add(path)
                service = place.service_of(holes)
                counts[service] += place.members
                read[service] += 1
                if read[service] <= MAX_READ:
                    sample.append((path, holes, service))
            replies = yield tuple(Look(path, False) for path, _, _ in sample)
            for (path, holes, service), data in zip(sample, replies, strict=True):
                if isinstance(data, bytes):
                    name = path.rpartition("/")[2]
                    parts, _ = place.parts(Node(name, data), holes)
                    finds.setdefault(service, []).append(Found(path, holes.get("id", name), place, parts))
        served = [service for service in finds if counts[service]]
        arranged = {service: finish(arrange(preset, service, finds[service])) for service in served}
        instances = {service: one.instances for service, one in arranged.items() if one.instances}
        if instances:
            services = {
                service: len(some) if counts[service] <= MAX_READ else counts[service]
                for service, some in sorted(instances.items())
            }
            offices = {service: arranged[service].offices for service in instances}
            found_here = Finding(preset.name, root, preset, services, instances, offices, frozenset(nodes))
            self._findings.append(found_here)

    def _fit(self, layout: Layout, root: str) -> Walk[list[tuple[str, dict[str, str]]]]:
        """The nodes below `root` that fit a layout, with what its holes took."""
        at: list[tuple[str, dict[str, str]]] = [(root, {})]
        for n, segment in enumerate(layout.segments, 1):
            below: list[tuple[str, dict[str, str]]] = []
            listings = yield from _list_all(path for path, _ in at)
            for (path, holes), children in zip(at, listings, strict=True):
                fitting = [child for child in children if segment.fits(child)]
                for child in self._some(fitting) if n < len(layout.segments) else fitting:
                    below.append(
                        (_join(path, child), {**holes, segment.hole: child} if segment.hole else holes)
                    )
            at = below
        return at

    def _walk_services(self, root: str, children: list[str], some: list[str]) -> Walk[None]:
        """`root` as a folder of services: those of plain formats, and of presets that begin with one."""
        for preset in _presets():
            first, second = preset.places[0].layout.segments[:2]
            if first.hole and second.literal:
                below = yield from _list_all(_join(root, child) for child in some)
                if any(second.literal in names for names in below):
                    yield from self._walk_preset(preset, root)
        if not (yield from self._sample(root, children[:SAMPLE_CHILDREN])):
            return
        services: dict[str, dict[str, int]] = {}
        formats_met: dict[str, set[str]] = {}
        for child, count, system, path in (yield from self._sample(root, self._some(children))):
            formats_met.setdefault(system, set()).add(path)
            services.setdefault(system, {})[child] = count
        plain = {name: services[name] for name in services if name not in presets.names()}
        for name in services.keys() - plain.keys():
            nodes = frozenset(formats_met[name])
            self._findings.append(Finding(name, root, presets.named(name), services[name], nodes=nodes))
        if plain:
            counts = {child: n for one in plain.values() for child, n in one.items()}
            nodes = frozenset(path for name in plain for path in formats_met[name])
            self._findings.append(Finding(", ".join(sorted(plain)), root, None, counts, nodes=nodes))

    def _sample(self, root: str, children: list[str]) -> Walk[list[tuple[str, int, str, str]]]:
        """A few instances of each service, if there are such: the service, how many instances it has, of
        which system the one is, and its path."""
        auto = formats.named("auto")
        instances: dict[str, list[str]] = {child: [] for child in children}
        folders: list[tuple[str, str]] = []
        listings = yield from _list_all(_join(root, child) for child in children)
        for child, names in zip(children, listings, strict=True):
            for name in names:
                path = _join(_join(root, child), name)
                if name in auto.FOLDERS:
                    folders.append((child, path))
                elif name not in auto.QUIET and not name.startswith("_c_"):  # an election's vote
                    instances[child].append(path)
        listings = yield from _list_all(path for _, path in folders)
        for (child, path), names in zip(folders, listings, strict=True):
            instances[child] += (_join(path, name) for name in names)
        sample = [(child, path) for child in children for path in instances[child][:SAMPLE]]
        replies = yield tuple(Look(path, False) for _, path in sample)
        return [
            (child, len(instances[child]), system, path)
            for (child, path), data in zip(sample, replies, strict=True)
            if isinstance(data, bytes)
            for system in _systems(path, data)
        ]

    def _some(self, children: list[str]) -> list[str]:
        self.cut = self.cut or len(children) > MAX_CHILDREN
        return children[:MAX_CHILDREN]


class _Bounded(dict[Look, Reply]):
    """What is known once the bound is reached: whatever else is asked is not there."""

    def __contains__(self, look: object) -> bool:
        return True

    def __missing__(self, look: Look) -> Reply:
        return None


def _literals(finding: Finding) -> int:
    """How telling it is: the literal segments of its layout."""
    places = finding.preset.places if finding.preset is not None else ()
    return max((sum(not s.hole for s in place.layout.segments) + 1 for place in places), default=0)


def _whose_folder(path: str) -> str:
    """The service whose folder of instances a node stands in; "" where it is none of these."""
    service, _, folder = path.rpartition("/")[0].rpartition("/")
    return service if folder in formats.named("auto").FOLDERS else ""


def _systems(path: str, data: bytes) -> Iterator[str]:
    """The plain format that takes a node, else the presets of plain layout that do."""
    node = Node(path.rpartition("/")[2], data)
    if format := formats.claimant(node):
        yield format
        return
    for preset in _presets():
        place = preset.places[0]
        if all(segment.hole for segment in place.layout.segments):
            parts, error = place.parts(node, {"id": node.name})
            if parts and error is None:
                yield preset.name


def _presets() -> list[Preset]:
    return [presets.named(name) for name in presets.names()]


def _list(path: str) -> Walk[list[str]]:
    return (yield from _list_all((path,)))[0]


def _list_all(paths: Iterable[str]) -> Walk[list[list[str]]]:
    """The children of each path, in order; none of what can't be listed."""
    replies = yield tuple(Look(path, True) for path in paths)
    return [sorted(reply) if isinstance(reply, tuple) else [] for reply in replies]


def _join(path: str, name: str) -> str:
    return f"/{name}" if path == "/" else f"{path}/{name}"
