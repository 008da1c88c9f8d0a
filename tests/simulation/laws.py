"""What must be true, said once: at any moment (`check`), and once nothing is on its way (`quiet`).

Rules: an oracle of its own. It reads the trees and nothing of ours: it knows no mirror, merge or route book.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from simulation.ensemble import Tree
from simulation.replica import Replica
from zkdns.dns.types import NXDOMAIN, SERVFAIL
from zkdns.health.consensus import assign
from zkdns.model import State, serial_of
from zkdns.roots import HEALTH, OVERRIDES, SERVERS, TOPOLOGY

if TYPE_CHECKING:
    from simulation.machine import Machine

ROOT = "/services"
ASKED = ("web", "db", "front")
HERE, THERE = "192.0.2.1", "198.51.100.1"
"""Clients, each in the network of a zone."""

MAX_ANSWERS = 8


def check(world: Machine) -> None:
    """At any moment: no answer holds what was never registered, nothing broke, and what is out of reach
    stands still and says so."""
    for replica in world.replicas:
        pipeline = replica.pipeline
        assert not pipeline.faults, f"{replica.id}: an error of ours: {pipeline.problems}"
        for name, service in pipeline.services.items():
            strange = {a for i in service.instances for a in i.addresses} - world.registered
            assert not strange, f"{replica.id}: {name} holds {strange}, never registered"
        for name, link in replica.links.items():
            if link.held is None:
                continue
            if link.registry.stale_since is None:
                assert link.is_connected, f"{replica.id}: {name} is out of reach, and not said to be"
                link.held = None
            else:
                now = link.registry.catalog.services
                moved = now is not link.held and dict(now) != dict(link.held)
                assert not moved, f"{replica.id}: {name} is out of reach, and moves"


def states(replica: Replica) -> dict[str, State]:
    """How all that is registered stands, by path."""
    return {i.path: i.state for service in replica.pipeline.services.values() for i in service.instances}


def quiet(world: Machine) -> None:
    """Once all has arrived and had its time: the answers are what the trees say, and the replicas agree."""
    for replica in world.replicas:
        view = View(world, replica)
        if not any(tree is not None for tree in view.trees.values()):
            assert replica.pipeline.is_loading, f"{replica.id} answers out of nothing"
            if replica.answers_queries:
                assert replica.ask("web", HERE)[0] == SERVFAIL, f"{replica.id} answers out of nothing"
            continue
        assert not replica.pipeline.is_loading, f"{replica.id} is not ready"
        _ages(world, replica)
        serial = sum(view.serial_of(name) for name in view.trees) & 0xFFFFFFFF
        found = replica.pipeline.registries.serial
        assert found == serial, f"{replica.id}: serial {found:#x}, not {serial:#x}"
        _nodes(world, replica)
        if view.is_own_away and any(view.check_of(name) for name in ASKED):
            continue  # who votes on what is known to each alone
        _probes(world, replica, view)
        _states(replica, view)
        if replica.answers_queries:
            _answers(world, replica, view)


def _ages(world: Machine, replica: Replica) -> None:
    for name, link in replica.links.items():
        since, cut = link.registry.stale_since, world.cut_at.get(name)
        if cut is None or not link.registry.is_known:
            assert since is None, f"{replica.id}: {name} is within reach, and stale since {since}"
        else:
            assert since is not None, f"{replica.id}: {name} is out of reach, and fresh"
            assert since <= cut, f"{replica.id}: {name} is as old as {world.now - since}, and not older"


def _nodes(world: Machine, replica: Replica) -> None:
    """Our own nodes stand in our session."""
    if world.own in world.cut_at:
        return
    tree, session = world.ensembles[world.own].tree, replica.own.session
    node = tree.nodes.get(f"{SERVERS}/{replica.id}")
    assert node is not None, f"{replica.id}: it has no node of its own"
    assert node.owner == session, f"{replica.id}: its node is of another session"
    told = json.loads(node.data).get("serial", 0)
    assert told == replica.pipeline.registries.serial, f"{replica.id}: its node tells the serial {told:#x}"


def _probes(world: Machine, replica: Replica, view: View) -> None:
    """Each of our targets has our vote, nothing else has, and what has a check is a target of those whose
    turn it is."""
    if world.own in world.cut_at:
        return
    ballot = dict(view.ballots.get(replica.id, {}))
    expected = {path: world.is_well(replica, one.target.address) for path, one in replica.targets.items()}
    assert ballot == expected, f"{replica.id}: its ballot is {ballot}, not {expected}"
    voters = {id for id in view.live if id in view.ballots} | {replica.id}
    checked = {
        i.path for name in ASKED if view.check_of(name) for i in view.merged(name).values() if i.address
    }
    due = {path for path in checked if replica.id in assign(path, voters)}
    probed = {path for path in replica.targets if ":" not in path}  # the others stand in views
    assert probed == due, f"{replica.id} probes {sorted(probed)}, not {sorted(due)}"


def _states(replica: Replica, view: View) -> None:
    services = replica.pipeline.services
    for name in ASKED:
        assert (name in services) == view.exists(name), f"{replica.id}: {name} there: {name in services}"
        given = (
            {a for i in services[name].instances if i.answered for a in i.addresses}
            if name in services
            else set()
        )
        expected = view.serving(name)
        assert given == expected, f"{replica.id}: {name} has {given}, not {expected}"
    expected_map = view.topology()
    if expected_map is not None:
        topology = replica.pipeline.builder.topology
        found = [str(place) if place else "" for place in map(topology.place_of, (HERE, THERE))]
        assert found == expected_map, f"{replica.id}: clients stand in {found}, not {expected_map}"


def _answers(world: Machine, replica: Replica, view: View) -> None:
    for name in ASKED:
        for client in (HERE, THERE):
            rcode, given, stale = replica.ask(name, client)
            who = f"{replica.id}: {name} from {client}"
            expected = view.answer(name, client)
            route = view.route(name) is not None
            registries = view.registries_of(name)
            unknown = any(view.trees[r] is None for r in registries)
            away = [r for r in registries if r in world.cut_at]
            ages = [world.now - (replica.links[r].registry.stale_since or world.now) for r in away]
            if unknown and not view.exists(name):
                assert rcode == SERVFAIL, f"{who}: rcode {rcode}, though nobody can say"
            elif away and (route or unknown):
                # Of several tiers those count that had to be asked: see tests/scenarios/stale.txt.
                old = {r for r in away if given & world.registered_in(r)}
                assert stale or not old, f"{who}: not stale, though {old} are away"
            elif len(away) == len(registries) and min(ages) > world.stale_max:
                assert rcode == SERVFAIL, f"{who}: rcode {rcode} from what is {min(ages)} s old"
            elif expected is not None:
                assert rcode == (0 if view.exists(name) else NXDOMAIN), f"{who}: rcode {rcode}"
                assert given <= expected, f"{who}: {set(given)}, not {expected}"
                assert len(given) == min(MAX_ANSWERS, len(expected)), f"{who}: {set(given)}, not {expected}"
                assert stale == bool(away), f"{who}: stale {stale}, where {away} are away"


class Registered(NamedTuple):
    """One node of an instance. `address`: "" where the node can't be read."""

    path: str
    registry: str
    address: str
    up: bool
    zone: str


class View:
    """What one replica should make of the trees that it knows."""

    def __init__(self, world: Machine, replica: Replica) -> None:
        self.now = world.now
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

    def merged(self, name: str) -> dict[str, Registered]:
        """What the service itself has: of all registries, the first that names an id; with failover, of the
        first alone."""
        found: dict[str, Registered] = {}
        for registry in self.trees:
            if not (self.failover and registry != self.first):
                found = self.held(name, registry) | found
        return found

    def settings(self, name: str, registry: str = "") -> dict[str, Any]:
        """What the first registry says that says anything, or this one."""
        for one in [*([registry] if registry else []), *self.trees]:
            tree = self.trees[one]
            node = tree.nodes.get(f"{ROOT}/{name}") if tree is not None else None
            said = _json(node.data) if node is not None else None
            if isinstance(said, dict) and said:
                return said
        return {}

    def check_of(self, name: str, registry: str = "") -> bool:
        return "check" in self.settings(name, registry)

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

    def _serving(self, name: str, registry: str = "") -> Iterable[Registered]:
        own = not registry or (self.failover and registry == self.first)
        held = self.merged(name) if own else self.held(name, registry)
        base = self.merged(name)
        for id, i in held.items():
            same = base.get(id)
            drained = self._drained(name, id) and (own or same is None or same.registry == registry)
            path = i.path if own else f"{registry}:{i.path}"
            fails = self.check_of(name, "" if own else registry) and self._fails(path)
            if i.up and not drained and not fails:
                yield i

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
        is_near = self.settings(name).get("near") == "prefer"
        if route is not None:
            # Which zone's weight counts in a route is said in tests/scenarios/routes.txt.
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

    def route(self, name: str) -> list[dict[str, float]] | None:
        """The tiers in force, by what was laid over it, else its node, else failover."""
        laid = self._laid(name)
        if laid is not None and self._lasts(laid[0]):
            tiers: list[dict[str, float]] = laid[0]["to"]
            if (over := laid[0].get("over")) and self.now < laid[1] + over - 1e-6:
                part = int((self.now - laid[1] + 1e-6) * 100 / over)
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

    def _laid(self, name: str) -> tuple[dict[str, Any], float] | None:
        """What an operator laid over a service, and when."""
        node = self.own.get(f"{OVERRIDES}/{name}")
        said = _json(node.data) if node is not None else None
        return (said, node.mtime) if node is not None and isinstance(said, dict) else None

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
    found = 0
    for path, node in tree.nodes.items():
        if any(path == root or path.startswith(f"{root}/") for root in roots):
            found = max(found, node.mzxid, node.pzxid)
    return found


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
