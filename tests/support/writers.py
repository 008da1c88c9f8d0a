"""What real registrars write into ZooKeeper (tests/fixtures/writers), and what is to come of each of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent.parent / "fixtures" / "writers"
WRITERS = ("dubbo", "finagle", "spring")


class Row(NamedTuple):
    """One instance: its first address or host name, main port, state, weight, tags and named ports."""

    where: str
    port: int
    state: str = "healthy"
    weight: int = 1
    tags: tuple[str, ...] = ()
    ports: tuple[tuple[str, int], ...] = ()


EXPECTED: dict[str, dict[str, list[Row]]] = {
    "dubbo": {
        "com.example.Greeter": [
            Row("10.9.0.1", 20880, weight=100, ports=(("dubbo", 20880),)),
            Row("10.9.0.2", 50051, "healthy", 50, ("gray", "blue", "1.0.0"), (("tri", 50051),)),
            Row("10.9.0.3", 20880, "draining", 100, ports=(("dubbo", 20880),)),
            Row("10.9.0.4", 20880, weight=0, ports=(("dubbo", 20880),)),
            Row("fd00::9:5", 20880, weight=100, ports=(("dubbo", 20880),)),
            Row("localhost", 8080, weight=100, ports=(("rest", 8080),)),
        ],
        "shop": [
            Row("10.9.1.1", 20881, ports=(("dubbo", 20881), ("tri", 50051))),
            Row("10.9.1.2", 20882, ports=(("dubbo", 20882), ("tri", 50052))),
        ],
    },
    "finagle": {
        "users": [
            Row("10.9.2.1", 8080),
            Row("10.9.2.2", 8080, ports=(("admin", 9990),)),
            Row("10.9.2.3", 8080, ports=(("thrift", 8081),)),
            Row("fd00::9:2", 8080),
        ],
    },
    "spring": {
        "app": [
            Row("10.9.3.1", 8080, weight=7),
            Row("10.9.3.2", 8443, ports=(("https", 8443),)),
            Row("10.9.3.5", 8080, "draining"),
            Row("10.9.3.6", 8080, "draining"),
            Row("localhost", 8080),
            Row("fd00::9:3", 8080, ports=(("https", 8443),)),
        ],
    },
}


def recorded(writer: str) -> dict[str, str | None]:
    """The data of its znodes by path; None where a node has none."""
    znodes: dict[str, str | None] = json.loads((FOLDER / writer / "znodes.json").read_text())["znodes"]
    return znodes
