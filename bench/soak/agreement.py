"""A quiet moment: every server must answer exactly what both ensembles hold, with their serial.

Rules: nothing moves meanwhile but what ends by itself (sessions, overrides with a time), so the two are
compared again until they agree or the time is over; then all that a judge needs is printed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.soak import routes
from bench.soak.asking import ZONE, ask, describe
from bench.soak.cast import Cast, Replica
from bench.soak.churn import TROUBLE, Churn
from bench.soak.doors import Doors
from bench.soak.hostile import is_hers
from bench.soak.model import Model
from bench.soak.services import leads_to
from bench.soak.truth import Expected, Truth, expect, read
from bench.soak.watch import read_txt

QUIET = 30.0
"""Seconds within which all servers must agree with ZooKeeper once nothing moves."""

WATCHDOG = 30.0
"""Seconds more after a restore: a client with larger zxids than the ensemble's is turned away for ever, and
given up by the servers' watchdog at the latest."""

HANGS = 12.0
"""Seconds in which a plain client reads nothing, after which the members at home are started anew. Followers
that were frozen with their leader for as long as syncLimit leave it and find it again, all in one epoch; what
it had proposed before is never committed then, and whatever comes after waits for it (seen of 3.8.0)."""

GONE_ASKED = 4
"""Instances that are gone of which each server is asked whether it knows."""


@dataclass(frozen=True, slots=True)
class Difference:
    what: str
    service: str = ""


def settle(cast: Cast, churn: Churn, doors: Doors, model: Model, within: float) -> str | Truth:
    """Wait until all agree: what ZooKeeper holds then, as the model does; else the whole report."""
    last_read = time.monotonic()
    until = last_read + within
    truth: Truth | None = None
    difference = Difference("ZooKeeper can't be read")
    while True:
        try:
            churn.flush()
            truth = read(churn.readers(), doors.is_open, time.time())
            last_read = time.monotonic()
            found = next(compare(cast.replicas, truth, model), None)
            if found is None:
                break
            difference = found
        except TROUBLE as trouble:
            difference = Difference(f"ZooKeeper can't be read: {trouble!r}")
            if time.monotonic() - last_read > HANGS:
                print("          the ensemble hangs by itself: its members are started anew", flush=True)
                cast.restart_members()
                until, last_read = time.monotonic() + within, float("inf")  # once
        if time.monotonic() > until:
            return report(cast.replicas, truth, difference, within)
        time.sleep(0.1)
    now = time.monotonic()
    model.reset(truth.standing(), truth.services.keys(), now)
    churn.reconcile(truth.owners(), truth.services.keys(), truth.ordered)
    return truth


def compare(replicas: Sequence[Replica], truth: Truth, model: Model) -> Iterator[Difference]:
    """What each server answers that it should not."""
    with model.lock:
        gone = [key for key in list(model.made)[-100:] if key not in truth.standing()][-GONE_ASKED:]
    for replica in replicas:
        if replica.process is None or replica.process.poll() is not None:
            yield Difference(f"{replica} has ended")
            continue
        try:
            said = replica.json("/api/v1/services")
        except (AssertionError, OSError) as error:
            yield Difference(f"{replica}: /api/v1/services: {error!r}")
            continue
        if said["stale"]:
            yield Difference(f"{replica} is out of ZooKeeper's reach for {said['age_seconds']:.0f} s")
        if said["serial"] != truth.serial:
            yield Difference(f"{replica} is at serial {said['serial']}, ZooKeeper at {truth.serial}")
        listed = Expected(frozenset(f"_{service}._tcp.{ZONE}." for service in truth.services))
        yield from _compare_one(replica, f"_services._dns-sd._udp.{ZONE}", "PTR", listed)
        stand_for_others = routes.routed(truth)
        for service in stand_for_others:
            for what in routes.compare(replica, truth, service):
                yield Difference(f"{replica}: {what}", service)
        for service in truth.services.keys() - set(stand_for_others):
            for (name, type), expected in expect(truth, service).items():
                yield from _compare_one(replica, name, type, expected, service)
        for service, id in gone:
            nothing = Expected(frozenset(), rcode="NXDOMAIN")
            yield from _compare_one(replica, f"{id}.{service}.{ZONE}", "A", nothing, service)


def _compare_one(
    replica: Replica, name: str, type: str, expected: Expected, service: str = ""
) -> Iterator[Difference]:
    reply = ask(replica, name, type)
    if reply is not None and reply.cut:
        reply = ask(replica, name, type, tcp=True)
    if reply is None:
        yield Difference(f"{replica} doesn't answer {name} {type}", service)
        return
    got = reply.texts()
    if name.startswith("_services."):
        got = {text for text in got if not is_hers(text.lstrip("_").partition(".")[0])}
    if type == "TXT":
        told = read_txt([rdata for _, rdata in reply.records()])
        got = {f"{key}={told.get(key)}" for key in ("instances", "healthy")}
    if reply.stale or not expected.allows(got, reply.rcode):
        lacks, besides = sorted(expected.rdata - got)[:5], sorted(got - expected.rdata)[:5]
        most = f" ({expected.most} at most)" if expected.most < len(expected.rdata) else ""
        yield Difference(
            f"{replica}: {name} {type}: {reply.rcode}{', stale' if reply.stale else ''}; "
            f"lacks {lacks}{most}, has {besides} besides, "
            f"{len(got)} given of {len(expected.rdata)}, {expected.rcode} expected",
            service,
        )


def report(replicas: Sequence[Replica], truth: Truth | None, difference: Difference, within: float) -> str:
    """All that is needed to judge who is wrong."""
    lines = [f"no agreement {within:.0f} s after all was quiet: {difference.what}"]
    service = difference.service
    if truth is not None:
        lines.append(f"  ZooKeeper, serial {truth.serial}:")
        paths = (f"/services/{service}", f"/zkdns/overrides/{service}", "/zkdns/health")
        others = [f"/{one}" for one in leads_to(service)]
        for path, node in truth.raw.items():
            inside = path.startswith(tuple(f"{p}/" for p in paths)) or any(one in path for one in others)
            if service and (path in paths or inside):
                lines.append(f"    {path}: {node}")
        for one in sorted({service, *leads_to(service)} if service else ()):
            for id, standing in truth.services.get(one, {}).items():
                lines.append(f"    so {id} is {'out: ' + ', '.join(standing.out) if standing.out else 'in'}")
        if service in routes.routed(truth):
            lines.append(f"    so the route gives {truth.routes.told(service)}")
    for replica in replicas:
        lines += [f"  {replica}:", *(f"    {line}" for line in describe(replica, service))]
    return "\n".join(lines)
