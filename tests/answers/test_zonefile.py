"""Zone files: read as dnspython reads them, answered as Knot answers, beside the services."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import knot
from support.asking import respond
from support.tables import Answers
from support.zones import random_zone
from zkdns.answers.zonefiles import folder as folder_module
from zkdns.answers.zonefiles import master_file
from zkdns.answers.zonefiles import reader as reader_module
from zkdns.answers.zonefiles.folder import ZoneFiles
from zkdns.answers.zonefiles.hosts import find_host
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import Loaded, ZoneFolder
from zkdns.dns import ede, names
from zkdns.files import MAX_UNSETTLED, Mark
from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.serve.respond import FORWARD, next_position
from zkdns.topology import parse_topology

EXAMPLE = Path(__file__).parents[2] / "zones"

ZONES = int(os.environ.get("ZKDNS_KNOT_ZONES", "12"))
"""Zones made up at random that Knot judges; `make fuzz` asks for more."""
SOA = "@ 300 IN SOA ns root 1 2 3 4 60\n"
TYPES = "A AAAA NS SOA CNAME MX TXT SRV DNAME DS CAA PTR HINFO TYPE65280".split()  # noqa: SIM905

View = tuple[str, bool, list[str], list[str], list[str]]


def service(name: str, *addresses: str) -> Service:
    found = tuple(
        Instance(f"i{n}", f"i{n}", f"/services/{name}/i{n}", Registration((address,), port=80), 0.0)
        for n, address in enumerate(addresses)
    )
    return Service(name, name, f"/services/{name}", instances=found)


def serving(folder: ZoneFolder | Loaded, *services: Service) -> tuple[Answers, Overlay]:
    answers = Answers(["svc.local"])
    mount = Overlay(answers)
    for each in services:
        answers.replace(each.name, answers.compile(each))
    mount.put(folder.loaded.zones if isinstance(folder, ZoneFolder) else folder.zones)
    return answers, mount


def ask(
    answers: Answers, name: str, rtype: str = "A", limit: int = 65535, client: str = "192.0.2.1"
) -> dns.message.Message:
    query = dns.message.make_query(name, rtype, use_edns=0)
    outcome = respond(query.to_wire(), answers, limit, next_position, client=client)
    assert isinstance(outcome, bytes), f"{name} is not ours"
    assert len(outcome) <= limit
    answered = dns.message.from_wire(outcome)
    assert answered.question == query.question
    return answered


def said(message: dns.message.Message) -> list[str]:
    return [f"{r.name} {dns.rdatatype.to_text(r.rdtype)} {rd}" for r in message.answer for rd in r]


def view(message: dns.message.Message) -> View:
    def lines(section: list[dns.rrset.RRset]) -> list[str]:
        return sorted(line.lower() for rrset in section for line in rrset.to_text().splitlines())

    return (
        dns.rcode.to_text(message.rcode()),
        bool(message.flags & dns.flags.AA),
        lines(message.answer),
        lines(message.authority),
        lines(message.additional),
    )


@pytest.fixture
def folder(tmp_path: Path) -> ZoneFolder:
    (tmp_path / "zones").mkdir()
    return ZoneFolder(tmp_path / "zones", [names.wire("svc.local")])


def write(folder: ZoneFolder, name: str, text: str) -> Path:
    path = folder.folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    return path


# --- as others read and answer them ---------------------------------------------------------------------


def read_by_dnspython(path: Path, apex: str) -> dns.zone.Zone:
    return dns.zone.from_file(str(path), apex, relativize=False, check_origin=False)


def test_the_example_is_read_as_dnspython_reads_it() -> None:
    loaded = ZoneFolder(EXAMPLE).load()
    assert loaded.problems == ()
    (data,) = loaded.zones.values()
    theirs = read_by_dnspython(Path(data.path), "lab.example.")
    expected = {
        (name.to_digestable(), int(rdataset.rdtype)): (rdataset.ttl, sorted(rd.to_wire() for rd in rdataset))
        for name, rdataset in theirs.iterate_rdatasets()
    }
    ours = {
        (owner, rtype): (rrset.ttl, sorted(b"".join(parts) for parts in rrset.rdatas))
        for owner, node in data.nodes.items()
        for rtype, rrset in node.items()
    }
    assert ours == expected
    assert len(ours) > 15


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answers, Loaded, socket.socket]]:
    """The example and some zones made up at random, served by Knot and by us."""
    where = tmp_path_factory.mktemp("judged")
    (where / "ours").mkdir()
    (where / "knot").mkdir()
    shutil.copy(EXAMPLE / "example.zone", where / "ours")
    for seed in range(ZONES):
        apex, text = random_zone(seed)
        (where / "ours" / f"{apex}zone").write_text(text)
    loaded = ZoneFolder(where / "ours").load()
    assert loaded.problems == ()
    assert len(loaded.zones) == 1 + ZONES
    texts = {}
    for apex, data in loaded.zones.items():
        zone = read_by_dnspython(Path(data.path), names.text(apex))
        texts[names.text(apex)] = zone.to_text(relativize=False)
    answers, _ = serving(loaded)
    with (
        knot.serve(where / "knot", texts) as port,
        socket.create_connection(("127.0.0.1", port)) as connection,
    ):
        yield answers, loaded, connection


def around(loaded: Loaded, apex: str) -> list[str]:
    """Every name of a zone, and names beside, below and between them."""
    owners = [names.text(owner) for owner in loaded.zones[names.wire(apex)].nodes]
    return sorted({prefix + owner for owner in owners for prefix in ("", "x.", "x.y.", "*.", "x.*.")})


def take(connection: socket.socket, count: int) -> Iterator[bytes]:
    while count:
        part = connection.recv(count)
        assert part, "Knot closed"
        count -= len(part)
        yield part


@pytest.mark.parametrize("apex", ["lab.example.", *(f"r{seed}.example." for seed in range(ZONES))])
def test_answers_are_knots_for_every_name_and_type_in_the_file_and_around_it(
    apex: str, judged: tuple[Answers, Loaded, socket.socket]
) -> None:
    answers, loaded, connection = judged
    views: dict[bytes, View] = {}

    def seen(reply: bytes, asked: bytes) -> View:
        """What it says, which is read once of the many that differ in the type that was asked alone."""
        end = asked.index(b"\0", 12) + 5
        assert reply[:2] + reply[12:end] == asked[:2] + asked[12:end]
        told = reply[2 : end - 4] + reply[end:]
        if told not in views:
            views[told] = view(dns.message.from_wire(reply))
        return views[told]

    different = {}
    for name in around(loaded, apex):
        if name.endswith("backend.lab.example."):
            continue  # leads to a service, of which Knot knows nothing
        for rtype in TYPES:
            query = dns.message.make_query(name, rtype, use_edns=0)
            query.flags &= ~dns.flags.RD
            asked = query.to_wire()
            dns.query.send_tcp(connection, asked)
            theirs = b"".join(take(connection, int.from_bytes(b"".join(take(connection, 2)), "big")))
            ours = respond(asked, answers, 65535, next_position)
            assert isinstance(ours, bytes), f"{name} is not ours"
            if seen(ours, asked) != seen(theirs, asked):
                different[name, rtype] = seen(ours, asked), seen(theirs, asked)
    assert not different


# --- what can be in a file ------------------------------------------------------------------------------


def test_a_zone_is_named_by_its_file_by_origin_or_by_its_soa(folder: ZoneFolder) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.1\n")
    write(folder, "whatever.zone", "$ORIGIN two.test.\n$TTL 60\n" + SOA + "a A 192.0.2.2\n")
    write(
        folder,
        "more.zone",
        "$TTL 60\nthree.test. IN SOA ns.three.test. r.three.test. 1 2 3 4 5\na.three.test. A 192.0.2.3\n",
    )
    write(folder, "README.txt", "no zone")
    assert folder.load().problems == ()
    answers, _ = serving(folder)
    for number, zone in enumerate(("one", "two", "three"), 1):
        assert said(ask(answers, f"a.{zone}.test.")) == [f"a.{zone}.test. A 192.0.2.{number}"]


def test_includes_and_generated_and_unknown_types(folder: ZoneFolder) -> None:
    write(
        folder,
        "one.test.zone",
        "$TTL 60\n"
        + SOA
        + "$INCLUDE parts/hosts sub\n$GENERATE 8-10/2 n${0,3} A 192.0.2.$\nafter TYPE65280 \\# 2 abcd\n",
    )
    write(
        folder, "parts/hosts", "a A 192.0.2.1\n$ORIGIN deeper.one.test.\nb A 192.0.2.2\n$INCLUDE parts/more\n"
    )
    write(folder, "parts/more", "c A 192.0.2.3\n")
    assert folder.load().problems == ()
    answers, _ = serving(folder)
    for name, last in (("a.sub", 1), ("b.deeper", 2), ("c.deeper", 3), ("n008", 8), ("n010", 10)):
        assert said(ask(answers, f"{name}.one.test")) == [f"{name}.one.test. A 192.0.2.{last}"]
    assert said(ask(answers, "after.one.test", "TYPE65280")) == [r"after.one.test. TYPE65280 \# 2 abcd"]


WRONG = {
    "an unknown type": (SOA + "a A 192.0.2.1\nb FOO 1\n", 3, "unknown rdatatype"),
    "a bad address": (SOA + "\n; note\na  A 192.0.2.256\n", 4, "malformed, in 'a A 192.0.2.256'"),
    "an open bracket": (SOA + 'a TXT ( "x"\n', 2, ""),
    "an open quote": (SOA + 'a TXT "x\n', 2, ""),
    "no rdata": (SOA + "a A\nb A 192.0.2.1\n", 2, "in 'a A'"),
    "an alias and other records": (
        SOA + "a CNAME b\na A 192.0.2.1\n",
        3,
        "a.one.test. has a CNAME and other records",
    ),
    "two aliases": (SOA + "a CNAME b\na CNAME c\n", 3, "second CNAME"),
    "two SOA records": (SOA + SOA.replace(" 1 ", " 7 "), 2, "second SOA"),
    "no SOA record": ("a A 192.0.2.1\n", 1, "no SOA"),
    "a name outside": (SOA + "a.other.test. A 192.0.2.1\n", 2, "outside the zone"),
    "a name that only looks inside": (SOA + "a.xone.test. A 192.0.2.1\n", 2, "outside the zone"),
    "a label too long": (SOA + "a" * 64 + " A 192.0.2.1\n", 2, f"in '{'a' * 60}…'"),
    "an unknown directive": (SOA + "$FOO bar\n", 2, "$FOO"),
    "a step of 0": (SOA + "$GENERATE 1-2/0 a$ A 192.0.2.1\n", 2, "step"),
    "a range of one number": (SOA + "$GENERATE 5 a$ A 192.0.2.1\n", 2, "stop value"),
    "too many generated": (SOA + "$GENERATE 1-99999999 a$ A 192.0.2.1\n", 2, "$GENERATE"),
    "an include that is not there": (SOA + "a A 192.0.2.1\n$INCLUDE nowhere\n", 3, "nowhere can't be read"),
    "an include that goes up": (SOA + "$INCLUDE ../secret\n", 2, "outside the folder"),
    "an include of the whole system": (SOA + "$INCLUDE /etc/passwd\n", 2, "outside the folder"),
    "an include that goes through a link": (SOA + "$INCLUDE link\n", 2, "outside the folder"),
    "an include of itself": (SOA + "$INCLUDE one.test.zone\n", 2, "deep"),
    "another class": (SOA + "a CH A 192.0.2.1\n", 2, ""),
    "a NUL byte": (SOA + "a A 192.0.2.1\nb A 192.0\0.2.2\n", 3, "NUL"),
    "many lines that generate": (
        SOA + "$GENERATE 0-9 a$ A 192.0.2.1\n$GENERATE 0-65530 b$ A 192.0.2.1\n",
        3,
        "$GENERATE of more",
    ),
    "digits that are no TTL": (SOA + "$GENERATE 1-2 a$ IN " + "1" * 60 + "x A 192.0.2.1\n", 2, "rdatatype"),
    "a word without end": (SOA + "a " + "9" * 1_050_000 + " A 192.0.2.1\n", 2, "a record of more than"),
    "words without end": (SOA + "a TXT " + ("x" * 99 + " ") * 10_500 + "\n", 2, "a record of more than"),
    "more than a record can hold": (SOA + "a TXT " + f"{'x' * 255} " * 256 + "\n", 2, "65,535 octets"),
    "much that is generated": (SOA + f"$GENERATE 0-65535 a$ KEY '0 3 8 {'A' * 9000}'\n", 2, "MiB of files"),
    "a padding without end": (SOA + "$GENERATE 0-9 a${0,60000000,d} A 192.0.2.1\n", 2, "pads to more"),
    "a type of queries": (SOA + "a TYPE255 \\# 0\n", 2, "no type of data"),
}


def test_what_is_wrong_with_a_file_as_a_whole_is_no_lines_to_mend(folder: ZoneFolder) -> None:
    (folder.folder / "one.test.zone").mkdir()
    (problem,) = folder.load().problems
    assert problem.path == f"{folder.folder}/one.test.zone"
    assert problem.cure == "mend that; the file is not served"


@pytest.mark.parametrize("case", WRONG)
def test_an_error_is_named_with_its_line_and_the_last_good_copy_stays(case: str, folder: ZoneFolder) -> None:
    text, line, what = WRONG[case]
    (folder.folder.parent / "secret").write_text("a A 192.0.2.66\n")
    (folder.folder / "link").symlink_to(folder.folder.parent / "secret")
    path = write(folder, "one.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.1\n")
    other = write(folder, "other.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.9\n")
    assert folder.load().problems == ()
    path.write_text("$TTL 60\n" + text)
    (problem,) = folder.load().problems
    assert problem.path == f"{folder.folder}/one.test.zone:{line + 1 if case != 'no SOA record' else 1}"
    assert what in problem.what
    assert "\n" not in problem.what
    assert problem.cure == "mend the line; the last good copy is served"
    answers, _ = serving(folder)
    assert said(ask(answers, "a.one.test")) == ["a.one.test. A 192.0.2.1"]
    assert said(ask(answers, "a.other.test")) == ["a.other.test. A 192.0.2.9"]
    path.write_text("$TTL 60\n" + SOA + "a A 192.0.2.2\n")
    other.unlink()
    assert folder.changed()
    assert folder.load().problems == ()
    assert not folder.changed()
    answers, _ = serving(folder)
    assert said(ask(answers, "a.one.test")) == ["a.one.test. A 192.0.2.2"]
    query = dns.message.make_query("a.other.test", "A").to_wire()
    assert respond(query, answers, 1232, next_position) is FORWARD


# As named-compilezone 9.18 spells these lines (BIND 9 ARM, "Zone file", $GENERATE).
GENERATED = {
    "$GENERATE 1-2 a$ A 192.0.2.$": {"a1 A": "192.0.2.1", "a2 A": "192.0.2.2"},
    "$GENERATE 1-4/3 b${0,3,d} 60 A 192.0.2.$": {"b001 A": "192.0.2.1", "b004 A": "192.0.2.4"},
    "$GENERATE 7-7 e$ IN 60 A 192.0.2.$": {"e7 A": "192.0.2.7"},
    "$GENERATE 255-255 ${0,7,n}.r CNAME ns": {"f.f.0.0.r CNAME": "ns.one.test."},
    "$GENERATE 10-11 u${0,4,X} CNAME ns": {"u000a CNAME": "ns.one.test.", "u000b CNAME": "ns.one.test."},
    "$GENERATE 10-11 c${-5} 60 IN A 192.0.2.$": {"c5 A": "192.0.2.10", "c6 A": "192.0.2.11"},
    "$GENERATE 10-11 d${0,2,x} CNAME ns": {"d0a CNAME": "ns.one.test.", "d0b CNAME": "ns.one.test."},
    "$GENERATE 8-8 f${0,3,o} CNAME ns": {"f010 CNAME": "ns.one.test."},
    '$GENERATE 1-2 m$ MX "10 mail$"': {"m1 MX": "10 mail1.one.test.", "m2 MX": "10 mail2.one.test."},
    '$GENERATE 1-1 s$ IN SRV "0 5 80 ns" ; note': {"s1 SRV": "0 5 80 ns.one.test."},
    '$GENERATE 7-7 t$ TXT "v$ w"': {"t7 TXT": '"v7" "w"'},
}


@pytest.mark.parametrize("line", GENERATED)
def test_generated_lines_are_those_of_bind(line: str, folder: ZoneFolder) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA + line + "\nafter A 192.0.2.9\n")
    assert folder.load().problems == ()
    answers, _ = serving(folder)
    for question, rdata in GENERATED[line].items():
        label, rtype = question.split()
        assert said(ask(answers, f"{label}.one.test", rtype))[:1] == [f"{label}.one.test. {rtype} {rdata}"]
    assert said(ask(answers, "after.one.test")) == ["after.one.test. A 192.0.2.9"]


# Each as named-compilezone 9.18 reads it (BIND 9 ARM, "Zone file"; RFC 1035, section 5; RFC 2308, section 4).
AS_WRITTEN = {
    "units of time": (
        "a 1h30m A 192.0.2.1\nb 1W2D IN A 192.0.2.2\n",
        {"a A": (5400, "192.0.2.1"), "b A": (777600, "192.0.2.2")},
    ),
    "class and TTL in either order": (
        "a IN 5 A 192.0.2.1\nb 6 IN A 192.0.2.2\n",
        {"a A": (5, "192.0.2.1"), "b A": (6, "192.0.2.2")},
    ),
    "a TTL with its top bit": ("a 4294967295 A 192.0.2.1\n", {"a A": (0, "192.0.2.1")}),
    "when it was dumped": ("$DATE 20261128000000\na A 192.0.2.1\n", {"a A": (60, "192.0.2.1")}),
    "no owner": (
        "a A 192.0.2.1\n\tTXT x\n  ; note\n  MX 0 @\n",
        {"a TXT": (60, '"x"'), "a MX": (60, "0 one.test.")},
    ),
    "brackets over lines": ('a TXT ( "one" ; note )\n\n "two (2)" )\n', {"a TXT": (60, '"one" "two (2)"')}),
    "escapes": (
        'a\\.b A 192.0.2.1\n\\099 TXT "\\255\\"" \\;\n',
        {"a\\.b A": (60, "192.0.2.1"), "c TXT": (60, '"\\255\\"" ";"')},
    ),
    "types by number": (
        "a TYPE1 \\# 4 C0000201\nb TYPE731 \\# 3 ( ab\ncdef )\n",
        {"a A": (60, "192.0.2.1"), "b TYPE731": (60, "\\# 3 abcdef")},
    ),
    "an origin below": (
        "$ORIGIN sub\n@ A 192.0.2.1\n$ORIGIN d\nx CNAME sub.one.test.\n",
        {"sub A": (60, "192.0.2.1"), "x.d.sub CNAME": (60, "sub.one.test.")},
    ),
    "no end of line": ("a A 192.0.2.1", {"a A": (60, "192.0.2.1")}),
    "carriage returns alone": ("a A 192.0.2.1\rb A 192.0.2.2\r", {"b A": (60, "192.0.2.2")}),
    "TTLs that differ": ("a 10 A 192.0.2.1\na 20 A 192.0.2.1\n", {"a A": (10, "192.0.2.1")}),
    "a TLSA over lines": (
        "_443._tcp TLSA 3 1 1 ( " + "ab" * 16 + "\n " + "cd" * 16 + " )\n",
        {"_443._tcp TLSA": (60, "3 1 1 " + "ab" * 16 + "cd" * 16)},
    ),
    "a service binding": (
        "h HTTPS 1 . alpn=h2,h3 port=8443\n",
        {"h HTTPS": (60, '1 . alpn="h2,h3" port="8443"')},
    ),
    "more types": (
        'c CAA 0 issue "ca.example"\nn NAPTR 1 2 "s" "x" "" _h._tcp\nu URI 1 2 "ftp://f.example/"\n'
        "l LOC 52 22 23 N 4 53 32 E 0m\nd DNAME other.test.\ns SSHFP 1 1 " + "ab" * 20 + "\n",
        {
            "c CAA": (60, '0 issue "ca.example"'),
            "n NAPTR": (60, '1 2 "s" "x" "" _h._tcp.one.test.'),
            "u URI": (60, '1 2 "ftp://f.example/"'),
            "d DNAME": (60, "other.test."),
            "s SSHFP": (60, "1 1 " + "ab" * 20),
        },
    ),
}


@pytest.mark.parametrize("case", AS_WRITTEN)
def test_a_file_is_read_as_bind_reads_it(case: str, folder: ZoneFolder) -> None:
    text, expected = AS_WRITTEN[case]
    (folder.folder / "one.test.zone").write_bytes(f"$TTL 60\n{SOA}{text}".encode())
    assert folder.load().problems == ()
    answers, _ = serving(folder)
    for question, (ttl, rdata) in expected.items():
        label, rtype = question.split()
        (rrset,) = ask(answers, f"{label}.one.test", rtype).answer[:1]
        assert rrset.to_text() == f"{label}.one.test. {ttl} IN {rtype} {rdata}"


def test_octets_above_127_are_those_of_the_file_whatever_its_character_set(folder: ZoneFolder) -> None:
    text = b'; caf\xe9\nlatin TXT "v=spf1 \x96all" \\\xe9\nutf8 TXT "\xc3\xa9"\nm\xfcnchen A 192.0.2.7\n'
    path = write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    path.write_bytes(b"\xef\xbb\xbf" + (path.read_bytes() + text).replace(b"\n", b"\r\n"))
    assert folder.load().problems == ()
    answers, _ = serving(folder)
    assert ask(answers, "latin.one.test", "TXT").answer[0][0].strings == (b"v=spf1 \x96all", b"\xe9")
    assert ask(answers, "utf8.one.test", "TXT").answer[0][0].strings == (b"\xc3\xa9",)
    assert len(ask(answers, "m\\252nchen.one.test").answer) == 1


def test_what_editors_keep_beside_a_file_is_no_zone(folder: ZoneFolder) -> None:
    path = write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    folder.load()
    (folder.folder / ".#one.test.zone").symlink_to("who@host.123:456")
    write(folder, ".old.zone", "what is this")
    write(folder, "one.test.zone~", "what is this")
    assert not folder.changed()
    assert folder.load().problems == ()
    assert [zone.path for zone in folder.loaded.zones.values()] == [str(path)]


@pytest.mark.parametrize("kind", ["a FIFO", "a device"])
def test_what_is_no_file_is_refused_and_costs_itself_alone(kind: str, folder: ZoneFolder) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    bad = folder.folder / "bad.zone"
    os.mkfifo(bad) if kind == "a FIFO" else bad.symlink_to("/dev/zero")
    (problem,) = folder.load().problems
    assert problem.path == str(bad)
    assert "not a regular file" in problem.what
    assert list(folder.loaded.zones) == [names.wire("one.test")]
    assert not folder.changed()


def test_a_change_while_the_file_is_read_is_seen_next_time(
    folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    read = master_file.read_bounded

    def read_and_change(path: Path, most: int) -> object:
        found = read(path, most)
        path.write_text("$TTL 60\n" + SOA + "late A 192.0.2.1\n")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(master_file, "read_bounded", read_and_change)
        folder.load()
    assert folder.changed()
    assert path.exists()


def test_a_file_that_was_never_good_costs_only_itself(folder: ZoneFolder) -> None:
    write(folder, "bad.test.zone", "what is this")
    (folder.folder / "binary.test.zone").write_bytes(os.urandom(2000) + b"\xff")
    write(folder, "good.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.1\n")
    write(folder, "second.zone", "$ORIGIN good.test.\n$TTL 60\n" + SOA)
    loaded = folder.load()
    assert [Path(p.path).name.partition(":")[0] for p in loaded.problems] == [
        "bad.test.zone",
        "binary.test.zone",
        "second.zone",
    ]
    assert "good.test.zone already" in loaded.problems[2].what
    assert list(loaded.zones) == [names.wire("good.test")]


def test_an_included_file_that_changes_is_seen(folder: ZoneFolder) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA + "$INCLUDE hosts\n")
    part = write(folder, "hosts", "a A 192.0.2.1\n")
    folder.load()
    assert not folder.changed()
    part.write_text("a A 192.0.2.1\nb A 192.0.2.2\n")
    assert folder.changed()


def test_files_that_did_not_change_are_not_read_again_unless_that_is_asked_for(
    folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    read_file = master_file.read_bounded

    def note(path: Path, most: int) -> object:
        read.append(path.name)
        return read_file(path, most)

    monkeypatch.setattr(master_file, "read_bounded", note)
    write(folder, "large.test.zone", "$TTL 60\n" + SOA + "$INCLUDE hosts\n")
    write(folder, "bad.test.zone", "what is this")
    hosts = write(folder, "hosts", "a A 192.0.2.1\n")
    small = write(folder, "small.test.zone", "$TTL 60\n" + SOA)
    before = folder.load()
    read.clear()
    small.write_text(small.read_text() + "a A 192.0.2.1\n")
    after = folder.load()
    assert read == ["small.test.zone"]
    assert after.zones[names.wire("large.test")] is before.zones[names.wire("large.test")]
    assert after.problems == before.problems != ()
    read.clear()
    hosts.write_text("a A 192.0.2.1\nb A 192.0.2.2\n")
    assert folder.changed()
    folder.load()
    assert read == ["large.test.zone", "hosts"]
    read.clear()
    folder.load(anew=True)
    assert read == ["bad.test.zone", "large.test.zone", "hosts", "small.test.zone"]


@pytest.mark.parametrize("error", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EACCES])
def test_a_file_that_could_not_be_read_for_what_may_pass_is_tried_again_though_nobody_wrote_to_it(
    error: int, folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA)

    def fail(path: Path, most: int) -> object:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(master_file, "read_bounded", fail)
        assert "can't be read" in folder.load().problems[0].what
    assert folder.changed() is (error != errno.EACCES)
    assert not folder.load().problems, "once it is tried"
    assert not folder.changed()


def test_zone_files_have_so_many_lines_together_and_one_that_has_too_many_costs_itself(
    folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (master_file, reader_module):
        monkeypatch.setattr(module, "MAX_LINES", 100)
    large = write(folder, "a.test.zone", "$TTL 60\n" + SOA + "x A 192.0.2.1\n" * 200)
    for name in ("b", "c", "d"):
        write(folder, f"{name}.test.zone", "$TTL 60\n" + SOA + "x A 192.0.2.1\n" * 38)
    loaded = folder.load()
    assert [Path(p.path).name for p in loaded.problems] == ["a.test.zone", "d.test.zone"]
    assert "all zone files have more than" in loaded.problems[0].what
    large.unlink()
    write(folder, "c.test.zone", "$TTL 60\n" + SOA)
    assert not folder.load().problems
    for generated, wrong in ((17, []), (18, ["d.test.zone"])):
        write(folder, "c.test.zone", "$TTL 60\n" + SOA + f"$GENERATE 1-{generated} x$ A 192.0.2.1\n")
        assert [Path(p.path).name for p in folder.load().problems] == wrong, "two of 40 lines are beside it"


def test_a_file_that_is_written_to_while_it_is_read_leaves_the_last_good_copy_until_it_is_whole(
    folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "one.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.1\nb A 192.0.2.2\n")
    whole = folder.load().zones
    read, later = master_file.read_bounded, ["b A 192.0.2.2\n"]

    def read_while_it_grows(path: Path, most: int) -> tuple[bytes, Mark]:
        found = read(path, most)
        if later:
            path.write_text(path.read_text() + later.pop())
        return found

    monkeypatch.setattr(master_file, "read_bounded", read_while_it_grows)
    path.write_text("$TTL 60\n" + SOA + "a A 192.0.2.1\n")
    torn = folder.load()
    assert torn.zones[names.wire("one.test")] is whole[names.wire("one.test")]
    assert "written to while it is read" in torn.problems[0].what
    assert folder.changed()
    again = folder.load()
    assert again.problems == ()
    assert len(again.zones[names.wire("one.test")].nodes) == len(whole[names.wire("one.test")].nodes)


async def test_who_asks_for_all_to_be_read_anew_a_hundred_times_has_them_read_once_more(
    folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    readings: list[bool] = []
    load = ZoneFolder.load

    def note(of: ZoneFolder, *, anew: bool = False) -> Loaded:
        readings.append(anew)
        return load(of, anew=anew)

    monkeypatch.setattr(ZoneFolder, "load", note)
    files = ZoneFiles(str(folder.folder), [names.wire("svc.local")])
    first = asyncio.create_task(files.load())
    await asyncio.sleep(0)
    zones = await asyncio.gather(*(files.load(anew=True) for _ in range(100)))
    assert await first
    assert readings == [False, True]
    assert sum(zone is not None for zone in zones) == 1
    assert await files.load(anew=True)


async def test_files_that_are_just_being_written_are_read_once_they_rest_or_it_never_ends(
    folder: ZoneFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "SETTLE", 0.01)
    path = write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    files = ZoneFiles(str(folder.folder), [names.wire("svc.local")])
    await files.load()
    assert not await files.changed()
    moment = 0

    async def look(*, writes: bool) -> bool:
        nonlocal moment
        looking = asyncio.ensure_future(files.changed())
        while not looking.done():
            moment += writes
            os.utime(path, ns=(0, 1000 * moment + 1000))
            await asyncio.sleep(0.0005)
        return looking.result()

    assert [await look(writes=True) for _ in range(MAX_UNSETTLED)][:-1] == [False] * 9
    assert await look(writes=True)
    assert await look(writes=False)
    await files.load()
    assert not await files.changed()


async def test_what_is_wrong_for_a_while_is_told_once_unless_somebody_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be read is tried each second, and was a line of the log each time."""
    (tmp_path / "zones").mkdir()
    files = ZoneFiles(str(tmp_path / "zones"), [])
    (tmp_path / "zones").rename(tmp_path / "away")
    for _ in range(5):
        await files.load()
    assert len(caplog.records) == 1
    await files.load(anew=True)
    assert len(caplog.records) == 2
    (tmp_path / "away").rename(tmp_path / "zones")
    await files.load()
    (tmp_path / "zones").rename(tmp_path / "away")
    await files.load()
    assert len(caplog.records) == 3


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (problem,) = ZoneFolder(tmp_path / "nowhere").load().problems
    assert problem.path == str(tmp_path / "nowhere")
    assert "no such file" in problem.what


def test_a_folder_that_can_be_read_again_as_it_was_is_no_problem_any_more(folder: ZoneFolder) -> None:
    """Nothing in it had changed, so nobody looked, and the row stayed for good."""
    write(folder, "one.test.zone", "$TTL 60\n" + SOA)
    zones = folder.load().zones
    folder.folder.rename(folder.folder.with_name("away"))
    assert folder.changed()
    assert folder.load().problems
    assert folder.loaded.zones is zones
    folder.folder.with_name("away").rename(folder.folder)
    assert folder.changed()
    assert not folder.load().problems
    assert not folder.changed()


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                "$TTL 60\n",
                SOA,
                "a ",
                "A ",
                "192.0.2.1",
                "(",
                ")",
                '"',
                ";",
                "\n",
                "\\",
                "$INCLUDE ",
                "$GENERATE 1-2 a$ A ",
                "@",
                "*",
                "$ORIGIN ",
                "CNAME ",
                ".",
                "TXT ",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_no_text_of_a_file_raises(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    where = tmp_path_factory.mktemp("fuzz")
    (where / "one.test.zone").write_text("$TTL 60\n" + text, encoding="utf-8", errors="replace")
    loaded = ZoneFolder(where).load()
    assert len(loaded.zones) + len(loaded.problems) == 1
    for problem in loaded.problems:
        assert problem.path.startswith(str(where))
        assert problem.what
    shutil.rmtree(where)


# --- beside the services --------------------------------------------------------------------------------

SHARED = """$TTL 60
@ MX 10 mail
mail A 192.0.2.25
www CNAME web
ext CNAME a.other.test.
to.instance CNAME i1.web
gone CNAME nope
*.wild A 192.0.2.99
web A 192.0.2.66
extra.web A 192.0.2.67
ns.dns A 192.0.2.68
_sip._tcp SRV 1 2 5060 mail
"""


@pytest.fixture
def shared(folder: ZoneFolder) -> ZoneFolder:
    write(folder, "svc.local.zone", SHARED)
    write(
        folder,
        "other.test.zone",
        "$TTL 60\n" + SOA + "a A 192.0.2.9\nback CNAME web.svc.local.\napi CNAME api.svc.local.\n",
    )
    assert folder.load().problems == ()
    return folder


def test_a_file_and_services_share_a_zone(shared: ZoneFolder) -> None:
    answers, _ = serving(shared, service("web", "10.0.0.1", "10.0.0.2"))
    assert said(ask(answers, "mail.svc.local")) == ["mail.svc.local. A 192.0.2.25"]
    assert sorted(said(ask(answers, "web.svc.local"))) == [
        "web.svc.local. A 10.0.0.1",
        "web.svc.local. A 10.0.0.2",
    ]
    assert said(ask(answers, "svc.local", "MX")) == ["svc.local. MX 10 mail.svc.local."]
    assert "ns.dns.svc.local." in said(ask(answers, "svc.local", "SOA"))[0]
    assert said(ask(answers, "any.wild.svc.local")) == ["any.wild.svc.local. A 192.0.2.99"]
    assert said(ask(answers, "_sip._tcp.svc.local", "SRV")) == [
        "_sip._tcp.svc.local. SRV 1 2 5060 mail.svc.local."
    ]
    for name, rcode in (
        ("nope.svc.local", "NXDOMAIN"),
        ("wild.svc.local", "NOERROR"),
        ("nope.web.svc.local", "NXDOMAIN"),
    ):
        negative = ask(answers, name)
        assert dns.rcode.to_text(negative.rcode()) == rcode
        assert negative.flags & dns.flags.AA
        assert str(negative.authority[0].name) == "svc.local."
        assert negative.authority[0].ttl <= 2


def test_an_alias_leads_on_to_services_instances_and_other_files(shared: ZoneFolder) -> None:
    answers, _ = serving(shared, service("web", "10.0.0.1", "10.0.0.2"))
    www = said(ask(answers, "WWW.svc.local"))
    assert www[0] == "WWW.svc.local. CNAME web.svc.local."
    assert sorted(www[1:]) == ["web.svc.local. A 10.0.0.1", "web.svc.local. A 10.0.0.2"]
    assert said(ask(answers, "to.instance.svc.local"))[1:] == ["i1.web.svc.local. A 10.0.0.2"]
    assert said(ask(answers, "ext.svc.local"))[1:] == ["a.other.test. A 192.0.2.9"]
    assert sorted(said(ask(answers, "back.other.test"))[1:]) == [
        "web.svc.local. A 10.0.0.1",
        "web.svc.local. A 10.0.0.2",
    ]
    srv = said(ask(answers, "back.other.test", "SRV"))
    assert sorted(srv[1:]) == [
        "web.svc.local. SRV 0 1 80 i0.web.svc.local.",
        "web.svc.local. SRV 0 1 80 i1.web.svc.local.",
    ]
    assert ask(answers, "gone.svc.local").rcode() == dns.rcode.NXDOMAIN
    assert ask(answers, "www.svc.local", "AAAA").rcode() == dns.rcode.NOERROR
    assert str(ask(answers, "back.other.test", "AAAA").authority[0].name) == "svc.local."


def test_an_alias_leads_each_client_to_the_instances_of_its_own_zone(shared: ZoneFolder) -> None:
    answers, _ = serving(shared)
    answers.set_topology(parse_topology("map", {"127.0.1.0/24": "eu/a", "127.0.2.0/24": "eu/b"})[0])
    web = service("web", "10.0.0.1", "fd00::2")
    placed = (
        replace(i, registration=replace(i.registration, zone=zone))
        for i, zone in zip(web.instances, "ab", strict=True)
    )
    web = replace(web, instances=tuple(placed), settings=ServiceSettings(near="prefer"))
    answers.replace("web", answers.compile(web))
    for name in ("www.svc.local", "back.other.test"):
        alias = f"{name}. CNAME web.svc.local."
        assert said(ask(answers, name, client="127.0.1.9")) == [alias, "web.svc.local. A 10.0.0.1"]
        lonely = ask(answers, name, client="127.0.2.9")
        assert said(lonely) == [alias]
        assert str(lonely.authority[0].name) == "svc.local."
        assert said(ask(answers, name, "AAAA", client="127.0.2.9"))[1:] == ["web.svc.local. AAAA fd00::2"]
        first = said(ask(answers, name, "SRV", client="127.0.2.9"))[1]
        assert first == "web.svc.local. SRV 0 1 80 i1.web.svc.local."
        assert len(said(ask(answers, name))) == 2, "who is in no network is given all"


def test_where_both_hold_a_name_the_service_wins_and_it_is_a_problem(shared: ZoneFolder) -> None:
    answers, mount = serving(shared)
    assert said(ask(answers, "web.svc.local")) == ["web.svc.local. A 192.0.2.66"]
    assert said(ask(answers, "extra.web.svc.local")) == ["extra.web.svc.local. A 192.0.2.67"]
    assert [p.path for p in mount.problems()] == [f"{shared.folder}/svc.local.zone:11"]  # ns.dns is ours
    answers.replace("web", answers.compile(service("web", "10.0.0.1")))
    assert said(ask(answers, "web.svc.local")) == ["web.svc.local. A 10.0.0.1"]
    assert ask(answers, "extra.web.svc.local").rcode() == dns.rcode.NXDOMAIN
    problems = mount.problems()
    assert [p.path.rpartition(":")[2] for p in problems] == ["9", "10", "11"]
    assert "the service web" in problems[0].what
    answers.replace("web", None)
    assert said(ask(answers, "web.svc.local")) == ["web.svc.local. A 192.0.2.66"]
    assert said(ask(answers, "extra.web.svc.local")) == ["extra.web.svc.local. A 192.0.2.67"]


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("mail.svc.local", (("192.0.2.25",), 60, "")),
        ("MAIL.svc.local.", (("192.0.2.25",), 60, "")),
        ("a.other.test", (("192.0.2.9",), 60, "")),
        ("ext.svc.local", (("192.0.2.9",), 60, "")),
        ("any.wild.svc.local", (("192.0.2.99",), 60, "")),
        ("both.svc.local", (("192.0.2.1", "fd00::1"), 30, "")),
        ("far.svc.local", ((), 0, "www.example.com.")),
        ("round.svc.local", ((), 0, "")),
        ("gone.svc.local", ((), 0, "")),
        ("text.svc.local", ((), 0, "")),
        ("nope.svc.local", None),
        ("x.team.svc.local", None),
        ("www.example.com", None),
        ("a..b", None),
    ],
)
def test_a_host_name_has_the_addresses_that_files_give_it(
    folder: ZoneFolder, host: str, found: tuple[object, ...] | None
) -> None:
    more = "both A 192.0.2.1\nboth 30 AAAA fd00::1\nfar CNAME www.example.com.\nround CNAME round2\n"
    more += "round2 CNAME round\ntext TXT x\nteam NS ns.team\nns.team A 192.0.2.5\n"
    write(folder, "svc.local.zone", SHARED + more)
    write(folder, "other.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.9\n")
    assert folder.load().problems == ()
    assert find_host(folder.load().zones, host) == found


def test_no_additional_section_gives_what_gives_way_to_the_services(folder: ZoneFolder) -> None:
    write(
        folder,
        "svc.local.zone",
        SHARED + "mx MX 1 web\n MX 2 extra.web\n MX 3 ns.dns\n MX 4 mail\nsrv SRV 0 1 1 web\n",
    )
    assert folder.load().problems == ()
    answers, _ = serving(folder, service("web", "10.0.0.1"))
    beside = {"mx": "MX", "srv": "SRV"}

    def given() -> list[str]:
        replies = [ask(answers, f"{name}.svc.local", rtype) for name, rtype in beside.items()]
        return sorted(rd.to_text() for reply in replies for rrset in reply.additional for rd in rrset)

    assert given() == ["192.0.2.25"], "of web and what is below it only the service tells"
    answers.replace("web", None)
    assert given() == ["192.0.2.25", "192.0.2.66", "192.0.2.66", "192.0.2.67"]


def test_a_wildcard_below_a_name_of_ours_is_never_given_and_is_a_problem(folder: ZoneFolder) -> None:
    """That name is the closest encloser (RFC 4592), and it is no file's."""
    ours = "*._tcp SRV 0 0 1 x\n*._dns-sd._udp A 192.0.2.2\n*.dns A 192.0.2.3\n"
    write(folder, "svc.local.zone", f"$TTL 60\n{SOA}{ours}*.free A 192.0.2.4\n* A 192.0.2.5\n")
    assert folder.load().problems == ()
    answers, mount = serving(folder, service("web", "10.0.0.1"))
    for name in ("_x._tcp", "x._dns-sd._udp", "x.dns"):
        assert ask(answers, f"{name}.svc.local", "SRV").rcode() == dns.rcode.NXDOMAIN, name
    assert said(ask(answers, "x.free.svc.local")) == ["x.free.svc.local. A 192.0.2.4"]
    assert said(ask(answers, "x.svc.local")) == ["x.svc.local. A 192.0.2.5"]
    told = [p.what.partition(" belongs to ")[::2] for p in mount.problems()]
    itself = "zkdns itself, which is answered instead"
    assert told == [(f"*.{name}.svc.local.", itself) for name in ("_tcp", "_dns-sd._udp", "dns")]


def test_services_are_not_walked_where_no_file_says_anything_beside_them(folder: ZoneFolder) -> None:
    """They may be a hundred thousand, and each look at what is wrong asks."""
    answers, mount = serving(folder, service("web", "10.0.0.1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "services", None)
        assert mount.problems() == ()


def test_a_service_has_the_reverse_names_of_its_addresses_in_a_file_s_zone(folder: ZoneFolder) -> None:
    text = "$TTL 60\n" + SOA + "1.0.0 PTR file.test.\n9.0.0 PTR file.test.\n0.1 NS ns.test.\n"
    write(folder, "10.in-addr.arpa.zone", text)
    folder.load()
    answers, mount = serving(folder, service("web", "10.0.0.1", "10.0.0.2", "10.1.0.3"))
    for n, address in enumerate(("1.0.0", "2.0.0", "3.0.1")):
        name = f"{address}.10.in-addr.arpa."
        assert said(ask(answers, name, "PTR")) == [f"{name} PTR i{n}.web.svc.local."]
    nodata = ask(answers, "2.0.0.10.in-addr.arpa", "A")
    assert nodata.rcode() == dns.rcode.NOERROR
    assert nodata.authority[0].name.to_text() == "10.in-addr.arpa."
    assert said(ask(answers, "9.0.0.10.in-addr.arpa", "PTR")) == ["9.0.0.10.in-addr.arpa. PTR file.test."]
    assert ask(answers, "8.0.0.10.in-addr.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN
    assert not dns.flags.AA & ask(answers, "4.0.1.10.in-addr.arpa", "PTR").flags
    (problem,) = mount.problems()
    assert problem.path.endswith("10.in-addr.arpa.zone:3")
    assert "the service web" in problem.what
    answers.fail(ede.option(ede.NOT_READY))
    for name in ("1.0.0.10.in-addr.arpa", "8.0.0.10.in-addr.arpa"):
        assert ask(answers, name, "PTR").rcode() == dns.rcode.SERVFAIL, name
    assert said(ask(answers, "9.0.0.10.in-addr.arpa", "PTR")) == ["9.0.0.10.in-addr.arpa. PTR file.test."]
    assert ask(answers, "0.10.in-addr.arpa", "PTR").rcode() == dns.rcode.NOERROR
    answers.fail(b"")
    answers.replace("web", None)
    assert said(ask(answers, "1.0.0.10.in-addr.arpa", "PTR")) == ["1.0.0.10.in-addr.arpa. PTR file.test."]
    assert mount.problems() == ()


def test_files_put_and_taken_out_leave_no_trace(shared: ZoneFolder) -> None:
    answers, mount = serving(shared, service("web", "10.0.0.1"))
    before, _ = serving(Loaded(), service("web", "10.0.0.1"))
    mount.put({})
    assert answers.table.names.keys() == before.table.names.keys()
    assert {at for at, known in answers.table.names.items() if known.responder} == {
        at for at, known in before.table.names.items() if known.responder
    }
    assert ask(answers, "mail.svc.local").rcode() == dns.rcode.NXDOMAIN
    mount.put(shared.loaded.zones)
    assert said(ask(answers, "mail.svc.local")) == ["mail.svc.local. A 192.0.2.25"]


def test_before_the_first_catalog_files_answer_and_nothing_is_said_not_to_be_there(
    shared: ZoneFolder,
) -> None:
    answers = Answers(["svc.local"])
    answers.fail(ede.option(ede.NOT_READY))
    Overlay(answers).put(shared.loaded.zones)
    assert said(ask(answers, "a.other.test")) == ["a.other.test. A 192.0.2.9"]
    assert said(ask(answers, "mail.svc.local")) == ["mail.svc.local. A 192.0.2.25"]
    for name in ("nope.svc.local", "api.svc.local", "gone.svc.local", "api.other.test"):
        assert ask(answers, name).rcode() == dns.rcode.SERVFAIL, name
    for name, rtype in (("svc.local", "SOA"), ("svc.local", "NS"), ("mail.svc.local", "SRV")):
        assert ask(answers, name, rtype).rcode() == dns.rcode.SERVFAIL, f"{name} {rtype}"
    answers.fail(b"")
    assert ask(answers, "nope.svc.local").rcode() == dns.rcode.NXDOMAIN
    assert said(ask(answers, "svc.local", "SOA"))


def test_aliases_that_go_round_end(folder: ZoneFolder) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA + "a CNAME b\nb CNAME c\nc CNAME a\nd DNAME e.d\n")
    folder.load()
    answers, _ = serving(folder)
    assert len(said(ask(answers, "a.one.test"))) == 3
    assert ask(answers, "x.d.one.test").rcode() in (dns.rcode.NOERROR, dns.rcode.YXDOMAIN)
    long = ".".join(["x" * 60] * 4)[:235] + ".d.one.test"
    assert ask(answers, long).rcode() in (dns.rcode.NOERROR, dns.rcode.YXDOMAIN)


def test_any_gets_one_record_that_says_why(folder: ZoneFolder) -> None:
    write(folder, "one.test.zone", "$TTL 60\n" + SOA + "a A 192.0.2.1\n")
    folder.load()
    answers, _ = serving(folder)
    assert "RFC8482" in said(ask(answers, "a.one.test", "ANY"))[0]
    assert ask(answers, "b.one.test", "ANY").rcode() == dns.rcode.NXDOMAIN


def test_large_answers_are_cut_to_whole_records(folder: ZoneFolder) -> None:
    write(
        folder,
        "one.test.zone",
        "$TTL 60\n" + SOA + "".join(f'big TXT "{n:03d}{"x" * 90}"\n' for n in range(50)),
    )
    folder.load()
    answers, _ = serving(folder)
    cut = ask(answers, "big.one.test", "TXT", 1232)
    assert cut.flags & dns.flags.TC
    assert 8 < len(said(cut)) < 13
    assert len(said(ask(answers, "big.one.test", "TXT"))) == 50
