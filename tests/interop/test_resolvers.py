"""Caching resolvers in front: unbound with a stub zone, dnsmasq with a server for the zone.

Proves, for each: names of every kind resolve through it; what does not exist and what has no record of the
type stay apart; an answer too long for UDP comes whole; changes are followed, and a name that was missing
appears. For unbound: all that under strict QNAME minimisation (RFC 9156), which asks each name above first,
and with names in random upper and lower case (0x20), which takes no answer whose question differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from support.ports import free_port
from support.programs import find, running
from support.services import Registry
from support.unbound import settings
from support.waiting import eventually

pytestmark = pytest.mark.zookeeper

Answer = tuple[str, list[str]]


class Resolver:
    """What a client of the resolver sees."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, name: str, type: str = "A", timeout: float = 10.0) -> Answer:
        """The rcode and the sorted rdata; asked again over TCP where UDP was too short, as a stub does."""
        query = dns.message.make_query(name, type, use_edns=0, payload=1232)
        reply, _ = dns.query.udp_with_fallback(query, "127.0.0.1", timeout, self.port)
        kind = dns.rdatatype.from_text(type)
        found = [item.to_text() for rrset in reply.answer if rrset.rdtype == kind for item in rrset]
        return dns.rcode.to_text(reply.rcode()), sorted(found)

    def becomes(self, expected: Answer, name: str, type: str = "A") -> None:
        def is_so() -> bool:
            assert self.ask(name, type) == expected
            return True

        eventually(is_so, 60, 0.1)

    def wait(self) -> None:
        def is_up() -> bool:
            try:
                return bool(self.ask("up.invalid", timeout=0.2))
            except (OSError, dns.exception.DNSException):
                return False

        eventually(is_up, 60)


@contextmanager
def unbound(registry: Registry, folder: Path) -> Iterator[Resolver]:
    port, upstream = free_port(), registry.server.port
    config = folder / "unbound.conf"
    rest = f"""    do-not-query-localhost: no
    domain-insecure: "svc.local"
    private-address: 10.0.0.0/8
    private-domain: "svc.local"
    qname-minimisation: yes
    qname-minimisation-strict: yes
    use-caps-for-id: yes
    harden-below-nxdomain: yes
    aggressive-nsec: yes
    local-zone: "invalid." always_nxdomain
    local-zone: "10.in-addr.arpa." nodefault
    domain-insecure: "10.in-addr.arpa."
stub-zone:
    name: "svc.local"
    stub-addr: 127.0.0.1@{upstream}
stub-zone:
    name: "10.in-addr.arpa"
    stub-addr: 127.0.0.1@{upstream}
"""
    config.write_text(settings(port, folder, rest, verbosity=4))
    with running(folder / "log", find("unbound", "unbound"), "-d", "-c", config):
        yield Resolver(port)
        said = (folder / "log").read_text()
        assert "good 0x20-ID in reply qname" in said
        assert "Capsforid" not in said, "it had to ask again in lower case"
        assert "sending query: _tcp.unbound.svc.local. A IN" in said, "nobody asked for it: a name above"


@contextmanager
def dnsmasq(registry: Registry, folder: Path) -> Iterator[Resolver]:
    port, upstream = free_port(), registry.server.port
    config = folder / "dnsmasq.conf"
    config.write_text(f"""port={port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
user=
pid-file=
stop-dns-rebind
local=/invalid/
server=/svc.local/127.0.0.1#{upstream}
rebind-domain-ok=/svc.local/
rev-server=10.0.0.0/8,127.0.0.1#{upstream}
""")
    with running(folder / "log", find("dnsmasq", "dnsmasq-base"), "-k", f"--conf-file={config}"):
        yield Resolver(port)


@pytest.fixture(params=[unbound, dnsmasq], ids=["unbound", "dnsmasq"])
def resolver(
    request: pytest.FixtureRequest, registry: Registry, tmp_path: Path
) -> Iterator[tuple[str, Resolver]]:
    start: Callable[[Registry, Path], AbstractContextManager[Resolver]] = request.param
    with start(registry, tmp_path) as resolver:
        resolver.wait()
        yield request.param.__name__, resolver


def test_a_caching_resolver_in_front_resolves_every_kind_of_name_and_follows_changes(
    registry: Registry, resolver: tuple[str, Resolver]
) -> None:
    service, through = resolver
    name = f"{service}.svc.local"
    net = {"unbound": "10.1.0", "dnsmasq": "10.2.0"}[service]
    assert through.ask(name) == ("NXDOMAIN", [])

    ports = {"http": 8080}
    registry.put(f"{service}/a", address=f"{net}.1", port=80, tags=["canary"], ports=ports)
    through.becomes(("NOERROR", [f"{net}.1"]), name)
    registry.put(f"{service}/b", address=[f"{net}.2", "fd00::2"], port=81, weight=3, ports=ports)
    through.becomes(("NOERROR", [f"{net}.1", f"{net}.2"]), name)

    assert through.ask(name, "AAAA") == ("NOERROR", ["fd00::2"])
    both = [f"0 1 80 a.{name}.", f"0 3 81 b.{name}."]
    assert through.ask(f"_{service}._tcp.svc.local", "SRV") == ("NOERROR", both)
    by_port = [f"0 1 8080 a.{name}.", f"0 3 8080 b.{name}."]
    assert through.ask(f"_http._tcp.{name}", "SRV") == ("NOERROR", by_port)
    assert through.ask(f"b.{name}") == ("NOERROR", [f"{net}.2"])
    assert through.ask(f"canary.{name}") == ("NOERROR", [f"{net}.1"])
    assert '"instances=2"' in through.ask(name, "TXT")[1][0]
    assert through.ask("_services._dns-sd._udp.svc.local", "PTR")[0] == "NOERROR"
    assert through.ask(f"2.0.{net.split('.')[1]}.10.in-addr.arpa", "PTR") == ("NOERROR", [f"b.{name}."])

    assert through.ask(f"a.{name}", "AAAA") == ("NOERROR", [])
    assert through.ask(f"_tcp.{name}") == ("NOERROR", []), "nothing there, and names below it"
    assert through.ask(f"nope.{name}") == ("NXDOMAIN", [])
    assert through.ask(f"_nope._tcp.{name}", "SRV") == ("NXDOMAIN", [])
    # What is missing beside it hides nothing (RFC 8020).
    assert through.ask(f"_http._tcp.{name}", "SRV") == ("NOERROR", by_port)

    registry.put(f"{service}/a", address=f"{net}.9", port=80)
    registry.remove(f"{service}/b")
    through.becomes(("NOERROR", [f"{net}.9"]), name)
    through.becomes(("NXDOMAIN", []), f"b.{name}")
    through.becomes(("NXDOMAIN", []), f"_http._tcp.{name}", "SRV")
    registry.put(f"{service}/a", address=f"{net}.9", status="down")
    through.becomes(("NOERROR", []), name)
    registry.put(f"{service}/a", address=f"{net}.9")
    through.becomes(("NOERROR", [f"{net}.9"]), name)

    registry.put(f"many-{service}", answers=150)
    addresses = [f"10.3.0.{n}" for n in range(1, 151)]
    for n, address in enumerate(addresses):
        registry.put(f"many-{service}/i{n}", address=address, port=80)
    through.becomes(("NOERROR", sorted(addresses)), f"many-{service}.svc.local")
    assert len(through.ask(f"_many-{service}._tcp.svc.local", "SRV")[1]) == 150
