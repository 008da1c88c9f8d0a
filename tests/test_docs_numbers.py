"""Numbers in sentences of the documents are those of the code; security.md has a test of its own."""

from __future__ import annotations

import tomllib

import pytest

from support.server import REPOSITORY
from zkdns import routes, topology
from zkdns.answers import deferred
from zkdns.answers import routes as answers_routes
from zkdns.cli import holders
from zkdns.config import Settings
from zkdns.forward import failures, load, sockets, stored, upstream
from zkdns.health import consensus
from zkdns.pipeline import journal, journal_files, journal_memory, replica, route_room
from zkdns.registry import presets
from zkdns.registry.zk import portion, reads
from zkdns.serve import clients, dispatch
from zkdns.serve.listen.places import Limits
from zkdns.server import lifecycle, state_directory

MIB = 1 << 20
WORDS = {2: "two", 3: "three", 8: "eight", 20: "twenty"}
DEFAULTS = Settings()
CARGO = tomllib.loads((REPOSITORY / "native/Cargo.toml").read_text())

SAID = [
    ("README.md", f"cache ({DEFAULTS.cache_mb} MiB by default)"),
    ("README.md", f"there was no Rust ({CARGO['package']['rust-version']} or newer)"),
    ("CHANGELOG.md", f"What {WORDS[len(presets.names())]} systems keep in ZooKeeper"),
    (
        "CHANGELOG.md",
        f"From {lifecycle.DEFERS:,} services on, those of up to {deferred.MAX_INSTANCES} instances",
    ),
    ("CHANGELOG.md", f"not asked again for {failures.MIN_SECONDS:g} to {failures.MAX_SECONDS:g} s"),
    (
        "docs/scaling.md",
        f"from {lifecycle.DEFERS:,} services on, one of up to {deferred.MAX_INSTANCES} instances",
    ),
    ("docs/scaling.md", f"{WORDS[reads.IN_FLIGHT]} requests of {portion.MAX_READS} reads under way"),
    (
        "docs/scaling.md",
        f"every {replica.TELL_AT_LEAST:g} s, and at most every {replica.TELL_EVERY:g} s while the serial",
    ),
    ("docs/scaling.md", f"probed by {WORDS[consensus.PROBED_BY]} replicas at most"),
    ("docs/operations.md", f"each instance is probed by {WORDS[consensus.PROBED_BY]} of them"),
    ("docs/operations.md", f"renamed at most every {state_directory.EVERY:g} s"),
    ("docs/operations.md", f"its own soft limit to {sockets.WANTED_FILES:,}"),
    ("docs/operations.md", f"one query in {dispatch._SAMPLE} or so is timed"),
    ("docs/operations.md", f"open ones, {Limits().connections:,} at most"),
    (
        "docs/operations.md",
        f"({load.MAX_IN_FLIGHT:,} under way, {load.MAX_IN_FLIGHT_OF_CLIENT} for one client)",
    ),
    ("docs/operations.md", f"no upstream answered in {upstream.TOTAL:g} s"),
    ("docs/operations.md", f"no upstream answers (TTL {stored.STALE_TTL} then)"),
    (
        "docs/memory.md",
        f"`journal_days` ({DEFAULTS.journal_days:g}) and `journal_mb` ({DEFAULTS.journal_mb:g})",
    ),
    ("docs/memory.md", f"remembers its newest {journal_memory.MAX_KEPT:,} changes"),
    ("docs/memory.md", f"waits in memory ({journal_files.MAX_WAITING_BYTES // MIB} MiB)"),
    ("docs/memory.md", f"more than {journal.MAX_AT_ONCE:,} changes at one moment"),
    ("docs/memory.md", f"thread keeps {clients.MAX_ROWS:,} rows"),
    ("docs/near.md", f"At most {topology.MAX_NETWORKS:,} networks and {topology.MAX_PLACES} places"),
    ("docs/routes.md", f"{routes.MAX_OVER_SECONDS / 86_400:g} days at most"),
    ("docs/routes.md", f"Routes of routes are followed {WORDS[answers_routes.MAX_DEPTH]} deep"),
    ("docs/routes.md", f"may lead to {route_room.MAX_TOGETHER:,} instances together"),
    ("docs/routes.md", f"their shares (0 to {routes.MAX_SHARE};"),
]


@pytest.mark.parametrize(("name", "said"), SAID, ids=[f"{name}: {said}" for name, said in SAID])
def test_a_number_in_a_sentence_is_that_of_the_code(name: str, said: str) -> None:
    assert said in " ".join((REPOSITORY / name).read_text().split())


def test_what_is_told_of_a_drain_that_waits_is_twice_the_ttl() -> None:
    assert holders.TIMES_TTL == 2
    assert "within twice the TTL" in " ".join((REPOSITORY / "docs/memory.md").read_text().split())
