"""Whose word an answer is: what its own origin says, and what nobody may say while a registry is unread."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.rcode
import pytest

from support import tables
from support.asking import respond
from support.tables import Answers
from zkdns.answers.deferred import Asleep
from zkdns.answers.table import EVERY, FILES, Delta, Name, Position, Sections, Staleness, Table
from zkdns.dns import ede, names
from zkdns.dns.types import NXDOMAIN, SERVFAIL
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.first_questions import MAX_COMPILED

WEB = names.wire("web.svc.local")
REGISTRY = 7
OLD = ede.option(ede.STALE_ANSWER, "out of reach")
UNREAD = ede.option(ede.NOT_READY, "not read yet")


class Says:
    """A name that needs more than the table, and always has the same to say."""

    def __init__(self, sections: Sections) -> None:
        self.sections = sections

    def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
        return self.sections


def ask(origin: int, sections: Sections, **staleness: Staleness) -> dns.message.Message:
    answers = Answers(["svc.local"])
    table = answers.table
    known = {"every": EVERY, "registry": REGISTRY}
    delta = Delta(
        names={WEB: Name(0, responder=Says(sections), origin=origin)},
        staleness={known[name]: each for name, each in staleness.items()},
    )
    table.apply(delta)
    reply = respond(tables.query(WEB, 1, tables.opt()), table)
    assert isinstance(reply, bytes)
    return dns.message.from_wire(reply)


def codes(reply: dns.message.Message) -> list[int]:
    return [int(o.code) for o in reply.options if isinstance(o, dns.edns.EDEOption)]


@pytest.mark.parametrize(("origin", "rcode"), [(REGISTRY, "SERVFAIL"), (FILES, "NXDOMAIN")])
def test_that_a_name_is_not_there_is_for_all_registries_to_say_save_of_zone_files(
    origin: int, rcode: str
) -> None:
    reply = ask(origin, Sections(rcode=NXDOMAIN), every=Staleness(failure=UNREAD))
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert codes(reply) == ([14] if origin == REGISTRY else [])


def test_why_nothing_is_said_stands_alone_and_how_old_it_would_be_beside_an_answer() -> None:
    why = ede.option(ede.NETWORK_ERROR, "a loop of aliases")
    old = Staleness(OLD)
    assert codes(ask(REGISTRY, Sections(rcode=SERVFAIL, ede=why), registry=old)) == [ede.NETWORK_ERROR]
    record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1"
    assert codes(ask(REGISTRY, Sections((record,)), registry=old)) == [ede.STALE_ANSWER]


def test_a_service_that_stays_deferred_is_asked_to_be_compiled_so_often_and_no_more() -> None:
    asked: list[str] = []

    class Sleeps:
        def answer(self, qname: bytes, qtype: int, table: Table, position: Position, room: int) -> Sections:
            raise Asleep("web")

    table = Answers(["svc.local"]).table
    table.apply(Delta(names={WEB: Name(0, responder=Sleeps())}))
    dispatcher = Dispatcher(table)
    dispatcher.compile_now = asked.append
    reply = dispatcher.dispatch(dispatcher.read(tables.query(WEB, 1), "192.0.2.1"))
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply).rcode() == SERVFAIL
    assert asked == ["web"] * MAX_COMPILED
    assert dispatcher.errors == 0
