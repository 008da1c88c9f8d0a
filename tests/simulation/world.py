"""Replicas over ensembles in memory: the mirrors' real minds, the real Pipeline, a virtual clock.

Rules: a schedule is a list of steps, each a word and some numbers; the same schedule is the same world, to
the byte. A step that makes no sense where it stands does nothing, so that steps may be left out. What must be
true is said in `laws`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import pytest

from simulation import laws
from simulation.ensemble import Ensemble
from simulation.machine import IDS, MAX_REPLICAS, MAX_RETRY_SECONDS, SERVICES, Machine
from simulation.view import ROOT
from zkdns.overrides import is_drained
from zkdns.registry.zk import marks, read_plan, root_reads
from zkdns.roots import HEALTH, OVERRIDES, SERVERS, TOPOLOGY

LONGEST_START = 10.0
"""Seconds after which each that began answers, if it can."""

SETTINGS: tuple[dict[str, object], ...] = (
    {"ttl": 1},
    {"ttl": 2},
    {},
    {"hold": 2},
    {"check": {"type": "tcp", "rise": 1, "fall": 1}},
    {"check": {"type": "tcp", "rise": 1, "fall": 2}, "hold": 2},
    {"near": "prefer"},
)
ROUTES: tuple[tuple[dict[str, int], ...], ...] = (
    ({"web": 1},),
    ({"web": 1, "db": 2},),
    ({"db": 0, "web": 1}, {"db": 1}),
    ({"web@r2": 1}, {"web": 1}),
    ({"db@r1": 1, "db@r2": 1},),
    ({"nobody": 1}, {"db": 1}),
)
LAID: tuple[dict[str, object], ...] = (
    {"to": [{"db": 1}]},
    {"to": [{"web": 1}, {"db": 1}]},
    {"to": [{"db": 1}], "from": [{"web": 1}], "over": 20},
    {"to": [{"web@r2": 1}, {"web": 1}]},
)
CLOCKS = (-10_800.0, -15.0, 15.0, 10_800.0)
"""By how many seconds somebody sets a clock. Whole ones, so that no time is rounded."""

MAPS = (
    b'{"192.0.2.0/24": "r/z1", "198.51.100.0/24": "r/z2"}',
    b'{"192.0.2.0/24": "r/z2", "198.51.100.0/24": "r/z2"}',
    b"no map",
)


class Step(NamedTuple):
    """`what`: a method of World."""

    what: str
    args: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.what}({', '.join(map(str, self.args))})"


Schedule = list[Step]


class Broken(AssertionError):
    """A law that does not hold, and the step after which."""


@contextmanager
def long_lists() -> Iterator[None]:
    """A list of two names is a long one, and read as one of thousands is."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (marks, read_plan, root_reads):
            patch.setattr(module, "SHORT", 1)
        patch.setattr(read_plan, "TOGETHER", 0)
        yield


class World(Machine):
    """All that can happen in it, each a step."""

    def run(self, steps: Schedule) -> None:
        """A first step `shape` says of what kind the world is."""
        shape = steps[0].args if steps and steps[0].what == "shape" else (0, 2)
        self._build(*shape[:3])
        with long_lists() if any(shape[3:]) else nullcontext():
            for at, step in enumerate(steps):
                try:
                    getattr(self, step.what)(*step.args)
                    laws.check(self)
                except Exception as error:
                    what = str(error) if isinstance(error, AssertionError) else repr(error)
                    raise Broken(f"step {at}, {step}: {what}") from error

    # --- steps: what is registered ----------------------------------------------------------------

    def shape(self, which: int, replicas: int, is_asked: int = 1, are_long: int = 0) -> None:
        """One registry, several, or one that stands behind, so many replicas, whether anybody asks them, and
        whether a list of two names is a long one; `run` sees to it."""

    def register(self, at: int, service: int, id: int, what: int) -> None:
        ensemble, name = self._ensemble(at)
        path = f"{ROOT}/{SERVICES[service]}/{IDS[id]}"
        data = self._payload(self._names.index(name), service, id, what)
        if path in ensemble.tree.nodes:
            ensemble.set(path, data)
        else:
            ensemble.create(path, data, self._clients[name][id])

    def _payload(self, at: int, service: int, id: int, what: int) -> bytes:
        if what == 0:
            return b"nonsense"
        address = f"10.{2 * at + service}.{id}.{what}"
        self.registered.add(address)
        status = "draining" if what == 1 else "up"
        zone = f"z{1 + id % 2}"
        return json.dumps({"address": address, "port": 80, "status": status, "zone": zone}).encode()

    def deregister(self, at: int, service: int, id: int) -> None:
        self._ensemble(at)[0].delete(f"{ROOT}/{SERVICES[service]}/{IDS[id]}")

    def fold(self, at: int, service: int) -> None:
        self._ensemble(at)[0].delete(f"{ROOT}/{SERVICES[service]}")

    def configure(self, at: int, service: int, what: int) -> None:
        self._write(self._ensemble(at)[0], f"{ROOT}/{SERVICES[service]}", SETTINGS[what])

    def point(self, at: int, which: int) -> None:
        """A name that stands for others."""
        ensemble = self._ensemble(at)[0]
        if which < len(ROUTES):
            self._write(ensemble, f"{ROOT}/front", {"to": ROUTES[which]})
        else:
            ensemble.delete(f"{ROOT}/front")

    def raze(self, at: int, again: int) -> None:
        """The root is removed, and made again or not."""
        ensemble = self._ensemble(at)[0]
        ensemble.delete(ROOT)
        if again:
            ensemble.create(ROOT)

    def expire(self, at: int, which: int) -> None:
        ensemble, name = self._ensemble(at)
        ensemble.expire(self._clients[name][which])
        self._clients[name][which] = ensemble.session()

    def _write(self, ensemble: Ensemble, path: str, said: object) -> None:
        ensemble.create(path)
        ensemble.set(path, json.dumps(said).encode())

    # --- steps: what operators say ------------------------------------------------------------------

    def drain(self, service: int, id: int, on: int) -> None:
        """For good, for some seconds, or not any more."""
        path = f"{OVERRIDES}/{SERVICES[service]}/{IDS[id]}"
        ensemble = self.ensembles[self.own]
        if on:
            until = {"until": self.now + 10 * on} if on > 1 else {}
            self._write(ensemble, path, {"drain": True, **until})
        else:
            ensemble.delete(path)

    def lay(self, which: int, seconds: int) -> None:
        """A route over a service, for good or for some seconds, or none any more."""
        path = f"{OVERRIDES}/web"
        ensemble = self.ensembles[self.own]
        if which < len(LAID):
            until = {"until": self.now + seconds} if seconds else {}
            self._write(ensemble, path, {**LAID[which], **until})
        elif path in ensemble.tree.nodes:
            ensemble.set(path, b"")

    def draw_map(self, which: int) -> None:
        ensemble = self.ensembles[self.own]
        if which < len(MAPS):
            ensemble.create(TOPOLOGY)
            ensemble.set(TOPOLOGY, MAPS[which])
        else:
            ensemble.delete(TOPOLOGY)

    # --- steps: who is well ---------------------------------------------------------------------------

    def sicken(self, at: int, service: int, id: int, whose: int) -> None:
        """What is registered there is ill from now on for the replicas of these slots, or for none."""
        node = self._ensemble(at)[0].tree.nodes.get(f"{ROOT}/{SERVICES[service]}/{IDS[id]}")
        if node is not None and node.data.startswith(b"{"):
            self._ill[json.loads(node.data)["address"]] = whose

    def probe(self, which: int, at: int, times: int) -> None:
        replica = self._replica(which)
        targets = sorted(replica.targets)
        for _ in range(times if targets else 0):
            one = replica.targets.get(targets[at % len(targets)])
            if one is not None:
                replica.probed(one.target, self.is_well(replica, one.target.address), self.now)
                replica.pump(self.now)

    def begin_probe(self, which: int, at: int, good: int) -> None:
        """One that ends later, and like this, when its target may be no more, or another."""
        replica = self._replica(which)
        if targets := sorted(replica.targets):
            target = replica.targets[targets[at % len(targets)]].target
            replica.late.append((target, bool(good)))

    def end_probe(self, which: int) -> None:
        replica = self._replica(which)
        if not replica.late:
            return
        target, good = replica.late.pop(0)
        replica.pump(self.now)
        before = laws.states(replica)
        probing = replica.targets.get(target.path)
        replica.probed(target, good, self.now)
        replica.pump(self.now)
        # A suspect goes by such a verdict: whose it was is asked before.
        if probing is None or probing.target != target:
            assert laws.states(replica) == before, f"{replica.id} takes a verdict on {target}, who is gone"

    def haunt(self, ghost: int, on: int) -> None:
        """A replica that is only a node."""
        path = f"{SERVERS}/g{ghost}"
        ensemble = self.ensembles[self.own]
        ensemble.create(path, b"{}") if on else ensemble.delete(path)

    def vote(self, ghost: int, service: int, id: int, how: int) -> None:
        """The ballot of one: good, bad or nothing of an instance, what can't be read, or none any more."""
        path, votes = f"{HEALTH}/g{ghost}", self._ballots[ghost]
        instance = f"{ROOT}/{SERVICES[service]}/{IDS[id]}"
        votes.pop(instance, None)
        if how < 2:
            votes[instance] = bool(how)
        ensemble = self.ensembles[self.own]
        if how == 4:
            ensemble.delete(path)
            return
        bad = dict.fromkeys((p for p, good in votes.items() if not good), "says a ghost")
        ensemble.create(path)
        good = [p for p, is_good in votes.items() if is_good]
        ensemble.set(path, b"\0\1" if how == 3 else json.dumps({"good": good, "bad": bad}).encode())

    # --- steps: what replicas do --------------------------------------------------------------------

    def expire_replica(self, which: int, at: int) -> None:
        link = self._link(which, at)
        link.lose(self.now)
        link.ensemble.expire(link.session)
        link.session = link.ensemble.session()
        self._replica(which).pump(self.now)

    def restart(self, which: int, how: int) -> None:
        """Another process in its place, by bits of `how`: with one-shot watches, from the state directory;
        the one before is killed, and its session lives on for a while."""
        replica = self._replica(which)
        at = self.replicas.index(replica)
        self._end(replica, is_killed=bool(how & 4))
        fresh = self.replicas[at] = self._begin(replica.slot, bool(how & 1))
        if how & 2:
            fresh.recall(self._disks[fresh.slot], self.now)
        fresh.pump(self.now)

    def overlap(self, which: int) -> None:
        """A restart by overlap: the next one begins while this one answers on."""
        if len(self.replicas) < MAX_REPLICAS:
            fresh = self._begin(self._replica(which).slot)
            self.replicas.append(fresh)
            fresh.pump(self.now)

    def leave(self) -> None:
        """Where two overlap, the older one ends."""
        for at, replica in enumerate(self.replicas):
            later = [r for r in self.replicas[at + 1 :] if r.slot == replica.slot]
            if later and not later[0].pipeline.is_loading:
                del self.replicas[at]
                self._end(replica, is_killed=False)
                return

    def unkeep(self, which: int, what: int) -> None:
        """Somebody deletes a node of ours."""
        root = (SERVERS, HEALTH)[what]
        self.ensembles[self.own].delete(f"{root}/{self._replica(which).id}")

    def set_clock(self, which: int, by: int) -> None:
        """Of the machine of a replica, which had heard all, forward or back: nothing that is waited for there
        ends by that, but what an operator gave an end."""
        slot = self._replica(which).slot
        there = [replica for replica in self.replicas if replica.slot == slot]
        self._drain(there)
        self._ahead[slot] += CLOCKS[by]
        self._disks[slot].clear()  # how old that is nobody can say now
        for replica in there:
            before, orders = laws.states(replica), laws.orders(replica)
            times = [self.now + replica.ahead]
            replica.set_clock(CLOCKS[by], self.now)
            replica.pump(self.now)
            after = laws.states(replica)
            times.append(self.now + replica.ahead)
            moved = [path for path, state in before.items() if state is not after.get(path)]
            # What a drain holds for is out, and a suspect is let go by it.
            wrong = [path for path in moved if not any(is_drained(orders[path], at) for at in times)]
            assert not wrong, f"{replica.id}: {wrong} moved with the clock"

    # --- steps: what ensembles do -------------------------------------------------------------------

    def elect(self, at: int) -> None:
        ensemble = self._ensemble(at)[0]
        ensemble.elect()
        for connection in ensemble.connections:
            connection.is_open = False

    def back_up(self, at: int) -> None:
        self._ensemble(at)[0].back_up()

    def restore(self, at: int, which: int) -> None:
        self._ensemble(at)[0].restore(which)

    def apply(self, at: int, member: int, most: int) -> None:
        self._ensemble(at)[0].apply(member, most)

    def cut(self, at: int) -> None:
        """Nobody reaches the ensemble any more, which all had read."""
        ensemble, name = self._ensemble(at)
        if name in self.cut_at or self._is_deaf:
            return
        # One that begins waits for those that are out of reach, and keeps nothing until it answers.
        is_loading = any(replica.pipeline.is_loading for replica in self.replicas)
        self._settle(LONGEST_START if is_loading else MAX_RETRY_SECONDS)
        self.cut_at[name] = self.now
        self.seen[name] = ensemble.tree.copy()
        for replica in self.replicas:
            self._disks[replica.slot] |= replica.save(self.now)
            replica.links[name].lose(self.now)
            replica.pump(self.now)

    def heal(self, at: int, first: int) -> None:
        """One replica is back before the others, by its number from 1 on, or none yet."""
        name = self._ensemble(at)[1]
        if self.cut_at.pop(name, None) is not None and first:
            self._drain([self._replica(first)])

    # --- steps: connections -----------------------------------------------------------------------

    def connect(self, which: int, at: int, member: int) -> None:
        link = self._link(which, at)
        if not link.is_connected and self._ensemble(at)[1] not in self.cut_at:
            link.connect(member, self.now)
            self._replica(which).pump(self.now)

    def drop(self, which: int, at: int) -> None:
        self._link(which, at).lose(self.now)
        self._replica(which).pump(self.now)

    def serve(self, which: int, at: int, most: int) -> None:
        link = self._link(which, at)
        if link.connection is not None and link.is_connected:
            link.ensemble.serve(link.connection, most)

    def deliver(self, which: int, at: int, most: int) -> None:
        self._link(which, at).deliver(most, self.now)
        self._replica(which).pump(self.now)

    def deafen(self, which: int, at: int, most: int) -> None:
        """Watch events get lost: what only the audit finds (ZOOKEEPER-2163 and its like)."""
        link = self._link(which, at)
        if link.connection is not None and not self.cut_at:
            self._is_deaf = link.connection.deafen(most) or self._is_deaf

    def wait(self, tenths: int) -> None:
        self._sleep(self.now + tenths / 10)

    def sync(self) -> None:
        """All that is on its way arrives."""
        self._drain()
