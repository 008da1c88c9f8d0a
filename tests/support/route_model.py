"""What names give, worked out the slow way: no difference, no memory, one plain function for each sentence.

It knows registries, instances, nodes with routes, what is laid and drained, and a time; and nothing of how
the answers are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

Shares = dict["One", Fraction]


class One(NamedTuple):
    """An instance as one service has it: `held` is the registry of a view, "" for all of them together."""

    service: str
    id: str
    registry: str
    held: str


@dataclass
class Data:
    """`weight`, `priority`, `up`, `tag`: of one registered instance. `own`: its registered weight, where an
    operator gave it another."""

    address: str
    weight: int = 1
    priority: int = 0
    up: bool = True
    tag: str = ""
    own: int | None = None

    @property
    def registered(self) -> int:
        return self.weight if self.own is None else self.own


@dataclass
class Pool:
    first: Shares = field(default_factory=dict)
    levels: list[Shares] = field(default_factory=list)
    healthy: int = 0
    registered: int = 0


@dataclass
class Told:
    """What a name gives: for addresses, for SRV by priority, and what it says of it, before that is cut."""

    exists: bool
    first: Shares
    levels: list[Shares]
    note: str = ""


@dataclass
class Model:
    """`held`: by registry and service, its instances by id; `nodes` and `laid`: routes as JSON, by service,
    with the time of writing; `drained`: services and ids."""

    registries: tuple[str, ...]
    failover: tuple[str, ...]
    held: dict[tuple[str, str], dict[str, Data]] = field(default_factory=dict)
    nodes: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)
    laid: dict[str, tuple[dict[str, Any], float]] = field(default_factory=dict)
    drained: set[tuple[str, str]] = field(default_factory=set)
    now: float = 0.0

    # --- who is there -----------------------------------------------------------------------------

    def registered(self, name: str) -> bool:
        return any((registry, name) in self.held for registry in self.registries)

    def exists(self, name: str) -> bool:
        return self.registered(name) or self._laid_now(name) is not None

    def merged(self, name: str) -> dict[str, One]:
        found: dict[str, One] = {}
        for registry in self.registries:
            if registry not in self.failover:
                for id in self.held.get((registry, name), {}):
                    found.setdefault(id, One(name, id, registry, ""))
        return dict(sorted(found.items()))

    def view(self, name: str, registry: str) -> dict[str, One] | None:
        own = self.held.get((registry, name))
        if own is None or registry not in self.registries:
            return None
        return {id: One(name, id, registry, registry) for id in sorted(own)}

    def data(self, one: One) -> Data:
        return self.held[one.registry, one.service][one.id]

    def serves(self, one: One) -> bool:
        if not self.data(one).up:
            return False
        if one.held:
            same = self.merged(one.service).get(one.id)
            means_this = same is None or same.registry == one.registry
            return not (means_this and (one.service, one.id) in self.drained)
        return (one.service, one.id) not in self.drained

    # --- what a name stands for -------------------------------------------------------------------

    def _laid_now(self, name: str) -> tuple[dict[str, Any], float] | None:
        laid = self.laid.get(name)
        return laid if laid is not None and laid[0].get("until", float("inf")) > self.now else None

    def route(self, name: str) -> tuple[list[dict[str, Fraction]], Fraction] | None:
        written = self._laid_now(name) or (self.nodes.get(name) if self.registered(name) else None)
        if written is not None:
            fields, at = written
            return self._moved(fields, at), Fraction(fields.get("spill", 0)).limit_denominator(10_000)
        behind = [r for r in self.failover if self.view(name, r) is not None]
        if not behind:
            return None
        return [{name: Fraction(1)}, *({f"{name}@{r}": Fraction(1)} for r in behind)], Fraction(0)

    def _moved(self, fields: Mapping[str, Any], at: float) -> list[dict[str, Fraction]]:
        to = [{t: Fraction(n) for t, n in tier.items()} for tier in fields["to"]]
        over, start = fields.get("over", 0), fields.get("from")
        if not over or not start or self.now - at >= over:
            return to
        part = Fraction(max(0, int((self.now - at + 1e-6) * 100 / over)), 100)
        moved = []
        for n in range(max(len(to), len(start))):
            tier: dict[str, Fraction] = {}
            for side, weight in ((start, 1 - part), (to, part)):
                shares = side[min(n, len(side) - 1)]
                for target, share in shares.items():
                    total = sum(shares.values())
                    tier.setdefault(target, Fraction(0))
                    tier[target] += Fraction(share) / total * weight if total else 0
            moved.append(tier)
        return moved

    # --- what it gives ----------------------------------------------------------------------------

    def of_group(self, group: Iterable[One]) -> Pool:
        every = list(group)
        healthy = [one for one in every if self.serves(one)]
        pool = Pool()
        for priority in sorted({self.data(one).priority for one in healthy}):
            level = [one for one in healthy if self.data(one).priority == priority]
            total = sum(self.data(one).weight for one in level)
            pool.levels.append(
                {
                    one: Fraction(self.data(one).weight, total) if total else Fraction(1, len(level))
                    for one in level
                }
            )
        pool.first = pool.levels[0] if pool.levels else {}
        pool.healthy = sum(self.data(one).registered for one in healthy)
        pool.registered = sum(self.data(one).registered for one in every)
        if not pool.registered:
            pool.healthy, pool.registered = len(healthy), len(every)
        return pool

    def pool(self, target: str, within: tuple[str, ...]) -> Pool:
        name, _, registry = target.partition("@")
        tag, _, name = name.rpartition(".")
        if not self.exists(name):
            return Pool()
        if not tag and not registry and name != within[-1] and self.route(name) is not None:
            if name in within or len(within) >= 8:
                return Pool()
            return self.composed(name, (*within, name))[0]
        return self.of_group(self.group(tag, name, registry))

    def group(self, tag: str, name: str, registry: str) -> list[One]:
        found = self.view(name, registry) if registry else self.merged(name)
        return [one for one in (found or {}).values() if not tag or self.data(one).tag == tag]

    def composed(
        self, name: str, within: tuple[str, ...]
    ) -> tuple[Pool, list[Fraction], list[dict[str, bool]]]:
        """The pool of a route, the part of each tier, and whether each target of it gives."""
        route = self.route(name)
        assert route is not None
        tiers, spill = route
        pools = [{t: self.pool(t, within) for t in tier} for tier in tiers]
        found = Pool()
        left, parts = Fraction(1), []
        for n, tier in enumerate(tiers):
            asked = [pools[n][t] for t, share in tier.items() if share]
            healthy, registered = sum(p.healthy for p in asked), sum(p.registered for p in asked)
            found.healthy += healthy
            found.registered += registered
            able = any(p.first for p in asked)
            others = any(
                pools[m][t].first for m in range(n + 1, len(tiers)) for t, share in tiers[m].items() if share
            )
            keeps = left if able else Fraction(0)
            if able and others and spill and healthy < spill * registered:
                keeps = left * healthy / (spill * registered)
            left -= keeps
            parts.append(keeps)
            total = sum(share for t, share in tier.items() if pools[n][t].first)
            for t, share in tier.items():
                if share and pools[n][t].first and keeps:
                    for one, inner in pools[n][t].first.items():
                        found.first[one] = found.first.get(one, Fraction(0)) + keeps * share / total * inner
            depth = 0
            while having := [t for t, s in tier.items() if s and len(pools[n][t].levels) > depth]:
                level: Shares = {}
                total = sum(tier[t] for t in having)
                for t in having:
                    for one, inner in pools[n][t].levels[depth].items():
                        level[one] = level.get(one, Fraction(0)) + tier[t] / total * inner
                found.levels.append(level)
                depth += 1
        gives = [
            {t: bool(share and pools[n][t].first) for t, share in tier.items()}
            for n, tier in enumerate(tiers)
        ]
        return found, parts, gives

    def told(self, name: str) -> Told:
        if not self.exists(name):
            return Told(False, {}, [])
        route = self.route(name)
        if route is None:
            pool = self.of_group(self.merged(name).values())
            return Told(True, pool.first, pool.levels)
        pool, parts, gives = self.composed(name, (name,))
        own = self._note(name, route[0], parts, gives)
        notes = [*([own] if own else []), *dict.fromkeys(self._notes_behind((name,), parts, gives))]
        return Told(True, pool.first, pool.levels, "; ".join(notes))

    def _notes_behind(
        self, within: tuple[str, ...], parts: list[Fraction], gives: list[dict[str, bool]]
    ) -> Iterator[str]:
        """Those of the routes that it leads to, of each that gives any of what it gives."""
        for target in (t for part, tier in zip(parts, gives, strict=True) if part for t in tier if tier[t]):
            if "@" in target or "." in target or target in within or (route := self.route(target)) is None:
                continue
            below = (*within, target)
            _, own_parts, own_gives = self.composed(target, below)
            if note := self._note(target, route[0], own_parts, own_gives):
                yield f"{target}: {note}"
            yield from self._notes_behind(below, own_parts, own_gives)

    def _note(
        self, name: str, tiers: list[dict[str, Fraction]], parts: list[Fraction], gives: list[dict[str, bool]]
    ) -> str:
        asked = [n for n, tier in enumerate(tiers) if any(tier.values())]
        beyond = [n for n, part in enumerate(parts) if part and n > asked[0]] if asked else []
        if not beyond:
            return ""
        names = dict.fromkeys(
            t.partition("@")[2] or t for n in beyond for t, given in gives[n].items() if given
        )
        where = " and ".join(names)
        if parts[asked[0]]:
            return f"{round(float(sum(parts[n] for n in beyond) * 100)) or '<1'} % spilled to {where}"
        behind = [self._behind(t, name) for t, share in tiers[asked[0]].items() if share]
        healthy = sum(sum(map(self.serves, group)) for group in behind)
        return f"failed over to {where} ({healthy} of {sum(map(len, behind))} healthy)"

    def _behind(self, target: str, of: str) -> list[One]:
        name, _, registry = target.partition("@")
        tag, _, name = name.rpartition(".")
        if not self.exists(name):
            return []
        if tag or registry or name == of or self.route(name) is None:
            return self.group(tag, name, registry)
        return list(dict.fromkeys(self._reach(name, (of, name))))

    def _reach(self, name: str, within: tuple[str, ...]) -> list[One]:
        route = self.route(name)
        assert route is not None
        found: list[One] = []
        for target in dict.fromkeys(t for tier in route[0] for t in tier):
            inner, _, registry = target.partition("@")
            tag, _, inner = inner.rpartition(".")
            if not self.exists(inner):
                continue
            if tag or registry or inner == within[-1] or self.route(inner) is None:
                found += self.group(tag, inner, registry)
            elif inner not in within and len(within) < 8:
                found += self._reach(inner, (*within, inner))
        return found

    def label(self, one: One) -> str:
        """The first label of its own name."""
        same = self.merged(one.service).get(one.id)
        return one.id if same is None or same.registry == one.registry else f"{one.id}-{one.registry}"
