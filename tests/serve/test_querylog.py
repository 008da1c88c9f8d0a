"""The query log: which queries it has, what a line tells, and that no flood and no byte gets past it."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import tables
from support.missing import ENGINES
from support.native import WEB as WEB_NAME
from support.native import ask as ask_once
from support.native import client, entry, small
from support.server import Zkdns
from support.upstream import Seen, Wait, reply
from support.upstream import run as upstream
from support.waiting import eventually
from zkdns.answers.table import Entry, Name
from zkdns.config import Settings
from zkdns.dns import ede, names, types
from zkdns.dns.reply import fail
from zkdns.forward.pending import Pending
from zkdns.log import JsonLines
from zkdns.serve import native, querylog
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.querylog import QueryLog, Sampler
from zkdns.serve.request import Request

WEB = tables.query(names.wire("web.svc.local"), 1)
REPLY = b"\x12\x34\x85\x00" + WEB[4:]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def later(self, delay: float, call: Callable[[], None]) -> None:
        self.due.append((self.now + delay, call))

    def go(self, seconds: float) -> None:
        self.now += seconds
        due, self.due = [d for d in self.due if d[0] <= self.now], [d for d in self.due if d[0] > self.now]
        for _, call in due:
            call()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "zkdns.query")
    return lambda: [record.getMessage() for record in caplog.records]


def made(clock: Clock, sample: int = 1, slow: float = 0.0, most: int = 50, **more: Any) -> QueryLog:
    return QueryLog(sample, slow, most, clock=clock, later=clock.later, **more)


def answering(reply: bytes | None, clock: Clock | None = None, takes: float = 0.0) -> querylog.Dispatch:
    def dispatch(request: Request) -> bytes | None:
        if clock is not None:
            clock.now += takes
        return reply

    return dispatch


def ask(
    log: QueryLog, dispatch: querylog.Dispatch, query: bytes = WEB, **more: Any
) -> bytes | Pending | None:
    return log.watch(dispatch, Request(query, "192.0.2.7"), **more)


# --- what a line tells ----------------------------------------------------------------------------------


def test_a_line_tells_who_asked_what_and_what_came_of_it(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    assert ask(made(clock), answering(REPLY, clock, 0.000042)) == REPLY
    assert lines() == ["query 192.0.2.7 udp web.svc.local. A: NOERROR, 31 bytes, 42 us"]


def test_a_forwarded_query_has_the_time_to_its_answer_and_is_not_told_before(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    request = Request(WEB, "192.0.2.7", "tcp")
    pending = Pending(request)
    assert made(clock).watch(lambda _: pending, request) is pending
    assert lines() == []
    clock.go(0.25)
    pending.deliver(REPLY)
    assert lines() == ["query 192.0.2.7 tcp web.svc.local. A: NOERROR, 31 bytes, 250000 us, forwarded"]


def test_what_gets_no_reply_gets_no_line(clock: Clock, lines: Callable[[], list[str]]) -> None:
    assert ask(made(clock), answering(None)) is None
    assert lines() == []


def test_as_json_each_part_has_its_name(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zkdns.query")
    ask(made(clock, slow=0.5), answering(REPLY), waited=0.75)
    said = json.loads(JsonLines().format(caplog.records[0]))
    assert said.pop("time")
    assert said == {
        "level": "info",
        "logger": "zkdns.query",
        "message": "query 192.0.2.7 udp web.svc.local. A: NOERROR, 31 bytes, 750000 us, slow",
        "client": "192.0.2.7",
        "transport": "udp",
        "name": "web.svc.local.",
        "type": "A",
        "rcode": "NOERROR",
        "bytes": 31,
        "microseconds": 750000,
        "forwarded": False,
        "slow": True,
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"\3a\nb\3\x1b[m\0", "a\\010b.\\027[m."),
        (b"\4a.b\\\0", "a\\.b\\\\."),
        (b"\1\xff\0", "\\255."),
        (b'\1 \1"\0', '\\032.\\".'),
        (b"\0", "."),
    ],
)
def test_odd_bytes_of_a_name_are_escaped(name: bytes, told: str) -> None:
    assert querylog.describe(Request(tables.query(name, 65280))) == (told, "TYPE65280")


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=300).map(lambda tail: WEB[:12] + tail)))
def test_no_packet_is_too_odd_for_a_line_and_none_gets_a_raw_byte_into_it(query: bytes) -> None:
    name, qtype = querylog.describe(Request(query))
    assert name.isascii()
    assert (name + qtype).isprintable()
    assert " " not in name
    assert len(name) <= 4 * 255


def test_the_rcode_is_the_whole_one() -> None:
    asked = Request(tables.query(names.wire("web.svc.local"), 1, tables.opt()))
    assert querylog.read_rcode(fail(asked, types.BADVERS)) == "BADVERS"
    assert querylog.read_rcode(fail(asked, types.REFUSED, ede.option(18, "no"))) == "REFUSED"
    assert querylog.read_rcode(b"\0\0\x80\x01" + bytes(8)) == "FORMERR"
    assert querylog.read_rcode(b"\0\0\x80\x0c" + bytes(8)) == "RCODE12"


# --- which ones -----------------------------------------------------------------------------------------


def test_off_there_is_no_log() -> None:
    assert querylog.choose(Settings()) is None
    assert querylog.choose(Settings(query_log_sample=1)) is not None
    assert querylog.choose(Settings(query_log_slow=0.1)) is not None


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_one_of_each_n_that_follow_one_another_is_sampled(every: int, seed: int) -> None:
    sampler = Sampler(every, lambda n: seed % n)
    for _ in range(5):
        assert sum(sampler.is_due() for _ in range(every)) == 1


def test_a_client_that_asks_in_a_rhythm_is_not_fallen_in_step_with() -> None:
    sampler = Sampler(2, random.randrange)
    due = [n % 2 for n in range(400) if sampler.is_due()]
    assert len(due) == 200
    assert 0 < sum(due) < 200


def test_only_the_slow_ones_where_none_are_sampled(clock: Clock, lines: Callable[[], list[str]]) -> None:
    log = made(clock, sample=0, slow=0.125)
    ask(log, answering(REPLY, clock, 0.1249))
    assert lines() == []
    ask(log, answering(REPLY, clock, 0.125))
    assert lines() == ["query 192.0.2.7 udp web.svc.local. A: NOERROR, 31 bytes, 125000 us, slow"]


def test_one_that_another_chose_is_had_and_one_that_it_did_not_choose_is_not(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    log = made(clock, sample=1)
    ask(log, answering(REPLY), sampled=False)
    assert lines() == []
    ask(log, answering(REPLY), sampled=True, waited=0.002)
    assert lines() == ["query 192.0.2.7 udp web.svc.local. A: NOERROR, 31 bytes, 2000 us"]


def test_a_flood_gets_so_many_lines_a_second_and_one_that_counts_the_rest(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    log = made(clock, most=3)
    for _ in range(10):
        ask(log, answering(REPLY))
    assert len(lines()) == 3
    clock.go(1.0)
    assert lines()[3:] == ["query log: 7 lines were left out (query_log_most is 3 a second)"]
    ask(log, answering(REPLY))
    assert len(lines()) == 5
    clock.go(5.0)
    assert len(lines()) == 5, "nothing was left out, so nothing is told"
    for _ in range(5):
        ask(log, answering(REPLY))
    clock.go(1.0)
    assert lines()[8:] == ["query log: 2 lines were left out (query_log_most is 3 a second)"]


# --- a running server -----------------------------------------------------------------------------------

REGISTRY = '[web]\n[[web.instances]]\nid = "a"\naddress = "10.0.0.1"\nport = 80\n'


@pytest.fixture
def registry(tmp_path: Path) -> str:
    path = tmp_path / "services.toml"
    path.write_text(REGISTRY)
    return f"file:{path}"


def told(server: Zkdns) -> list[dict[str, Any]]:
    """The lines of the query log, which is kept as JSON."""
    read = (json.loads(line) for line in server.log.splitlines() if line.startswith("{"))
    return [line for line in read if line["logger"] == "zkdns.query"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_logs_one_query_in_n_of_each_transport(engine: str, registry: str, tmp_path: Path) -> None:
    file = tmp_path / "zkdns.toml"
    file.write_text('query_log_sample = 5\nlog_format = "json"\nworkers = 1\n')
    with Zkdns("--config", str(file), "--engine", engine, registry=registry) as server:
        for tcp in (False, True):
            for _ in range(20):
                assert server.answers("web.svc.local", tcp=tcp) == ["10.0.0.1"]
        eventually(lambda: len(told(server)) == 8)
        lines = told(server)
        assert [line["transport"] for line in lines] == ["udp"] * 4 + ["tcp"] * 4
        for line in lines:
            assert (line["client"], line["name"], line["type"]) == ("127.0.0.1", "web.svc.local.", "A")
            assert (line["rcode"], line["bytes"], line["forwarded"]) == ("NOERROR", 47, False)
        asked = {k: n for k, n in server.metrics().items() if k.startswith("zkdns_queries_total")}
        assert sum(asked.values()) == 40, "one that the log has is counted once"
        firsts = server.json("/api/v1/services/web")["instances"][0]["first_answers"]
        assert firsts == 40


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_with_every_query_in_the_log_the_answers_are_the_same(
    engine: str, host: str, registry: str, tmp_path: Path
) -> None:
    file = tmp_path / "zkdns.toml"
    file.write_text("query_log_sample = 1\n")
    with Zkdns("--config", str(file), "--engine", engine, registry=registry, host=host) as server:
        server.host = "127.0.0.1"
        for name, kind, rcode in [
            ("web.svc.local", "A", 0),
            ("web.svc.local", "SRV", 0),
            ("nope.svc.local", "A", 3),
            ("example.com", "A", 5),
        ]:
            for tcp in (False, True):
                assert server.ask(name, kind, tcp=tcp).rcode() == rcode
        eventually(lambda: server.log.count(" query 127.0.0.1 ") == 8)
        assert "udp nope.svc.local. A: NXDOMAIN" in server.log
        assert "tcp example.com. A: REFUSED" in server.log


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_slow_upstream_is_told_with_the_time_to_its_answer(
    engine: str, registry: str, tmp_path: Path
) -> None:
    file = tmp_path / "zkdns.toml"
    file.write_text('query_log_slow = 0.2\nlog_format = "json"\n')

    def script(seen: Seen) -> Iterable[bytes | Wait]:
        wait = [Wait(0.3)] if "slow" in seen.name.lower() else []
        return [*wait, reply(seen, f"{seen.name} 60 A 192.0.2.1")]

    async with upstream(script) as there:
        flags = ("--config", str(file), "--engine", engine, "--forward", f"127.0.0.1:{there.port}")
        with Zkdns(*flags, registry=registry) as server:
            for name in ("web.svc.local", "quick.example.com", "slow.example.com"):
                for tcp in (False, True):
                    await asyncio.to_thread(server.answers, name, tcp=tcp, rd=True)
            (line,) = told(server)
            assert (line["name"], line["transport"], line["rcode"]) == ("slow.example.com.", "udp", "NOERROR")
            assert (line["forwarded"], line["slow"]) == (True, True)
            assert line["microseconds"] >= 200_000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reload_turns_it_on_and_off(engine: str, registry: str, tmp_path: Path) -> None:
    file = tmp_path / "zkdns.toml"
    file.write_text("")
    with Zkdns("--config", str(file), "--engine", engine, registry=registry) as server:
        server.answers("web.svc.local")
        file.write_text("query_log_sample = 1\n")
        server.signal(1)
        eventually(lambda: server.log.count("reload: done") == 1)
        server.answers("web.svc.local")
        eventually(lambda: server.log.count(" query 127.0.0.1 ") == 1)
        file.write_text("")
        server.signal(1)
        eventually(lambda: server.log.count("reload: done") == 2)
        server.answers("web.svc.local")
        server.answers("web.svc.local", tcp=True)
        assert server.log.count(" query 127.0.0.1 ") == 1


@pytest.mark.skipif(native.WHY_NOT != "", reason="the native engine is not built")
def test_a_log_that_python_has_no_time_for_costs_no_answer() -> None:
    engine = native.Native(queue=10)
    engine.apply(small(entry(1), {WEB_NAME: Name(0)}))
    at = engine.start([("127.0.0.1", 0)], 1)[0]
    engine.sample(1)
    with client(at) as one:
        for _ in range(50):
            one.send(WEB)
        for _ in range(40):
            assert one.recv(4096)[3] & 15 == 0
    totals = engine.totals()
    assert (totals["passed"], totals["overflowed"], engine.replies()) == (10, 0, {("udp", 1, 0): 40})
    taken: list[Any] = []
    # Replies go before what is handed over, which comes in as many parts as it likes.
    eventually(lambda: taken.extend(engine._engine.take(50)) or len(taken) == 10)
    assert [route.sampled for _, route in taken] == [True] * 10
    assert all(route.waited > 0 for _, route in taken)
    engine.sample(0)
    assert ask_once(at, WEB)[3] & 15 == 0
    engine.close()


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whoever_is_looked_at_gets_the_same_answer(data: st.DataObject) -> None:
    made = data.draw(tables.compiled())

    def draw_zero(entry: Entry) -> int:
        return 0

    plain, watched = (Dispatcher(made.table, position=draw_zero) for _ in range(2))
    watched.query_log = QueryLog(1, 0.001, 10**6)
    for packet_ in data.draw(st.lists(tables.packets(tables.owners(made.table)), min_size=10, max_size=20)):
        for transport, limit in (("udp", 1232), ("tcp", 65535)):
            without, with_ = (
                each.dispatch(each.read(packet_, "192.0.2.7", transport, limit)) for each in (plain, watched)
            )
            assert without == with_, packet_.hex()
    assert plain.counts == watched.counts
    assert not watched.errors
