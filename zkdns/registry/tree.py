"""One registry's replies -> its Catalog: services, instances, settings, problems.

Rules: pure. Listed means alive. Any order of the same replies gives the same Catalog. A new reading
(Begin ... Whole) is folded beside the one in force and takes its place at Whole, so an old Catalog
answers until the new one is whole, and zxids bind only within one reading. What did not change stays
the same object, across readings too. The cost is that of the services that changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from zkdns.model import (
    DEFAULTS,
    EMPTY,
    Begin,
    Catalog,
    Children,
    Data,
    Event,
    Instance,
    Problem,
    Service,
    ServiceSettings,
    Session,
    Unreadable,
    Whole,
    serial_of,
)
from zkdns.registry import formats
from zkdns.registry.fields import BadData
from zkdns.registry.fold import colliding, fold, settle
from zkdns.registry.replies import Replies, Znode

DEPTH = 3
"""service / instance, or service / folder / instance."""

NOT_SERVICES = frozenset({"zookeeper", "zkdns"})
"""What stands beside the services where the root is "/"."""

READABLE = "give us the right to read it, or remove it"


class Tree:
    """`root`: where the services stand; `format`: how their instances' data is read."""

    def __init__(self, root: str, format: str = "auto") -> None:
        self.root = root
        self.format = format
        module = formats.named(format)
        self._parse = module.parse
        self._folders: frozenset[str] = module.FOLDERS
        self._quiet: frozenset[str] = module.QUIET | module.FOLDERS
        self._now = _Reading(self, None)
        self._next: _Reading | None = None
        self._refused = False
        self._complete = False
        self._connected = True
        self._behind = False  # what was read before the connection was lost is still in force
        self._stale_since: float | None = None
        self._catalog = EMPTY

    @property
    def zxid(self) -> int:
        """The largest mzxid or pzxid in the reading in force."""
        return self._now.replies.zxid

    def apply(self, event: Event) -> None:
        """Fold one event. Never raises on what the registry holds."""
        if isinstance(event, Children | Data | Unreadable):
            if self._counts(event):
                (self._next or self._now).apply(event)
                if self._refused and self._now.replies.root.unreadable is None:
                    self._end_reading()
        elif isinstance(event, Begin):
            self._next = _Reading(self, self._now)
        elif isinstance(event, Whole):
            self._end_reading()
        else:
            self._take_session(event)

    def catalog(self) -> Catalog:
        """What stands now. The same object as before where nothing changed."""
        now = self._now
        now.settle()
        old = self._catalog
        serial = serial_of(now.replies.zxid)
        problems = now.problems
        if (
            now.services is not old.services
            or problems is not old.problems
            or (serial, self._complete, self._stale_since) != (old.serial, old.complete, old.stale_since)
        ):
            self._catalog = Catalog(now.services, problems, serial, self._complete, self._stale_since)
        return self._catalog

    # --- readings ---------------------------------------------------------------------------------

    def _end_reading(self) -> None:
        done, self._next = self._next, None
        refused = done.replies.root.unreadable if done is not None else None
        self._refused = refused is not None
        if refused is not None:
            # Nothing was read, which is no sign that nothing is there: the old reading stands.
            self._now.apply(Unreadable(self.root, refused))
            return
        if done is not None:
            done.settle()
            done.take_over(self._now)
            self._now = done
        self._complete = True
        self._behind = False
        self._tell_age(None)

    def _take_session(self, event: Session) -> None:
        self._connected = event.connected
        if not event.connected:
            self._behind = True
        self._tell_age(event.at)

    def _tell_age(self, at: float | None) -> None:
        if self._connected and not self._behind:
            self._stale_since = None
        elif not self._connected and self._stale_since is None:
            self._stale_since = at

    # --- what a node means --------------------------------------------------------------------------

    def _counts(self, event: Children | Data | Unreadable) -> bool:
        """Whether the path can have a part in the Catalog (and so in its serial)."""
        names = self._now.replies.names(event.path)
        if names is None or (names and self.root == "/" and names[0] in NOT_SERVICES):
            return False
        if len(names) == 2 and isinstance(event, Children):
            return names[1] in self._folders
        return len(names) < DEPTH or (len(names) == DEPTH and names[1] in self._folders)

    def read(self, names: tuple[str, ...], node: Znode, event: Data) -> Any:
        """The settings of a service, an Instance, a Problem, or None for what is none of these."""
        if self._next is not None and (known := self._known(names, event)) is not None:
            return known
        if len(names) == 1:
            settings, wrong, inherits = formats.settings(self.format, event.data)
            if settings == DEFAULTS and not wrong and inherits is None:
                return None
            return settings, tuple(Problem(event.path, error.what, error.cure) for error in wrong), inherits
        name = node.name
        payload = formats.Node(name, event.data)
        if len(names) == 2 and name in self._quiet and not (self.format == "auto" and payload.object):
            return None
        try:
            registration = self._parse(payload)
        except BadData as error:
            return Problem(event.path, error.what, error.cure)
        stat = event.stat
        return Instance(
            name,
            fold(name),
            event.path,
            registration,
            stat.ctime,
            stat.ephemeral,
            weight=registration.weight,
        )

    def _known(self, names: tuple[str, ...], event: Data) -> Any:
        """What the reading in force made of the very same data, None where it had other."""
        stat = event.stat
        old = self._now.replies.find(names)
        if (
            old is None
            or (old.czxid, old.mzxid) != (stat.czxid, stat.mzxid)
            or old.digest != hash(event.data)
        ):
            return None
        value = old.value
        if isinstance(value, Instance) and (value.since, value.ephemeral) != (stat.ctime, stat.ephemeral):
            return None
        return value


class _Reading:
    """One reading of everything: the znodes, and what was made of them so far. `before`: the one in
    force while this one is folded, whose services go on as the same objects where they are equal."""

    def __init__(self, tree: Tree, before: _Reading | None) -> None:
        self._folders = tree._folders
        self._root = tree.root
        self._prefix = tree.root.rstrip("/") + "/"
        self._before = before
        self._dirty: set[str] = set()
        self._wrong: dict[str, tuple[Problem, ...]] = {}
        self.replies = Replies(tree.root, DEPTH, tree.read)
        self.services: Mapping[str, Service] = {}
        self.problems: tuple[Problem, ...] = ()
        self._building: dict[str, Service] | None = None
        self._told = True

    def apply(self, event: Children | Data | Unreadable) -> None:
        changed = self.replies.apply(event)
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

    def take_over(self, before: _Reading) -> None:
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
        return Service(name, fold(name), path, settings, found), tuple(problems)

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
    labels = settle(by_id)
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


def tell_collisions(paths: Mapping[str, str], labels: Mapping[str, str], word: str) -> Iterator[Problem]:
    """A Problem for each name that shares its label with another. `paths`: by name."""
    for label, names in colliding(paths).items():
        for name in names:
            others = ", ".join(other for other in names if other != name)
            what = f"its {word} folds to the label {label}, as {others} does; it is served as {labels[name]}"
            yield Problem(paths[name], what, f"choose {word}s that differ in more than case and punctuation")
