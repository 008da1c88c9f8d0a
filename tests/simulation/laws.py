"""What must be true, said once: at any moment (`check`), and once nothing is on its way (`quiet`).

Rules: what should be is said in `view`; here it is held to what is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from simulation.replica import Replica
from simulation.view import ASKED, HERE, THERE, View
from zkdns.dns.types import NXDOMAIN, SERVFAIL
from zkdns.health.consensus import assign
from zkdns.model import SERVING, Override, State
from zkdns.roots import HEALTH, SERVERS

if TYPE_CHECKING:
    from simulation.machine import Machine

MAX_ANSWERS = 8


def check(world: Machine) -> None:
    """At any moment: no answer holds what was never registered, nothing broke, and what is out of reach
    stands still and says so."""
    for replica in world.replicas:
        pipeline = replica.pipeline
        assert not pipeline.wall.errors, f"{replica.id}: an error of ours: {pipeline.problems}"
        for name, service in pipeline.services.items():
            if replica.looked_at.get(name) is service:
                continue  # of what was ever registered nothing is taken back
            strange = {a for i in service.instances for a in i.addresses} - world.registered
            assert not strange, f"{replica.id}: {name} holds {strange}, never registered"
            replica.looked_at[name] = service
        for name, link in replica.links.items():
            if link.held is None:
                continue
            if link.registry.stale_since is None:
                assert link.is_connected, f"{replica.id}: {name} is out of reach, and not said to be"
                link.held = None
            else:
                now = link.told().services
                moved = now is not link.held and dict(now) != dict(link.held)
                assert not moved, f"{replica.id}: {name} is out of reach, and moves"
    if world.own in world.cut_at or world.ill_while_away:
        _stays_out(world)


def _stays_out(world: Machine) -> None:
    """What all replicas know to be ill while they can tell each other nothing stays out when they can again:
    what one of them said before is no reason to give it."""
    ill = set.intersection(*(replica.proved_ill() for replica in world.replicas))
    living = {replica.id for replica in world.replicas}
    for path, node in world.ensembles[world.own].tree.nodes.items():
        id = path.removeprefix(f"{HEALTH}/")
        if id != path and id not in living:
            ill = {path for path in ill if path.encode() not in node.data}
    world.ill_while_away = ill if world.own in world.cut_at else world.ill_while_away & ill
    for replica in world.replicas if world.ill_while_away else ():
        given = {path for path, state in states(replica).items() if state in SERVING}
        wrong = given & world.ill_while_away
        assert not wrong, f"{replica.id} gives {sorted(wrong)}, that it and all others know to be ill"


def states(replica: Replica) -> dict[str, State]:
    """How all that is registered stands, by path."""
    return {i.path: i.state for service in replica.pipeline.services.values() for i in service.instances}


def orders(replica: Replica) -> dict[str, Override | None]:
    """What operators ordered for each, by path."""
    named = replica.pipeline.services.items()
    override_of = replica.pipeline._health.override_of
    return {i.path: override_of(name, i.id) for name, service in named for i in service.instances}


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
        _in_force(replica)
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
            age = world.now + replica.ahead - since
            assert age >= world.now - cut, f"{replica.id}: {name} is as old as {age}, and not older"


def _in_force(replica: Replica) -> None:
    """No change that came is still said to be on its way to the answers."""
    latency = replica.pipeline._latency
    stations = {"shown": latency.shown, "due": latency.due, "judged": latency.judged}
    for name, link in replica.links.items():
        stations[f"ordered at {name}"] = link.registry.ordered
        if (tree := link.registry.tree) is not None:
            stations |= {f"heard of {name}": tree.passage.heard, f"made of {name}": tree.passage.made}
    waiting = {name: station.came for name, station in stations.items() if station.came}
    assert not waiting, f"{replica.id}: these changes are not in force: {waiting}"


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
        view.key_of(i)
        for name in ASKED
        if view.check_of(name)
        for i in view.merged(name).values()
        if i.address
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
        places = map(topology.place_of, (HERE, THERE)) if topology.networks else (None, None)
        found = [str(place) if place else "" for place in places]
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
            ages = [view.now - (replica.links[r].registry.stale_since or view.now) for r in away]
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
