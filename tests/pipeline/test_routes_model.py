"""Routes, views, overrides and time, changed step by step: always what a slow model of it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import Any

import dns.edns
import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.route_model import Data, Model, One, Shares
from support.scenario import START, World
from zkdns.dns import ede, names
from zkdns.dns.types import A

NAMES = ("web", "api", "db", "new")
"""`new` is registered nowhere, and made by what is laid over it."""
IDS = ("a", "b", "c")
MAX_CYCLE = 10_000
SOA = b"\0\6"

targets = st.sampled_from(
    [*NAMES, "nope", *(f"{name}@{r}" for name in NAMES[:2] for r in ("here", "there", "nowhere")), "blue.web",
     "blue.web@there"]
)  # fmt: skip
tiers = st.lists(st.dictionaries(targets, st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=3)
routes = st.fixed_dictionaries(
    {"to": tiers},
    optional={
        "spill": st.sampled_from([0, 0.25, 0.5, 0.7, 1]),
        "over": st.sampled_from([10, 100, 777]),
        "from": tiers,
    },
)
registries, registered, ids = map(st.sampled_from, (["here", "there"], NAMES[:3], IDS))
instances = st.builds(
    Data, st.just(""), st.integers(0, 3), st.sampled_from([0, 0, 0, 1]), st.sampled_from([True, True, False]),
    st.sampled_from(["", "blue"]),
)  # fmt: skip
lasting = st.sampled_from([None, 5, 50, 500])
steps = st.one_of(
    st.tuples(st.just("put"), registries, registered, ids, instances),
    st.tuples(st.just("remove"), registries, registered, ids),
    st.tuples(st.just("node"), registered, st.none() | routes),
    st.tuples(st.just("lay"), st.sampled_from(NAMES), st.none() | routes, lasting),
    st.tuples(st.just("drain"), st.sampled_from(NAMES[:2]), ids, st.booleans()),
    st.tuples(st.just("clock"), st.sampled_from([0.5, 3, 40, 600])),
)  # fmt: skip


class Both:
    """The world and the model, told the same."""

    def __init__(self, failover: tuple[str, ...]) -> None:
        self.world = World()
        self.world.do_registries("here there")
        if failover:
            self.world.do_set(f"failover {json.dumps(failover)}")
        self.model = Model(("here", "there"), failover, now=START)
        self.texts: list[str] = []

    def put(self, registry: str, name: str, id: str, data: Data) -> None:
        number = NAMES.index(name) * 10 + IDS.index(id)
        data.address = f"10.{1 if registry == 'here' else 2}.0.{number}"
        self.model.held.setdefault((registry, name), {})[id] = data
        self._list(registry, name)
        fields: dict[str, Any] = {"address": data.address, "port": 80, "weight": data.weight}
        fields |= {"priority": data.priority, "status": "up" if data.up else "down"}
        fields |= {"tags": [data.tag]} if data.tag else {}
        self.world.do_data(f"{registry}:/services/{name}/{id} {json.dumps(fields)}")

    def remove(self, registry: str, name: str, id: str) -> None:
        held = self.model.held.get((registry, name))
        if held is not None and held.pop(id, None) is not None:
            self._list(registry, name)

    def _list(self, registry: str, name: str) -> None:
        held = self.model.held
        self.world.do_list(f"{registry}:/services {' '.join(n for r, n in held if r == registry)}")
        self.world.do_list(f"{registry}:/services/{name} {' '.join(held[registry, name])}")

    def node(self, name: str, route: dict[str, Any] | None) -> None:
        if ("here", name) not in self.model.held:
            self.model.held["here", name] = {}
            self._list("here", name)
        self.world.do_data(f"here:/services/{name} {json.dumps(route or {})}")
        self.model.nodes.pop(name, None)
        if route is not None:
            self.model.nodes[name] = route, self.world.now

    def lay(self, name: str, route: dict[str, Any] | None, lasts: float | None) -> None:
        laid = self.model.laid
        laid.pop(name, None)
        if route is not None:
            until = {"until": self.world.now + lasts} if lasts is not None else {}
            laid[name] = {**route, **until}, self.world.now
        self._overrides(name)
        if route is not None:
            self.world.do_data(f"here:/zkdns/overrides/{name} {json.dumps(laid[name][0])}")

    def _overrides(self, name: str) -> None:
        drained = self.model.drained
        every = sorted({*self.model.laid, *(n for n, _ in drained)})
        self.world.do_list(f"here:/zkdns/overrides {' '.join(every)}")
        if name in every:
            if name not in self.model.laid:
                self.world.do_data(f"here:/zkdns/overrides/{name}")
            self.world.do_list(f"here:/zkdns/overrides/{name} {' '.join(i for n, i in drained if n == name)}")

    def drain(self, name: str, id: str, is_drained: bool) -> None:
        (self.model.drained.add if is_drained else self.model.drained.discard)((name, id))
        self._overrides(name)
        if is_drained:
            self.world.do_data(f'here:/zkdns/overrides/{name}/{id} {{"drain": true}}')

    def afresh(self) -> Both:
        """Another replica, that reads all of it now."""
        model = self.model
        other = Both(model.failover)
        other.model, world = model, other.world
        for (registry, name), held in model.held.items():
            other._list(registry, name)
            for id, data in held.items():
                other.put(registry, name, id, data)
        written = [(at, f"here:/services/{name}", route) for name, (route, at) in model.nodes.items()]
        written += [(at, f"here:/zkdns/overrides/{name}", route) for name, (route, at) in model.laid.items()]
        for name in {*model.laid, *(n for n, _ in model.drained)}:
            other._overrides(name)
        for name, id in model.drained:
            other.drain(name, id, True)
        for at, path, route in sorted(written, key=lambda one: one[:2]):
            world.now = at
            world.do_data(f"{path} {json.dumps(route)}")
        world.now = model.now
        world.publish()
        return other

    def clock(self, seconds: float) -> None:
        self.world.do_clock(str(self.world.now - START + seconds))
        self.model.now = self.world.now

    def take(self, step: tuple[Any, ...]) -> None:
        what, *rest = step
        do: Callable[..., None] = getattr(self, what)
        do(*rest)


def ask(world: World, name: str, rtype: str) -> dns.message.Message:
    query = dns.message.make_query(f"{name}.svc.local", rtype, use_edns=0, payload=65_535)
    reply = world._reply(query.to_wire(), 65_535)
    assert reply is not None
    return dns.message.from_wire(reply, one_rr_per_rrset=True)


def first_places(world: World, name: str) -> tuple[Counter[str], int]:
    """By address, how often each stands first in a whole cycle; and how long that is."""
    key = names.wire(f"{name}.svc.local") + A.to_bytes(2, "big")
    entry = world.table.entries[key]
    cycle = len(entry.tiers[0].rotation.sequence)
    counts: Counter[str] = Counter()
    for member, n in entry.tiers[0].rotation.firsts(0, cycle).items():
        record = entry.tiers[0].records[member]
        counts[".".join(map(str, record[-4:]))] += n
    return counts, cycle


def compare(world: World, model: Model) -> None:
    for name in NAMES:
        told = model.told(name)
        reply, srv = ask(world, name, "A"), ask(world, name, "SRV")
        assert (reply.rcode() == 0) == told.exists, name
        texts = [o.text for o in reply.options if isinstance(o, dns.edns.EDEOption)]
        assert bool(reply.answer) == bool(told.first), name
        assert bool(srv.answer) == bool(told.levels), name
        if not told.first:
            continue
        assert texts == ([ede.about(name, told.note)[: ede.MAX_TEXT_BYTES]] if told.note else []), name
        by_address: dict[str, Fraction] = {}
        for one, share in told.first.items():
            address = model.data(one).address
            by_address[address] = by_address.get(address, Fraction(0)) + share
        assert {r[0].to_text() for r in reply.answer} <= by_address.keys()
        counts, cycle = first_places(world, name)
        exact = lcm(*(share.denominator for share in told.first.values())) <= MAX_CYCLE
        for address, share in by_address.items():
            given = Fraction(counts[address], cycle)
            assert given == share if exact else abs(given - share) <= Fraction(2, MAX_CYCLE), (name, address)
        compare_srv(srv, model, told.levels, name)


def compare_srv(srv: dns.message.Message, model: Model, levels: list[Shares], name: str) -> None:
    """The instances of every level, by their own names, with weights in proportion to their shares."""
    found: dict[int, dict[str, int]] = {}
    for rrset in srv.answer:
        rdata = rrset[0]
        label = rdata.target.to_text()
        known = found.setdefault(rdata.priority, {})
        known[label] = known.get(label, 0) + rdata.weight
    seen: set[str] = set()
    expected: list[dict[str, Fraction]] = []
    for level in levels:
        labels: dict[str, Fraction] = {}
        for one, share in level.items():
            labels[owner(model, one)] = labels.get(owner(model, one), Fraction(0)) + share
        expected.append(labels)
        seen |= labels.keys()
    assert {label for level in found.values() for label in level} == seen, name
    if model.route(name) is None:  # its own priorities, whatever they are
        found = {rank: found[priority] for rank, priority in enumerate(sorted(found))}
    assert sorted(found) == list(range(len(levels))), name
    for priority, labels in enumerate(expected):
        total = sum(found[priority].values())
        for label, share in labels.items():
            weight = Fraction(found[priority].get(label, 0), total) if total else Fraction(1, len(labels))
            assert abs(weight - share) <= Fraction(2, MAX_CYCLE), (name, priority, label)


def owner(model: Model, one: One) -> str:
    return f"{model.label(one)}.{one.service}.svc.local."


def table(world: World) -> dict[bytes, Any]:
    """What is given under each name and type, in which turns; and what each name says of itself."""
    world.publish()
    entries = {
        key: [(t.records, tuple(t.rotation.sequence), tuple(t.rotation.orders)) for t in entry.tiers]
        for key, entry in world.table.entries.items()
        if not key.endswith(SOA)  # the serial counts writes
    }
    return {**entries, **{owner: (known.ede, known.zone) for owner, known in world.table.names.items()}}


@settings(max_examples=examples(50))
@given(st.sampled_from([(), ("there",)]), st.lists(steps, min_size=1, max_size=14))
def test_whatever_changes_names_give_what_the_model_says_and_so_does_a_replica_that_starts_now(
    failover: tuple[str, ...], found: list[tuple[Any, ...]]
) -> None:
    both = Both(failover)
    for id in IDS:
        both.put("here", "web", id, Data("", IDS.index(id) + 1))
        both.put("there", "web", id, Data("", 1))
        both.put("there", "api", id, Data("", 2))
    both.put("here", "db", "a", Data(""))
    compare(both.world, both.model)
    for step in found:
        both.take(step)
        compare(both.world, both.model)
    assert table(both.world) == table(both.afresh().world)
