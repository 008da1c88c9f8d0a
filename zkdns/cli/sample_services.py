"""The services of the demo, and the round of changes that they go through.

Addresses are those set aside for documentation (RFC 5737, RFC 3849): nothing is ever sent to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import Struct

Payload: TypeAlias = Mapping[str, Any]

SETTINGS: Mapping[str, Payload] = {
    "web": {"ttl": 2, "policy": "weighted"},
    "api": {"ttl": 2, "policy": "round_robin"},
    "db": {"ttl": 5, "policy": "first"},
    "syslog": {"ttl": 5, "policy": "random"},
}

WEB_A: Payload = {"address": "192.0.2.11", "port": 8080, "weight": 30, "zone": "eu-1a"}
WEB_B: Payload = {"address": "192.0.2.12", "port": 8080, "weight": 10, "zone": "eu-1b"}
WEB_C: Payload = {"address": "192.0.2.13", "port": 8080, "weight": 20, "zone": "eu-1c", "tags": ["canary"]}
WEB_SPARE: Payload = {"address": "192.0.2.99", "port": 8080, "priority": 10, "meta": {"page": "sorry"}}
API_1: Payload = {
    "address": ["198.51.100.21", "2001:db8:1::21"],
    "port": 9000,
    "ports": {"http": 9000, "metrics": 9100},
    "tags": ["blue"],
    "meta": {"version": "1.4"},
}
API_2: Payload = {
    "address": ["198.51.100.22", "2001:db8:1::22"],
    "port": 9000,
    "ports": {"http": 9000, "metrics": 9100},
    "tags": ["green", "canary"],
    "meta": {"version": "1.5"},
}
DB_PRIMARY: Payload = {"address": "2001:db8:2::31", "port": 5432, "meta": {"role": "primary"}}
DB_STANDBY: Payload = {"address": "2001:db8:2::32", "port": 5432, "priority": 10, "meta": {"role": "standby"}}
SYSLOG: Payload = {"address": "203.0.113.41", "port": 514, "protocol": "udp"}

INSTANCES: Mapping[tuple[str, str], Payload] = {
    ("web", "a"): WEB_A,
    ("web", "b"): WEB_B,
    ("web", "spare"): WEB_SPARE,
    ("api", "one"): API_1,
    ("api", "two"): API_2,
    ("db", "primary"): DB_PRIMARY,
    ("db", "standby"): DB_STANDBY,
    ("syslog", "one"): SYSLOG,
}
"""What is registered at first: (service, id) -> payload."""

SCOPE = "pg1"


def _member(name: str, address: str, role: str) -> tuple[str, Payload]:
    urls = {"conn_url": f"postgres://{address}:5432/postgres", "api_url": f"http://{address}:8008/patroni"}
    return name, {**urls, "state": "running", "role": role, "version": "4.1.5"}


MEMBERS: Mapping[str, Payload] = dict(
    (
        _member("pg-a", "192.0.2.51", "primary"),
        _member("pg-b", "192.0.2.52", "replica"),
        _member("pg-c", "192.0.2.53", "replica"),
    )
)
"""A PostgreSQL cluster, as Patroni keeps it below /service/pg1: it registers nowhere else."""

LEADER = "pg-a"


class Change(Struct, frozen=True):
    """One instance registers, changes (`payload`) or leaves (None); `what` tells people why. In `pg1`
    it is who leads, None for nobody."""

    service: str
    id: str
    payload: Payload | str | None
    what: str


ROUND = (
    Change("web", "c", WEB_C, "a third instance registers, weight 20, tagged canary"),
    Change("api", "two", {**API_2, "status": "draining"}, "says that it is draining: out of the answers"),
    Change("web", "b", {**WEB_B, "weight": 40}, "weight 10 becomes 40"),
    Change(SCOPE, "leader", "pg-b", "pg-b is its primary now"),
    Change("web", "c", None, "its session ends: gone"),
    Change("api", "two", API_2, "up again"),
    Change("db", "primary", None, "gone: the standby, of the next priority, answers"),
    Change(SCOPE, "leader", None, "its primary is lost: nobody leads"),
    Change("web", "a", None, "gone"),
    Change("web", "b", None, "gone: now web's spare answers"),
    Change("db", "primary", DB_PRIMARY, "back"),
    Change("web", "a", WEB_A, "back: the spare steps aside"),
    Change(SCOPE, "leader", LEADER, "pg-a is its primary again"),
    Change("web", "b", WEB_B, "back, with weight 10"),
)
"""Ends where it began, so that it can be gone through again and again."""

QUESTIONS = (
    "web.svc.local",
    "_web._tcp.svc.local SRV",
    "api.svc.local AAAA",
    "canary.api.svc.local",
    "_metrics._tcp.api.svc.local SRV",
    "db.svc.local AAAA",
    "web.svc.local TXT",
    "-x 192.0.2.11",
)
"""What to ask of it with dig, beside its server and port."""

QUESTIONS_OF_THE_CLUSTER = (f"primary.{SCOPE}.svc.local", f"replica.{SCOPE}.svc.local")
"""Where there is a ZooKeeper."""
