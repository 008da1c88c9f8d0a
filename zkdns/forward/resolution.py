"""Who is asked, when the next one is, and what is believed: the decisions of forwarding.

Rules: no I/O; clock and chance are arguments. A `Resolution` is one question under way; the loop that drives
it sends what `due` gives, tells it what came (`receive`) or broke (`fail`), calls again at `wake`, and is
done when there is an `outcome`. What doesn't match is ignored, not believed: the socket is connected, so only
the upstream's address gets here; id, question and its random case (draft-vixie-dnsext-dns0x20) must be those
that were sent, byte for byte.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from zkdns.dns import ede
from zkdns.dns.ede import NETWORK_ERROR, NO_REACHABLE_AUTHORITY
from zkdns.dns.message import Message, read_reply, spell_query
from zkdns.dns.types import ANY, BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL
from zkdns.forward.believe import follow
from zkdns.forward.upstream import PATIENCE, TOTAL, Upstream

if TYPE_CHECKING:
    from random import Random

FORGERIES = 16
"""Wrong replies to one attempt after which the question goes over TCP, which can't be guessed at."""

RCODES = {
    NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", NOTIMP: "NOTIMP",
    REFUSED: "REFUSED", BADVERS: "BADVERS",
}  # fmt: skip


def rcode_name(rcode: int) -> str:
    return RCODES.get(rcode, f"RCODE{rcode}")


class Attempt(Struct, eq=False):
    """One query to one upstream, over `tcp` or not, with `edns` or without; `plain_case`: its name as it is,
    and not in a case by chance; `lost_case`: a reply came in another case, and it is asked with the plain one
    as well. `question`: as it was sent. `sent_at`: seconds of the clock of whoever drives it. `done`: nothing
    more is expected of it. `again`: send it once more on its own socket. `overdue`: its upstream was told
    that it is silent."""

    upstream: Upstream
    ident: int
    question: bytes
    packet: bytes
    sent_at: float
    tcp: bool = False
    edns: bool = True
    plain_case: bool = False
    lost_case: bool = False
    done: bool = False
    again: bool = False
    overdue: bool = False
    forgeries: int = 0


class Answered(Struct, frozen=True):
    """An answer to believe. `cut`: it lacks something, and TCP didn't give the whole."""

    message: Message
    upstream: Upstream
    cut: bool = False

    @property
    def records(self) -> int:
        """How many there are, of whatever section."""
        message = self.message
        return len(message.answer) + len(message.authority) + len(message.additional)


class Failed(Struct, frozen=True):
    """No answer: the EDE's code and text. `is_ours`: it says nothing of the name; `is_lack`: for want of
    descriptors, ports or memory of ours."""

    code: int
    text: str
    is_ours: bool = False
    is_lack: bool = False


OURS = Failed(ede.OTHER, "an error of our own", is_ours=True)
"""What is said after one."""
STOPPING = Failed(ede.NO_REACHABLE_AUTHORITY, "the server is stopping", is_ours=True)
LOOPING = Failed(ede.NETWORK_ERROR, "a loop: the upstreams lead back to this server", is_ours=True)
CROWDED = Failed(ede.NO_REACHABLE_AUTHORITY, "too many clients wait for this name")
ALL_CROWDED = Failed(ede.NO_REACHABLE_AUTHORITY, "too many clients wait for upstreams")


def scramble(question: bytes, bits: int) -> bytes:
    """The question with the letters of its name in the case that these bits give, one a byte."""
    name = bytearray(question)
    at = 0
    while name[at]:
        for i in range(at + 1, at + 1 + name[at]):
            if 97 <= name[i] <= 122 and bits >> i & 1:
                name[i] -= 32
        at += 1 + name[at]
    return bytes(name)


class Resolution(Struct, eq=False):
    """One question under way. `question`: name in lower case, type, class. `flags`: `ASK_DO` and `ASK_CD`;
    `rd`: RD as it was asked. `total`: seconds for all of it. `log`: what came of its attempts."""

    question: bytes
    flags: int
    rd: bool
    upstreams: Sequence[Upstream]
    started: float
    draw: Random
    total: float = TOTAL
    outcome: Answered | Failed | None = None
    wake: float = 0.0
    forgeries: int = 0
    log: list[tuple[Upstream, str]] = []
    _attempts: list[Attempt] = []
    _queued: deque[Attempt] = field(default_factory=deque)
    _failed: list[Upstream] = []
    _next_at: float = -math.inf
    _turns: list[Upstream] = []
    _cut: Answered | None = None
    _network: bool = False
    _lack: bool = False
    _said: Failed | None = None
    """Why a trusted upstream could not answer, in its own words."""
    _why: str = ""
    _answered: bool = False

    def due(self, now: float) -> Attempt | None:
        """What is to be sent now; None when there is nothing (call again at `wake`)."""
        if self.outcome is not None:
            return None
        if now >= self.started + self.total:
            for attempt in self._attempts:
                self._give_up_on(attempt, now)
            self._end("no upstream answered in time")
            return None
        if not self._queued:
            if now >= self._next_at or all(a.done for a in self._attempts):
                self._advance(now)
            if self.outcome is not None:
                return None
        self.wake = min(self._next_at, self.started + self.total)
        if not self._queued:
            return None
        attempt = self._queued.popleft()
        self._next_at = now + attempt.upstream.patience
        self.wake = min(self._next_at, self.started + self.total)
        return attempt

    def receive(self, attempt: Attempt, data: bytes, now: float, message: Message | None = None) -> None:
        """Something came in on the attempt's socket: anything may. `message`: what it says, where it was
        read already."""
        if self.outcome is not None or attempt.done:
            return None
        upstream = attempt.upstream
        size = len(attempt.question)
        if (
            len(data) < 12
            or data[0] << 8 | data[1] != attempt.ident
            or data[2] & 0xF8 != 0x80  # QR, and opcode QUERY
        ):
            return self._forged(attempt, now)
        if data[4:6] == b"\0\0":
            return self._receive_header(attempt, data, now)
        if data[12 : 12 + size] != attempt.question:
            if data[12 : 8 + size].lower() + data[8 + size : 12 + size] != self.question:
                return self._forged(attempt, now)
            if not attempt.plain_case:
                if attempt.tcp:  # which can't be guessed at
                    upstream.lost_case(now)
                    return self._retry(attempt, now, plain_case=True)
                if attempt.lost_case:
                    return self._forged(attempt, now)
                attempt.lost_case = True  # perhaps: whoever guesses id and port can say so
                return self._retry(attempt, now, plain_case=True, is_over=False)
        truncated = bool(data[2] & 0x02)
        message = message or read_reply(self.respell(data))
        upstream.heard(now, now - attempt.sent_at)
        if message is None and not (truncated and not attempt.tcp):
            return self._unread(attempt, now)
        upstream.lost = 0
        self._learn_case(attempt, now)
        if truncated:
            if message is not None and message.rcode in (NOERROR, NXDOMAIN) and self._is_met_by(message):
                self._cut = Answered(message, upstream, cut=True)
            if attempt.tcp:
                return self._pass(attempt, "a truncated answer over TCP")
            return self._retry(attempt, now, tcp=True)
        assert message is not None  # noqa: S101  (what isn't truncated was read)
        return self._take(attempt, message, now)

    def _learn_case(self, attempt: Attempt, now: float) -> None:
        """It was answered: where our random case came back with the answer, whoever said otherwise lied."""
        if not attempt.plain_case:
            attempt.upstream.case_losses = 0
        for other in self._attempts:
            if other.upstream is attempt.upstream and not other.done and other is not attempt:
                if other.lost_case:
                    attempt.upstream.lost_case(now)
                if other.lost_case or (attempt.lost_case and other.plain_case):
                    other.done = True

    def _take(self, attempt: Attempt, message: Message, now: float) -> None:
        """A whole reply to this question: whether it is the answer."""
        upstream = attempt.upstream
        if message.edns:
            upstream.edns_heard_at = now
        refuses_edns = message.rcode in (FORMERR, NOTIMP) and not message.edns
        if attempt.edns and (refuses_edns or message.rcode == BADVERS):
            return self._retry(attempt, now, edns=False)
        if message.rcode not in (NOERROR, NXDOMAIN):
            self._answered = True
            if upstream.trusted and (errors := ede.read(message.options)):
                self._said = Failed(*errors[0])
            return self._pass(attempt, rcode_name(message.rcode))
        if not attempt.edns:
            upstream.refused_edns(now)
        followed = follow(message, self.question)
        if followed is None:
            self._answered = True
            return self._pass(attempt, "aliases that lead back to themselves, or never end")
        attempt.done = True
        self._count_losses(now)
        self.log.append((upstream, rcode_name(message.rcode)))
        self.outcome = Answered(followed, upstream)
        return None

    def _count_losses(self, now: float) -> None:
        """It was answered, and those whose time was over said nothing of it."""
        for upstream in {a.upstream for a in self._attempts if not a.done and a.upstream not in self._failed}:
            sent = [a.sent_at for a in self._attempts if a.upstream is upstream]
            if now - min(sent) >= upstream.patience * 0.9:
                upstream.lost += 1

    def _is_met_by(self, message: Message) -> bool:
        """Whether some of what was asked for is there: what was cut to nothing would pass for NODATA."""
        rtype = int.from_bytes(self.question[-4:-2])
        return any(rtype in (record.rtype, ANY) for record in message.answer)

    def respell(self, data: bytes) -> bytes:
        """The reply with its question in lower case: what points there must not have the random one."""
        stop = 8 + len(self.question)
        return data[:12] + data[12:stop].lower() + data[stop:]

    def _receive_header(self, attempt: Attempt, data: bytes, now: float) -> None:
        """A reply that repeats no question: an error needs none, nor does the word that it won't fit in a
        datagram. Anything else may be the answer to whatever was asked."""
        rcode, truncated = data[3] & 0x0F, bool(data[2] & 0x02)
        if (rcode in (NOERROR, NXDOMAIN) and not truncated) or (truncated and attempt.tcp):
            return self._unread(attempt, now)
        attempt.upstream.heard(now, now - attempt.sent_at)
        attempt.upstream.lost = 0
        if truncated:
            return self._retry(attempt, now, tcp=True)
        if rcode in (FORMERR, NOTIMP) and attempt.edns:  # from before RFC 6891
            return self._retry(attempt, now, edns=False)
        self._answered = True
        return self._pass(attempt, rcode_name(rcode))

    def fail(self, attempt: Attempt, why: str, now: float, local: bool = False) -> None:
        """The network says no. `local`: it is our own lack (of file descriptors), not the upstream's."""
        if self.outcome is not None or attempt.done:
            return
        if not local and not (attempt.tcp and attempt.upstream.heard_at >= self.started):
            attempt.upstream.broke(why, now)
        self._network = True
        self._lack |= local
        self._pass(attempt, why)

    def _pass(self, attempt: Attempt, why: str) -> None:
        attempt.done = True
        self.log.append((attempt.upstream, why))
        self._why = f"{attempt.upstream.address}: {why}"
        if attempt.upstream not in self._failed:
            self._failed.append(attempt.upstream)

    def _unread(self, attempt: Attempt, now: float) -> None:
        """It came from where it should and can't be read: once more over TCP, where nobody cuts it on its way
        or guesses at it; there it is the upstream's own doing."""
        self.forgeries += 1
        if attempt.tcp:
            self._pass(attempt, "a reply that can't be read")
        else:
            self._retry(attempt, now, tcp=True)

    def _forged(self, attempt: Attempt, now: float) -> None:
        self.forgeries += 1
        attempt.forgeries += 1
        if attempt.tcp:
            self._pass(attempt, "a reply that can't be read")
        elif attempt.forgeries >= FORGERIES:
            self._retry(attempt, now, tcp=True)

    def _retry(
        self,
        attempt: Attempt,
        now: float,
        *,
        edns: bool | None = None,
        plain_case: bool = False,
        tcp: bool = False,
        is_over: bool = True,
    ) -> None:
        """The same upstream again at once, asked otherwise. `is_over`: nothing more is expected of this
        attempt."""
        attempt.done = is_over
        self._queued.append(
            self._make(
                attempt.upstream,
                now,
                edns=attempt.edns if edns is None else edns,
                plain_case=plain_case or attempt.plain_case,
                tcp=tcp or attempt.tcp,
            )
        )

    def _advance(self, now: float) -> None:
        """Nobody answered so far: the next in turn, or the same one again."""
        for attempt in self._attempts:
            self._give_up_on(attempt, now)
            if attempt.upstream.looping and not attempt.done:
                self._network = True
                self._pass(attempt, attempt.upstream.why)
        left = [u for u in self.upstreams if u not in self._failed and not u.looping]
        asking = [a for a in self._attempts if not a.done]
        turn = [u for u in left if u.usable]
        if not turn and not self._answered and all(a.upstream.dead for a in asking):
            turn = left  # where all are dead, one of them may have come back
        if not turn:
            self._next_at = math.inf
            if not asking:
                self._end(self._why or "no upstream to ask")
            return
        # One that wasn't asked yet, in the order of the settings; then the one whose turn is longest past.
        upstream = min(turn, key=lambda u: max((n for n, a in enumerate(self._turns) if a is u), default=-1))
        self._turns.append(upstream)
        for attempt in reversed(asking):
            if attempt.upstream is upstream:
                # Lost on the way, perhaps: the same packet once more, so that a late reply still counts.
                attempt.again = not attempt.tcp
                if attempt.again:
                    self._queued.append(attempt)
                self._next_at = now + upstream.patience
                return
        self._queued.append(self._make(upstream, now))

    def _make(
        self,
        upstream: Upstream,
        now: float,
        *,
        edns: bool = True,
        plain_case: bool = False,
        tcp: bool = False,
    ) -> Attempt:
        edns = edns and upstream.speaks_edns(now)
        plain_case = plain_case or not upstream.preserves_case(now)
        # One draw for both: each is a call to the kernel.
        drawn = self.draw.getrandbits(16 + len(self.question))
        question = self.question if plain_case else scramble(self.question, drawn >> 16)
        ident = drawn & 0xFFFF
        packet = spell_query(ident, question, self.rd, self.flags, edns, upstream.trusted)
        attempt = Attempt(upstream, ident, question, packet, now, tcp, edns, plain_case)
        self._attempts.append(attempt)
        return attempt

    def _give_up_on(self, attempt: Attempt, now: float) -> None:
        """It is overdue; its reply still counts, but its silence is told to its upstream."""
        if not attempt.done and now - attempt.sent_at >= PATIENCE * 0.9:
            attempt.upstream.silent(attempt.sent_at, now)
            if not attempt.overdue:
                attempt.overdue = True
                self.log.append((attempt.upstream, "timeout"))

    def _end(self, why: str) -> None:
        if self._cut is not None or self._said is not None:
            self.outcome = self._cut or self._said
        else:
            code = NETWORK_ERROR if self._network else NO_REACHABLE_AUTHORITY
            self.outcome = Failed(code, why, self._lack, self._lack)
