"""Imperfect replies of upstreams are taken as unbound and BIND take them (support/odd_replies.py)."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from support.odd_replies import REPLIES, SERVFAIL, Odd
from support.ports import free_port
from support.unbound import find_unbound, settings
from support.waiting import eventually
from zkdns.config import Address
from zkdns.dns import names
from zkdns.dns.packet import Query
from zkdns.dns.types import NOERROR, NXDOMAIN
from zkdns.ensemble import end
from zkdns.forward.resolution import Answered, Attempt, Resolution
from zkdns.forward.stored import Stored
from zkdns.forward.upstream import Upstream

BY_TITLE = {odd.title: odd for odd in REPLIES}


def name_of(odd: Odd) -> str:
    return f"case-{REPLIES.index(odd)}.odd.example."


def told(message: dns.message.Message, expected: str) -> str:
    """In the words of the table: with the TTL where that is what it is about."""
    if message.rcode() not in (NOERROR, NXDOMAIN):
        return dns.rcode.to_text(message.rcode())
    if message.rcode() == NXDOMAIN:
        return "NXDOMAIN"
    words = []
    for rrset in message.answer:
        for rdata in rrset:
            words.append(f"{dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}")
            words += [f"ttl {rrset.ttl}"] if "ttl" in expected else []
    return " ".join(words)


def take(talk: Resolution, odd: Odd, now: float = 0.0) -> list[Attempt]:
    """Each attempt is sent this reply; all that were made."""
    attempts = []
    while (attempt := talk.due(now)) is not None:
        attempts.append(attempt)
        talk.receive(attempt, odd.reply(attempt.packet), now)
    return attempts


@pytest.mark.parametrize("title", BY_TITLE)
def test_an_odd_reply_is_taken_as_it_is_elsewhere(title: str) -> None:
    odd = BY_TITLE[title]
    wire_name = names.wire(name_of(odd).rstrip("."))
    question = wire_name + odd.rtype.to_bytes(2, "big") + b"\0\1"
    upstreams = (Upstream(Address("192.0.2.1", 53)), Upstream(Address("192.0.2.2", 53)))
    talk = Resolution(question, 0, True, upstreams, 0.0, random.Random(1))
    attempts = take(talk, odd)
    if odd.ours == SERVFAIL:
        assert not isinstance(talk.outcome, Answered)
        assert attempts[-1].upstream is upstreams[1], "nobody waits for one whose word is known to be none"
        return
    assert isinstance(talk.outcome, Answered)
    assert {attempt.upstream for attempt in attempts} == {upstreams[0]}
    query = dns.message.make_query(name_of(odd), odd.rtype).to_wire()
    stored = Stored(talk.outcome.message, question + b"\0", 0.0)
    reply = stored.reply(query, len(query), 0, 65535, 0.0)
    assert told(dns.message.from_wire(reply), odd.ours) == odd.ours.replace("{name}", name_of(odd))
    assert Query(query, 65535).question.key == question[:-2]


class FakeUpstream:
    """Says to each question what the table has for its name."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port = free_port()  # one that the system gives for UDP may be a connection's over TCP
        self.socket.bind(("127.0.0.1", self.port))
        self.stream = socket.create_server(("127.0.0.1", self.port))
        for serve in (self._datagrams, self._streams):
            threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        self.socket.close()
        self.stream.close()

    def reply(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        label = query.question[0].name.to_text().lower().split(".")[0]
        if label.startswith("case-") and label[5:].isdigit():
            odd = REPLIES[int(label[5:])]
            if query.question[0].rdtype == odd.rtype:
                return odd.reply(wire)
        made = dns.message.make_response(query, recursion_available=True)
        if (address := {"t": "192.0.2.1", "u": "192.0.2.6"}.get(label)) is not None:
            made.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", address))
        if label == "round":
            back = name_of(BY_TITLE["aliases that go round"])
            made.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "CNAME", back))
        return made.to_wire()

    def _datagrams(self) -> None:
        while True:
            try:
                wire, source = self.socket.recvfrom(65535)
                self.socket.sendto(self.reply(wire), source)
            except OSError:
                return

    def _streams(self) -> None:
        while True:
            try:
                connection, _ = self.stream.accept()
                with connection:
                    wire = connection.recv(65535)[2:]
                    reply = self.reply(wire)
                    connection.sendall(len(reply).to_bytes(2, "big") + reply)
            except OSError:
                return


@pytest.fixture(scope="module")
def unbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    program = find_unbound()
    folder: Path = tmp_path_factory.mktemp("unbound")
    upstream, port = FakeUpstream(), free_port()
    rest = f"""    do-not-query-localhost: no
    module-config: "iterator"
    qname-minimisation: no
    access-control: 127.0.0.0/8 allow
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream.port}
"""
    (folder / "unbound.conf").write_text(settings(port, folder, rest))
    command = [program, "-d", "-c", str(folder / "unbound.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: asked(port, "t.odd.example.", 1, 1.0) is not None, 30)
        yield port
    finally:
        end(process)
        upstream.close()


def asked(port: int, name: str, rtype: int, timeout: float = 20.0) -> dns.message.Message | None:
    query = dns.message.make_query(name, rtype)
    try:
        wire = query.to_wire()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            sock.connect(("127.0.0.1", port))
            sock.send(wire)
            return dns.message.from_wire(sock.recv(65535))
    except OSError:
        return None


def test_the_table_says_what_unbound_does(unbound: int) -> None:
    found = {}
    for odd in REPLIES:
        try:
            message = asked(unbound, name_of(odd), odd.rtype)
        except dns.exception.DNSException:
            found[odd.title] = "malformed"
            continue
        found[odd.title] = "nothing" if message is None else told(message, odd.unbound)
    assert found == {odd.title: odd.unbound.replace("{name}", name_of(odd)) for odd in REPLIES}
