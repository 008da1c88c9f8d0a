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
from zkdns.dns.packet import Edns

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
    asked = packet.read_query(raw)
    assert asked is not None
    assert asked.qname == name.to_wire().lower()  # type: ignore[union-attr]
    assert (asked.qtype, asked.qclass) == (rtype, rclass)
    assert raw[12 : asked.end] == wire.take_apart(raw).question
    assert asked.edns == (Edns(size, version, do, nsid) if edns else None)


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
    assert packet.read_query(raw) is None


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
    assert packet.read_query(raw) is not None


def test_the_longest_name_is_read_and_one_byte_more_is_not() -> None:
    longest = b"\x3f" + b"a" * 63 + b"\x3f" + b"b" * 63 + b"\x3f" + b"c" * 63 + b"\x3d" + b"d" * 61 + b"\0"
    assert len(longest) == 255
    asked = packet.read_query(tables.query(longest, 1))
    assert asked is not None
    assert asked.qname == longest
    longer = longest[:192] + b"\x3e" + b"d" * 62 + b"\0"
    assert packet.read_query(tables.query(longer, 1)) is None


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
    how = Edns(size, do=do) if edns else None
    reply = packet.reply(PLAIN, len(PLAIN), rcode, answer, authority, additional, how, options, size, 0x0400)
    assert len(reply) <= size
    parts = wire.take_apart(reply)
    assert parts.rcode == rcode & 15
    assert parts.section(1) == answer[: len(parts.section(1))]
    assert parts.section(2) == authority[: len(parts.section(2))]
    assert parts.section(3) in ([], additional)
    cut = len(parts.section(1)) < len(answer) or len(parts.section(2)) < len(authority)
    assert parts.tc == cut
    assert len(parts.opts) == edns
    for opt in parts.opts:
        assert opt[5] == rcode >> 4
        if len(opt) < 11 + len(options):
            whole = len(reply) - len(opt) + 11 + len(options)
            assert whole > size or cut or len(parts.section(3)) < len(additional)


@given(st.integers(0, 65_535))
def test_room_is_what_the_client_can_take_and_1232_at_most(size: int) -> None:
    assert packet.room(Edns(size), packet.HIGHEST_UDP) == min(max(size, 512), 1232)
    assert packet.room(None, packet.HIGHEST_UDP) == 512
    assert packet.room(Edns(size), 65_535) == packet.room(None, 65_535) == 65_535
