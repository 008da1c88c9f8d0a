"""What one replica should make of the trees that it knows: who is in, and what each name gives.

Rules: an oracle of its own. It reads the trees and nothing of ours: it knows no mirror, merge or route book.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from simulation.ensemble import Tree
from simulation.replica import Replica
from zkdns.model import serial_of
from zkdns.roots import HEALTH, OVERRIDES, SERVERS, TOPOLOGY

if TYPE_CHECKING:
    from simulation.machine import Machine

ROOT = "/services"
ASKED = ("web", "db", "front")
HERE, THERE = "192.0.2.1", "198.51.100.1"
"""Clients, each in the network of a zone."""


class Registered(NamedTuple):
    """One node of an instance. `address`: "" where the node can't be read."""

    path: str
    registry: str
    address: str
    up: bool
    zone: str


UNSAID = object()
Says = TypeVar("Says", bound=Callable[..., Any])


def _once(method: Says) -> Says:
    """It is one moment that a View tells of: what it said once is so."""

    @wraps(method)
    def known(self: View, *asked: str) -> Any:
        said = self.said.get((method, asked), UNSAID)
        if said is UNSAID:
            said = self.said[method, asked] = method(self, *asked)
        return said

    return known  # type: ignore[return-value]


class View:
    """What one replica should make of the trees that it knows."""

    def __init__(self, world: Machine, replica: Replica) -> None:
        self.said: dict[object, Any] = {}
        self.now = world.now + replica.ahead
        self.failover = world.failover
        self.trees: dict[str, Tree | None] = {}
        for name, link in replica.links.items():
            known = link.registry.is_known
            self.trees[name] = (
                (world.seen[name] if known else None) if name in world.cut_at else world.ensembles[name].tree
            )
        self.first = next(iter(self.trees))
        own = self.trees[self.first]
        self.is_own_away = self.first in world.cut_at
        self.is_own_read = replica.own.registry.is_whole
        self.own = own.nodes if own is not None else {}
        self.live = {path.rpartition("/")[2] for path in self.own if path.startswith(f"{SERVERS}/")} | {
            replica.id
        }
        self.ballots = {
            path.rpartition("/")[2]: _votes(node.data)
            for path, node in self.own.items()
            if path.startswith(f"{HEALTH}/")
        }

    def serial_of(self, name: str) -> int:
        tree = self.trees[name]
        roots = (ROOT, OVERRIDES, HEALTH) if name == self.first else (ROOT,)
        return serial_of(largest_zxid(tree, roots)) if tree is not None else 0

    # --- what is registered -----------------------------------------------------------------------

    def key_of(self, one: Registered, *, in_view: bool = False) -> str:
        """By what its check is known, its own or that in its registry's view: the same path may stand in
        several registries."""
        path = f"{one.registry}:{one.path}" if in_view else one.path
        return f"{one.registry}@{path}" if len(self.trees) > 1 else path

    @_once
    def held(self, name: str, registry: str) -> dict[str, Registered]:
        """What one registry holds of a service, by id."""
        found: dict[str, Registered] = {}
        base, tree = f"{ROOT}/{name}", self.trees.get(registry)
        if tree is None:
            return found
        for id in tree.names.get(base, ()):
            path = f"{base}/{id}"
            said = _json(tree.nodes[path].data)
            if isinstance(said, dict):
                up = said.get("status", "up") == "up"
                found[id] = Registered(path, registry, said["address"], up, said["zone"])
            else:
                found[id] = Registered(path, registry, "", False, "")
        return found

    @_once
    def merged(self, name: str) -> dict[str, Registered]:
        """What the service itself has: of all registries, the first that names an id; with failover, of the
        first alone."""
        found: dict[str, Registered] = {}
        for registry in self.trees:
            if not (self.failover and registry != self.first):
                found = self.held(name, registry) | found
        return found

    @_once
    def settings(self, name: str, registry: str = "") -> dict[str, Any]:
        """What the first registry says that says anything, or this one."""
        for one in [*([registry] if registry else []), *self.trees]:
            tree = self.trees[one]
            node = tree.nodes.get(f"{ROOT}/{name}") if tree is not None else None
            said = _json(node.data) if node is not None else None
            if isinstance(said, dict) and said:
                return said
        return {}

    @_once
    def check_of(self, name: str, registry: str = "") -> bool:
        return "check" in self.settings(name, registry)

    @_once
    def exists(self, name: str) -> bool:
        trees = [tree for tree in self.trees.values() if tree is not None]
        laid = self._laid(name)
        is_laid = laid is not None and self._lasts(laid[0])
        return is_laid or any(f"{ROOT}/{name}" in tree.nodes for tree in trees)

    def _lasts(self, said: dict[str, Any]) -> bool:
        return (said.get("until") or self.now + 1) > self.now

    # --- who is in --------------------------------------------------------------------------------

    def serving(self, name: str, registry: str = "") -> set[str]:
        """The addresses of the service's own instances, or of those of one registry, that are in."""
        return {i.address for i in self._serving(name, registry)}

    @_once
    def _serving(self, name: str, registry: str = "") -> Collection[Registered]:
        """The same with all that was registered."""
        found = []
        own = not registry or (self.failover and registry == self.first)
        held = self.merged(name) if own else self.held(name, registry)
        base = self.merged(name)
        for id, i in held.items():
            same = base.get(id)
            drained = self._drained(name, id) and (own or same is None or same.registry == registry)
            key = self.key_of(i, in_view=not own)
            fails = self.check_of(name, "" if own else registry) and self._fails(key)
            if i.up and not drained and not fails:
                found.append(i)
        return found

    def _drained(self, name: str, id: str) -> bool:
        node = self.own.get(f"{OVERRIDES}/{name}/{id}")
        return node is not None and self._lasts(_json(node.data))

    def _fails(self, path: str) -> bool:
        """Whether more of those who are here say so than not."""
        votes = [ballot[path] for id, ballot in self.ballots.items() if id in self.live and path in ballot]
        return votes.count(False) > votes.count(True)

    # --- what a name gives ------------------------------------------------------------------------

    def answer(self, name: str, client: str) -> set[str] | None:
        """What a client gets; None where that is not said here."""
        route = self.route(name)
        settings = self.settings(name)
        is_near = settings.get("near") == "prefer"
        if route is not None:
            of, registry = self._alias_of(name, route)
            if of and "near" not in settings:
                # An alias is as near as its service, be that one too. Of a near view nothing is said here.
                if not registry:
                    return self.answer(of, client)
                is_near = self.settings(of, registry).get("near") == "prefer"
            # What is near in a route is said in tests/scenarios/near.txt.
            return None if is_near else self._follow(name, route)
        own = list(self._serving(name))
        if is_near:
            places = self.topology()
            if places is None:
                return None
            zone = places[0 if client == HERE else 1].rpartition("/")[2]
            there = [i for i in self.merged(name).values() if zone and i.zone == zone]
            near = [i for i in own if zone and i.zone == zone]
            if near and 2 * len(near) >= len(there):
                return {i.address for i in near}
        return {i.address for i in own}

    def _alias_of(self, name: str, tiers: list[dict[str, float]]) -> tuple[str, str]:
        """The one service, or registry's view, that a route leads to; "" where it is itself or several."""
        targets = {target for tier in tiers for target in tier}
        service, _, registry = targets.pop().partition("@") if len(targets) == 1 else ("", "", "")
        return (service, registry) if service != name or registry else ("", "")

    def _follow(self, name: str, tiers: list[dict[str, float]]) -> set[str]:
        for tier in tiers:
            found: set[str] = set()
            for target, share in tier.items():
                found |= self._target(name, target) if share else set()
            if found:
                return found
        return set()

    def _target(self, name: str, target: str) -> set[str]:
        service, _, registry = target.partition("@")
        if registry:
            return self.serving(service, registry) if self._has_view(service, registry) else set()
        route = self.route(service) if service != name else None
        if route is not None:
            return self._follow(service, route)
        return self.serving(service)

    def _has_view(self, service: str, registry: str) -> bool:
        tree = self.trees.get(registry)
        return tree is not None and f"{ROOT}/{service}" in tree.nodes

    @_once
    def route(self, name: str) -> list[dict[str, float]] | None:
        """The tiers in force, by what was laid over it, else its node, else failover."""
        laid = self._laid(name)
        if laid is not None and self._lasts(laid[0]):
            tiers: list[dict[str, float]] = laid[0]["to"]
            if (over := laid[0].get("over")) and self.now < laid[1] + over - 1e-6:
                part = max(0, int((self.now - laid[1] + 1e-6) * 100 / over))
                (before,), (after,) = laid[0]["from"], tiers
                parts = [
                    *((t, s * (100 - part)) for t, s in before.items()),
                    *((t, s * part) for t, s in after.items()),
                ]
                return [{t: sum(s for one, s in parts if one == t) for t, _ in parts}]
            return tiers
        if (said := self.settings(name).get("to")) is not None:
            route: list[dict[str, float]] = said
            return route
        behind = [r for r in self.trees if self.failover and r != self.first and self._has_view(name, r)]
        return [{name: 1.0}, *({f"{name}@{r}": 1.0} for r in behind)] if behind else None

    @_once
    def _laid(self, name: str) -> tuple[dict[str, Any], float] | None:
        """What an operator laid over a service, and when."""
        node = self.own.get(f"{OVERRIDES}/{name}")
        said = _json(node.data) if node is not None else None
        return (said, node.mtime) if node is not None and isinstance(said, dict) else None

    @_once
    def registries_of(self, name: str) -> list[str]:
        """Whose age an answer has: all registries' where nobody has the name."""
        found: set[str] = set()
        left, met = [name], {name}
        while left:
            one = left.pop()
            service, _, registry = one.partition("@")
            found |= {r for r in ([registry] if registry else self.trees) if self._has_view(service, r)}
            targets = {t for tier in self.route(one) or () for t in tier} - met
            met |= targets
            left += targets
        return [r for r in self.trees if r in found] if found else [*self.trees]

    @_once
    def topology(self) -> list[str] | None:
        """Where the two clients stand; None where the last good map holds, whichever that was. No state
        directory keeps the map."""
        if not self.is_own_read:
            return None
        node = self.own.get(TOPOLOGY)
        if node is None:
            return ["", ""]
        said = _json(node.data)
        return [said["192.0.2.0/24"], said["198.51.100.0/24"]] if isinstance(said, dict) else None


def largest_zxid(tree: Tree, roots: Iterable[str]) -> int:
    """The largest mzxid or pzxid at and below some roots."""
    those = tuple(f"{root}/" for root in roots)
    nodes = [node for path, node in tree.nodes.items() if f"{path}/".startswith(those)]
    return max((max(node.mzxid, node.pzxid) for node in nodes), default=0)


@lru_cache(4096)  # whoever asks only reads it
def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def _votes(data: bytes) -> Mapping[str, bool]:
    said = _json(data)
    if not isinstance(said, dict):
        return {}
    return dict.fromkeys(said["good"], True) | dict.fromkeys(said["bad"], False)
