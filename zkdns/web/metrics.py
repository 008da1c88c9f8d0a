"""Prometheus metrics: read from plain counters at each scrape, kept nowhere.

Rules: names are fixed; labels are bounded by what is registered, never by what clients send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from zkdns.answers.first_places import FirstAnswers, count
from zkdns.model import Service, State
from zkdns.registry.labels import MAX_FOLDED_CHARACTERS, to_label
from zkdns.web.status import Counters, Observed, Status

TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA",
    33: "SRV", 35: "NAPTR", 43: "DS", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 252: "AXFR",
    255: "ANY", 257: "CAA",
}  # fmt: skip
"""Types that have a label of their own; the rest are "other", or a client could make series at will."""

SAMPLES = 500
"""Of one family that are made at once."""

PIECE_BYTES = 1 << 16
"""Of the text that are sent at once."""

HEADER_LINES = 2
"""Of a family: HELP and TYPE."""

RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")


Row = tuple[tuple[str, ...], float]
"""The values of a sample's labels, and its own."""

LabelledFamily = GaugeMetricFamily | CounterMetricFamily


class Snapshot(Collector):
    """The metrics of one moment."""

    def __init__(self, metrics: Iterable[Metric], later: Callable[[], Iterable[Metric]] = tuple) -> None:
        """`later`: those that cost what is registered; made of values that don't move."""
        self._metrics = list(metrics)
        self._later = later
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterable[Metric]:
        yield from self._metrics
        yield from self._later()
        yield from self._process.collect()

    def pieces(self) -> Iterator[bytes]:
        """The text, none of it empty. A family may come in several parts, one behind the other."""
        text, last = bytearray(), ""
        for metric in self.collect():
            part = generate_latest(_Alone(metric))
            if metric.name == last:
                part = part.split(b"\n", HEADER_LINES)[HEADER_LINES]
            text += part
            last = metric.name
            if len(text) >= PIECE_BYTES:
                yield bytes(text)
                text.clear()
        if text:
            yield bytes(text)


class _Alone(Collector):
    """One metric, as what `generate_latest` takes."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        yield self._metric


def take(observed: Observed, given: Sequence[FirstAnswers]) -> Snapshot:
    """What the counters say now. Runs in the loop, so that they don't move meanwhile. `given`: who stood
    first, service by service, walked before."""
    status, counters = observed.status(), observed.counters()
    return Snapshot(
        [
            *_queries(status, counters),
            *_registry(status, counters),
            *_forwarding(status, counters),
            *_history(counters),
        ],
        partial(_services, status, given, observed.given_instead()),
    )


def _queries(status: Status, counters: Counters) -> Iterable[Metric]:
    queries = CounterMetricFamily("zkdns_queries", "Queries answered.", labels=("transport", "type", "rcode"))
    totals: Counter[tuple[str, str, str]] = Counter()
    for (transport, qtype, rcode), n in counters.queries.items():
        code = RCODES[rcode] if rcode < len(RCODES) else str(rcode)
        totals[transport, TYPES.get(qtype, "other"), code] += n
    for labels, n in sorted(totals.items()):
        queries.add_metric(labels, n)
    yield queries
    yield _histogram(
        "zkdns_query_seconds", "Time from a query to its reply, sampled.", *counters.query_seconds
    )
    dropped = CounterMetricFamily("zkdns_dropped", "Packets without a reply.", labels=("reason",))
    for reason, n in sorted(counters.dropped.items()):
        dropped.add_metric((reason,), n)
    yield dropped
    yield _counter(
        "zkdns_search_misses", "Names below our zones that a search list made.", counters.search_misses
    )
    yield _counter("zkdns_errors", "Queries that failed by our fault (SERVFAIL).", counters.errors)
    yield _gauge("zkdns_tcp_connections", "Open TCP connections.", counters.tcp_open)
    waiting = counters.tcp_waiting
    yield _gauge("zkdns_tcp_waiting_bytes", "Bytes that wait for TCP clients, in and out.", waiting)
    closed = CounterMetricFamily("zkdns_tcp_closed", "TCP connections that we ended.", labels=("reason",))
    for reason in ("idle", "limit", "backlog"):
        closed.add_metric((reason,), counters.tcp_closed[reason])
    yield closed
    info = GaugeMetricFamily("zkdns_build_info", "What is running.", labels=("version", "engine"))
    info.add_metric((status.version, status.engine), 1)
    yield info
    yield _gauge("zkdns_ready", "1 while /ready is 200.", status.ready)
    yield _gauge(
        "zkdns_config_reload_success",
        "1 if settings and zone files were read as they stand.",
        counters.settings_read,
    )
    yield _counter(
        "zkdns_faults", "Nodes, instances and verdicts that met an error of ours.", counters.faults
    )


def _registry(status: Status, counters: Counters) -> Iterable[Metric]:
    every = status.registries
    yield _gauge_by_registry(
        "zkdns_registry_connected",
        "1 while every registry is within reach; with a label, that registry.",
        all(r.connected for r in every),
        {r.name: r.connected for r in every},
    )
    yield _gauge_by_registry(
        "zkdns_registry_stale_seconds",
        "Seconds since a registry went out of reach; with a label, that registry.",
        status.stale_seconds,
        {r.name: r.stale_seconds for r in every},
    )
    yield _counter("zkdns_registry_reads", "Nodes read from ZooKeeper.", counters.registry_reads)
    yield _counter("zkdns_registry_resyncs", "Whole readings.", counters.registry_resyncs)
    yield _counter(
        "zkdns_registry_audit_repairs", "Differences that the audit found and mended.",
        counters.registry_audit_repairs,
    )  # fmt: skip
    yield _histogram(
        "zkdns_change_seconds",
        "Time from a change's watch event to the answer being served, by transaction and service.",
        *counters.change_seconds,
    )
    yield _gauge("zkdns_serial", "The SOA serial.", status.serial)
    if status.lag_seconds is not None:
        yield _gauge(
            "zkdns_replica_lag_seconds", "Time from a write of ours to its watch event.", status.lag_seconds
        )


def _history(counters: Counters) -> Iterable[Metric]:
    yield _counter(
        "zkdns_history_left_out", "Changes of services that change too often, gone before those of others.",
        counters.history_left_out,
    )  # fmt: skip


def _services(
    status: Status, given: Sequence[FirstAnswers], given_instead: Callable[[str], int]
) -> Iterable[Metric]:
    yield _gauge("zkdns_registry_problems", "Rows of /api/v1/problems.", len(status.problems))
    services = sum(not service.view_of for service in status.services.values())
    yield _gauge("zkdns_services", "Services registered.", services)
    yield from _parts(
        lambda: GaugeMetricFamily(
            "zkdns_instances", "Instances by service and state.", labels=("service", "state")
        ),
        _states(status.services),
    )
    yield from _parts(
        lambda: GaugeMetricFamily(
            "zkdns_given_instead", "Instances that are given for a service without a healthy one of its own.",
            labels=("service",),
        ),
        (((name,), given_instead(name)) for name, s in status.services.items() if not s.healthy()),
    )  # fmt: skip
    crossings: Counter[tuple[str, str, str]] = Counter()

    def firsts() -> Iterator[Row]:
        for one in given:
            counts, crossed = count((one,))
            crossings.update(crossed)
            yield from counts.items()

    yield from _parts(
        lambda: CounterMetricFamily(
            "zkdns_first_answers", "Answers in which an instance stood first.", labels=("service", "instance")
        ),
        firsts(),
    )
    yield from _parts(
        lambda: CounterMetricFamily(
            "zkdns_near_answers", "Answers by the zones of the client and of the instance that stood first.",
            labels=("service", "from", "to"),
        ),
        sorted(crossings.items()),
    )  # fmt: skip


def _states(services: Mapping[str, Service]) -> Iterator[Row]:
    for name, service in services.items():
        counts = Counter(i.state for i in service.instances)
        # A service that lost all has its zeros: a series that vanished could ring no alert.
        for state in (State.HEALTHY, *sorted(counts.keys() - {State.HEALTHY})) if counts else State:
            yield (name, str(state)), counts[state]


def _short(label: str) -> str:
    """A name that nobody reads is one by its hash: ZooKeeper takes some of a megabyte."""
    return label if len(label) <= MAX_FOLDED_CHARACTERS else to_label(label)


def _parts(family: Callable[[], LabelledFamily], samples: Iterable[Row]) -> Iterator[Metric]:
    """One family in parts: of a hundred thousand samples only some are ever there."""
    part, n = family(), 0
    for labels, value in samples:
        part.add_metric([*map(_short, labels)], value)
        n += 1
        if n == SAMPLES:
            yield part
            part, n = family(), 0
    yield part


def _forwarding(status: Status, counters: Counters) -> Iterable[Metric]:
    queries = CounterMetricFamily(
        "zkdns_forward_queries", "Queries sent to upstreams.", labels=("upstream", "rcode")
    )
    for (upstream, rcode), n in sorted(counters.forward_queries.items()):
        queries.add_metric((upstream, rcode), n)
    yield queries
    yield _counter(
        "zkdns_forward_cache_hits", "Forwarded queries answered from the cache.", counters.forward_cache_hits
    )
    yield _gauge(
        "zkdns_forward_cache_entries", "Answers of upstreams that are kept.", status.forward["cached"]
    )
    yield _gauge("zkdns_forward_cache_bytes", "What those are charged.", status.forward["cache_bytes"])
    yield _counter("zkdns_forward_limited", "Forwarded queries refused by a limit.", counters.forward_limited)
    yield _counter(
        "zkdns_forward_forgeries", "Replies that answer nothing that was asked.", counters.forward_forgeries
    )
    yield _counter(
        "zkdns_forward_stale_answers",
        "Answers that had expired, as no upstream answered.",
        counters.forward_stale,
    )
    yield _counter(
        "zkdns_forward_blocked",
        "Answers that forward_private took addresses out of.",
        counters.forward_blocked,
    )
    yield _gauge("zkdns_forward_in_flight", "Questions under way.", status.forward["in_flight"])


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=float(value))


def _gauge_by_registry(name: str, help: str, whole: float, each: Mapping[str, float]) -> Metric:
    """One value for all of them, and one more for each where there are several."""
    family = GaugeMetricFamily(name, help, value=float(whole))
    for registry, value in each.items() if len(each) > 1 else ():
        family.add_sample(name, {"registry": registry}, float(value))
    return family


def _counter(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(name, help, value=float(value))


def _histogram(name: str, help: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    running, buckets = 0, []
    for bound, n in zip([*map(repr, map(float, bounds)), "+Inf"], counts, strict=True):
        running += n
        buckets.append((bound, float(running)))
    return HistogramMetricFamily(name, help, buckets=buckets, sum_value=total)
