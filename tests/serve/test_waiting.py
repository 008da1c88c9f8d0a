"""Requests that wait for their answer to be compiled: each has one reply, whatever comes of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import dns.edns
import dns.message
import dns.rcode

from support import tables
from zkdns.answers.table import Name, Unready
from zkdns.dns.reply import fail
from zkdns.dns.types import NOTIMP, SERVFAIL
from zkdns.forward.pending import Pending
from zkdns.serve.aside import Aside
from zkdns.serve.request import Request
from zkdns.serve.respond import Follow, Wait
from zkdns.serve.waiting import MAX_STEPS, Waiting

QUERY = tables.query(b"\3web\3svc\5local\0", 1, tables.opt(1232))
NAME = Name(0)
OUTSIDE = Follow(b"\7example\3org\0", (), b"")
keys = count()


def a_wait() -> Wait:
    return Wait(NAME, Unready("web", next(keys), lambda: None))


class Asked:
    """Requests whose replies are compiled when told to. `said`: what is said then."""

    def __init__(self, said: Callable[[Request], bytes | Follow | Wait]) -> None:
        self.thens: list[Callable[[], None]] = []
        self.noted: list[str] = []
        self.replies: dict[str, list[bytes]] = {}
        self.outside = Pending(Request(QUERY, ""))
        self.waiting = Waiting(
            Aside(lambda work, then: self.thens.append(then), lambda: 0.0),
            resume=lambda request, name: said(request),
            follow=lambda request, follow: self.outside,
            failed=lambda request: fail(request, NOTIMP, b"", 0),
            note=lambda request: self.noted.append(request.client),
        )

    def ask(self, client: str = "192.0.2.1") -> bytes | Pending:
        outcome = self.waiting.wait(Request(QUERY, client), a_wait())
        if isinstance(outcome, Pending):
            outcome.then(self.replies.setdefault(client, []).append)
        return outcome

    def finish(self) -> int:
        """How many pieces of work that takes."""
        for n in count():
            if not self.thens:
                return n
            self.thens.pop()()
        raise AssertionError


def said_of(reply: bytes) -> tuple[int, list[str]]:
    message = dns.message.from_wire(reply)
    return message.rcode(), [one.text for one in message.options if isinstance(one, dns.edns.EDEOption)]


def test_what_leads_outside_is_answered_when_that_is_known_and_noted_by_who_knows_it() -> None:
    asked = Asked(lambda request: OUTSIDE)
    asked.ask()
    assert asked.finish() == 1
    assert asked.replies == {"192.0.2.1": []}
    asked.outside.deliver(b"reply")
    assert asked.replies == {"192.0.2.1": [b"reply"]}
    assert asked.noted == []


def test_what_is_known_at_once_is_noted() -> None:
    asked = Asked(lambda request: b"reply")
    asked.ask()
    asked.finish()
    assert asked.replies == {"192.0.2.1": [b"reply"]}
    assert asked.noted == ["192.0.2.1"]


def test_a_few_steps_are_taken_one_behind_the_other_and_no_more() -> None:
    asked = Asked(lambda request: a_wait())
    asked.ask()
    assert asked.finish() == 1 + MAX_STEPS
    ((reply,),) = asked.replies.values()
    assert said_of(reply) == (SERVFAIL, ["the name is not compiled yet"])
    steps = iter([a_wait()] * MAX_STEPS)
    asked = Asked(lambda request: next(steps, b"reply"))
    asked.ask()
    asked.finish()
    assert asked.replies == {"192.0.2.1": [b"reply"]}


def test_where_too_many_wait_that_is_said() -> None:
    asked = Asked(lambda request: b"reply")
    while isinstance(outcome := asked.ask(), Pending):
        pass
    assert said_of(outcome) == (SERVFAIL, ["too many names wait to be compiled"])


def test_an_error_of_ours_is_told_to_who_asked() -> None:
    def break_us(request: Request) -> bytes:
        raise RuntimeError("planted")

    asked = Asked(break_us)
    asked.ask()
    asked.finish()
    ((reply,),) = asked.replies.values()
    assert said_of(reply)[0] == NOTIMP


def test_the_networks_of_those_who_wait_take_turns() -> None:
    order: list[str] = []
    asked = Asked(lambda request: order.append(request.client) or b"reply")  # type: ignore[func-returns-value]
    for client in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1"):
        asked.ask(client)
    asked.finish()
    assert order == ["192.0.2.1", "192.0.2.2", "198.51.100.1", "192.0.2.3"]
