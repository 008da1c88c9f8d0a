"""Packets that came together and were asked before get what each alone would get, and are counted alike."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import tables
from support.examples import examples
from support.tables import Answers
from zkdns.answers.table import Entry, Table
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.dns.reply import RA
from zkdns.dns.types import NOERROR, NXDOMAIN, A
from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.serve.dispatch import Dispatcher, Outcome
from zkdns.serve.request import MAX_TCP_BYTES, Request
from zkdns.serve.wordings import Wordings

NORMAL = settings(
    max_examples=examples(100), deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)  # fmt: skip
WEB = names.wire("web.svc.local")
MAY = "10.0.0.1"
COOKIE = b"\0\x0a\0\x08abcdefgh"


class Upstreams:
    """Stands where the forwarder does: one client may have names forwarded, and nothing is."""

    enabled = False

    def allows(self, client: str) -> bool:
        return client == MAY


def serving(table: Table, **kwargs: Any) -> Dispatcher:
    dispatcher = Dispatcher(table, Upstreams(), **kwargs)  # type: ignore[arg-type]
    dispatcher.configure(Settings())
    return dispatcher


def one_by_one(dispatcher: Dispatcher, packets: list[bytes], clients: list[str]) -> list[Outcome]:
    return [
        dispatcher.dispatch(dispatcher.read(packet, client))
        for packet, client in zip(packets, clients, strict=True)
    ]


def rows_of(dispatcher: Dispatcher) -> dict[tuple[str, str], tuple[int, str]]:
    assert dispatcher.clients is not None
    return {key: times[2:] for key, times in dispatcher.clients.copy()}


@st.composite
def questions(draw: st.DrawFn, table: Table) -> bytes:
    name = draw(st.sampled_from([*tables.owners(table), names.wire("nope.svc.local"), b"\0"]))
    if draw(st.integers(0, 9)) == 0:
        name = name.swapcase()
    tail = draw(
        st.sampled_from(
            [b"", tables.opt(), tables.opt(4096, 0x8000), tables.opt(600), tables.opt(1232, 0, COOKIE)]
        )
    )
    flags = draw(st.sampled_from([0x0100, 0, 0x0110, 0x0900, 0x8100]))
    return tables.query(
        name, draw(st.sampled_from(tables.TYPES)), tail, flags, draw(st.sampled_from([1, 1, 1, 3]))
    )


@NORMAL
@given(st.data())
def test_together_they_get_what_each_alone_would_get(data: st.DataObject) -> None:
    table = data.draw(st.one_of(tables.invented(), tables.compiled().map(lambda answers: answers.table)))
    position = data.draw(st.integers(0, 10))
    alone, together = (serving(table, position=lambda entry: position) for _ in range(2))
    words = data.draw(st.lists(questions(table), min_size=1, max_size=6))
    chance = data.draw(st.randoms(use_true_random=False))
    for _ in range(3):
        packets = [bytes((chance.randrange(256), k)) + each[2:] for k, each in enumerate(words)]
        clients = [data.draw(st.one_of(st.just(MAY), tables.clients)) for _ in packets]
        assert together.dispatch_all(packets, clients) == one_by_one(alone, packets, clients)
    assert together.counts == alone.counts
    assert together.dropped == alone.dropped
    assert together.search_misses == alone.search_misses
    assert rows_of(together) == rows_of(alone)


def web(*addresses: str) -> Service:
    instances = tuple(
        Instance(f"i{k}", f"i{k}", f"/services/web/i{k}", Registration((address,)), 0.0, weight=1)
        for k, address in enumerate(addresses)
    )
    return Service("web", "web", "/services/web", instances=instances)


@pytest.fixture
def answers() -> Answers:
    answers = Answers(["svc.local"])
    answers.put(web("10.0.0.1", "10.0.0.2", "10.0.0.3"))
    return answers


def addresses_in(reply: Outcome) -> list[bytes]:
    assert isinstance(reply, bytes)
    start = len(tables.query(WEB, A)) + 12
    return [reply[at : at + 4] for at in range(start, len(reply), 16)]


def test_what_is_recalled_goes_on_in_the_rotation(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packet = tables.query(WEB, A)
    firsts = [addresses_in(dispatcher.dispatch_all([packet], [MAY])[0])[0] for _ in range(30)]
    assert all(firsts.count(address) == 10 for address in set(firsts))
    assert len(set(firsts)) == 3


def test_what_is_recalled_is_answered_from_the_table_as_it_is_now(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packet = tables.query(WEB, A)
    for _ in range(2):
        assert len(addresses_in(dispatcher.dispatch_all([packet], [MAY])[0])) == 3
    answers.put(web("10.0.0.9"))
    dispatcher.table.apply(answers.take())
    assert addresses_in(dispatcher.dispatch_all([packet], [MAY])[0]) == [bytes((10, 0, 0, 9))]
    answers.replace("web", None)
    dispatcher.table.apply(answers.take())
    reply = dispatcher.dispatch_all([packet], [MAY])[0]
    assert isinstance(reply, bytes)
    assert reply[3] & 15 == NXDOMAIN


def test_what_is_recalled_and_passes_its_room_by_one_byte_is_cut_like_any_other(answers: Answers) -> None:
    answers.put(replace(web(*(f"10.0.1.{k}" for k in range(60))), settings=ServiceSettings(answers=60)))
    whole = len(tables.query(WEB, A, tables.opt())) + 60 * 16
    alone, together = (serving(answers.table, position=lambda entry: 0) for _ in range(2))
    cut = []
    for room in (whole - 1, whole, whole + 1):
        packets, clients = [tables.query(WEB, A, tables.opt(room))] * 2, [MAY, "192.0.2.1"]
        for _ in range(2):
            replies = together.dispatch_all(packets, clients)
            assert replies == one_by_one(alone, packets, clients)
        cut += [bool(reply[2] & 2) for reply in replies if isinstance(reply, bytes)]
    assert cut == [True, True, False, False, False, False]


def test_who_stands_where_there_is_nobody_is_told_so_each_time(answers: Answers) -> None:
    """A variant without tiers: what stands for its clients is nobody."""
    table, key = answers.table, WEB + A.to_bytes(2, "big")
    whole = table.entries[key]
    table.entries[key] = replace(whole, variants={table.clients.own: Entry((), whole.cut)})
    dispatcher = serving(table)
    packet = tables.query(WEB, A, tables.opt())
    (first,), (second,) = (dispatcher.dispatch_all([packet], [MAY]) for _ in range(2))
    assert isinstance(first, bytes)
    assert first == second
    assert first[3] & 15 == NOERROR
    assert first[6:10] == b"\0\0\0\1", "no answer, and the SOA"


def test_whether_a_client_may_is_asked_of_each_and_not_recalled(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packet = tables.query(WEB, A)
    for _ in range(2):
        replies = dispatcher.dispatch_all([packet] * 3, [MAY, "192.0.2.1", MAY])
        assert [reply[3] & RA for reply in replies if isinstance(reply, bytes)] == [RA, 0, RA]


def test_one_that_fails_is_servfail_and_counted_and_those_behind_it_are_answered(
    answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    positions = iter([0, 1, None, 3])

    def fragile(entry: Entry) -> int:
        position = next(positions)
        if position is None:
            raise RuntimeError("a mistake of ours")
        return position

    dispatcher = serving(answers.table, position=fragile)
    packet = tables.query(WEB, A)
    replies = dispatcher.dispatch_all([packet] * 4, [MAY] * 4)
    assert [reply[3] & 15 for reply in replies if isinstance(reply, bytes)] == [0, 0, 2, 0]
    assert dispatcher.counts == {("udp", A, NOERROR): 3, ("udp", A, 2): 1}
    assert dispatcher.errors == 1
    assert packet.hex() in caplog.text


def test_who_was_told_what_is_noted_of_each_as_it_stood_in_its_own_answer(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packet = tables.query(WEB, A)
    dispatcher.dispatch_all([packet], [MAY])
    clients = [f"192.0.2.{n}" for n in range(7)]
    replies = dispatcher.dispatch_all([packet] * 7, clients)
    rows = rows_of(dispatcher)
    (service,) = answers.services.values()
    ids = {i.addresses[0]: i.id for i in service.service.instances}
    for client, reply in zip(clients, replies, strict=True):
        first = ".".join(map(str, addresses_in(reply)[0]))
        assert rows[client, "web"] == (1, ids[first])
    assert len({rows[client, "web"][1] for client in clients}) == len(ids)


def test_one_in_thirty_two_is_timed_however_they_come(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packet = tables.query(WEB, A)
    for count in (1, 16, 7, 8, 31, 1, 32):
        dispatcher.dispatch_all([packet] * count, [MAY] * count)
    assert sum(dispatcher.times.read()[1]) == 96 // 32


def test_the_query_log_sees_each(answers: Answers, caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = serving(answers.table)
    dispatcher.configure(Settings(query_log_sample=1))
    caplog.set_level("INFO", "zkdns.query")
    dispatcher.dispatch_all([tables.query(WEB, A)] * 3, ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    assert [word for word in ("192.0.2.1", "192.0.2.2", "192.0.2.3") if word in caplog.text] == [
        "192.0.2.1", "192.0.2.2", "192.0.2.3",
    ]  # fmt: skip


# --- what is kept -----------------------------------------------------------------------------------


def test_what_follows_the_id_is_what_is_recalled() -> None:
    wordings = Wordings()
    packet = tables.query(WEB, A)
    wordings.remember(Request(packet))
    assert wordings.recall(packet[2:]) is not None
    for other in (
        tables.query(WEB.upper(), A), tables.query(WEB, 28), tables.query(WEB, A, flags=0),
        tables.query(WEB, A, tables.opt()), tables.query(WEB, A, rclass=3), packet + b"\0",
    ):  # fmt: skip
        assert wordings.recall(other[2:]) is None


def test_options_other_classes_faults_and_streams_are_not_kept() -> None:
    wordings = Wordings()
    for request in (
        Request(tables.query(WEB, A, tables.opt(1232, 0, COOKIE))), Request(tables.query(WEB, A, rclass=3)),
        Request(tables.query(WEB, A, flags=0x8100)), Request(b"no query"),
        Request(tables.query(WEB, A), limit=MAX_TCP_BYTES),
    ):  # fmt: skip
        wordings.remember(request)
        assert wordings.recall(request.packet[2:]) is None
    wordings.remember(Request(tables.query(WEB, A, tables.opt()), limit=HIGHEST_UDP))
    assert wordings.recall(tables.query(WEB, A, tables.opt())[2:]) is not None


def test_names_that_are_not_there_are_not_kept(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    chance = random.Random(1)
    for _ in range(10):
        packet = tables.query(names.wire(f"x{chance.getrandbits(40):x}.svc.local"), A)
        dispatcher.dispatch_all([packet], [MAY])
        assert all(wordings.recall(packet[2:]) is None for wordings in dispatcher._wordings)


def test_past_the_bound_all_are_forgotten_and_learnt_anew() -> None:
    wordings = Wordings(3)
    requests = [Request(tables.query(WEB, rtype)) for rtype in range(1, 5)]
    for request in requests:
        wordings.remember(request)
    kept = [wordings.recall(request.packet[2:]) is not None for request in requests]
    assert kept == [False, False, False, True]


@pytest.mark.parametrize("every", [0, 1], ids=["plain", "with a query log"])
def test_what_came_together_is_answered_until_the_turn_is_over(every: int) -> None:
    dispatcher = serving(Table())
    dispatcher.configure(Settings(query_log_sample=every))
    packets = [tables.query(WEB, A)] * 40
    looks = iter(range(100))
    answered = dispatcher.dispatch_all(packets, [MAY] * 40, lambda: next(looks) >= 4)
    assert len(answered) == 5
    assert sum(dispatcher.counts.values()) == 5
    assert len(dispatcher.dispatch_all(packets, [MAY] * 40, lambda: True)) == 1, "one at least"
    assert len(dispatcher.dispatch_all(packets, [MAY] * 40)) == 40


def test_of_what_is_recalled_a_few_are_answered_between_two_looks(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packets = [tables.query(WEB, A)] * 40
    dispatcher.dispatch_all(packets[:1], [MAY])
    looks = iter(range(100))
    answered = dispatcher.dispatch_all(packets, [MAY] * 40, lambda: next(looks) >= 4)
    assert 5 < len(answered) <= 5 * 4
    assert len(dispatcher.dispatch_all(packets, [MAY] * 40, lambda: True)) == 1, "one at least"
