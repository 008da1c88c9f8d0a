"""The services that are there from first to last, and how an instance is spelled in ZooKeeper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.soak.model import FALL, INTERVAL, Key, Made

CHECKED: Final = ("c0", "c1", "c2")

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
}
"""The services that are there from first to last. Two of them give fewer than they have."""


def spell_path(key: Key) -> str:
    return f"/services/{key[0]}/{key[1]}"


def spell_instance(made: Made, weight: int, status: str) -> bytes:
    said: dict[str, Any] = {"address": list(made.addresses), "port": made.port, "weight": weight}
    said |= {"priority": int(made.id[1:]) % 5 == 0, "status": status}
    if made.http:
        said["ports"] = {"http": made.http}
    if made.tag:
        said["tags"] = [made.tag]
    said["priority"] = int(said["priority"])
    return json.dumps(said).encode()
