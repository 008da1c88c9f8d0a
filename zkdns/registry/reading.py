"""One reading of a registry: the znodes as its replies tell them, and the services made of them so far.

Rules: pure. A service is made anew only when something below it changed, and goes on as the same object
where it turns out equal. While a reading is folded beside the one in force, each service is made as soon
as its last instance is there, so that little is left to do at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter

from zkdns.model import (
    DEFAULTS,
    Children,
    Data,
    Instance,
    Problem,
    Service,
    ServiceSettings,
    Unreadable,
)
from zkdns.registry import formats
from zkdns.registry.labels import assign_labels, tell_collisions, to_label
from zkdns.registry.znodes import Read, Replies, Znode

DEPTH = 3
"""service / instance, or service / folder / instance."""

NOT_SERVICES = frozenset({"zookeeper", "zkdns"})
"""What stands beside the services where the root is "/"."""

READABLE = "give us the right to read it, or remove it"


class Reading:
    """One reading of everything: the znodes, and what was made of them so far. `before`: the one in
    force while this one is folded, whose services go on as the same objects where they are equal."""

    def __init__(self, root: str, folders: frozenset[str], read: Read, before: Reading | None) -> None:
        self._folders = folders
        self._root = root
        self._prefix = root.rstrip("/") + "/"
        self._before = before
        self._dirty: set[str] = set()
        self._wrong: dict[str, tuple[Problem, ...]] = {}
        self.replies = Replies(root, DEPTH, read)
        self.services: Mapping[str, Service] = {}
        self.problems: tuple[Problem, ...] = ()
        self._building: dict[str, Service] | None = None
        self._told = True

    def apply(self, event: Children | Data | Unreadable, names: tuple[str, ...]) -> None:
        changed = self.replies.apply(event, names)
        if changed is None:
            return
        if changed:
            self._dirty.add(changed)
            if self._before is not None and self.replies.filled:
                # Work that would else come at once, at the end of the reading.
                self._settle_one(changed)
            return
        listed = {
            name
            for name, _ in self.replies.root.listed_kids()
            if self._root != "/" or name not in NOT_SERVICES
        }
        self._dirty |= listed ^ self._built.keys()
        self._told = False

    @property
    def _built(self) -> Mapping[str, Service]:
        return self.services if self._building is None else self._building

    def settle(self) -> None:
        """Bring `services` and `problems` up to what the replies say."""
        for name in list(self._dirty):
            self._settle_one(name)
        if self._building is not None:
            self.services, self._building = self._building, None
        if not self._told:
            self._told = True
            problems = tuple(self._every_problem())
            self.problems = self.problems if problems == self.problems else problems

    def take_over(self, before: Reading) -> None:
        """This reading is in force from now on: equal things go on as the same objects."""
        self._before = None
        if _same_values(self.services, before.services):
            self.services = before.services
        if self.problems == before.problems:
            self.problems = before.problems

    def _every_problem(self) -> Iterator[Problem]:
        refused = self.replies.root.unreadable
        if refused is not None:
            yield Problem(self._root, f"it can't be read: {refused}", "give us the right to read it")
        for name in sorted(self._wrong):
            yield from self._wrong[name]

    def _settle_one(self, name: str) -> None:
        self._dirty.discard(name)
        node = self.replies.find((name,))
        built = self._built
        old = built.get(name)
        if node is None or not node.listed or not self._is_service(name):
            problems: tuple[Problem, ...] = ()
            if old is not None:
                del self._writable()[name]
        else:
            if self._before is not None:
                old = self._before.services.get(name, old)
            service, problems = self._assemble(name, node, old)
            if built.get(name) is not service:
                self._writable()[name] = service
        if self._wrong.get(name, ()) != problems:
            self._told = False
            if problems:
                self._wrong[name] = problems
            else:
                del self._wrong[name]

    def _is_service(self, name: str) -> bool:
        return self._root != "/" or name not in NOT_SERVICES

    def _writable(self) -> dict[str, Service]:
        if self._building is None:
            self._building = dict(self.services)
        return self._building

    def _assemble(self, name: str, node: Znode, old: Service | None) -> tuple[Service, tuple[Problem, ...]]:
        path = self._prefix + name
        settings: ServiceSettings = DEFAULTS
        inherits: formats.Inherits | None = None
        problems: list[Problem] = []
        instances: list[Instance] = []
        if node.unreadable is not None:
            problems.append(Problem(path, f"it can't be read: {node.unreadable}", READABLE))
        if node.value is not None:
            settings, wrong, inherits = node.value
            problems += wrong
        for kid_name, kid in node.listed_kids():
            self._sort_in(kid, f"{path}/{kid_name}" if kid.unreadable else "", instances, problems)
            if kid.kids and kid_name in self._folders:
                for below, leaf in kid.listed_kids():
                    self._sort_in(leaf, f"{path}/{kid_name}/{below}", instances, problems)
        if inherits is not None:
            instances = [replace(i, registration=inherits.complete(i.registration)) for i in instances]
        instances.sort(key=attrgetter("id"))
        found = _distinct(tuple(instances), old, problems)
        problems.sort(key=attrgetter("path"))
        if old is not None:
            if old.instances == found:
                found = old.instances
                if old.settings == settings:
                    return old, tuple(problems)
            return replace(old, settings=settings, instances=found), tuple(problems)
        return Service(name, to_label(name), path, settings, found), tuple(problems)

    @staticmethod
    def _sort_in(node: Znode, path: str, instances: list[Instance], problems: list[Problem]) -> None:
        if node.unreadable is not None:
            problems.append(Problem(path, f"it can't be read: {node.unreadable}", READABLE))
        elif isinstance(node.value, Instance):
            instances.append(node.value)
        elif isinstance(node.value, Problem):
            problems.append(node.value)


def _same_values(these: Mapping[str, Service], those: Mapping[str, Service]) -> bool:
    return len(these) == len(those) and all(those.get(name) is service for name, service in these.items())


def _distinct(
    instances: tuple[Instance, ...], old: Service | None, problems: list[Problem]
) -> tuple[Instance, ...]:
    """The same with ids and labels of which no two are equal. Sorted by id when they come in."""
    if len({i.label for i in instances}) == len(instances):
        return instances
    by_id: dict[str, Instance] = {}
    for instance in sorted(instances, key=attrgetter("id", "path")):
        first = by_id.setdefault(instance.id, instance)
        if first is not instance:
            what = f"its id is that of {first.path} too, which is served"
            problems.append(Problem(instance.path, what, "register it under an id of its own"))
    labels = assign_labels(by_id)
    before = {i.id: i for i in old.instances} if old is not None else {}
    paths = {i.id: i.path for i in instances}
    problems += tell_collisions(paths, labels, "id")
    found = []
    for id, instance in by_id.items():
        if instance.label != labels[id]:
            instance = replace(instance, label=labels[id])
            instance = before[id] if before.get(id) == instance else instance
        found.append(instance)
    return tuple(found)
