"""The services that are there from first to last, where they are kept, and how an instance is spelled.

Two ensembles. At home stand the registry `dc1` and all that is ordered; in the other one `east`, which is
merged with `dc1`, and `dc2`, which stands behind them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.soak.model import FALL, FAR, HOME, INTERVAL, Made

REGISTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "dc1": (HOME, "/services"),
    "east": (FAR, "/services"),
    "dc2": (FAR, "/standby"),
}
"""By name, in the order of the servers' flags: the ensemble and the root."""

FAILOVER: Final = ("dc2",)

CHECKED: Final = ("c0", "c1", "c2")
LAID: Final = "laid0"
"""The service that routes are laid over."""

ROUTES: Final[Mapping[str, dict[str, Any]]] = {
    "alias0": {"to": [{"s0": 1}], "answers": 100},
    "split0": {"to": [{"s1": 3, "s2": 1}], "answers": 100},
    "spill0": {"to": [{"s3": 1}, {"s4": 1, "split0": 1}], "spill": 0.8, "answers": 100},
    "away0": {"to": [{"m0@dc1": 1}, {"m0@east": 2, "e0": 1}], "answers": 100},
}
"""Routes that their own nodes tell."""

SETTINGS: Final[Mapping[str, dict[str, Any]]] = {
    **{f"s{k}": {"answers": 100} for k in range(6)},
    "s6": {},
    "s7": {"answers": 100, "policy": "round_robin"},
    "s8": {"answers": 100, "policy": "first", "srv_scale": 10},
    "s9": {"answers": 3, "policy": "random"},
    **{
        name: {
            "answers": 100,
            "check": {"type": "tcp", "interval": INTERVAL, "timeout": 1, "rise": 1, "fall": FALL},
        }
        for name in CHECKED
    },
    **{name: {"answers": 100} for name in ("m0", "f0", "f1", LAID)},
}
"""The services at home that are there from first to last. Two of them give fewer than they have."""

ELSEWHERE: Final[Mapping[str, Mapping[str, dict[str, Any]]]] = {
    "east": {name: {"answers": 100} for name in ("m0", "e0")},
    "dc2": {name: {"answers": 100} for name in ("f0", "f1")},
}
"""Those that the other ensemble's registries have."""

STAYING: Final = (*SETTINGS, *ROUTES, "e0")

LEADS_TO: Final[Mapping[str, frozenset[str]]] = {
    "alias0": frozenset({"s0"}),
    "split0": frozenset({"s1", "s2"}),
    "spill0": frozenset({"s3", "s4", "s1", "s2"}),
    "away0": frozenset({"m0", "e0"}),
    LAID: frozenset({LAID, "s5"}),
}
"""Whose instances a name may ever give, where these are not its own alone."""

BOTH: Final = frozenset({HOME, FAR})
MAY_REST_ON: Final[Mapping[str, frozenset[str]]] = {
    "m0": BOTH,
    "f0": BOTH,
    "f1": BOTH,
    "away0": BOTH,
    "e0": frozenset({FAR}),
}
"""The ensembles that what is said of a service may come from; of all others it is the one at home."""


def rests_on(service: str) -> frozenset[str]:
    return MAY_REST_ON.get(service, frozenset({HOME}))


def needs(service: str, type: str) -> frozenset[str]:
    """The ensembles without which an answer of this type, of the service's own name, must be stale."""
    if service in ("f0", "f1", "away0") and type in ("A", "AAAA"):
        return frozenset({HOME})  # the next tier counts only where it is asked
    return rests_on(service)


def leads_to(service: str) -> frozenset[str]:
    return LEADS_TO.get(service) or frozenset({service})


def spell_path(made: Made) -> str:
    return f"{REGISTRIES[made.registry][1]}/{made.service}/{made.id}"


def spell_instance(made: Made, weight: int, status: str) -> bytes:
    said: dict[str, Any] = {"address": list(made.addresses), "port": made.port, "weight": weight}
    said |= {"priority": int(int(made.id[1:]) % 5 == 0), "status": status}
    if made.http:
        said["ports"] = {"http": made.http}
    if made.tag:
        said["tags"] = [made.tag]
    return json.dumps(said).encode()
