"""Queries read as dnspython writes them, and as nobody should; replies that never pass their size."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import tables, wire
from zkdns.dns import ede, packet
from zkdns.dns.packet import DROP, Edns, Query
from zkdns.dns.reply import AA, Reply
from zkdns.dns.types import BADVERS, FORMERR, NOERROR, NOTIMP

labels = st.lists(st.binary(min_size=1, max_size=63), max_size=4)
extra_options = st.lists(
    st.builds(dns.edns.GenericOption, st.integers(65_001, 65_534), st.binary(max_size=20)), max_size=3
)


@given(
    labels, st.integers(1, 65_535), st.sampled_from([1, 3, 4]), st.booleans(), st.integers(0, 65_535),
    st.booleans(), st.booleans(), st.integers(0, 255), extra_options,
)  # fmt: skip
def test_a_query_reads_as_it_was_written(
    held: list[bytes], rtype: int, rclass: int, edns: bool, size: int, do: bool, nsid: bool, version: int,
    more: list[dns.edns.Option],
) -> None:  # fmt: skip
    if sum(len(label) + 1 for label in held) > 254 or rtype == 41:
        return
    name = dns.name.Name([*held, b""])
    query = dns.message.make_query(name, rtype, rdclass=rclass, use_edns=False)
    if edns:
        options = [*more, *([dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")] if nsid else [])]
        query.use_edns(version, dns.flags.DO if do else 0, size, options=options)
    raw = query.to_wire()
    for asked in (Query(raw), Query(raw)):  # the second time it is known
        assert asked.question.name == name.to_wire().lower()  # type: ignore[union-attr]
        assert (asked.question.rtype, asked.question.rclass) == (rtype, rclass)
        assert raw[12 : asked.end] == wire.take_apart(raw).question
        assert asked.edns == (Edns(size, version, do, nsid) if edns else None)
        assert asked.fault == (BADVERS if edns and version else NOERROR)
        assert asked.key == (b"" if asked.fault or rclass != 1 else asked.question.key)


@given(st.lists(st.sampled_from([b"\0", b"a", b"\3", b"\x40", b"\xc0"]), max_size=9), st.booleans())
def test_a_zero_byte_in_a_label_ends_no_name(parts: list[bytes], opt: bool) -> None:
    label = b"".join(parts)[:63] or b"x"
    name = bytes([len(label)]) + label + b"\3com\0"
    asked = Query(tables.query(name, 1, tables.opt() if opt else b""))
    assert (asked.question.name, asked.end, asked.fault) == (name.lower(), 12 + len(name) + 4, NOERROR)


def test_a_flood_of_names_leaves_no_more_of_them_behind_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packet, "MAX_REMEMBERED", 50)
    for n in range(500):
        raw = tables.query(b"\4%04d\0" % n, 1, tables.opt(512 + n))
        for _ in range(3):
            assert Query(raw).question.name == b"\4%04d\0" % n
    assert 0 < len(packet._QUESTIONS) <= 50


def test_questions_that_come_once_push_out_none_that_come_again() -> None:
    for _ in range(3):
        Query(PLAIN)
    known = set(packet._QUESTIONS)
    assert PLAIN[12:] in known
    for n in range(5000):
        Query(tables.query(b"\5o%04d\0" % n, 1))
    assert known <= packet._QUESTIONS.keys()
    assert len(packet._QUESTIONS.keys() - known) < 50, "one in thousands passes for another"


def test_all_of_a_thousand_questions_that_come_in_turn_are_remembered() -> None:
    asked = [tables.query(b"\5t%04d\0" % n, 1) for n in range(1000)]
    for _ in range(3):
        for each in asked:
            Query(each)
    assert sum(each[12:] in packet._QUESTIONS for each in asked) > 900


PLAIN = tables.query(b"\3web\3svc\5local\0", 1)
OPT = tables.opt()
TSIG = b"\4hmac\0" + b"\0\xfa\0\xff\0\0\0\0\0\4abcd"


def with_counts(raw: bytes, an: int = 0, ns: int = 0, ar: int = 0) -> bytes:
    return raw[:6] + b"".join(n.to_bytes(2, "big") for n in (an, ns, ar)) + raw[12:]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(PLAIN[:12], id="no question at all"),
        pytest.param(PLAIN[:-1], id="half a class"),
        pytest.param(PLAIN[:20], id="half a name"),
        pytest.param(PLAIN + b"\0", id="a byte left over"),
        pytest.param(PLAIN[:4] + b"\0\0" + PLAIN[6:], id="no question counted"),
        pytest.param(PLAIN[:4] + b"\0\2" + PLAIN[6:] + PLAIN[12:], id="two questions"),
        pytest.param(PLAIN[:12] + b"\xc0\x0c\0\1\0\1", id="a name that points at itself"),
        pytest.param(PLAIN[:12] + b"\x40a\0\0\1\0\1", id="a label of an unknown kind"),
        pytest.param(PLAIN[:12] + b"\x3f" + b"a" * 63 + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", id="64 bytes"),
        pytest.param(PLAIN[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", id="a name of 257 bytes"),
        pytest.param(with_counts(PLAIN, ar=1), id="an additional record that isn't there"),
        pytest.param(with_counts(PLAIN + OPT, ar=2), id="one of two"),
        pytest.param(with_counts(PLAIN + OPT * 2, ar=2), id="two OPTs (RFC 6891, section 6.1.1)"),
        pytest.param(with_counts(PLAIN + OPT, an=1), id="OPT among the answers"),
        pytest.param(with_counts(PLAIN + OPT, ns=1), id="OPT in authority"),
        pytest.param(with_counts(PLAIN + b"\1x" + OPT, ar=1), id="an OPT with a name"),
        pytest.param(with_counts(PLAIN + OPT[:-1], ar=1), id="an OPT that is cut"),
        pytest.param(with_counts(PLAIN + OPT[:-2] + b"\0\1", ar=1), id="an OPT shorter than it says"),
        pytest.param(with_counts(PLAIN + tables.opt(data=b"\0\3\0"), ar=1), id="half an option"),
        pytest.param(
            with_counts(PLAIN + tables.opt(data=b"\0\3\0\5abc"), ar=1), id="an option that overruns"
        ),
    ],
)
def test_what_can_not_be_read_is_told(raw: bytes) -> None:
    asked = Query(raw)
    assert (asked.fault, asked.key, asked.end) == (FORMERR, b"", 12)


def test_what_is_no_query_gets_nothing_and_another_opcode_is_told() -> None:
    assert Query(PLAIN[:11]).fault == Query(b"").fault == Query(PLAIN[:2] + b"\x81" + PLAIN[3:]).fault == DROP
    notify = Query(PLAIN[:2] + b"\x20" + PLAIN[3:])
    assert (notify.fault, notify.key, notify.end) == (NOTIMP, b"", len(PLAIN))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(with_counts(PLAIN + OPT + TSIG, ar=2), id="a TSIG beside OPT"),
        pytest.param(with_counts(PLAIN + TSIG + OPT, ar=2), id="in the other order"),
        pytest.param(with_counts(PLAIN + TSIG, an=1), id="an answer, as NOTIFY and inverse queries had"),
        pytest.param(with_counts(PLAIN + b"\xc0\x0c" + TSIG[6:], ar=1), id="a pointer to the question"),
    ],
)
def test_records_that_mean_nothing_here_are_passed_over(raw: bytes) -> None:
    asked = Query(raw)
    assert (asked.fault, asked.question.name) == (NOERROR, b"\3web\3svc\5local\0")


def test_the_longest_name_is_read_and_one_byte_more_is_not() -> None:
    longest = b"\x3f" + b"a" * 63 + b"\x3f" + b"b" * 63 + b"\x3f" + b"c" * 63 + b"\x3d" + b"d" * 61 + b"\0"
    assert len(longest) == 255
    assert Query(tables.query(longest, 1)).question.name == longest
    longer = longest[:192] + b"\x3e" + b"d" * 62 + b"\0"
    assert Query(tables.query(longer, 1)).fault == FORMERR


pieces = st.lists(
    st.integers(0, 200).map(lambda n: b"\xc0\x0c\0\1\0\1\0\0\0\5" + n.to_bytes(2, "big") + b"." * n)
)
said = st.lists(st.builds(ede.option, st.integers(0, 30), st.text(max_size=99)), max_size=2).map(b"".join)


@given(
    pieces,
    pieces,
    pieces,
    said,
    st.integers(512, 1232),
    st.booleans(),
    st.sampled_from([0, 2, 3, 16]),
    st.booleans(),
)
def test_a_reply_never_passes_its_size_and_its_counts_are_true(
    answer: list[bytes], authority: list[bytes], additional: list[bytes], options: bytes, size: int,
    edns: bool, rcode: int, do: bool,
) -> None:  # fmt: skip
    asked = Query(tables.query(b"\3web\3svc\5local\0", 1, tables.opt(size, 0x8000 * do) if edns else b""))
    size = size if edns else 512
    reply = Reply(asked, AA).write(rcode, answer, authority, additional, options)
    assert len(reply) <= size
    parts = wire.take_apart(reply)
    assert parts.rcode == rcode & 15
    assert reply[12 : asked.end] == asked.packet[12 : asked.end]
    assert parts.section(1) == answer[: len(parts.section(1))]
    assert parts.section(2) == authority[: len(parts.section(2))]
    assert parts.section(3) in ([], additional)
    cut = len(parts.section(1)) < len(answer) or len(parts.section(2)) < len(authority)
    assert parts.tc == cut
    assert len(parts.opts) == edns
    for opt in parts.opts:
        assert opt[5] == rcode >> 4
        assert opt[7] == 0x80 * do
        if len(opt) < 11 + len(options):
            whole = len(reply) - len(opt) + 11 + len(options)
            assert whole > size or cut or len(parts.section(3)) < len(additional)


@given(st.integers(0, 65_535))
def test_room_is_what_the_client_can_take_and_1232_at_most(size: int) -> None:
    raw = tables.query(b"\3web\0", 1, tables.opt(size))
    assert Query(raw).room == min(max(size, 512), 1232)
    assert Query(PLAIN).room == 512
    assert Query(raw, 65_535).room == Query(PLAIN, 65_535).room == 65_535
