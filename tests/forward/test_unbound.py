"""A real resolver as upstream: unbound, with data of its own, over UDP and TCP."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from support.ports import free_port
from support.unbound import find_unbound, settings
from zkdns.config import Settings
from zkdns.dns.packet import Query
from zkdns.ensemble import end
from zkdns.forward.forwarder import Forwarder


@pytest.fixture
async def unbound(tmp_path: Path) -> AsyncIterator[str]:
    program = find_unbound()
    port = free_port()
    big = "".join(f"    local-data: 'big.test. 300 TXT \"{n:03d}{'x' * 90}\"'\n" for n in range(60))
    rest = f"""    access-control: 127.0.0.0/8 allow
    local-zone: "." static
    local-data: ". 60 SOA a. b. 1 2 3 4 60"
    local-zone: "test." static
    local-data: "test. 60 SOA ns.test. root.test. 1 2 3 4 60"
    local-data: "www.test. 300 A 192.0.2.1"
    local-data: "www.test. 300 A 192.0.2.2"
    local-data: "www.test. 300 AAAA 2001:db8::1"
    local-data: "_x._tcp.test. 300 SRV 1 2 80 www.test."
{big}"""
    (tmp_path / "unbound.conf").write_text(settings(port, tmp_path, rest))
    with running(program, "-d", "-c", str(tmp_path / "unbound.conf")) as process:
        for _ in range(300):
            assert process.poll() is None
            try:
                await dns.asyncquery.udp(dns.message.make_query("www.test", "A"), "127.0.0.1", 0.5, port)
                break
            except (OSError, dns.exception.Timeout):
                await asyncio.sleep(0.05)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        end(process)


def lines(message: dns.message.Message) -> list[str]:
    return sorted(line for rrset in message.answer for line in rrset.to_text().lower().splitlines())


async def test_every_answer_is_the_resolvers_own(unbound: str) -> None:
    port = int(unbound.rpartition(":")[2])
    forwarder = Forwarder(Settings(forward=(unbound,)))
    await forwarder.start()
    try:
        for name, rtype in (
            ("www.test", "A"),
            ("WWW.Test", "AAAA"),
            ("www.test", "TXT"),
            ("_x._tcp.test", "SRV"),
            ("nope.test", "A"),
            ("big.test", "TXT"),
            ("elsewhere.example", "A"),
        ):
            query = dns.message.make_query(name, rtype, use_edns=0)
            theirs = await dns.asyncquery.tcp(query, "127.0.0.1", 5, port)
            for _ in range(2):
                answer = forwarder.answer(Query(query.to_wire(), 65535), "127.0.0.1")
                reply = answer if isinstance(answer, bytes) else await asyncio.wait_for(answer.wait(), 10)
                ours = dns.message.from_wire(reply)
                assert ours.question == query.question
                assert ours.rcode() == theirs.rcode(), name
                assert lines(ours) == lines(theirs)
        assert forwarder.cache_hits == 7
        assert forwarder.forgeries == 0
        assert [u.state for u in forwarder.status().upstreams] == ["healthy"]
    finally:
        await forwarder.stop()
