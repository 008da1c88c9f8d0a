"""Who was told what, as Python's table and both engines keep it."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support import tables
from support.tables import Answers
from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.dns.types import AAAA, SRV, TXT, A
from zkdns.model import Instance, Registration, Service, ServiceSettings, State
from zkdns.serve import clients, native
from zkdns.serve.clients import (
    Asker,
    ClientRow,
    ClientTable,
    Demand,
    join_demand,
    merge,
    pick,
    read_client,
    sum_up,
)
from zkdns.serve.dispatch import Dispatcher
from zkdns.topology import parse_topology

WEB = names.wire("web.svc.local")


def instance(id: str, number: int, tags: tuple[str, ...] = (), answered: bool = True) -> Instance:
    r = Registration(addresses=(f"10.0.0.{number}",), port=80, tags=tags)
    state = State.HEALTHY if answered else State.DRAINED
    return Instance(id, id, f"/services/web/{id}", r, 0.0, state=state, weight=1, answered=answered)


def web(*instances: Instance, **settings: Any) -> Service:
    return Service("Web", "web", "/services/Web", ServiceSettings(**settings), instances)


def rows_of(clients: ClientTable) -> dict[tuple[str, str], tuple[int, str]]:
    return {(r.client, r.service): (r.queries, r.last_first) for r in merge(pick(clients.copy(), None, None))}


def zones_of(rows: Iterable[ClientRow]) -> dict[tuple[str, str], tuple[str, bool]]:
    """By client and service, the zone that it was given alone since when, and whether it was given others."""
    return {(r.client, r.service): (r.zone, r.beyond > 0) for r in merge(rows)}


@pytest.fixture
def answers() -> Answers:
    answers = Answers(["svc.local"])
    answers.put(web(instance("a", 1, ("blue",)), instance("b", 2), policy="round_robin"))
    return answers


def dispatcher_of(answers: Answers) -> Dispatcher:
    dispatcher = Dispatcher(answers.table)
    dispatcher.configure(Settings())
    return dispatcher


@cache
def four_services() -> Table:
    answers = Answers(["svc.local"])
    for n in range(4):
        instances = instance("a", 1), instance("b", 2)
        answers.put(Service(f"s{n}", f"s{n}", f"/services/s{n}", ServiceSettings(), instances))
    return answers.table


def ask(dispatcher: Dispatcher, name: bytes, qtype: int, client: str = "192.0.2.1") -> None:
    dispatcher.dispatch(dispatcher.read(tables.query(name, qtype, tables.opt()), client))


def test_a_row_tells_how_often_and_what_stood_first_last(answers: Answers) -> None:
    dispatcher = dispatcher_of(answers)
    assert dispatcher.clients is not None
    for _ in range(3):
        ask(dispatcher, WEB, A)
    ask(dispatcher, names.wire("_web._tcp.svc.local"), SRV, "192.0.2.2")
    ask(dispatcher, names.wire("blue.web.svc.local"), A, "192.0.2.3")
    found = rows_of(dispatcher.clients)
    assert found["192.0.2.1", "Web"] == (3, "a"), "by turns: a, b, a"
    assert found["192.0.2.2", "Web"] == (1, "a")
    assert found["192.0.2.3", "Web"] == (1, "a"), "a tag's answer is one of its service"


def test_only_what_gives_instances_counts(answers: Answers) -> None:
    """Who asks for A and AAAA at once goes on with what A gave: the NODATA for the other says nothing."""
    dispatcher = dispatcher_of(answers)
    assert dispatcher.clients is not None
    for name, qtype in (
        (WEB, AAAA), (WEB, TXT), (names.wire("svc.local"), 6), (names.wire("a.web.svc.local"), A),
        (names.wire("nope.svc.local"), A),
    ):  # fmt: skip
        ask(dispatcher, name, qtype)
    assert len(dispatcher.clients) == 0


def test_who_is_told_that_nobody_is_left_has_asked_again(answers: Answers) -> None:
    dispatcher = dispatcher_of(answers)
    assert dispatcher.clients is not None
    ask(dispatcher, WEB, A)
    answers.put(web(instance("a", 1, answered=False), instance("b", 2, answered=False)))
    dispatcher.table.apply(answers.take())
    ask(dispatcher, WEB, A)
    assert rows_of(dispatcher.clients)["192.0.2.1", "Web"] == (2, "a")


def test_off_means_that_nothing_is_noted(answers: Answers) -> None:
    dispatcher = Dispatcher(answers.table)
    dispatcher.configure(Settings(client_table=False))
    ask(dispatcher, WEB, A)
    assert dispatcher.clients is None


# --- the bound and the merge ------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["web", "db"])), max_size=60),
    st.integers(1, 8),
    st.integers(1, 9),
)
@example([(0, "web"), (1, "web"), (0, "web"), (2, "web")], 2, 9)
def test_past_the_bound_the_longest_unseen_goes_and_is_counted(
    asked: list[tuple[int, str]], limit: int, unordered: int
) -> None:
    table = ClientTable(limit, unordered)
    last: dict[tuple[str, str], float] = {}
    forgotten = 0
    for now, (client, service) in enumerate(asked):
        key = str(client), service
        if key not in last and len(last) == limit:
            del last[min(last, key=last.__getitem__)]
            forgotten += 1
        last[key] = float(now)
        table.row(*key, float(now)).note("a", "", float(now))
    assert {key: row.last for key, row in table.copy()} == last
    assert table.forgotten == forgotten
    counts = Counter(service for _, service in asked)
    assert sum_up(table.copy(), table.gone, 0.0, 9).services == counts


@given(
    st.lists(st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2"]), st.integers(0, 3)), max_size=20),
    st.integers(1, 4),
)
@example([("192.0.2.1", 0), ("192.0.2.2", 1), ("192.0.2.2", 0), ("192.0.2.2", 1)], 9)
@example([("192.0.2.1", 0)] * 3 + [("192.0.2.1", 1)] * 2 + [("192.0.2.1", 0)], 1)
def test_of_answers_that_came_together_each_counts(asked: list[tuple[str, int]], unordered: int) -> None:
    """Whether their words were known or not, and whoever is put in order between them."""
    packets = [tables.query(names.wire(f"s{n}.svc.local"), A) for _, n in asked]
    found = []
    for together in (1, 20):
        dispatcher = Dispatcher(four_services())
        dispatcher.note_clients(ClientTable(100, unordered))
        assert dispatcher.clients is not None
        for at in range(0, len(asked), together):
            hosts = [client for client, _ in asked[at : at + together]]
            dispatcher.dispatch_all(packets[at : at + together], hosts)
        assert len([*dispatcher.clients.copy()]) == len(dispatcher.clients)
        found.append({key: queries for key, (queries, _) in rows_of(dispatcher.clients).items()})
    assert found[0] == found[1] == Counter((client, f"s{n}") for client, n in asked)


def test_whose_row_was_put_in_order_is_not_among_those_seen_lately() -> None:
    """For those either who look at these since before."""
    table = ClientTable(unordered=1)
    table.row("192.0.2.1", "web", 1.0).note("a", "", 1.0)
    rows = table.lately("192.0.2.1")
    assert [*rows] == ["web"]
    table.row("192.0.2.2", "web", 2.0).note("a", "", 2.0)
    assert (dict(rows), dict(table.lately("192.0.2.1"))) == ({}, {})
    table.row("192.0.2.1", "web", 3.0).note("a", "", 3.0)
    assert {key[0]: row.queries for key, row in table.copy()} == {"192.0.2.2": 1, "192.0.2.1": 2}


def test_whoever_is_seen_again_moves_nobody_until_many_others_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are: their rows are counted up where they stand."""
    moved: list[int] = []
    put = ClientTable._put_in_order

    def note(table: ClientTable) -> None:
        moved.append(len(table))
        put(table)

    monkeypatch.setattr(ClientTable, "_put_in_order", note)
    table = ClientTable(1000, 20)
    for now in range(20 * 20):
        table.row(f"10.0.0.{now % 20}", "web", float(now)).note("a", "", float(now))
    assert moved == []
    for now in range(60):
        table.row(f"10.0.1.{now}", "web", 1000.0 + now).note("a", "", 1000.0 + now)
    assert moved == [20, 40, 60]
    assert {row.queries for (client, _), row in table.copy() if client < "10.0.1"} == {20}


def test_who_asks_most_is_first_and_who_was_not_seen_since_is_left_out() -> None:
    table = ClientTable()
    for now, (client, service) in enumerate(
        [("a", "web"), ("b", "web"), ("b", "db"), ("c", "db"), ("c", "db")]
    ):
        table.row(client, service, float(now)).note("", "", float(now))
    found = sum_up(table.copy(), {"old": 7}, 2.0, 9)
    assert found.services == {"old": 7, "web": 2, "db": 3}
    assert found.clients == [Asker("c", 2, 3.0), Asker("b", 1, 2.0)]
    assert sum_up(table.copy(), {}, 0.0, 1).clients == [Asker("c", 2, 3.0)]
    joined = join_demand(found, Demand({"web": 5}, [Asker("b", 4, 1.0)]), 9)
    assert joined.services == {"old": 7, "web": 7, "db": 3}
    assert joined.clients == [Asker("b", 5, 1.0), Asker("c", 2, 3.0)]


def _row(client: str, first: int, length: int, n: int, id: str, zone: str, before: int) -> ClientRow:
    beyond = max(0, first + length - before) if zone else 0
    return ClientRow(client, "web", first, first + length, n, id, zone, beyond)


def rows() -> st.SearchStrategy[ClientRow]:
    return st.builds(
        _row,
        st.sampled_from(["192.0.2.1", "192.0.2.2"]),
        st.integers(0, 50),
        st.integers(0, 50),
        st.integers(1, 9),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "eu-1a", "eu-1b"]),
        st.integers(0, 60),
    )


@given(st.lists(rows(), max_size=8).flatmap(lambda held: st.tuples(st.just(held), st.permutations(held))))
def test_rows_of_many_threads_make_one_whatever_their_order(
    both: tuple[list[ClientRow], list[ClientRow]],
) -> None:
    merged = merge(both[0])
    assert len({row.client for row in merged}) == len(merged)
    for row in merged:
        own = [one for one in both[0] if one.client == row.client]
        assert (row.first, row.last) == (min(o.first for o in own), max(o.last for o in own))
        assert row.queries == sum(o.queries for o in own)
        for zone in ("", "eu-1a", "eu-1b"):
            for since in range(0, 101, 5):
                assert row.may_hold(zone, since) >= any(o.may_hold(zone, since) for o in own)
    times = [(r.client, r.first, r.last, r.queries) for r in merge(both[1])]
    assert times == [(r.client, r.first, r.last, r.queries) for r in merged]


@pytest.mark.parametrize(
    ("told", "zone", "beyond"),
    [
        ([("a", "eu-1a"), ("a", "eu-1a"), ("", "")], "eu-1a", 0),
        ([("a", "eu-1a"), ("b", ""), ("a", "eu-1a")], "eu-1a", 2),
        ([("b", ""), ("b", ""), ("a", "eu-1a"), ("a", "eu-1a")], "eu-1a", 2),
        ([("a", "eu-1a"), ("c", "eu-1b"), ("c", "eu-1b")], "eu-1b", 2),
        ([("a", ""), ("", "")], "", 0),
    ],
)
def test_where_all_stood_that_it_was_given_is_told_and_when_it_was_given_others_last(
    told: list[tuple[str, str]], zone: str, beyond: float
) -> None:
    table = ClientTable()
    for now, (id, where) in enumerate(told, 1):
        table.row("c", "web", now).note(id, where, now)
    (row,) = merge(pick(table.copy(), None, None))
    assert (row.zone, row.beyond) == (zone, beyond)


def test_who_was_given_its_own_zone_alone_holds_nothing_of_others() -> None:
    near = ClientRow("c", "web", 1.0, 50.0, 9, "a", "eu-1a", 20.0)
    assert near.may_hold("eu-1a", 50.0)
    assert not near.may_hold("eu-1a", 50.1)
    assert near.may_hold("eu-1b", 20.0)
    assert not near.may_hold("eu-1b", 20.1)
    assert near.may_hold("", 50.0), "where it stands is not known"
    assert ClientRow("c", "web", 1.0, 50.0, 9, "a").may_hold("eu-1b", 50.0), "it was given any"


def test_an_address_is_one_however_it_is_written() -> None:
    assert read_client("::FFFF:10.0.0.1") == read_client("10.0.0.1") == "10.0.0.1"
    assert read_client("2001:DB8:0::1") == "2001:db8::1"
    assert read_client("fe80::1%eth0") == "fe80::1"
    with pytest.raises(ValueError, match="web"):
        read_client("web")


# --- the native engine --------------------------------------------------------------------------------


@pytest.fixture
def engine() -> Iterator[native.Native]:
    if native.WHY_NOT:
        pytest.skip("the native engine is not built")
    made = native.Native()
    yield made
    made.close()


def test_both_engines_note_the_same(answers: Answers, engine: native.Native) -> None:
    from support.native import ask as ask_native

    dispatcher = dispatcher_of(answers)
    assert dispatcher.clients is not None
    again = Answers(["svc.local"])
    again.put(answers.services["Web"].service)
    engine.apply(again.take())
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    asked = [
        (WEB, A), (WEB, A), (WEB, A), (WEB, AAAA), (WEB, TXT), (names.wire("blue.web.svc.local"), A),
        (names.wire("_web._tcp.svc.local"), SRV), (names.wire("nope.svc.local"), A),
        (names.wire("a.web.svc.local"), A), (WEB, A),
    ]  # fmt: skip
    for name, qtype in asked:
        ask(dispatcher, name, qtype, "127.0.0.1")
        ask_native(at, tables.query(name, qtype, tables.opt()))
    engine.stop()
    found, forgotten = engine.told(None, None)
    assert {(r.client, r.service): (r.queries, r.last_first) for r in merge(found)} == rows_of(
        dispatcher.clients
    )
    assert forgotten == 0
    here = sum_up(dispatcher.clients.copy(), dispatcher.clients.gone, 0.0, 9)
    there = engine.demand(0.0, 9)
    assert there.services == here.services
    assert [asker[:2] for asker in there.clients] == [asker[:2] for asker in here.clients]
    assert engine.demand(there.clients[0].first + 3600, 9).clients == []
    assert engine.told("Web", "127.0.0.1")[0] == found
    assert engine.told("db", None)[0] == engine.told(None, "127.0.0.9")[0] == []


@pytest.mark.parametrize(
    ("asked", "zone", "is_beyond"),
    [
        ([("near", A), ("near", AAAA), ("near", A)], "eu-1a", False),
        ([("near", A), ("_near._tcp", SRV)], "eu-1a", True),
        ([("near", A), ("eu-1b.pin._zone.near", A), ("near", A)], "eu-1a", True),
        ([("eu-1b.prefer._zone.near", A)], "eu-1b", False),
        ([("blue.near", A)], "", False),
    ],
)
def test_both_engines_note_where_all_stands_that_was_given(
    asked: list[tuple[str, int]], zone: str, is_beyond: bool, engine: native.Native
) -> None:
    from support.native import ask as ask_native

    engines = []
    for _ in range(2):
        answers = Answers(["svc.local"])
        answers.set_topology(parse_topology("map", {"127.0.0.0/8": "eu/eu-1a", "10.0.0.0/8": "eu/eu-1b"})[0])
        those = instance("a", 1, ("red",)), instance("b", 2, ("blue",))
        placed = [
            replace(i, registration=replace(i.registration, zone=where))
            for i, where in zip(those, ("eu-1a", "eu-1b"), strict=True)
        ]
        answers.put(Service("near", "near", "/services/near", ServiceSettings(near="prefer"), tuple(placed)))
        engines.append(answers)
    dispatcher = dispatcher_of(engines[0])
    assert dispatcher.clients is not None
    engine.apply(engines[1].take())
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    for label, qtype in asked:
        name = names.wire(f"{label}.svc.local")
        ask(dispatcher, name, qtype, "127.0.0.1")
        if "_zone" not in label:  # such names it leaves to Python
            ask_native(at, tables.query(name, qtype, tables.opt()))
    engine.stop()
    here = zones_of(pick(dispatcher.clients.copy(), None, None))
    assert here == {("127.0.0.1", "near"): (zone, is_beyond)}
    if not any("_zone" in label for label, _ in asked):
        assert zones_of(engine.told(None, None)[0]) == here


def test_the_sum_of_what_had_to_go_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that came and went for years."""
    monkeypatch.setattr(clients, "MAX_ROWS", 3)
    table = ClientTable(1)
    for n in range(20):
        table.row("10.0.0.1", f"web{n}", float(n)).note("", "", float(n))
        assert len(table.gone) <= 3
    assert table.forgotten == 19


def test_a_client_was_first_seen_when_the_first_of_its_rows_was() -> None:
    table = ClientTable()
    for name, first in (("web", 50.0), ("db", 10.0), ("x", 70.0)):
        table.row("10.0.0.1", name, first).note("", "", first)
    for order in ([*table.copy()], [*table.copy()][::-1]):
        assert sum_up(order, {}, 0.0, 5).clients == [Asker("10.0.0.1", 3, 10.0)]


def test_what_stood_first_last_is_kept_over_an_answer_in_which_nobody_did() -> None:
    rows = [ClientRow("c", "web", 1.0, 2.0, 1, "a"), ClientRow("c", "web", 3.0, 4.0, 1, "")]
    for order in (rows, rows[::-1]):
        assert merge(order) == (ClientRow("c", "web", 1.0, 4.0, 2, "a"),)


def test_rows_are_picked_by_service_by_client_or_by_both() -> None:
    table = ClientTable()
    for client, service in (("x", "web"), ("x", "db"), ("y", "web")):
        table.row(client, service, 1.0).note("a", "", 1.0)

    def picked(service: str | None, client: str | None) -> list[tuple[str, str]]:
        return [(row.client, row.service) for row in pick(table.copy(), service, client)]

    assert picked("web", None) == [("x", "web"), ("y", "web")]
    assert picked(None, "x") == [("x", "web"), ("x", "db")]
    assert picked("web", "x") == [("x", "web")]
    assert picked("db", "y") == []
    assert len(picked(None, None)) == 3


def test_who_looks_at_all_rows_makes_nothing_for_each_while_the_loop_waits() -> None:
    """Whoever asks for /api/v1/clients has them copied in the loop; they may be 65,536."""
    made = []
    for count in (100, 5000):
        table = ClientTable(unordered=16)
        for n in range(count):
            table.row(f"10.0.{n >> 8}.{n & 255}", "web", float(n)).note("a", "", float(n))
        gc.collect()
        before = sys.getallocatedblocks()
        rows = table.copy()
        made.append(sys.getallocatedblocks() - before)
        table.row("10.9.9.9", "web", 9e9)
        assert [key[0] for key, _ in rows] == [f"10.0.{n >> 8}.{n & 255}" for n in range(count)]
    assert abs(made[1] - made[0]) < 100
