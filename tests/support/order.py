"""In which order the workers of a run take the files: who begins with the longest has no one wait for it.

Rules: one file's tests stay together and in their order (they share its servers). `LONGEST` names those
(or their folder) that take more than twenty seconds beside five others, longest first; after them come those
of many tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

TESTS = Path(__file__).resolve().parents[1]

LONGEST = (
    "simulation",
    "blackbox/test_ensembles.py",
    "registry/test_mirror_faults.py",
    "blackbox/test_registry.py",
    "registry/test_zookeeper.py",
    "test_docs.py",
    "cli/test_register.py",
    "blackbox/test_commands.py",
    "serve/test_tcp.py",
    "load/test_flood.py",
    "test_scenarios.py",
    "load/test_connections.py",
    "health/test_blackbox.py",
    "blackbox/test_operator.py",
    "fuzz/test_short.py",
    "web/test_page.py",
    "cli/test_demo.py",
    "cli/test_registries.py",
    "blackbox/test_answers.py",
    "forward/test_cache.py",
    "blackbox/test_history.py",
    "cli/test_command_line.py",
    "conformance/test_rfc.py",
    "blackbox/test_clients.py",
    "interop/test_elections.py",
    "cli/test_watch_live.py",
    "web/test_page_states.py",
    "blackbox/test_soak.py",
    "pipeline/test_routes_model.py",
    "serve/test_respond.py",
    "interop/test_contained.py",
    "test_support.py",
    "native/test_twin.py",
    "blackbox/test_tcp.py",
    "interop/test_resolvers.py",
    "blackbox/test_login.py",
    "cli/test_waiting.py",
)


class Item(Protocol):
    """What this needs of a pytest item."""

    @property
    def path(self) -> Path: ...


T = TypeVar("T", bound=Item)


def longest_first(items: Sequence[T]) -> list[T]:
    counts = Counter(item.path for item in items)
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}

    def place(path: Path) -> tuple[int, int, str]:
        known = [ranks[one] for one in (path, *path.parents) if one in ranks]
        return min(known, default=len(ranks)), -counts[path], str(path)

    places = {path: place(path) for path in counts}
    return sorted(items, key=lambda item: places[item.path])
