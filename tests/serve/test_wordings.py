"""Packets that came together and were asked before get what each alone would get, and are counted alike."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from support import tables
from support.drawing import pick
from support.examples import examples
from support.tables import Answers
from zkdns.answers.table import Entry, Table
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.dns.message import read_reply
from zkdns.dns.packet import HIGHEST_UDP, MAX_MESSAGE_BYTES
from zkdns.dns.reply import RA
from zkdns.dns.types import AAAA, HTTPS, NOERROR, NXDOMAIN, TXT, A
from zkdns.forward.forwarder import Forwarder
from zkdns.forward.stored import Stored
from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.serve.dispatch import Dispatcher, Outcome
from zkdns.serve.request import Request
from zkdns.serve.wordings import Asked, Wordings, asked_of, other_words

NORMAL = settings(
    max_examples=examples(100), deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)  # fmt: skip
WEB = names.wire("web.svc.local")
MAY = "10.0.0.1"
UDP, TCP = ("udp", HIGHEST_UDP), ("tcp", MAX_MESSAGE_BYTES)
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


def one_by_one(
    dispatcher: Dispatcher, packets: list[bytes], clients: list[str], way: tuple[str, int] = UDP
) -> list[Outcome]:
    return [
        dispatcher.dispatch(dispatcher.read(packet, client, *way))
        for packet, client in zip(packets, clients, strict=True)
    ]


def rows_of(dispatcher: Dispatcher) -> dict[tuple[str, str], tuple[int, str]]:
    assert dispatcher.clients is not None
    return {key: (row.queries, row.last_first) for key, row in dispatcher.clients.copy()}


TAILS = (
    b"", tables.opt(), tables.opt(4096, 0x8000), tables.opt(600), tables.opt(0x5858),
    tables.opt(1232, 0, COOKIE), tables.opt(600, 0x8000, COOKIE), tables.opt(1232, 0, COOKIE + COOKIE),
    tables.opt(1232, 0, b"\0\3\0\0"), tables.opt(1232, 0, b"\0\x08\0\7\0\1\x18\0\x0a\1\2"),
    tables.opt(1232, 0, b"\0\x08\0\1\0"), tables.opt(1232, 0, COOKIE[:-1]),
    tables.opt(1232, 0, COOKIE, version=1), tables.opt()[:-1], tables.opt(1232, 0, COOKIE) + b"\0",
)  # fmt: skip
"""What follows a question: few kinds, so that they meet again."""


any_table = st.one_of(tables.invented(), tables.compiled().map(lambda answers: answers.table))
clients_of_all_kinds = st.one_of(st.just(MAY), tables.clients)


@st.composite
def questions(draw: st.DrawFn, known: list[bytes], types: Sequence[int]) -> bytes:
    name = draw(pick(*known))
    rtype = draw(pick(*types))
    flags = draw(pick(*[0x0100] * 5, 0, 0x0110, 0x0120, 0x0141, 0x0161, 0x0900, 0x8100))
    return tables.query(name, rtype, draw(pick(*TAILS)), flags, draw(pick(1, 1, 1, 3)))


def varied(packet: bytes, chance: random.Random) -> bytes:
    """The same with another id, letters of any place in either case, and maybe another tail."""
    end = packet.index(0, 12) + 5
    if chance.random() < 0.3:
        tail = chance.choice(TAILS)
        packet = packet[:11] + bytes((bool(tail),)) + packet[12:end] + tail
    flip = chance.choice([0, 0, 0x20])
    bent = bytes(b ^ flip if 65 <= b & 0xDF <= 90 and chance.random() < 0.5 else b for b in packet)
    return chance.randbytes(2) + bent[2:]


@NORMAL
@given(st.data())
def test_together_they_get_what_each_alone_would_get(data: st.DataObject) -> None:
    table = data.draw(any_table)
    position = data.draw(st.integers(0, 10))
    alone, together = (serving(table, position=lambda entry: position) for _ in range(2))
    known = [*tables.owners(table), names.wire("nope.svc.local"), b"\0", b"\3a\0b\3svc\5local\0"]
    words = data.draw(st.lists(questions(known, (*tables.TYPES, 0x61)), min_size=1, max_size=6))
    chance = data.draw(st.randoms(use_true_random=False))
    for _ in range(4):
        packets = [varied(each, chance) for each in words]
        clients, way = [data.draw(clients_of_all_kinds) for _ in packets], data.draw(pick(UDP, UDP, TCP))
        assert together.dispatch_all(packets, clients, None, *way) == one_by_one(alone, packets, clients, way)
    assert together.counts == alone.counts
    assert together.dropped == alone.dropped
    assert together.search_misses == alone.search_misses
    assert rows_of(together) == rows_of(alone)


class Silent(Forwarder):
    """Says what is kept; there is nobody whom it could ask. `now`: what its clock says."""

    def __init__(self) -> None:
        super().__init__(Settings(forward=("192.0.2.53",)), clock=lambda: self.now)
        self.now = 1000.0
        self._questions.is_stopping = True


OUTSIDE = [names.wire(name) for name in ("a.example.org", "b.example.org", "gone.example.org", "x.local")]


@st.composite
def kept(draw: st.DrawFn) -> tuple[bytes, Stored]:
    """What an upstream said of one of those names, up to 100 s ago."""
    rtype, rdata = draw(pick((A, b"\0\4\xc0\0\2"), (TXT, b"\0\3\2a"), (HTTPS, b"\0\3\0\1")))
    key = draw(pick(*OUTSIDE)) + bytes((0, rtype)) + b"\0\1"
    rcode = draw(pick(NOERROR, NOERROR, NOERROR, NXDOMAIN))
    count = draw(pick(1, 2, 40)) if rcode == NOERROR else 0
    ttl = draw(pick(1, 5, 60, 300)).to_bytes(4, "big")
    last = [b"\0"] * count if rtype == HTTPS else [bytes((n,)) for n in range(count)]
    records = b"".join(b"\xc0\x0c" + key[-4:] + ttl + rdata + each for each in last)
    soa = b"\0\0\6\0\1" + ttl + b"\0\x16\0\0" + b"\0\0\0\x3c" * 5
    head = bytes((0, 0, 0x81, 0x80 | draw(pick(0, 0x20)) | rcode, 0, 1, 0, count, 0, not count))
    errors = draw(pick(b"", b"", b"\0\x0f\0\2\0\x16"))
    said = records if count else soa
    message = read_reply(head + b"\0\1" + key + said + tables.opt(1232, 0, errors))
    assert message is not None
    key += bytes((draw(pick(0, 0, 0, 1, 2)),))
    return key, Stored(message, key, 1000.0 - draw(st.integers(0, 100)), trusted=draw(st.booleans()))


some_kept = st.lists(kept(), max_size=12)


@NORMAL
@given(st.data())
def test_what_upstreams_said_is_given_together_as_it_is_alone(data: st.DataObject) -> None:
    upstreams = [Silent(), Silent()]
    chance = data.draw(st.randoms(use_true_random=False))
    replies = data.draw(some_kept)
    alone, together = (Dispatcher(Answers(["svc.local"]).table, each) for each in upstreams)
    for each in upstreams:
        for key, stored in copy.deepcopy(replies):
            each.cache.put(key, stored, 1)
    known = [key[:-5] for key, _ in replies] or [names.wire("nope.svc.local")]
    words = data.draw(st.lists(questions(known, (A, TXT, HTTPS)), min_size=1, max_size=6))
    for _ in range(5):
        packets = [varied(each, chance) for each in words]
        clients, way = [data.draw(clients_of_all_kinds) for _ in packets], data.draw(pick(UDP, UDP, TCP))
        assert together.dispatch_all(packets, clients, None, *way) == one_by_one(alone, packets, clients, way)
        later = data.draw(pick(0.1, 1, 30))
        for each in upstreams:
            each.now += later
    assert together.counts == alone.counts
    assert together.dropped == alone.dropped
    for counter in ("cache_hits", "stale_hits", "failure_hits", "limited", "refused", "prefetches"):
        assert getattr(upstreams[1], counter) == getattr(upstreams[0], counter), counter


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


@pytest.mark.parametrize("way", [UDP, TCP])
def test_what_clients_ask_every_name_for_is_read_once_whether_the_name_has_it_or_not(
    answers: Answers, way: tuple[str, int]
) -> None:
    dispatcher = serving(answers.table)
    read: list[bytes] = []
    conclude = dispatcher._conclude

    def note(request: Request, answer: Callable[[Request], Outcome]) -> Outcome:
        read.append(request.packet)
        return conclude(request, answer)

    dispatcher._conclude = note  # type: ignore[method-assign]
    packets = [tables.query(WEB, rtype, tail) for rtype in (A, AAAA, HTTPS) for tail in (b"", tables.opt())]
    for _ in range(3):
        dispatcher.dispatch_all(packets, [MAY] * len(packets), None, *way)
    assert read == packets
    assert dispatcher.counts == {(way[0], rtype, NOERROR): 6 for rtype in (A, AAAA, HTTPS)}


def test_that_a_service_has_nobody_to_give_is_noted_each_time_it_is_told(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    packet = tables.query(WEB, A)
    dispatcher.dispatch_all([packet], [MAY])
    ((_, first),) = rows_of(dispatcher).values()
    answers.put(replace(web("10.0.0.1"), instances=()))
    dispatcher.table.apply(answers.take())
    dispatcher.dispatch_all([packet] * 2, [MAY] * 2)
    assert rows_of(dispatcher) == {(MAY, "web"): (3, first)}


def test_after_an_answer_of_very_many_records_others_have_their_turn(answers: Answers) -> None:
    """Over TCP, where they fit: a few are answered between two looks only where each takes little."""
    wide = tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(200))
    packet, looks = tables.query(WEB, A), []
    for cut in (200, 8):
        answers.put(replace(web(*wide), settings=ServiceSettings(answers=cut)))
        dispatcher = serving(answers.table)
        dispatcher.dispatch_all([packet], [MAY], None, *TCP)
        looked = [False] * 8
        dispatcher.dispatch_all([packet] * 8, [MAY] * 8, looked.pop, *TCP)
        looks.append(8 - len(looked))
    assert looks == [7, 2]


def test_who_stands_where_there_is_nobody_is_told_so_each_time(answers: Answers) -> None:
    """A variant without tiers: what stands for its clients is nobody."""
    table, key = answers.table, WEB + A.to_bytes(2, "big")
    whole = table.entries[key]
    table.entries[key] = structs.replace(whole, variants={table.clients.own: Entry((), whole.cut)})
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


def recalled(wordings: Wordings[Asked], packet: bytes) -> Asked | None:
    other = other_words(packet)
    return wordings.recall(packet[2:].lower()) or (wordings.recall(other) if other is not None else None)


def test_what_follows_the_id_is_what_is_recalled() -> None:
    wordings: Wordings[Asked] = Wordings()
    packet = tables.query(WEB, A)
    wordings.remember(Request(packet), asked_of)
    for same in (packet, tables.query(WEB.upper(), A)):
        assert recalled(wordings, same) is not None
    for other in (
        tables.query(WEB, 28), tables.query(WEB, A, flags=0), tables.query(WEB, A, tables.opt()),
        tables.query(WEB, A, tables.opt(1232, 0, COOKIE)), tables.query(WEB, A, rclass=3), packet + b"\0",
    ):  # fmt: skip
        assert recalled(wordings, other) is None


def test_one_option_that_asks_for_nothing_that_we_give_makes_no_other_wording() -> None:
    bare, with_cookie = (tables.query(WEB, A, tables.opt(1232, 0, data)) for data in (b"", COOKIE))
    for kept in (bare, with_cookie):
        wordings: Wordings[Asked] = Wordings()
        wordings.remember(Request(kept), asked_of)
        assert recalled(wordings, bare) == recalled(wordings, with_cookie) is not None
        for data in (b"\0\3\0\0", b"\0\x08\0\7\0\1\x18\0\x0a\1\2", COOKIE + COOKIE, COOKIE[:-1], b"\0\x0a"):
            assert recalled(wordings, tables.query(WEB, A, tables.opt(1232, 0, data))) is None
        assert recalled(wordings, tables.query(WEB, A, tables.opt(1233, 0, COOKIE))) is None


def test_options_of_ours_other_classes_faults_and_letters_for_numbers_are_not_kept() -> None:
    wordings: Wordings[Asked] = Wordings()
    for request in (
        Request(tables.query(WEB, A, tables.opt(1232, 0, b"\0\3\0\0"))),
        Request(tables.query(WEB, A, tables.opt(1232, 0, b"\0\x08\0\4\0\1\0\0"))),
        Request(tables.query(WEB, A, rclass=3)), Request(tables.query(WEB, A, flags=0x8100)),
        Request(b"no query"), Request(tables.query(WEB, 0x61)), Request(tables.query(WEB, 0x4161)),
        Request(tables.query(WEB, A, tables.opt(0x0578))),
        Request(tables.query(WEB, HTTPS, tables.opt(0x0578))),
    ):  # fmt: skip
        wordings.remember(request, asked_of)
        assert recalled(wordings, request.packet) is None
        assert not wordings._asked
    wordings.remember(Request(tables.query(WEB, A, tables.opt())), asked_of)
    assert recalled(wordings, tables.query(WEB, A, tables.opt())) is not None


@pytest.mark.parametrize("kept", [tables.opt(), tables.opt(1232, 0, COOKIE), b""])
def test_https_whose_number_is_a_letter_is_recalled_and_passes_for_no_other_type(kept: bytes) -> None:
    wordings: Wordings[Asked] = Wordings()
    wordings.remember(Request(tables.query(WEB, HTTPS, kept)), asked_of)
    tails = [tables.opt(), tables.opt(1232, 0, COOKIE)] if kept else [b""]
    for name in (WEB, WEB.upper()):
        for tail in tails:
            asked = recalled(wordings, tables.query(name, HTTPS, tail))
            assert asked is not None
            assert asked.manner.kind == (HTTPS, NOERROR)
            assert recalled(wordings, tables.query(name, 0x61, tail)) is None
            assert recalled(wordings, tables.query(name, HTTPS, tail + b"\0")) is None


def test_what_is_asked_over_tcp_is_recalled_of_udp_with_the_room_that_there_is() -> None:
    for tail in (b"", tables.opt(600), tables.opt(4096)):
        over_udp, over_tcp = (asked_of(Request(tables.query(WEB, A, tail), "", *way)) for way in (UDP, TCP))
        assert over_udp == over_tcp


def test_names_that_are_not_there_are_not_kept(answers: Answers) -> None:
    dispatcher = serving(answers.table)
    chance = random.Random(1)
    for _ in range(10):
        packet = tables.query(names.wire(f"x{chance.getrandbits(40):x}.svc.local"), A)
        dispatcher.dispatch_all([packet], [MAY])
        assert not any(wordings._asked for wordings in dispatcher._asked)


def test_past_the_bound_all_are_forgotten_and_learnt_anew() -> None:
    wordings: Wordings[Asked] = Wordings(3)
    requests = [Request(tables.query(WEB, rtype)) for rtype in range(1, 5)]
    for request in requests:
        wordings.remember(request, asked_of)
    kept = [recalled(wordings, request.packet) is not None for request in requests]
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
