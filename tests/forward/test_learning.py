"""What is learned of an upstream, and when that is doubted again: with a clock of the test's own."""

from __future__ import annotations

import random
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from zkdns.config import Address, Settings
from zkdns.forward import upstreams
from zkdns.forward.resolution import FORGERIES, Answered, Attempt, Resolution
from zkdns.forward.upstream import (
    CASE_LOSSES,
    CLEAN_PROBES,
    HURRY,
    LOSSES,
    PATIENCE,
    PROBE_DEAD,
    PROBE_LOOP,
    RELEARN,
    RELEARN_CASE,
    SILENCE,
    TOTAL,
    Upstream,
)

QUESTION = b"\3www\7example\3com\0\0\1\0\1"


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(Address("192.0.2.1", 53))


def asked(upstream: Upstream, now: float) -> tuple[Resolution, Attempt]:
    one = Resolution(QUESTION, 0, True, (upstream,), now, random.Random(1))
    attempt = one.due(now)
    assert attempt is not None
    return one, attempt


def reply(attempt: Attempt, *, keeps_case: bool = True) -> bytes:
    query = dns.message.from_wire(attempt.packet)
    made = dns.message.make_response(query, recursion_available=True)
    made.answer.append(dns.rrset.from_text("www.example.com.", 60, "IN", "A", "192.0.2.80"))
    size = len(attempt.question)
    wire = made.to_wire()
    return wire if keeps_case else wire[:12] + QUESTION + wire[12 + size :]


def converse(upstream: Upstream, now: float, *, keeps_case: bool) -> bool:
    """One question, answered at once; whether it had to be asked twice."""
    one, attempt = asked(upstream, now)
    one.receive(attempt, reply(attempt, keeps_case=keeps_case), now)
    again = one.due(now)
    if again is not None:
        one.receive(again, reply(again, keeps_case=keeps_case), now)
    assert isinstance(one.outcome, Answered)
    return again is not None


def test_case_is_given_up_after_losses_in_a_row_and_one_that_is_kept_begins_anew(upstream: Upstream) -> None:
    for _ in range(CASE_LOSSES - 1):
        assert converse(upstream, 1.0, keeps_case=False)
    assert not converse(upstream, 1.0, keeps_case=True)
    for _ in range(CASE_LOSSES):
        assert upstream.keeps_case
        assert converse(upstream, 1.0, keeps_case=False)
    assert not upstream.keeps_case
    assert not converse(upstream, 2.0, keeps_case=False), "it is not tried any more"


def test_after_ten_minutes_case_is_tried_again_with_as_many_losses_to_spare(upstream: Upstream) -> None:
    for _ in range(CASE_LOSSES):
        converse(upstream, 1.0, keeps_case=False)
    later = 2.0 + RELEARN_CASE
    for _ in range(CASE_LOSSES):
        assert upstream.preserves_case(later)
        assert converse(upstream, later, keeps_case=False)
    assert not upstream.preserves_case(later)


def test_after_an_hour_edns_is_tried_again(upstream: Upstream) -> None:
    upstream.edns, upstream.edns_learned = False, 1.0
    assert not upstream.speaks_edns(1.0 + RELEARN)
    assert upstream.speaks_edns(1.1 + RELEARN)


def test_so_many_forgeries_and_not_one_fewer_send_the_question_over_tcp(upstream: Upstream) -> None:
    one, attempt = asked(upstream, 1.0)
    for n in range(FORGERIES):
        assert one.due(1.0) is None, n
        one.receive(attempt, b"\0" * 20, 1.0)
    again = one.due(1.0)
    assert again is not None
    assert again.tcp
    assert one.forgeries == FORGERIES


def is_lost(upstream: Upstream, asked: float, now: float) -> bool:
    """Whether it is given up once a question of that time is unanswered still."""
    upstream.silent(asked, now)
    return upstream.dead


def test_silence_is_counted_from_the_first_question_that_nobody_answered(upstream: Upstream) -> None:
    assert not is_lost(upstream, 10.0, 10.5)
    assert not is_lost(upstream, 10.8, 10.0 + SILENCE - 0.1)
    assert is_lost(upstream, 10.8, 10.01 + SILENCE)


def test_a_word_from_it_ends_its_silence(upstream: Upstream) -> None:
    assert not is_lost(upstream, 10.0, 10.5)
    upstream.heard(11.0, 0.1)
    assert not is_lost(upstream, 100.0, 100.5)
    assert is_lost(upstream, 100.0, 100.0 + SILENCE)


def test_one_that_answers_others_meanwhile_is_slow_and_not_silent(upstream: Upstream) -> None:
    upstream.heard(10.0, 0.1)
    assert not is_lost(upstream, 8.0, 11.0)


def test_what_was_learned_in_one_question_holds_to_its_end(upstream: Upstream) -> None:
    """Asked with EDNS again after its case was lost, one that knows none would refuse without end."""
    one, first = asked(upstream, 1.0)
    one.receive(first, first.packet[:2] + b"\x81\x81" + bytes(8), 1.0)
    second = one.due(1.0)
    assert second is not None
    assert (second.edns, second.plain_case) == (False, False)
    one.receive(second, reply(second, keeps_case=False), 1.0)
    third = one.due(1.0)
    assert third is not None
    assert (third.edns, third.plain_case) == (False, True)


def test_one_that_dies_again_is_looked_after_as_soon_as_the_first_time(upstream: Upstream) -> None:
    upstream.broke("connection refused", 0.0)
    for n in range(10):
        upstream.probed(False, False, float(n))
    assert upstream.probe_at == 9.0 + PROBE_DEAD[1]
    upstream.heard(100.0, 0.01)
    upstream.broke("connection refused", 200.0)
    assert upstream.probe_at == 200.0 + PROBE_DEAD[0]
    upstream.probed(False, False, 201.0)
    assert upstream.probe_at == 201.0 + PROBE_DEAD[0]


def test_clean_probes_of_a_loop_count_from_the_last_that_came_back(upstream: Upstream) -> None:
    upstream.loop(0.0)
    for _ in range(CLEAN_PROBES - 1):
        upstream.probed(True, False, 1.0)
    upstream.loop(2.0)
    for n in range(CLEAN_PROBES):
        assert upstream.looping, n
        upstream.probed(True, False, 3.0)
    assert not upstream.looping


def test_a_probe_that_comes_back_is_known_for_as_long_as_it_may_take_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else each one that was ever sent would be kept."""
    sent: list[Upstream] = []
    monkeypatch.setattr(upstreams, "probe_question", lambda upstream, draw: (b"", (b"\1%d\0" % len(sent),)))
    monkeypatch.setattr(upstreams, "Probe", lambda attempt, *_: sent.append(attempt.upstream))
    now = 0.0
    one = upstreams.Upstreams(Settings(), tmp_path, lambda: now, random.Random(1), lambda: None)
    one.configure(Settings(forward=("192.0.2.1",)))
    (upstream,) = one.all
    for now in (0.0, upstreams.REMEMBERED - 1):
        one._probe(upstream, now)
    assert one.is_probe(b"\0010\0")
    assert upstream.looping
    one._probe(upstream, upstreams.REMEMBERED)
    assert not one.is_probe(b"\0010\0")
    assert one.is_probe(b"\0011\0")


@pytest.mark.parametrize("edns", [False, True])
def test_a_probe_is_an_attempt_of_this_moment_as_its_upstream_can_take_it(
    edns: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[Attempt] = []
    monkeypatch.setattr(upstreams, "probe_question", lambda upstream, draw: (b"\0\0\2\0\1", ()))
    monkeypatch.setattr(upstreams, "Probe", lambda attempt, *_: sent.append(attempt))
    one = upstreams.Upstreams(Settings(), tmp_path, lambda: 7.0, random.Random(1), lambda: None)
    one.configure(Settings(forward=("192.0.2.1",)))
    (upstream,) = one.all
    upstream.edns = edns
    one._probe(upstream, 7.0)
    (attempt,) = sent
    assert (attempt.upstream, attempt.sent_at, attempt.edns) == (upstream, 7.0, edns)
    asked = dns.message.from_wire(attempt.packet)
    assert (asked.id, asked.question[0].to_text(), asked.edns) == (attempt.ident, ". IN NS", edns - 1)


def test_who_is_silent_is_probed_before_that_is_held_against_it(upstream: Upstream) -> None:
    """Nobody answers for some names: who asked for those had it given up, and others had expired answers."""
    upstream.probed(True, False, 0.0)
    assert not is_lost(upstream, 10.0, 10.5)
    assert upstream.probe_at == 10.5
    upstream.heard(10.6, 0.1)
    upstream.probed(True, False, 10.6)
    assert not is_lost(upstream, 10.0, 12.0)
    assert upstream.probe_at > 60.0, "no sooner, where it answered since"
    assert is_lost(upstream, 100.0, 100.0 + SILENCE), "and where it doesn't it is given up as soon as ever"


def test_one_that_is_given_up_is_probed_at_its_own_times(upstream: Upstream) -> None:
    upstream.loop(0.0)
    upstream.silent(10.0, 10.5)
    assert upstream.probe_at == PROBE_LOOP
    upstream.probed(True, False, 30.0)
    upstream.broke("connection refused", 40.0)
    before = upstream.probe_at
    upstream.silent(40.0, 40.5)
    assert upstream.probe_at == before


def ask_one_that_refuses_edns(upstream: Upstream, now: float) -> Attempt:
    """A question that is refused with EDNS and answered without; the second attempt."""
    one, first = asked(upstream, now)
    one.receive(first, first.packet[:2] + b"\x81\x81" + bytes(8), now)
    again = one.due(now)
    assert again is not None
    assert not again.edns
    one.receive(again, reply(again), now)
    assert isinstance(one.outcome, Answered)
    return again


def test_one_that_speaks_edns_is_asked_so_whatever_is_behind_it(upstream: Upstream) -> None:
    """A forwarder hands on what the owner of one name says: for an hour nobody was given signatures."""
    converse(upstream, 1.0, keeps_case=True)
    ask_one_that_refuses_edns(upstream, 2.0)
    assert upstream.speaks_edns(2.0)
    ask_one_that_refuses_edns(upstream, 1.0 + RELEARN)
    assert upstream.speaks_edns(1.0 + RELEARN)
    ask_one_that_refuses_edns(upstream, 1.1 + RELEARN)
    assert not upstream.speaks_edns(1.1 + RELEARN), "it may be another one by now"


def foiled(upstream: Upstream, now: float) -> tuple[Resolution, Attempt, Attempt]:
    """A question to which somebody replied who knew its id and its port, and not its case."""
    one, attempt = asked(upstream, now)
    one.receive(attempt, reply(attempt, keeps_case=False), now)
    plain = one.due(now)
    assert plain is not None
    assert plain.plain_case
    return one, attempt, plain


def test_who_guesses_all_but_the_case_does_not_end_it(upstream: Upstream) -> None:
    for _ in range(2 * CASE_LOSSES):
        one, attempt, plain = foiled(upstream, 1.0)
        one.receive(attempt, reply(attempt), 1.0)
        assert isinstance(one.outcome, Answered), "what was sent first counts still"
        assert plain.done
        assert upstream.preserves_case(1.0)
        assert upstream.case_losses == 0


def test_a_second_reply_in_another_case_is_a_forgery(upstream: Upstream) -> None:
    one, attempt, plain = foiled(upstream, 1.0)
    one.receive(attempt, reply(attempt, keeps_case=False), 1.0)
    assert one.forgeries == 1
    one.receive(plain, reply(plain), 1.0)
    assert attempt.done
    assert upstream.case_losses == 1


def test_no_answer_in_the_plain_case_is_no_sign_that_the_other_is_lost(upstream: Upstream) -> None:
    for _ in range(2 * CASE_LOSSES):
        one, _, plain = foiled(upstream, 1.0)
        again = one.due(1.0 + PATIENCE)
        assert again is plain, "the plain one is sent once more"
        assert one.due(1.0 + TOTAL) is None
    assert upstream.preserves_case(2.0)


def pair(rtt: float = 0.001) -> tuple[Upstream, Upstream]:
    """Two that were heard of by a probe."""
    both = Upstream(Address("192.0.2.1", 53)), Upstream(Address("192.0.2.2", 53))
    for one in both:
        one.heard(0.0, rtt)
    return both


def answered_by_second(both: tuple[Upstream, Upstream], now: float) -> float:
    """A question that the first says nothing of; the seconds after which the second is asked."""
    one = Resolution(QUESTION, 0, True, both, now, random.Random(1))
    first = one.due(now)
    assert first is not None
    assert first.upstream is both[0], "it is asked first all the same"
    assert one.due(now) is None
    then = one.wake
    second = one.due(then)
    assert second is not None
    assert second.upstream is both[1]
    one.receive(second, reply(second), then + 0.001)
    assert isinstance(one.outcome, Answered)
    return then - now


def test_nobody_waits_for_one_that_answers_probes_and_nothing_else() -> None:
    both = pair()
    for n in range(LOSSES):
        assert answered_by_second(both, 10.0 + n) == pytest.approx(PATIENCE)
        both[0].heard(10.5 + n, 0.001)  # a probe of ours
    for n in range(3):
        assert answered_by_second(both, 20.0 + n) == pytest.approx(HURRY)
    assert both[0].usable
    assert converse(both[0], 30.0, keeps_case=True) is False, "it answers a question"
    assert answered_by_second(both, 31.0) == pytest.approx(PATIENCE)


def test_one_that_takes_long_is_given_the_time_that_it_takes() -> None:
    both = pair(rtt=0.1)
    for n in range(LOSSES):
        answered_by_second(both, 10.0 + n)
        both[0].heard(10.5 + n, 0.1)
    assert answered_by_second(both, 20.0) == pytest.approx(0.3)
    slow = pair(rtt=0.4)
    for n in range(LOSSES + 1):
        assert answered_by_second(slow, 10.0 + n) == pytest.approx(PATIENCE)
        slow[0].heard(10.5 + n, 0.4)


def test_what_nobody_answers_and_what_is_refused_is_no_loss() -> None:
    both = pair()
    for n in range(2 * LOSSES):
        one = Resolution(QUESTION, 0, True, both, 10.0 + n, random.Random(1))
        now = one.started
        while one.outcome is None:
            while one.due(now) is not None:
                pass
            now = one.wake
        for upstream in both:
            upstream.heard(now, 0.001)
    assert both[0].lost == both[1].lost == 0
    one = Resolution(QUESTION, 0, True, both, 50.0, random.Random(1))
    first = one.due(50.0)
    assert first is not None
    made = dns.message.make_response(dns.message.from_wire(first.packet))
    made.set_rcode(2)
    one.receive(first, made.to_wire(), 50.6)
    second = one.due(50.6)
    assert second is not None
    one.receive(second, reply(second), 51.0)
    assert both[0].lost == 0
