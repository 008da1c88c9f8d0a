"""What people see of a server is taken from the part that knows it, each from its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.scenario import World
from support.steps import steps
from zkdns.config import Settings
from zkdns.dns.types import NXDOMAIN
from zkdns.forward.forwarder import ForwardStatus
from zkdns.forward.upstreams import UpstreamStatus
from zkdns.model import Problem
from zkdns.pipeline.pipeline import Pipeline
from zkdns.registry.url import parse_registry
from zkdns.serve.clients import NOT_KEPT
from zkdns.server.status import Observer, Phase

NOW = 1_700_000_000.0


def histogram(first: float) -> Any:
    return SimpleNamespace(read=lambda: ((first,), (1, 2), 3.0))


def mirror(**counts: int) -> Any:
    return SimpleNamespace(status=lambda: SimpleNamespace(**counts))


UPSTREAMS = (
    UpstreamStatus("10.0.0.1:53", "healthy", "", 0.1),
    UpstreamStatus("10.0.0.2:53", "loop", "", 0.1),
)


def observer(tmp_path: Path) -> Observer:
    """A server whose every count and trouble is another."""
    file = tmp_path / "services.toml"
    settings = Settings(registry=(replace(parse_registry(f"file:{file}"), name="r1"),))
    pipeline = Pipeline(settings, NOW)
    pipeline.wall.errors = 100
    life = SimpleNamespace(
        settings=settings, phase=Phase.READY, started=NOW, rereading=SimpleNamespace(is_good=True),
        change_seconds=histogram(7.0),
        lack=SimpleNamespace(why="no memory"), web=SimpleNamespace(lack="no descriptors"),
    )  # fmt: skip
    engine = SimpleNamespace(
        name="python", lack="no descriptors", faults=3, dispatcher=SimpleNamespace(errors=11),
        counts=lambda: Counter({("udp", 1, NXDOMAIN): 12}), latency=lambda: ((8.0,), (4, 5), 6.0),
        dropped=lambda: Counter({"send": 13}), search_misses=lambda: Counter({"10.0.0.1": 14, "10.0.0.2": 1}),
        connections=lambda: (16, 17), closed=lambda: Counter(idle=18), cache_hits=lambda: 19,
    )  # fmt: skip
    forwarder = SimpleNamespace(
        queries=Counter({("u", "NOERROR"): 21}), limited=22, forgeries=32, joined=23,
        refused=24, blocked=34, stale_hits=33, cache_hits=26,
        status=lambda: ForwardStatus(UPSTREAMS, 27, 28, 29, ""), cache=SimpleNamespace(used=30),
        problem="no upstream", faults=1000, lack="no sockets",
    )  # fmt: skip
    mirrors = (
        mirror(reads=1, resyncs=10, audit_repairs=100, restarts=1000, audits=10_000),
        mirror(reads=2, resyncs=20, audit_repairs=200, restarts=2000, audits=20_000),
    )
    return Observer(
        life,  # type: ignore[arg-type]
        pipeline,
        SimpleNamespace(  # type: ignore[arg-type]
            faults=20,
            mirrors=mirrors,
            zookeepers={},
            lacks=("no port is free",),
            late_checks=Problem("late", "", ""),
            lack_of_lookups="no threads",
        ),
        engine,  # type: ignore[arg-type]
        forwarder,  # type: ignore[arg-type]
        SimpleNamespace(paths=[], problems=(Problem("zone", "", ""),), broken=False),  # type: ignore[arg-type]
        SimpleNamespace(problems=[Problem("state", "", ""), Problem("shared", "", "")], errors=10_000),  # type: ignore[arg-type]
        SimpleNamespace(  # type: ignore[arg-type]
            problems=[Problem("journal", "", "")],
            outages=SimpleNamespace(standing=dict),
            left_out=31,
        ),
    )


def test_each_count_is_that_of_the_part_that_counts_it(tmp_path: Path) -> None:
    counters = observer(tmp_path).counters()
    assert counters.queries == {("udp", 1, NXDOMAIN): 12}
    assert counters.query_seconds == ((8.0,), (4, 5), 6.0)
    assert counters.change_seconds == ((7.0,), (1, 2), 3.0)
    assert counters.dropped == {"send": 13}
    assert (counters.search_misses, counters.errors) == (15, 11)
    assert counters.faults == 11_123, (
        "of the pipeline, of what was due, of the engine, and of upstreams' replies"
    )
    assert (counters.tcp_open, counters.tcp_waiting, counters.tcp_closed) == (16, 17, {"idle": 18})
    assert (counters.registry_reads, counters.registry_resyncs, counters.registry_audit_repairs) == (
        3,
        30,
        300,
    )
    assert counters.forward_queries == {("u", "NOERROR"): 21}
    assert (counters.forward_limited, counters.forward_cache_hits) == (22, 19)
    assert (counters.forward_forgeries, counters.forward_stale, counters.forward_blocked) == (32, 33, 34)
    assert counters.history_left_out == 31


@pytest.mark.parametrize(("read", "broken"), [(True, False), (True, True), (False, False)])
def test_settings_are_read_as_they_stand_only_if_zone_files_are_too(
    tmp_path: Path, read: bool, broken: bool
) -> None:
    one = observer(tmp_path)
    one.life.rereading.is_good = read
    one.zone_files.broken = broken  # type: ignore[misc]
    assert one.counters().settings_read is (read and not broken)


def test_whatever_is_wrong_anywhere_is_a_row_of_the_problems(tmp_path: Path) -> None:
    status = observer(tmp_path).status()
    assert [p.path for p in status.problems] == [
        "zone",
        "state",
        "shared",
        "late",
        "this machine",
        "this machine",
        "this machine",
        "this machine",
        "this machine",
        "journal",
        "--forward",
        "--forward",
    ]
    assert [p.what.partition(":")[::2] for p in status.problems if p.path == "this machine"] == [
        ("no memory", " new connections wait"),
        ("no descriptors", " new connections wait"),
        ("no port is free", " health checks wait; what was known of the instances holds"),
        ("no threads", " host names wait; what they were known for holds"),
        ("no sockets", " names are not forwarded"),
    ]
    assert [p.what for p in status.problems if "10.0.0.2:53 leads back" in p.what]
    assert status.forward == {"cached": 27, "in_flight": 28, "cache_bytes": 30}


@pytest.mark.parametrize("phase", Phase)
def test_a_server_is_ready_while_it_answers_and_is_not_about_to_end(tmp_path: Path, phase: Phase) -> None:
    one = observer(tmp_path)
    one.life.phase = phase
    status = one.status()
    assert status.ready == (phase in (Phase.READY, Phase.FROM_STATE))
    assert status.why == phase.value
    assert status.phase == phase.name.lower()


def test_what_somebody_asks_about_a_service_costs_the_loop_the_same_however_large_it_is() -> None:
    """The rest is in what is given, and is called in a thread."""
    costs = []
    for count in (2, 300):
        world = World()
        world.do_registries("here there")
        world.do_data('here:/services/web {"check": {"type": "tcp"}, "to": {"web": 1, "api@there": 1}}')
        for registry, name in (("here", "web"), ("there", "api")):
            world.do_list(f"{registry}:/services {name}")
            world.do_list(f"{registry}:/services/{name} " + " ".join(f"i{n:03}" for n in range(count)))
            for n in range(count):
                world.do_data(f'{registry}:/services/{name}/i{n:03} {{"address": "10.0.{n >> 8}.{n & 255}"}}')
        world.publish()
        engine = SimpleNamespace(told=lambda service, client: lambda: NOT_KEPT)
        forwarder = SimpleNamespace(allows=lambda client: False)
        parts: Any = (None, world.pipeline, None, engine, forwarder, None, None, None)
        observer = Observer(*parts)
        changes = ["undrain=web/i001", "route:api=web@here,t.web@here,api@there", "drain=web/i001"]

        def ask(observer: Observer = observer, changes: list[str] = changes) -> None:
            observer.beside("web")
            observer.firsts("web")
            observer.names()
            observer.given_instead()
            observer.routed()
            observer.explain("web.svc.local", "SRV", None, changes, None)

        ask()
        costs.append(steps(ask))
    assert costs[1] <= costs[0] + 20, "an instance is looked for by halves"
