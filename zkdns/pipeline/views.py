"""What one registry alone holds of a service, as a service of its own beside the merged ones: `web@dc2`.

Rules: pure. Views are made of what routes target and of what failover registries hold, and of nothing else.
Their instances have the names that the service has room for. What did not change stays the same object; the
cost is that of what changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import TypeAlias
from zlib import crc32

from zkdns.answers.routed import view_key
from zkdns.identity import carry
from zkdns.model import DEFAULTS, Instance, Override, Service
from zkdns.persistent import PersistentMap, differing
from zkdns.registry.labels import to_label
from zkdns.registry.meeting import find
from zkdns.registry.override_nodes import NOTHING, ByService
from zkdns.roots import OVERRIDES
from zkdns.routes import Target
from zkdns.steps import Steps, finish, glance, walk
from zkdns.wall import Wall

Pair: TypeAlias = tuple[str, str]
"""A service as a route names it, and a registry."""

Preview: TypeAlias = Callable[[], tuple[Service, Mapping[str, Override]]]
"""Makes a view that is not there yet, and tells what would be ordered for its instances."""


class Views:
    """`failover`: the registries of which every service has a view."""

    def __init__(self, failover: Sequence[str], wall: Wall | None = None) -> None:
        self._wall = wall or Wall()
        self._failover = tuple(failover)
        self._merged: Mapping[str, Service] = {}
        """What all registries hold together, by name."""
        self._registries: dict[str, Mapping[str, Service]] = {}
        """What each of them holds, by its name."""
        self._all: Mapping[str, Service] = {}
        """The merged services, and their views."""
        self._by_label: dict[str, str] = {}
        """By label, the name of the service that has it."""
        self._keys_of: dict[str, tuple[str, ...]] = {}
        """By service, the keys of its views."""
        self._owns: dict[str, Service] = {}
        """What each view was made of."""
        self._laid: Mapping[str, tuple[Target, ...]] = PersistentMap()
        """By service, the targets of what is laid over it."""
        self._wanted_by: dict[str, frozenset[Pair]] = {}
        self._wanted: Counter[Pair] = Counter()
        """By service, what its route leads to in one registry alone; how many lead to each of these."""
        self._ordered: ByService = PersistentMap()
        """What was spread last; `_spread`: what came of it; `_likes`: what was added, by view; `_liked`: to
        which views, by service."""
        self._spread: ByService = PersistentMap()
        self._likes: dict[str, dict[str, Override]] = {}
        self._liked: dict[str, tuple[str, ...]] = {}
        self._moved: Set[str] = set()
        """Services that have changed since."""

    def find(self, text: str) -> str | None:
        """The name of the service that a target names: by its name, else by its label."""
        if text in self._merged:
            return text
        return self._by_label.get(text)

    def finder(self) -> Callable[[str], str | None]:
        """`find` as of now, for a thread: here services come and go meanwhile."""
        merged, by_label = self._merged, dict(self._by_label)
        return lambda text: text if text in merged else by_label.get(text)

    @property
    def are_there(self) -> bool:
        """Whether any are, or were when orders were spread last."""
        return bool(self._keys_of or self._likes)

    def of(self, name: str) -> tuple[str, ...]:
        """The keys of a service's views."""
        return self._keys_of.get(name, ())

    def take(
        self,
        merged: Mapping[str, Service],
        registries: Mapping[str, Mapping[str, Service]],
        laid: Mapping[str, tuple[Target, ...]],
    ) -> Steps[Mapping[str, Service]]:
        """The merged services, and their views. `registries`: what each holds, by name; `laid`: the targets
        of what is laid over services, by their names."""
        before, self._merged = self._merged, merged
        changed = dict.fromkeys(differing(before, merged))
        asked: set[Pair] = set()
        # Those that came or went, or may be found by another label, or lead to others: few of what changes.
        others = [
            name
            for name in changed
            if (was := before.get(name)) is None
            or (now := merged.get(name)) is None
            or was.label != now.label
            or was.settings is not now.settings
        ]
        if others or laid is not self._laid:
            self._index(others)
            asked = self._count_wanted([*others, *differing(self._laid, laid)], laid)
            self._laid = laid
        old, self._registries = self._registries, dict(registries)
        if not (self._failover or self._wanted or self.are_there):
            self._all = merged
            return merged
        changed |= dict.fromkeys(name for text, _ in asked if (name := self._named(text)) is not None)
        relevant = {*self._failover, *(registry for _, registry in self._wanted)}
        for registry in relevant & (old.keys() | registries.keys()):
            changed |= dict.fromkeys(differing(old.get(registry, {}), registries.get(registry, {})))
        self._moved |= changed.keys()
        changes: dict[str, Service | None] = {}
        for name in changed:
            if name not in before and name not in merged:
                continue  # a registry's own: it was left out, and may have the name of a view
            changes[name] = merged.get(name)
            with self._wall.around(self._path(name), "views"):
                changes |= yield from self._view(name)
        every = self._all if isinstance(self._all, PersistentMap) else PersistentMap(self._all)
        self._all = every.changed(changes)
        return self._all if self._keys_of else merged

    def previews(self, targets: Iterable[Target]) -> Iterator[Preview]:
        """Make what registries alone hold of services, where no route leads to that yet, once each; may be
        called in a thread."""
        for name, registry in dict.fromkeys((self.find(t.service), t.registry) for t in targets):
            own = self._registries.get(registry, {}).get(name) if name is not None else None
            if name is not None and own is not None and view_key(name, registry) not in self.of(name):
                yield partial(_preview, self._merged[name], own, registry, self._ordered)

    def spread(self, overrides: ByService) -> ByService:
        """What is ordered for instances, and for the same ones in views. Where the service itself has a
        different instance of that id, the view's is only meant by the view's name (`web@dc2/a`)."""
        moved = dict.fromkeys((*self._moved, *differing(self._ordered, overrides)))
        before, self._ordered, self._moved = self._ordered, overrides, set()
        if not self.are_there:
            self._spread = overrides
            return overrides
        others = [*moved]
        for name in moved:
            for id in before.get(name, NOTHING).keys() - overrides.get(name, NOTHING).keys():
                self._wall.forgive(f"{OVERRIDES}/{name}/{id}", "spread")
            likes: dict[str, dict[str, Override]] = {}
            for id, order in overrides.get(name, NOTHING).items():
                with self._wall.around(f"{OVERRIDES}/{name}/{id}", "spread"):
                    for key in self._find_likes(name, id):
                        likes.setdefault(key, {})[id] = order
            for key in self._liked.pop(name, ()):
                del self._likes[key]
                others.append(key)
            if likes:
                self._likes |= likes
                self._liked[name] = tuple(likes)
                others += likes
        changes: dict[str, Mapping[str, Override] | None] = {}
        for name in others:
            orders = {**self._likes.get(name, NOTHING), **overrides.get(name, NOTHING)}
            if orders != self._spread.get(name, NOTHING):
                changes[name] = orders or None
        self._spread = self._spread.changed(changes)
        return self._spread

    def _find_likes(self, name: str, id: str) -> Iterator[str]:
        return (key for key in self.of(name) if _has_like(self._all[key], self._merged[name], id))

    def _path(self, name: str) -> str:
        service = self._merged.get(name) or self._all.get(name)
        return service.path if service is not None else name

    def _named(self, text: str) -> str | None:
        with self._wall.around(text, "target"):
            return self.find(text)
        return None

    def _index(self, names: Iterable[str]) -> None:
        for name in names:
            with self._wall.around(self._path(name), "index"):
                before, after = self._all.get(name), self._merged.get(name)
                if before is not None and self._by_label.get(before.label) == name:
                    del self._by_label[before.label]
                if after is not None:
                    self._by_label[after.label] = name

    def _count_wanted(self, names: Iterable[str], laid: Mapping[str, tuple[Target, ...]]) -> set[Pair]:
        """The pairs of service and registry that some route has begun or ceased to target."""
        moved: set[Pair] = set()
        for name in dict.fromkeys(names):
            wanted = self._wants(name, laid)
            before = self._wanted_by.get(name, frozenset())
            if wanted == before:
                continue
            self._wanted.update(wanted - before)
            self._wanted.subtract(before - wanted)
            moved |= wanted ^ before
            self._wanted_by[name] = wanted
        for pair in moved:
            if not self._wanted[pair]:
                del self._wanted[pair]
        return moved

    def _wants(self, name: str, laid: Mapping[str, tuple[Target, ...]]) -> frozenset[Pair]:
        with self._wall.around(self._path(name), "wanted"):
            service = self._merged.get(name)
            route = service.settings.route if service is not None else None
            targets = (*(route.targets() if route is not None else ()), *laid.get(name, ()))
            return frozenset((t.service, t.registry) for t in targets if t.registry)
        return frozenset()

    def _view(self, name: str) -> Steps[dict[str, Service | None]]:
        """The views of one service; None for those that are gone."""
        base = self._merged.get(name)
        wanted = [
            registry
            for registry in self._registries
            if base is not None
            and (
                registry in self._failover
                or (name, registry) in self._wanted
                or (base.label, registry) in self._wanted
            )
        ]
        views: dict[str, Service | None] = {}
        owns: dict[str, Service] = {}
        taken: set[str] = set()
        for registry in wanted:
            own = self._registries[registry].get(name)
            if own is None or base is None:
                continue
            if not views:
                yield from glance(base.instances, lambda some: taken.update(_names_of(some)))
            key = view_key(name, registry)
            view, was = self._all.get(key), self._owns.get(key)
            before = (view, was) if view is not None and was is not None else None
            views[key] = yield from _make(key, base, own, registry, taken, before)
            owns[key] = own
        # They stand as they were until all of them are made.
        changes = dict.fromkeys(self._keys_of.pop(name, ())) | views
        for key in changes:
            self._owns.pop(key, None)
        self._owns |= owns
        if views:
            self._keys_of[name] = tuple(views)
        return changes


def _preview(
    base: Service, own: Service, registry: str, ordered: ByService
) -> tuple[Service, Mapping[str, Override]]:
    """A view that is not there yet, and what would be ordered for its instances."""
    key = view_key(base.name, registry)
    view = finish(_make(key, base, own, registry, _names_of(base.instances)))
    likes = ordered.get(base.name, NOTHING)
    alike = {id: order for id, order in likes.items() if _has_like(view, base, id)}
    return view, {**alike, **ordered.get(key, NOTHING)}


def _has_like(view: Service, base: Service, id: str) -> bool:
    """Whether this id is in a view that of the service's own instance, or nobody else's."""
    if find(view.instances, id) is None:
        return False
    same = find(base.instances, id)
    return same is None or same.registry in ("", *view.registries)


def _names_of(instances: Iterable[Instance]) -> set[str]:
    """What they are known by, as registered and as labels."""
    return {name for i in instances for name in (i.label, i.id)}


def _make(
    key: str,
    base: Service,
    own: Service,
    registry: str,
    taken: set[str],
    before: tuple[Service, Service] | None = None,
) -> Steps[Service]:
    """`before`: the view as it was, and what that was made of: who is the same one in it stays the same here,
    and is not made again."""
    view, was = before or (None, None)
    merged: dict[str, str] = {}
    instances: list[Instance] = []

    def note(some: Sequence[Instance]) -> None:
        merged.update([(i.id, i.label) for i in some if i.registry in ("", registry)])

    def make(some: Sequence[int]) -> None:
        for at in some:
            i, one = own.instances[at], standing[at]
            label, known_as = merged.get(i.id, i.label), ""
            if i.id not in merged and (label in taken or i.id in taken):
                label = known_as = _free(i, registry, taken)
            taken.update((label, i.id))
            if one is None or (one.label, one.known_as) != (label, known_as):
                one = replace(i, label=label, known_as=known_as, path=f"{registry}:{i.path}")
                known = find(view.instances, i.id) if view is not None else None
                one = known if known is not None and known == one else one
            instances.append(one)

    yield from glance(base.instances, note)
    old: Sequence[Instance] = was.instances if was is not None else ()
    images: Sequence[Instance | None] = view.instances if view is not None else ()
    standing = yield from carry(old, images, own.instances, lambda i: None)
    yield from walk(range(len(standing)), make)
    settings = replace(own.settings if own.settings != DEFAULTS else base.settings, route=None)
    now = Service(
        key, base.label, f"{registry}:{own.path}", settings, tuple(instances), own.note, (registry,),
        own.offices, view_of=base.name,
    )  # fmt: skip
    return view if view is not None and view == now else now


def _free(i: Instance, registry: str, taken: set[str]) -> str:
    """A label that nobody else of the service has."""
    if i.label not in taken:
        return i.label
    text = f"{i.id}-{registry}"
    # What is a label by itself needs no folding, which thousands would cost at each change.
    label = text if i.label == i.id and len(text) <= 63 else to_label(text)
    return label if label not in taken else to_label(f"{i.id}-{registry}-{crc32(i.path.encode()):08x}")
