"""What each engine says that it has done: its counts and those of Python's part, each under its own name."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.engine import NativeEngine, PythonEngine


@pytest.fixture
async def dispatcher() -> Dispatcher:
    forwarder: Any = SimpleNamespace(cache_hits=7)
    one = Dispatcher(Table(), forwarder)
    one.counts["udp", 1, 0] = 1
    one.dropped.update({"send": 2, "not a query": 3})
    one.search_misses["10.0.0.1"] = 4
    return one


class Threads:
    """Stands where the native engine does."""

    def __init__(self) -> None:
        self.offered: list[tuple[str, ...]] = []
        self.sampled: list[int] = []

    def totals(self) -> dict[str, int]:
        return {
            "dropped": 10,
            "cached": 20,
            "passed": 30,
            "overflowed": 40,
            "beyond": 80,
            "unsent": 50,
            "panics": 60,
            "missed": 70,
        }

    def replies(self) -> dict[tuple[str, int, int], int]:
        return {("udp", 1, 0): 100, ("tcp", 28, 3): 200}

    def search_misses(self) -> dict[str, int]:
        return {"10.0.0.1": 300, "": 400}

    def connections(self) -> tuple[int, int]:
        return 500, 600

    def closed(self) -> dict[str, int]:
        return {"idle": 700}

    def offer_recursion(self, networks: tuple[str, ...]) -> None:
        self.offered.append(tuple(networks))

    def sample(self, every: int) -> None:
        self.sampled.append(every)


async def test_the_native_engine_adds_what_its_threads_did_to_what_python_did_for_it(
    dispatcher: Dispatcher,
) -> None:
    engine = NativeEngine(dispatcher, Threads())  # type: ignore[arg-type]
    assert engine.counts() == {("udp", 1, 0): 101, ("tcp", 28, 3): 200}
    assert engine.dropped() == {"send": 52, "not a query": 13, "buffer": 70, "queue": 40, "share": 80}
    assert engine.search_misses() == {"10.0.0.1": 304, "": 400}
    assert engine.cache_hits() == 27
    assert engine.connections() == (500, 600)
    assert engine.closed() == {"idle": 700}


async def test_plain_python_tells_what_its_listeners_missed(dispatcher: Dispatcher) -> None:
    engine = PythonEngine(dispatcher)
    engine._listeners = [SimpleNamespace(missed=5), SimpleNamespace(missed=6)]  # type: ignore[list-item]
    assert engine.dropped() == {"send": 2, "not a query": 3, "buffer": 11}
    assert engine.cache_hits() == 7
    assert engine.counts() == Counter({("udp", 1, 0): 1})


async def test_recursion_is_offered_only_where_there_is_somebody_to_ask(dispatcher: Dispatcher) -> None:
    threads = Threads()
    engine = NativeEngine(dispatcher, threads)  # type: ignore[arg-type]
    engine.configure(Settings(forward_allow=("10.0.0.0/8",), client_table=False))
    engine.configure(Settings(forward=("10.0.0.1",), forward_allow=("10.0.0.0/8",), query_log_sample=9))
    assert threads.offered == [(), ("10.0.0.0/8",)]
    assert threads.sampled == [0, 9]
