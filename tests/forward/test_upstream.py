"""The decisions of forwarding, without a socket: a clock and chances of the test's own."""

from __future__ import annotations

import random
from collections.abc import Callable

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.config import Address
from zkdns.forward.resolution import FORGERIES, Answered, Attempt, Failed, Resolution, scramble
from zkdns.forward.resolvconf import is_local, is_ours, nameservers, parse_upstream, upstreams_of
from zkdns.forward.upstream import Upstream, order
from zkdns.model import ConfigError

QUESTION = b"\3www\7example\3com\0\0\1\0\1"


def upstreams(count: int) -> list[Upstream]:
    return [Upstream(Address(f"192.0.2.{n}", 53)) for n in range(1, count + 1)]


def resolution(asked: list[Upstream], now: float = 0.0) -> Resolution:
    return Resolution(QUESTION, 0, True, order(asked), now, random.Random(1))


def reply(attempt: Attempt, rcode: int = 0, tc: bool = False) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(attempt.packet), recursion_available=True)
    made.set_rcode(rcode)
    if not rcode:
        made.answer.append(dns.rrset.from_text(made.question[0].name, 60, "IN", "A", "192.0.2.80"))
    if tc:
        made.flags |= 0x0200
    return made.to_wire()


def play(talk: Resolution, until: float = 5.0) -> list[tuple[float, str]]:
    """Who is asked when, where nobody answers."""
    now, asked = talk.started, []
    while talk.outcome is None:
        while (attempt := talk.due(now)) is not None:
            asked.append((now, attempt.upstream.address.host[-1]))
        assert talk.outcome is not None or talk.wake > now
        now = talk.wake
        assert now < talk.started + until
    return asked


def due(talk: Resolution, now: float) -> Attempt:
    attempt = talk.due(now)
    assert attempt is not None
    return attempt


def after_first(count: int, reply: Callable[[Attempt], bytes], now: float = 0.1) -> Resolution:
    """A question to so many upstreams, whose first attempt got this reply."""
    talk = resolution(upstreams(count))
    first = due(talk, 0.0)
    talk.receive(first, reply(first), now)
    return talk


def header(attempt: Attempt, rcode: int = 0, tc: bool = False) -> bytes:
    """A reply that is nothing else."""
    return attempt.packet[:2] + bytes([0x81 | tc << 1, 0x80 | rcode]) + bytes(8)


def test_the_next_is_asked_after_half_a_second_and_all_ends_after_two() -> None:
    talk = resolution(upstreams(3))
    assert play(talk) == [(0.0, "1"), (0.5, "2"), (1.0, "3"), (1.5, "2")]  # the first is dead by then
    assert talk.outcome == Failed(22, "no upstream answered in time")


def test_one_that_is_alone_is_asked_again_with_the_same_packet() -> None:
    talk = resolution(upstreams(1))
    assert [at for at, _ in play(talk)] == [0.0, 0.5, 1.0, 1.5]
    assert talk.upstreams[0].state == "dead"


def test_an_error_brings_the_next_at_once() -> None:
    ups = upstreams(3)
    talk = resolution(ups)
    for expected in ups:
        attempt = due(talk, 0.1)
        assert attempt.upstream is expected
        talk.fail(attempt, "connection refused", 0.1)
    assert talk.due(0.1) is None
    assert talk.outcome == Failed(23, "192.0.2.3:53: connection refused")


def test_the_dead_are_left_alone_while_one_lives_and_tried_when_none_does() -> None:
    first, second = upstreams(2)
    first.broke("connection refused", 0.0)
    talk = resolution([first, second], 1.0)
    assert {who for at, who in play(talk) if at < 2.2} == {"2"}
    talk = resolution([first, second], 1.0)
    assert second.state == "dead"
    assert {who for _, who in play(talk)} == {"1", "2"}


def test_a_looping_one_is_never_asked() -> None:
    first, second = upstreams(2)
    first.loop(0.0)
    assert order([first, second]) == (second,)
    talk = resolution([first])
    assert talk.due(0.0) is None
    assert isinstance(talk.outcome, Failed)


def test_a_loop_that_is_found_meanwhile_ends_the_waiting() -> None:
    (up,) = upstreams(1)
    talk = resolution([up])
    assert talk.due(0.0) is not None
    up.loop(0.1)
    assert talk.due(0.5) is None
    assert talk.outcome == Failed(23, "192.0.2.1:53: a loop: our own query came back")


def test_a_loop_is_over_after_some_probes_that_did_not_come_back() -> None:
    (up,) = upstreams(1)
    up.loop(0.0)
    up.probed(True, True, 30.0)
    states = []
    for n in range(3):
        up.probed(True, False, 60.0 + 30 * n)
        states.append(up.state)
    assert states == ["loop", "loop", "healthy"]


def test_a_slow_one_that_answers_others_is_not_dead() -> None:
    (up,) = upstreams(1)
    talk = resolution([up])
    for now in (0.0, 0.5, 1.0, 1.5, 2.0):
        talk.due(now)
        up.heard(now + 0.1, 0.1)  # another question's reply
    assert isinstance(talk.outcome, Failed)
    assert up.state == "healthy"


def test_the_dead_are_probed_less_and_less_often() -> None:
    (up,) = upstreams(1)
    up.broke("connection refused", 0.0)
    gaps, now = [], 0.0
    for _ in range(7):
        gaps.append(up.probe_at - now)
        now = up.probe_at
        up.probed(False, False, now)
    assert gaps == [1, 1, 2, 4, 8, 15, 15]
    up.heard(now, 0.01)
    assert up.state == "healthy"
    assert up.probe_at == now


@pytest.mark.parametrize("rcode", [2, 5])
def test_an_error_that_repeats_no_question_brings_the_next_at_once(rcode: int) -> None:
    talk = after_first(2, lambda first: header(first, rcode), 0.01)
    second = due(talk, 0.01)
    assert second.upstream is talk.upstreams[1]


def test_a_header_alone_that_says_truncated_is_asked_over_tcp_and_not_believed_there() -> None:
    talk = after_first(1, lambda first: header(first, tc=True), 0.01)
    second = due(talk, 0.01)
    assert second.tcp
    talk.receive(second, header(second, tc=True), 0.02)
    assert talk.forgeries == 1


@pytest.mark.parametrize("rcode", [0, 3])
def test_no_answer_is_believed_without_its_question(rcode: int) -> None:
    talk = after_first(1, lambda first: header(first, rcode), 0.01)
    assert (talk.outcome, talk.forgeries) == (None, 1)


def test_after_tc_the_same_one_is_asked_over_tcp() -> None:
    talk = resolution(upstreams(2))
    first = due(talk, 0.0)
    talk.receive(first, reply(first, tc=True), 0.1)
    second = due(talk, 0.1)
    assert second.tcp
    assert second.upstream is first.upstream
    assert second.ident != first.ident
    talk.receive(second, reply(second), 0.2)
    assert isinstance(talk.outcome, Answered)
    assert not talk.outcome.cut


def test_a_truncated_answer_over_tcp_is_none_and_brings_the_next() -> None:
    """Asked again there it would be asked without end."""
    talk = after_first(2, lambda first: reply(first, tc=True))
    second = due(talk, 0.1)
    talk.receive(second, reply(second, tc=True), 0.2)
    third = due(talk, 0.2)
    assert (third.upstream, third.tcp) == (talk.upstreams[1], False)


def test_an_error_that_was_cut_is_no_answer_where_tcp_is_closed() -> None:
    talk = after_first(1, lambda first: reply(first, rcode=2, tc=True))
    second = due(talk, 0.1)
    assert second.tcp
    talk.fail(second, "connection refused", 0.2)
    assert talk.due(0.2) is None
    assert isinstance(talk.outcome, Failed)


def test_what_goes_over_tcp_is_not_said_twice_there() -> None:
    """Nothing of it gets lost on its way."""
    talk = after_first(1, lambda first: reply(first, tc=True))
    assert due(talk, 0.1).tcp
    assert talk.due(0.7) is None
    assert talk.due(1.2) is None
    assert talk.outcome is None


def test_one_that_speaks_edns_and_refuses_is_not_asked_again_without() -> None:
    talk = resolution(upstreams(2))
    first = due(talk, 0.0)
    made = dns.message.make_response(dns.message.from_wire(first.packet))
    made.use_edns(0)
    made.set_rcode(4)
    talk.receive(first, made.to_wire(), 0.1)
    assert due(talk, 0.1).upstream is talk.upstreams[1]


def test_one_that_does_not_know_our_version_of_edns_is_asked_again_without() -> None:
    talk = resolution(upstreams(2))
    first = due(talk, 0.0)
    made = dns.message.make_response(dns.message.from_wire(first.packet))
    made.use_edns(0)
    made.set_rcode(dns.rcode.BADVERS)
    talk.receive(first, made.to_wire(), 0.1)
    again = due(talk, 0.1)
    assert (again.upstream, again.edns) == (talk.upstreams[0], False)


def test_an_answer_without_edns_is_one_all_the_same() -> None:
    """Asked again without, each question would be asked twice."""
    talk = resolution(upstreams(1))
    first = due(talk, 0.0)
    made = dns.message.from_wire(reply(first))
    made.use_edns(False)
    talk.receive(first, made.to_wire(), 0.1)
    assert isinstance(talk.outcome, Answered)


def test_one_that_answered_is_not_told_as_silent_whatever_it_said() -> None:
    talk = after_first(2, lambda first: reply(first, rcode=2))
    due(talk, 0.1)
    play(talk)
    assert talk.log == [(talk.upstreams[0], "SERVFAIL"), (talk.upstreams[1], "timeout")]


def test_where_one_said_that_it_can_not_answer_the_dead_are_not_waited_for() -> None:
    both = upstreams(2)
    both[1].dead = True
    talk = resolution(both)
    first = due(talk, 0.0)
    talk.receive(first, reply(first, rcode=2), 0.1)
    assert talk.due(0.1) is None
    assert isinstance(talk.outcome, Failed)


@pytest.mark.parametrize("was_heard", [True, False])
def test_one_whose_tcp_is_closed_is_dead_unless_it_said_something_itself(was_heard: bool) -> None:
    talk = resolution(upstreams(1))
    first = due(talk, 0.0)
    if was_heard:
        talk.receive(first, reply(first, tc=True), 0.1)
    for _ in range(FORGERIES):
        forged = bytearray(reply(first))
        forged[0] ^= 1
        talk.receive(first, bytes(forged), 0.1)
    second = due(talk, 0.1)
    assert second.tcp
    talk.fail(second, "connection refused", 0.2)
    assert talk.upstreams[0].dead is not was_heard


def test_the_case_of_a_name_that_is_lost_is_told_from_a_forgery_whatever_the_type() -> None:
    """The number of HTTPS is a capital letter, and stays one."""
    question = QUESTION[:-4] + b"\0\x41\0\1"
    talk = Resolution(question, 0, True, order(upstreams(1)), 0.0, random.Random(1))
    first = due(talk, 0.0)
    made = dns.message.make_response(dns.message.from_wire(first.packet)).to_wire()
    talk.receive(first, made[:12] + question + made[12 + len(question) :], 0.1)
    assert talk.forgeries == 0
    assert due(talk, 0.1).question == question


def test_one_that_is_silent_is_known_as_that_when_the_next_is_asked() -> None:
    talk = resolution(upstreams(2))
    assert due(talk, 0.0).upstream is talk.upstreams[0]
    assert due(talk, 0.5).upstream is talk.upstreams[1]
    assert talk.log == [(talk.upstreams[0], "timeout")]


def test_each_letter_of_a_name_is_drawn_apart_and_apart_from_the_id() -> None:
    seen: list[set[int]] = [set() for _ in QUESTION[:-4]]
    spellings: set[bytes] = set()
    ids = set()
    for seed in range(100):
        talk = Resolution(QUESTION, 0, True, order(upstreams(1)), 0.0, random.Random(seed))
        attempt = due(talk, 0.0)
        spellings.add(attempt.question)
        ids.add(attempt.ident)
        for letter, drawn in zip(attempt.question, seen, strict=False):
            drawn.add(letter)
    for letter, drawn in zip(QUESTION[:-4], seen, strict=True):
        assert drawn == ({letter, letter - 32} if 97 <= letter <= 122 else {letter})
    assert len(spellings) > 90
    assert len(ids) > 90


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 1)
)
def test_a_changed_reply_is_believed_only_with_its_id_and_question(
    changes: list[tuple[int, int]], tcp: int
) -> None:
    talk = resolution(upstreams(1))
    attempt = due(talk, 0.0)
    attempt.tcp = bool(tcp)
    wire = bytearray(reply(attempt))
    for at, to in changes:
        wire[at % len(wire)] = to
    talk.receive(attempt, bytes(wire), 0.1)
    if isinstance(talk.outcome, Answered):
        assert wire[:2] == attempt.packet[:2]
        assert wire[12 : 12 + len(QUESTION)] == attempt.question
        assert wire[2] & 0xF8 == 0x80
    talk.due(0.2)


@given(st.binary(max_size=600))
def test_bytes_at_random_are_no_answer_to_what_was_asked(data: bytes) -> None:
    talk = resolution(upstreams(1))
    attempt = due(talk, 0.0)
    for prefix in (
        b"",
        attempt.packet[:2],
        attempt.packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + attempt.question,
    ):
        talk.receive(attempt, prefix + data, 0.1)
        assert len(prefix) > 2 or not isinstance(talk.outcome, Answered)
    talk.due(0.2)


def test_scrambling_changes_letters_of_the_name_and_nothing_else() -> None:
    seen = {scramble(QUESTION, random.Random(n).getrandbits(400)) for n in range(200)}
    assert len(seen) > 100
    assert all(each[:-4].lower() == QUESTION[:-4] and each[-4:] == QUESTION[-4:] for each in seen)
    binary = b"\x0aaAzZ\x40\x5b\x60\x7b\x01\xff\1z\0\0\x61\0\1"
    assert all(
        scramble(binary, random.Random(n).getrandbits(400)).lower() == binary.lower() for n in range(50)
    )
    assert all(scramble(binary, random.Random(n).getrandbits(400))[-4:] == b"\0\x61\0\1" for n in range(50))


# --- the settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
        ("fe80::1%lo", "fe80::1%lo", 53),
    ],
)
def test_how_an_upstream_is_written(text: str, host: str, port: int) -> None:
    assert parse_upstream(text) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns.example",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:99999",
        "[::1",
        "::1]:53",
        "192.0.2.256",
        "1.2.3.4:a",
    ],
)
def test_a_wrong_upstream_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="forward"):
        parse_upstream(text)


RESOLV_CONF = """
# a comment: nameserver 192.0.2.9
domain example.com
nameserver 127.0.0.1
nameserver\t192.0.2.1 # the first
 nameserver 192.0.2.1
nameserver not-an-address
nameserver
nameserver fe80::1%lo
options ndots:5
"""


def test_resolv_conf_as_its_manual_says() -> None:
    assert nameservers(RESOLV_CONF) == ["127.0.0.1", "192.0.2.1", "fe80::1%lo"]


@pytest.mark.parametrize(
    ("listen", "kept"),
    [
        (Address("127.0.0.1", 5300), ["127.0.0.1", "192.0.2.1", "fe80::1%lo"]),
        (Address("127.0.0.1", 53), ["192.0.2.1", "fe80::1%lo"]),
        (Address("0.0.0.0", 53), ["192.0.2.1", "fe80::1%lo"]),
    ],
)
def test_our_own_addresses_in_it_are_left_out(listen: Address, kept: list[str]) -> None:
    found = upstreams_of(["resolv.conf"], [listen], RESOLV_CONF)
    assert [each.host for each in found] == kept


def test_this_machine_is_local_and_a_resolver_on_it_may_be_ourselves() -> None:
    assert is_local("127.0.0.1")
    assert not is_local("192.0.2.1")
    assert is_ours(Address("127.0.0.53", 53), [Address("0.0.0.0", 53)])
    assert not is_ours(Address("127.0.0.53", 53), [Address("127.0.0.1", 53)])


def test_resolv_conf_may_stand_among_others() -> None:
    found = upstreams_of(["192.0.2.7", "resolv.conf", "192.0.2.1:53"], [], RESOLV_CONF)
    assert [each.host for each in found] == ["192.0.2.7", "127.0.0.1", "192.0.2.1", "fe80::1%lo"]
