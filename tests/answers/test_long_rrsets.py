"""Thousands of records at one name of a zone file, or behind an alias there: as many are spelled as fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.asking import respond
from support.tables import Answers
from zkdns.answers.table import Table
from zkdns.answers.zonefiles import lookup, services
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.dns import names
from zkdns.dns.message import NUMBERS
from zkdns.dns.rdata import detach
from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.serve.respond import next_position

MANY = 4200
HEAD = "@ 300 SOA ns root 1 2 3 4 60\n@ 300 NS ns\nns 300 A 192.0.2.1\n"
RECORDS = {
    "a": "A 10.0.{0}.{1}", "mx": "MX 10 m{0}-{1}", "ns": "NS m{0}-{1}", "txt": 'TXT "{0} {1} of more words"',
}  # fmt: skip
ASKED = [
    ("a", "A"), ("mx", "MX"), ("x.ns", "A"), ("txt", "TXT"), ("to-a", "A"), ("to-web", "A"),
    ("to-web", "SRV"),
]  # fmt: skip


def member(n: int) -> Instance:
    registration = Registration((f"10.1.{n >> 8}.{n & 255}",), port=80)
    return Instance(f"i{n}", f"i{n}", f"/services/web/i{n}", registration, 0.0)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder: Path = tmp_path_factory.mktemp("zones")
    lines = [
        f"{owner} 300 {record.format(n >> 8, n & 255)}\n"
        for owner, record in RECORDS.items()
        for n in range(MANY)
    ]
    targets = [f"m{n >> 8}-{n & 255} 300 A 192.0.2.9\n" for n in range(MANY)]
    aliases = ["to-a 300 CNAME a\n", "to-web 300 CNAME web.svc.local.\n"]
    (folder / "long.example.zone").write_text(HEAD + "".join(lines + targets + aliases))
    made = Answers(["svc.local"])
    settings = ServiceSettings(answers=MANY, policy="first")
    web = Service("web", "web", "/services/web", settings, tuple(map(member, range(MANY))))
    made.replace("web", made.compile(web))
    Overlay(made).put(ZoneFolder(folder).load().zones)
    return made


def ask(answers: Answers, name: str, rtype: str, limit: int) -> bytes:
    query = dns.message.make_query(f"{name}.long.example", rtype, use_edns=0, payload=1232, id=1)
    said = respond(query.to_wire(), answers, limit)
    assert isinstance(said, bytes)
    return said


@pytest.mark.parametrize("limit", [1232, 65_535])
@pytest.mark.parametrize(("name", "rtype"), ASKED)
def test_what_has_no_room_is_not_spelled_and_the_reply_is_as_if_it_had_been(
    answers: Answers, name: str, rtype: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ask(answers, name, rtype, limit)
    monkeypatch.setattr(lookup, "Asked", with_room)
    assert short == ask(answers, name, rtype, limit)
    assert len(short) > limit - 100


def with_room(*asked: Any) -> services.Asked:
    qname, qtype, table, position, _ = asked
    return services.Asked(qname, qtype, table, position, 1 << 30)


@pytest.mark.parametrize(("name", "rtype"), ASKED)
def test_of_thousands_of_records_a_datagram_costs_those_that_it_has_room_for(
    answers: Answers, name: str, rtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []

    def count(where: Any, what: str) -> None:
        work = getattr(where, what)

        def counted(*given: Any) -> Any:
            done.append(what)
            return work(*given)

        monkeypatch.setattr(where, what, counted)

    count(lookup, "pack")
    count(lookup.ZoneData, "address")
    count(services, "detach")
    records_at = services._records_at

    def deal(*of: Any) -> list[bytes]:
        dealt = list(records_at(*of))
        done.extend(dealt)
        return dealt

    monkeypatch.setattr(services, "_records_at", deal)
    ask(answers, name, rtype, 1232)
    assert len(done) < 250


def test_thousands_behind_an_alias_are_not_read_to_be_spelled_behind_it(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a turn of 8 to 20 ms for each question over TCP."""
    read: list[bytes] = []
    detach = services.detach
    monkeypatch.setattr(services, "detach", lambda wire, qname: read.append(wire) or detach(wire, qname))
    reply = dns.message.from_wire(ask(answers, "to-web", "SRV", 65_535), ignore_trailing=True)
    assert len(reply.answer[-1]) > 1000
    assert reply.answer[-1].name.to_text() == "web.svc.local."
    assert read == []


LABELS = st.lists(st.binary(min_size=1, max_size=20), max_size=6)


@given(
    LABELS, st.sampled_from([b"\0", b"\xc0\x0c", b"\xc0\x10", b"\xc0\x14"]), st.binary(min_size=6, max_size=6)
)
def test_a_record_stands_behind_an_alias_as_it_is_wherever_its_target_points(
    labels: list[bytes], end: bytes, numbers: bytes
) -> None:
    qname = names.wire("web.svc.local")
    rdata = numbers + b"".join(bytes((len(label),)) + label for label in labels) + end
    record = b"\xc0\x0c\0\x21\0\1\0\0\0\5" + len(rdata).to_bytes(2, "big") + rdata
    (spelled,) = services._detach(services.Asked(qname, 33, Table(), next_position, 65_535), (record,))
    read = detach(record, qname)
    assert read is not None
    owner, rtype, rclass, ttl, parts = read
    assert spelled == owner + NUMBERS.pack(rtype, rclass, ttl, len(b"".join(parts))) + b"".join(parts)
