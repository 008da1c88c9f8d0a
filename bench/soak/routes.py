"""What a name that stands for others must give at a quiet moment, beside what a server gives.

Rules: pure but for `compare`, which asks. What is right is worked out the slow way, by the model that the
tests of routes have, out of what both ensembles hold.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from bench.soak.asking import ZONE, Reply, ask
from bench.soak.cast import Replica
from bench.soak.truth import Standing, Truth
from support.route_model import One, Shares, Told

SHARE_WITHIN = Fraction(1, 1000)
"""How exact a share must be, as text rounds it."""

WEIGHT_WITHIN = Fraction(1, 100)
"""The same of SRV weights, which are whole numbers."""


def compare(replica: Replica, truth: Truth, service: str) -> Iterator[str]:
    """What is wrong with a server's answers for the name of a route."""
    told, name = truth.routes.told(service), f"{service}.{ZONE}"
    for type in ("A", "AAAA"):
        reply = ask(replica, name, type, tcp=True)
        if reply is None:
            yield f"{name} {type}: no answer"
            continue
        yield from (f"{name} {type}: {what}" for what in judge_addresses(reply, told, truth))
    for owner in (name, f"_{service}._tcp.{ZONE}"):
        reply = ask(replica, owner, "SRV", tcp=True)
        if reply is None:
            yield f"{owner} SRV: no answer"
            continue
        yield from (f"{owner} SRV: {what}" for what in judge_targets(reply, told, truth))
    account = replica.json(f"/api/v1/explain?name={name}&type=A")
    yield from (f"explain {name}: {what}" for what in judge_shares(account["instances"], told))


def standing_of(one: One, truth: Truth) -> Standing:
    return truth.by_registry[one.registry][one.service][one.id]


def judge_addresses(reply: Reply, told: Told, truth: Truth) -> Iterator[str]:
    """The whole of the tier that gives, and the words for it."""
    if reply.rcode != "NOERROR" or reply.stale:
        yield f"{reply.rcode}{', stale' if reply.stale else ''}"
    is_six = reply.type == "AAAA"
    addresses = {a for one in told.first for a in standing_of(one, truth).addresses}
    wanted = {a for a in addresses if (ipaddress.ip_address(a).version == 6) == is_six}
    if reply.texts() != wanted:
        yield f"{sorted(reply.texts())} given, and not {sorted(wanted)}"
    note = f"{reply.name.partition('.')[0]}: {told.note}" if told.note else ""
    if wanted and note not in reply.told_why():
        yield f"says {reply.told_why()}, and not {note!r}"


def judge_targets(reply: Reply, told: Told, truth: Truth) -> Iterator[str]:
    """All tiers, each at its priority, with weights in proportion."""
    given: dict[int, dict[str, int]] = {}
    ports = {}
    for _, rdata in reply.records():
        given.setdefault(rdata.priority, {})[rdata.target.to_text()] = rdata.weight
        ports[rdata.target.to_text()] = rdata.port
    levels: list[dict[str, Fraction]] = []
    for level in told.levels:
        levels.append({name_of(one, truth): share for one, share in level.items()})
        for one in level:
            port = standing_of(one, truth).port
            if ports.get(name_of(one, truth), port) != port:
                yield f"{name_of(one, truth)} has the port {port}, and not {ports[name_of(one, truth)]}"
    wanted = dict(enumerate(levels))
    if {p: set(found) for p, found in given.items()} != {p: set(level) for p, level in wanted.items()}:
        tell = [f"{p}: {sorted(level)}" for p, level in sorted(wanted.items())]
        yield f"{sorted(reply.texts())} given, and not {'; '.join(tell)}"
        return
    for priority, level in wanted.items():
        yield from _judge_weights(given[priority], level)


def _judge_weights(given: Mapping[str, int], level: Mapping[str, Fraction]) -> Iterator[str]:
    total = sum(given.values())
    for target, share in level.items():
        part = Fraction(given[target], total) if total else Fraction(1, len(given))
        if abs(part - share) > WEIGHT_WITHIN:
            yield f"{target} has {given[target]} of {total}, and is due {float(share):.3f}"


def name_of(one: One, truth: Truth) -> str:
    return f"{truth.routes.label(one)}.{one.service}.{ZONE}."


def judge_shares(rows: Sequence[Mapping[str, Any]], told: Told) -> Iterator[str]:
    """What each is due of the first places, as the server explains it."""
    due = by_id(told.first)
    given: dict[str, Fraction] = {}
    for row in rows:
        id = row["id"].rpartition("/")[2]  # another service's has that before it
        given[id] = given.get(id, Fraction(0)) + Fraction(row["share"])
    for id in sorted(due.keys() | given.keys()):
        one, other = given.get(id, Fraction(0)), due.get(id, Fraction(0))
        if abs(one - other) > SHARE_WITHIN:
            yield f"{id} has a share of {float(one):.4f}, and is due {float(other):.4f}"


def by_id(shares: Shares) -> dict[str, Fraction]:
    """No two instances of the soak have the same id."""
    due: dict[str, Fraction] = {}
    for one, share in shares.items():
        due[one.id] = due.get(one.id, Fraction(0)) + share
    return due


def routed(truth: Truth) -> Collection[str]:
    """The services whose names stand for others now."""
    return [name for name in truth.services if truth.routes.route(name) is not None]
