"""The JSON of the HTTP API, which `--json` prints too: one function a shape.

Rules: pure; every value here is a plain dict, list, text or number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from zkdns.answers.first_places import shares_of
from zkdns.answers.routed import InForce
from zkdns.model import NONE_HEALTHY, Change, Instance, Problem, Service, ServiceSettings
from zkdns.order import in_order
from zkdns.pipeline.journal import History
from zkdns.routes import spell_route, spell_tiers
from zkdns.serve.clients import ClientRow, Told
from zkdns.wall import each, walk

Gather = Callable[[Iterator[dict[str, Any]]], Any]
"""What is done with the rows of a document: `list` has them made at once, `iter` as somebody takes them."""


def moment(at: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(at)


def service_row(service: Service, ttl: int, names: Iterable[str]) -> dict[str, Any]:
    """One row of the list of services. `ttl`: the server's default, seconds."""
    return {
        "name": service.name,
        "instances": len(service.instances),
        "healthy": service.healthy(),
        "policy": service.settings.policy,
        "ttl": service.settings.ttl if service.settings.ttl is not None else ttl,
        "names": list(names),
    }


def _no_row(name: str, ttl: int, error: str) -> dict[str, Any]:
    row = {"name": name, "instances": 0, "healthy": 0, "policy": "", "ttl": ttl, "names": []}
    return {**row, "error": error}


def services(
    every: Mapping[str, Service],
    names: Mapping[str, Iterable[str]],
    *,
    ttl: int,
    serial: int,
    stale_seconds: float | None,
    gather: Gather = list,
) -> dict[str, Any]:
    """All services. `stale_seconds`: how long a registry has been out of reach, None while none is."""
    return {
        "services": gather(
            walk(
                in_order(every),
                lambda name: service_row(every[name], ttl, names.get(name, ())),
                lambda name, error: _no_row(name, ttl, error),
            )
        ),
        "serial": serial,
        "stale": stale_seconds is not None,
        "age_seconds": stale_seconds or 0.0,
    }


def routes(in_force: Mapping[str, InForce], gather: Gather = list) -> dict[str, Any]:
    """The routes in force."""
    return {"routes": gather(_route(name, in_force[name]) for name in in_order(in_force))}


def _route(name: str, route: InForce) -> dict[str, Any]:
    return {
        "service": name,
        "tiers": spell_tiers(route.tiers),
        "source": route.source,
        "until": moment(route.until) if route.until is not None else None,
        "over": route.over,
    }


def events(changes: Iterable[Change]) -> Iterator[dict[str, Any]]:
    """What changed at one moment, for those who follow: one event for an instance."""
    former: Change | None = None
    for change in changes:
        if not change.service:
            continue
        if former is None or change.instance is None or change.instance is not former.instance:
            yield from each((change,), event, _no_event)
        former = change


def _no_event(change: Change, error: str) -> dict[str, Any]:
    return {"service": change.service, "change": "changed", "error": error}


def event(change: Change) -> dict[str, Any]:
    """One change, for those who follow: `change` is added, removed or changed, `what` says which of its
    aspects, `was` the state before."""
    is_new = change.what == "registered" and not change.was
    word = "added" if is_new else "removed" if change.what == "gone" else "changed"
    document: dict[str, Any] = {"at": moment(change.at), "service": change.service}
    if change.id:
        document["instance"] = change.id
    document |= {"change": word, "what": change.what, "from": change.was, "to": change.now}
    one = change.instance
    if one is None:
        if change.what == "route":
            return document | {"reason": f"route {change.now or 'ended'}; {change.why}"}
        return document | ({"reason": "settings"} if change.what == "settings" else {})
    if word != "added":
        document["was"] = change.was if change.what in ("state", "gone") else str(one.state)
    if word == "removed":
        return document
    return document | {
        "state": str(one.state),
        "reason": one.reason,
        "weight": one.weight,
        "in": one.answered,
        "address": list(one.addresses),
    }


def settings(given: ServiceSettings, ttl: int) -> dict[str, Any]:
    """A service's settings as its own znode would write them."""
    document: dict[str, Any] = msgspec.to_builtins(replace(given, route=None))
    del document["given"], document["unknown"], document["route"]
    if given.route is not None:
        document |= spell_route(given.route)
    document["ttl"] = given.ttl if given.ttl is not None else ttl
    document["fail_open"] = True if given.fail_open == NONE_HEALTHY else given.fail_open or False
    return document


def instance(one: Instance, zone_name: str, share: float, given: float, first_answers: int) -> dict[str, Any]:
    """One instance. `zone_name`: the name of its service, in the first zone. `share`, `given`: see Firsts."""
    r = one.registration
    return {
        "id": one.id,
        "name": f"{one.label}.{zone_name}",
        "address": list(one.addresses) or ([r.host] if r.host else []),
        "port": r.port or None,
        "ports": r.port_numbers(),
        "weight": one.weight,
        "priority": r.priority,
        "tags": list(r.tags),
        "meta": dict(r.meta),
        "state": str(one.state),
        "reason": one.reason,
        "share": round(share, 6),
        "given": round(given, 6),
        "first_answers": first_answers,
        "path": one.path,
        "format": r.format,
        "since": moment(one.since),
        "in": one.answered,
        "host": r.host,
        "zone": r.zone,
        "protocol": r.protocol,
        "registered_weight": r.weight,
    }


class Firsts(Struct, frozen=True):
    """How often each instance stood first, by id: `ever`, and `recent`: since the weights changed last.
    `due`: the part that it should get, where a route says so (None: by its weight). Those of other services
    that a route gives are there by `service/id`."""

    ever: Mapping[str, int] = {}
    recent: Mapping[str, int] = {}
    due: Mapping[str, float] | None = None


def service(
    one: Service, ttl: int, zone: str, firsts: Firsts, most: int | None = None, gather: Gather = list
) -> dict[str, Any]:
    """One service with its instances, or with so many of them."""
    shares, total = firsts.due, max(1, sum(firsts.recent.values()))
    if shares is None:
        shares = shares_of(one)
    name = f"{one.label}.{zone}"
    return {
        "name": one.name,
        "policy": one.settings.policy,
        "ttl": one.settings.ttl if one.settings.ttl is not None else ttl,
        "settings": settings(one.settings, ttl),
        "instances": gather(
            walk(
                one.instances[:most],
                lambda i: instance(
                    i,
                    name,
                    shares.get(i.id, 0.0),
                    firsts.recent.get(i.id, 0) / total,
                    firsts.ever.get(i.id, 0),
                ),
                lambda i, error: {"id": i.id, "path": i.path, "state": str(i.state), "error": error},
            )
        ),
        "note": one.note,
        "path": one.path,
        "dns_name": name,
    }


def problems(rows: Iterable[Problem], gather: Gather = list) -> dict[str, Any]:
    return {"problems": gather({"path": p.path, "what": p.what, "cure": p.cure} for p in rows)}


def history(known: History, gather: Gather = list) -> dict[str, Any]:
    """What changed, oldest first. `since`: how far back that is known; `left_out`, where there are such: of
    whom less is known, since when, and how many changes that are gone."""
    left = [{"service": n, "changes": count, "since": moment(at)} for n, count, at in known.left_out]
    return {
        "changes": gather(walk(known.changes, change, _no_change)),
        "since": moment(known.since) if known.since is not None else None,
        **({"left_out": left} if left else {}),
    }


def _no_change(c: Change, error: str) -> dict[str, Any]:
    """Of one that we fall over: the same shape, which commands hold a server to."""
    rest = {"at": moment_exactly(0.0), "zxid": 0, "from": "", "to": "", "why": error, "by": ""}
    return {"service": c.service, "id": c.id, "what": c.what, **rest, "error": error}


def change(c: Change) -> dict[str, Any]:
    """One line of the history."""
    return {
        "at": moment_exactly(c.at),
        "zxid": c.zxid,
        "service": c.service,
        "id": c.id,
        "what": c.what,
        "from": c.was,
        "to": c.now,
        "why": c.why,
        "by": c.by,
    }


def clients(account: Told, gather: Gather = list) -> dict[str, Any]:
    """Who was told what. `forgotten`: rows that had to go; `kept`: there, and false, where nobody notes."""
    return {
        "clients": gather(
            {
                "client": row.client,
                "service": row.service,
                "first": moment_exactly(row.first),
                "last": moment_exactly(row.last),
                "queries": row.queries,
                "last_first": row.last_first,
            }
            | _where(row)
            for row in account.rows
        ),
        "forgotten": account.forgotten,
    } | ({} if account.is_kept else {"kept": False})


def _where(row: ClientRow) -> dict[str, str]:
    """In which zone alone it was given any, and until when it was given others too."""
    if not row.zone:
        return {}
    return {"zone": row.zone} | ({"beyond": moment_exactly(row.beyond)} if row.beyond else {})


def explained(account: Mapping[str, Any]) -> dict[str, Any]:
    """An account of an answer, its instances one by one."""
    return {**account, "instances": iter(account["instances"])}


def moment_exactly(at: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
