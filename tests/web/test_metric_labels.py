"""Labels of metrics: whatever text a registry or an upstream has is one value, and clients make no series."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from support.examples import examples
from support.filled import fill
from zkdns.answers.first_places import FirstAnswers, Sums
from zkdns.model import State
from zkdns.web import metrics
from zkdns.web.metrics import RCODES, TYPES
from zkdns.web.status import Counters, Observed, Status

NOW = 1_800_000_000.0
EVIL = (
    'a"b',
    "back\\slash", "two\nlines", '",evil="1', '\\"', "\\n", "\r\n# TYPE x counter", "{}",
    "a b=c,d", "é\u2028",
)  # fmt: skip
NO_TIMES = ((0.1,), (3, 3), 1.0)


def made(text: str) -> tuple[Status, Counters]:
    """All that metrics are made of, with this text in every place; several registries, one has no name of
    its own else."""
    status: Status = fill(Status, text, NOW, {
        "Status.forward": {"cached": 3, "in_flight": 3, "cache_bytes": 3},
        "ServiceSettings.policy": "weighted",
    })  # fmt: skip
    (registry,) = status.registries
    status = replace(status, registries=(registry, replace(registry, name=f"{text}2")))
    counters: Counters = fill(Counters, text, NOW, {
        "Counters.queries": {("udp", 1, 0): 3},
        "Counters.query_seconds": NO_TIMES,
        "Counters.change_seconds": NO_TIMES,
        "Counters.tcp_closed": dict.fromkeys(("idle", "limit", "backlog"), 3),
    })  # fmt: skip
    return status, counters


def told(status: Status, counters: Counters, *given: FirstAnswers) -> str:
    observed: Observed = SimpleNamespace(  # type: ignore[assignment]
        status=lambda: status, counters=lambda: counters, given_instead=lambda: {"web": 191}.__getitem__
    )
    return b"".join(metrics.take(observed, given).pieces()).decode()


def series(text: str) -> dict[str, list[dict[str, str]]]:
    """The labels of each of our samples, by name."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("zkdns_"):
                found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def all_series(text: str) -> dict[str, list[dict[str, str]]]:
    return series(told(*made(text), FirstAnswers(text, Sums({text: 3}, {(text, text): 4}))))


def holds_as_written(text: str) -> None:
    plain, evil = all_series("plain"), all_series(text)
    written = {
        name: [{k: v.replace("plain", text) for k, v in labels.items()} for labels in rows]
        for name, rows in plain.items()
    }
    assert evil == written


@pytest.mark.parametrize("text", EVIL)
def test_a_label_holds_what_was_written_and_makes_no_other(text: str) -> None:
    holds_as_written(text)
    assert sum(text in labels.values() for rows in all_series(text).values() for labels in rows) >= 7


@given(st.text(st.sampled_from('"\\\n{},=# ax'), min_size=1, max_size=8))
@sized(max_examples=examples(30))
def test_no_text_at_all_breaks_out_of_its_label(text: str) -> None:
    holds_as_written(text)


def test_whatever_clients_ask_the_series_are_as_many_as_promised() -> None:
    """Each of 65,536 types, each rcode, over both transports."""
    status, counters = made("plain")
    random.seed(1)
    asked = {
        (transport, rtype, rcode): 1
        for transport, rcode in itertools.product(("udp", "tcp"), range(16))
        for rtype in random.sample(range(1 << 16), 400)
    }
    asked |= {("udp", rtype, 0): 1 for rtype in range(300)}
    rows = series(told(status, replace(counters, queries=asked, search_misses=10**6)))
    queries = rows["zkdns_queries_total"]
    assert {labels["type"] for labels in queries} <= {*TYPES.values(), "other"}
    assert {labels["rcode"] for labels in queries} == {*RCODES, *map(str, range(len(RCODES), 16))}
    assert len(queries) <= 2 * (len(TYPES) + 1) * 16
    assert rows["zkdns_search_misses_total"] == [{}], "by client they are told in /api/v1/status alone"


def test_the_series_of_a_service_are_its_states_and_no_more() -> None:
    status, counters = made("plain")
    (service,) = status.services.values()
    (one,) = service.instances
    many = tuple(replace(one, id=f"i{n}", state=State.HEALTHY) for n in range(500))
    full = replace(status, services={"web": replace(service, name="web", instances=many)})
    assert series(told(full, counters))["zkdns_instances"] == [{"service": "web", "state": "healthy"}]


def test_each_count_is_told_under_its_own_name() -> None:
    """A value of its own for each, so that two that were swapped would show."""
    status, counters = made("plain")
    counters = replace(
        counters,
        queries={("udp", 1, 0): 101, ("tcp", 28, 3): 102, ("udp", 65_000, 5): 103, ("udp", 1, 9): 104},
        dropped={"queue": 111, "buffer": 112},
        search_misses=121, errors=122, faults=123, tcp_open=124, tcp_waiting=125,
        tcp_closed={"idle": 131, "limit": 132, "backlog": 133},
        settings_read=False, registry_reads=141, registry_resyncs=142, registry_audit_repairs=143,
        forward_queries={("10.0.0.1:53", "SERVFAIL"): 151}, forward_cache_hits=152, forward_limited=153,
        forward_forgeries=155,
        forward_stale=156,
        forward_blocked=157,
        history_left_out=154,
        query_seconds=((0.1, 0.5), (1, 2, 4), 9.0), change_seconds=((0.2,), (8, 16), 7.0),
    )  # fmt: skip
    r1, r2 = status.registries
    status = replace(
        status,
        forward={"cached": 161, "in_flight": 162, "cache_bytes": 163},
        serial=171, lag_seconds=172.5, stale_seconds=173.5, ready=False,
        registries=(
            replace(r1, name="r1", connected=True, stale_seconds=0.0),
            replace(r2, name="r2", connected=False, stale_seconds=174.5),
        ),
        services={}, problems=status.problems * 7,
    )  # fmt: skip
    first = FirstAnswers("web", Sums({"a": 181}, {("z1", "z2"): 182}))
    lines = [line for line in told(status, counters, first).splitlines() if line.startswith("zkdns_")]
    found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert found == {
        'zkdns_queries_total{rcode="NOERROR",transport="udp",type="A"}': 101,
        'zkdns_queries_total{rcode="NXDOMAIN",transport="tcp",type="AAAA"}': 102,
        'zkdns_queries_total{rcode="REFUSED",transport="udp",type="other"}': 103,
        'zkdns_queries_total{rcode="9",transport="udp",type="A"}': 104,
        'zkdns_query_seconds_bucket{le="0.1"}': 1,
        'zkdns_query_seconds_bucket{le="0.5"}': 3,
        'zkdns_query_seconds_bucket{le="+Inf"}': 7,
        "zkdns_query_seconds_count": 7,
        "zkdns_query_seconds_sum": 9,
        'zkdns_dropped_total{reason="buffer"}': 112,
        'zkdns_dropped_total{reason="queue"}': 111,
        "zkdns_search_misses_total": 121,
        "zkdns_errors_total": 122,
        "zkdns_faults_total": 123,
        "zkdns_tcp_connections": 124,
        "zkdns_tcp_waiting_bytes": 125,
        'zkdns_tcp_closed_total{reason="idle"}': 131,
        'zkdns_tcp_closed_total{reason="limit"}': 132,
        'zkdns_tcp_closed_total{reason="backlog"}': 133,
        'zkdns_build_info{engine="plain",version="plain"}': 1,
        "zkdns_ready": 0,
        "zkdns_config_reload_success": 0,
        "zkdns_registry_connected": 0,
        'zkdns_registry_connected{registry="r1"}': 1,
        'zkdns_registry_connected{registry="r2"}': 0,
        "zkdns_registry_stale_seconds": 173.5,
        'zkdns_registry_stale_seconds{registry="r1"}': 0,
        'zkdns_registry_stale_seconds{registry="r2"}': 174.5,
        "zkdns_registry_problems": 7,
        "zkdns_registry_reads_total": 141,
        "zkdns_registry_resyncs_total": 142,
        "zkdns_registry_audit_repairs_total": 143,
        'zkdns_change_seconds_bucket{le="0.2"}': 8,
        'zkdns_change_seconds_bucket{le="+Inf"}': 24,
        "zkdns_change_seconds_count": 24,
        "zkdns_change_seconds_sum": 7,
        "zkdns_serial": 171,
        "zkdns_replica_lag_seconds": 172.5,
        'zkdns_forward_queries_total{rcode="SERVFAIL",upstream="10.0.0.1:53"}': 151,
        "zkdns_forward_cache_hits_total": 152,
        "zkdns_forward_cache_entries": 161,
        "zkdns_forward_cache_bytes": 163,
        "zkdns_forward_limited_total": 153,
        "zkdns_forward_forgeries_total": 155,
        "zkdns_forward_stale_answers_total": 156,
        "zkdns_forward_blocked_total": 157,
        "zkdns_forward_in_flight": 162,
        "zkdns_history_left_out_total": 154,
        "zkdns_services": 0,
        'zkdns_first_answers_total{instance="a",service="web"}': 181,
        'zkdns_near_answers_total{from="z1",service="web",to="z2"}': 182,
    }


def test_a_name_that_nobody_reads_is_one_by_its_hash() -> None:
    for family in ("zkdns_instances", "zkdns_first_answers_total"):
        long, plain = (all_series("x" * n)[family] for n in (5000, 1024))
        assert {len(labels["service"]) for labels in long} <= {*range(64), 1024}
        assert any(labels["service"] == "x" * 1024 for labels in plain)
        assert not any("x" * 64 in labels["service"] for labels in long)
