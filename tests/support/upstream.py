"""An upstream resolver that does what a test wants of it, on real sockets.

Rules: UDP and TCP on one free port of loopback, in the test's own loop; `seen` keeps each query.
A script says what goes back for a query: bytes, several of them, nothing, or a wait before more.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from support.ports import free_port


@dataclass(frozen=True)
class Wait:
    """Seconds before what follows in the list is sent."""

    seconds: float


@dataclass(frozen=True)
class Seen:
    """One query as it came in."""

    wire: bytes
    tcp: bool
    source: tuple[Any, ...]

    @property
    def message(self) -> dns.message.Message:
        return dns.message.from_wire(self.wire)

    @property
    def name(self) -> str:
        """In the spelling in which it came."""
        return self.message.question[0].name.to_text()

    @property
    def is_probe(self) -> bool:
        return "zkdns-" in self.name.lower() or self.name == "."


Script = Callable[[Seen], "bytes | Iterable[bytes | Wait] | None"]


def reply(
    seen: Seen,
    *records: str,
    rcode: str = "NOERROR",
    authority: Iterable[str] = (),
    additional: Iterable[str] = (),
    tc: bool = False,
    edns: bool = True,
) -> bytes:
    """A well-made reply to the query: records as `name ttl type rdata`."""
    query = seen.message
    made = dns.message.make_response(query, recursion_available=True)
    made.set_rcode(dns.rcode.from_text(rcode))
    if not edns:
        made.use_edns(False)
    for section, texts in (
        (made.answer, records),
        (made.authority, authority),
        (made.additional, additional),
    ):
        for text in texts:
            name, ttl, rtype, rdata = text.split(None, 3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, rdata))
    if tc:
        made.flags |= dns.flags.TC
    return made.to_wire(max_size=65535)


def addresses(*texts: str, ttl: int = 60) -> Script:
    """A script that answers A questions with these addresses, and all else with NODATA."""

    def script(seen: Seen) -> bytes:
        question = seen.message.question[0]
        if question.rdtype == 1:
            return reply(seen, *(f"{question.name} {ttl} A {text}" for text in texts))
        return reply(seen, authority=(soa(ttl),))

    return script


def soa(ttl: int = 60, owner: str = "example.", minimum: int | None = None) -> str:
    return f"{owner} {ttl} SOA ns.example. root.example. 1 2 3 4 {ttl if minimum is None else minimum}"


def silent(seen: Seen) -> None:
    """A script that drops everything."""


@dataclass
class FakeUpstream:
    """`script` may be changed while it runs. Probes of ours get NXDOMAIN unless `hush`."""

    script: Script
    port: int = 0
    hush: bool = False
    slow_tcp: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def queries(self) -> list[Seen]:
        """What came for a client's sake."""
        return [each for each in self.seen if not each.is_probe]

    def take(self, wire: bytes, tcp: bool, source: tuple[Any, ...]) -> list[bytes | Wait]:
        seen = Seen(wire, tcp, source)
        self.seen.append(seen)
        if seen.is_probe and not self.hush:
            return [reply(seen, rcode="NXDOMAIN", authority=(soa(owner="."),))]
        said = self.script(seen)
        if said is None:
            return []
        return [said] if isinstance(said, bytes) else list(said)

    def spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, upstream: FakeUpstream, sock: socket.socket) -> None:
        self.upstream = upstream
        self.sock = sock

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.upstream.spawn(self._send(self.upstream.take(data, False, addr), addr))

    async def _send(self, parts: list[bytes | Wait], addr: Any) -> None:
        for part in parts:
            if isinstance(part, Wait):
                await asyncio.sleep(part.seconds)
            else:
                self.sock.sendto(part, addr)  # asyncio's own would leave out an empty datagram


@asynccontextmanager
async def run(
    script: Script, *, port: int = 0, tcp: bool = True, hush: bool = False
) -> AsyncIterator[FakeUpstream]:
    """A running upstream."""
    upstream = FakeUpstream(script, hush=hush)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                wire = await reader.readexactly(size)
                for part in upstream.take(wire, True, writer.get_extra_info("peername")):
                    if isinstance(part, Wait):
                        await asyncio.sleep(part.seconds)
                        continue
                    framed = len(part).to_bytes(2, "big") + part
                    for at in range(0, len(framed), 7000 if upstream.slow_tcp else len(framed)):
                        writer.write(framed[at : at + (7000 if upstream.slow_tcp else len(framed))])
                        await writer.drain()
                        await asyncio.sleep(upstream.slow_tcp)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    for _ in range(50):  # one number for both: what UDP got may be taken on TCP
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", port))
        protocol = _Datagrams(upstream, sock)
        datagrams, _ = await loop.create_datagram_endpoint(lambda p=protocol: p, sock=sock)  # type: ignore[misc]
        upstream.port = sock.getsockname()[1]
        if not tcp:
            server = None
            break
        try:
            server = await asyncio.start_server(serve, "127.0.0.1", upstream.port)
            break
        except OSError:
            datagrams.close()
            if port:
                raise
    try:
        yield upstream
    finally:
        datagrams.close()
        if server is not None:
            server.close()
        await upstream.close()
        await asyncio.sleep(0)


def dead_port() -> int:
    """A UDP port on which nobody listens: a query there is refused by the kernel."""
    return free_port()


async def serve_for_ever(port: int, *texts: str) -> None:
    async with run(addresses(*texts), port=port):
        print("listening", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_for_ever(int(sys.argv[1]), *sys.argv[2:]))
