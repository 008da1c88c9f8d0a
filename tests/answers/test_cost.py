"""What compiling, publishing and asking cost: counted in steps of the interpreter, never in seconds.

Each law doubles what is registered and allows the work to grow by little more than double.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import dns.message
import pytest

from support.asking import respond
from support.steps import steps
from zkdns.answers import policies, ports, route_resolver
from zkdns.answers.builder import Builder
from zkdns.answers.route_resolver import MAX_FOLLOWED, MAX_PORTS, MAX_TOLD, Resolver
from zkdns.answers.routed import InForce, Routed
from zkdns.answers.table import Delta, Holder, Table
from zkdns.dns import names
from zkdns.dns.reply import TC
from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.routes import parse_target

SIZE, ROUTED = 331, 47
"""Of a service, and of what a route leads to: primes, so that nothing fits by chance."""

SLACK = 2.7
"""Twice as much may cost so many times as much: n log n, and some noise of small numbers."""


def places(table: Table) -> int:
    """How much the table keeps: what no step shows, since C copies it."""
    total = 0
    for entry in table.entries.values():
        for tier in entry.tiers:
            orders = tier.rotation.orders
            spans = getattr(orders, "spans", None)
            kept = sum(map(len, orders)) if spans is None else len(spans) + len(orders.indices)
            total += kept + len(tier.rotation.sequence) + sum(map(len, tier.records))
    return total


def publish(instances: list[Registration], **chosen: Any) -> tuple[Builder, Table]:
    made = tuple(
        Instance(f"i{n:06}", f"i{n:06}", f"/services/web/i{n:06}", r, 0, weight=r.weight)
        for n, r in enumerate(instances)
    )
    builder = Builder(["svc.local"])
    service = Service("web", "web", "/services/web", ServiceSettings(**chosen), made)
    builder.replace("web", builder.compile(service))
    return builder, Table(builder.take())


def address(n: int) -> tuple[str, ...]:
    return (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",)


SHAPES: dict[str, Callable[[int], tuple[list[Registration], dict[str, Any]]]] = {
    "plain": lambda n: ([Registration(address(k), port=80) for k in range(n)], {}),
    "all given": lambda n: ([Registration(address(k), port=80) for k in range(n)], {"answers": 65_535}),
    "all given in turn": lambda n: (
        [Registration(address(k)) for k in range(n)], {"answers": 65_535, "policy": "round_robin"},
    ),
    "one weighs most": lambda n: (
        [Registration(address(k), weight=1 if k else 65_535) for k in range(n)], {"answers": 65_535},
    ),
    "ports of one's own": lambda n: (
        [Registration(address(k), port=80, ports=tuple((f"p{k}-{j}", j + 1) for j in range(4)))
         for k in range(n)], {},
    ),
    "tags of one's own": lambda n: ([Registration(address(k), tags=(f"t{k}", "all")) for k in range(n)], {}),
    "priorities of one's own": lambda n: (
        [Registration(address(k), port=80, priority=k) for k in range(n)], {},
    ),
    "one address": lambda n: ([Registration(address(1), port=80 + k) for k in range(n)], {}),
    "varied weights": lambda n: ([Registration(address(k), weight=k % 997 + 1) for k in range(n)], {}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_service_costs_grows_with_what_it_holds(shape: str) -> None:
    def cost(size: int) -> tuple[int, int]:
        tables: list[Table] = []
        registered, chosen = SHAPES[shape](size)
        policies._rotations.clear()
        work = steps(lambda: tables.append(publish(registered, **chosen)[1]))
        return work, places(tables[0])

    small, large = cost(2 * SIZE), cost(4 * SIZE)
    assert large[0] <= SLACK * small[0], "steps"
    assert large[1] <= SLACK * small[1], "places that are kept"


ROUTES: dict[str, Callable[[int], tuple[dict[str, Service], dict[str, InForce]]]] = {
    "an alias": lambda n: (
        {
            "web": service_of("web"),
            "big": service_of("big", [Registration(address(k), port=80) for k in range(n)]),
        },
        {"web": leads_to("big")},
    ),
    "an alias of ports of one's own": lambda n: (
        {
            "web": service_of("web"),
            "big": service_of("big", [
                Registration(address(k), port=80, ports=tuple((f"p{k}-{j}", j + 1) for j in range(8)))
                for k in range(n)
            ]),
        },
        {"web": leads_to("big")},
    ),
    "tags of one service": lambda n: (
        {
            "web": service_of("web"),
            "big": service_of("big", [
                Registration(address(k), port=80, tags=tuple(f"t{j}" for j in range(16))) for k in range(n)
            ]),
        },
        {"web": leads_to(*(f"t{j}.big" for j in range(16)))},
    ),
}  # fmt: skip


def service_of(name: str, registered: list[Registration] | None = None) -> Service:
    held = tuple(
        Instance(f"i{n:06}", f"i{n:06}", f"/services/{name}/i{n:06}", r, 0, weight=r.weight)
        for n, r in enumerate(registered or ())
    )
    return Service(name, name, f"/services/{name}", instances=held)


def leads_to(*targets: str) -> InForce:
    return InForce((tuple((parse_target(target), Fraction(1)) for target in targets),))


@pytest.mark.parametrize("shape", ROUTES)
def test_what_a_route_costs_grows_with_what_it_leads_to(shape: str) -> None:
    def cost(size: int) -> int:
        services, routes = ROUTES[shape](size)
        follower = Resolver(services, routes, lambda name: name if name in services else None)
        return steps(lambda: follower.follow(next(iter(routes))))

    assert cost(4 * ROUTED) <= SLACK * cost(2 * ROUTED)


@pytest.mark.parametrize(("width", "depth"), [(64, 3), (3, 9), (20, 4)])
def test_routes_of_routes_are_followed_so_often_and_no_more(width: int, depth: int) -> None:
    services = {f"d{d}-{k}": service_of(f"d{d}-{k}") for d in range(depth) for k in range(width)}
    services["end"] = service_of("end", [Registration(address(1), port=80)])
    below = {d: [f"d{d + 1}-{k}" for k in range(width)] if d + 1 < depth else ["end"] for d in range(depth)}
    routes = {name: leads_to(*below[int(name[1:].partition("-")[0])]) for name in services if name != "end"}
    follower = Resolver(services, routes, lambda name: name if name in services else None)
    routed: list[Routed] = []
    assert steps(lambda: routed.append(follower.follow("d0-0"))) < 2_000_000
    assert any(f"more than {MAX_FOLLOWED} routes" in what or "deep" in what for what in routed[0].problems)
    assert len(routed[0].problems) <= MAX_TOLD + 1


def test_a_route_has_names_for_so_many_ports_and_tells_of_the_rest() -> None:
    many = tuple((f"p{k}", k + 1) for k in range(MAX_PORTS))
    registered = [Registration(address(k), port=80, ports=(*many, (f"own{k}", 9))) for k in range(3)]
    services = {"web": service_of("web"), "big": service_of("big", registered)}
    follower = Resolver(services, {"web": leads_to("big")}, lambda name: name)
    routed = follower.follow("web")
    assert [port for _, port in routed.ports] == [f"p{k}" for k in range(MAX_PORTS)]
    assert routed.problems == (f"its port own0 is beyond the {MAX_PORTS} that a route has names for",)


def test_a_route_leads_to_so_many_instances_and_tells_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_resolver, "MAX_FOLLOWED_INSTANCES", 5)
    services = {name: service_of(name, [Registration(address(k)) for k in range(3)]) for name in ("a", "b")}
    services["web"] = service_of("web")
    routed = Resolver(services, {"web": leads_to("a", "b")}, lambda name: name).follow("web")
    assert {i.home for tier in routed.name.first for i in tier} == {"a"}
    assert routed.problems == ("it leads to more than 5 instances, b among the rest",)


def test_instances_behind_other_routes_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_resolver, "MAX_FOLLOWED_BELOW", 5)
    services = {
        name: service_of(name, [Registration(address(k)) for k in range(3)]) for name in ("a", "b", "c")
    }
    services |= {name: service_of(name) for name in ("web", "top")}
    routes = {"web": leads_to("a", "b"), "top": leads_to("web", "c")}
    resolver = Resolver(services, routes, lambda name: name)
    routed = resolver.follow("top")
    assert {i.home for tier in routed.name.first for i in tier} == {"a", "c"}
    assert routed.problems == ("it leads to more than 5 instances behind other routes, b among the rest",)
    assert not resolver.follow("web").problems


def test_the_healthy_of_routes_of_routes_are_counted_so_far_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = 20
    services = {"a": service_of("a", [Registration(address(k)) for k in range(3)])}
    services |= {f"r{n}": service_of(f"r{n}") for n in range(wide)} | {"top": service_of("top")}
    routes = {f"r{n}": leads_to("a") for n in range(wide)} | {
        "top": leads_to(*(f"r{n}" for n in range(wide)))
    }
    for most, whole in (
        (3 * (wide + 1), wide),
        (3 * (wide + 1) - 1, wide - 1),
    ):  # once more for all that are met
        monkeypatch.setattr(route_resolver, "MAX_COUNTED", most)
        healthy = Resolver(services, routes, lambda name: name).follow("top").healthy
        assert sum(counts == (3, 3) for counts in healthy.values()) <= whole


def many_services(n: int) -> tuple[Builder, Table]:
    builder = Builder(["svc.local"])
    for k in range(n):
        one = Instance("a", "a", f"/services/s{k}/a", Registration(("10.0.0.1",), port=80), 0)
        builder.replace(
            f"s{k}", builder.compile(Service(f"s{k}", f"s{k}", f"/services/s{k}", instances=(one,)))
        )
    return builder, Table(builder.take())


def asked(table: Table, name: str, rtype: str) -> tuple[int, bytes | None]:
    packet = dns.message.make_query(name, rtype, use_edns=True, payload=1232).to_wire()
    replies: list[Any] = []
    work = steps(lambda: replies.append(respond(packet, table)))
    return work, replies[0]


@pytest.mark.parametrize(
    ("name", "rtype"),
    [
        ("_services._dns-sd._udp.svc.local", "PTR"),
        ("1.0.0.10.in-addr.arpa", "PTR"),
        ("_s0._tcp.svc.local", "PTR"),
        ("nobody._s0._tcp.svc.local", "SRV"),
    ],
)
def test_a_packet_costs_no_more_in_a_large_registry(name: str, rtype: str) -> None:
    small, large = many_services(200)[1], many_services(800)[1]
    for table in (small, large):
        asked(table, name, rtype)  # what is spelled once for each change
    assert asked(large, name, rtype)[0] <= asked(small, name, rtype)[0] + 10


def wide_service(n: int) -> Table:
    registered = [
        Registration(address(k), port=80, zone=f"z{k % 5}", tags=("blue", "canary", f"own{k}"))
        for k in range(n)
    ]
    return publish(registered, near="prefer")[1]


@pytest.fixture(scope="module")
def wide() -> tuple[Table, Table]:
    return wide_service(200), wide_service(600)


@pytest.mark.parametrize(
    "name",
    [
        "canary.blue.web.svc.local",
        "blue.canary.web.svc.local",
        "o3.canary.blue.web.svc.local",
        "nope.blue.web.svc.local",
        "o1.o2.web.svc.local",
        "z1.prefer._zone.web.svc.local",
        "z1.pin._zone.web.svc.local",
        "nope.pin._zone.web.svc.local",
    ],
)
def test_a_packet_costs_no_more_of_a_large_service(name: str, wide: tuple[Table, Table]) -> None:
    small, large = wide
    for rtype in ("A", "SRV"):
        for table in wide:
            asked(table, name, rtype)  # what is compiled once for each change
        assert asked(large, name, rtype)[0] <= 1.2 * asked(small, name, rtype)[0] + 10


def test_browsing_and_shared_reverse_names_follow_each_change() -> None:
    builder, table = many_services(150)

    def told(name: str) -> list[str]:
        packet = dns.message.make_query(name, "PTR").to_wire()
        reply = respond(packet, table, limit=65_535)
        assert isinstance(reply, bytes)
        return [str(record) for rrset in dns.message.from_wire(reply).answer for record in rrset]

    kinds, holders = told("_services._dns-sd._udp.svc.local"), told("1.0.0.10.in-addr.arpa")
    assert len(kinds) == len(holders) == 150
    assert kinds == sorted(kinds)
    builder.replace("s77", None)
    other = Instance("a", "a", "/services/aa/a", Registration(("10.0.0.1",), port=80), 0)
    builder.replace("aa", builder.compile(Service("aa", "aa", "/services/aa", instances=(other,))))
    table.apply(builder.take())
    assert table.service_names == sorted(table.services)
    kinds = told("_services._dns-sd._udp.svc.local")
    assert kinds[0] == "_aa._tcp.svc.local."
    assert "_s77._tcp.svc.local." not in kinds
    assert "a.aa.svc.local." in told("1.0.0.10.in-addr.arpa")
    assert "a.s77.svc.local." not in told("1.0.0.10.in-addr.arpa")


@pytest.mark.parametrize("name", ["1.0.0.10.in-addr.arpa", "_web._tcp.svc.local"])
def test_of_thousands_at_one_name_no_more_is_spelled_than_a_reply_has_room_for(name: str) -> None:
    def cost(number: int) -> int:
        builder = Builder(["svc.local"])
        ids = [f"instance-{n:04}" for n in range(number)]
        where = Registration(("10.0.0.1",), 80)
        every = tuple(Instance(id, id, f"/services/web/{id}", where, 0) for id in ids)
        few = ServiceSettings(policy="first", answers=1)
        builder.replace("web", builder.compile(Service("web", "web", "/services/web", few, every)))
        table = Table(builder.take())
        packet = dns.message.make_query(name, "PTR").to_wire()
        told: list[bytes] = []
        lines = steps(lambda: told.append(respond(packet, table, limit=65_535)))  # type: ignore[arg-type]
        assert int.from_bytes(told[0][2:4], "big") & TC
        assert len(told[0]) > 65_000
        return lines

    assert cost(6000) < 1.1 * cost(3000)


class Compared(str):
    """A name that counts how often it was looked at for its order."""

    count = 0

    def __lt__(self, other: str) -> bool:
        Compared.count += 1
        return str.__lt__(self, other)


def test_services_that_share_an_address_cost_each_other_no_more_than_a_search() -> None:
    """Twenty thousand at one address took half a minute to start: each sorted all of them."""
    few, many = 64, 512
    builder = Builder(["svc.local"])
    for n in range(many):
        if n == many - few:
            Compared.count = 0
        name = Compared(f"s{n * 7919 % many:03}")
        one = Instance("a", "a", f"/services/{name}/a", Registration(("10.0.0.1",), port=80), 0.0)
        builder.replace(
            name, builder.compile(Service(name, str(name), f"/services/{name}", instances=(one,)))
        )
    assert Compared.count < few * 2 * many.bit_length()
    reverse = names.reverse("10.0.0.1")
    address = names.address_of(reverse)
    assert address is not None
    assert builder.take().holders[address] == builder.holders(reverse)
    assert builder.holders(reverse) == tuple(f"s{n:03}" for n in range(many))
    for n in range(0, many, 2):
        builder.replace(f"s{n:03}", None)
    assert builder.holders(reverse) == tuple(f"s{n:03}" for n in range(1, many, 2))
    for n in range(3, many, 2):
        builder.replace(f"s{n:03}", None)
    assert builder.holders(reverse) == ("s001",)
    builder.replace("s001", None)
    assert builder.holders(reverse) == ()
    assert list(builder.take().holders.values()) == [()]


def test_what_all_instances_say_alike_of_their_ports_is_read_once_for_each_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    port_labels = ports.port_labels
    monkeypatch.setattr(ports, "port_labels", lambda name: read.append(name) or port_labels(name))
    said = ("http", 8080), ("metrics", 9100)
    publish([Registration(address(n), port=80, ports=said) for n in range(SIZE)])
    assert len(read) == len(said) * (1 + len(said)), "to find the names, and for each of them"


def test_names_that_come_among_many_are_not_sorted_with_all_of_them() -> None:
    """A start brings them part by part."""
    table = Table()

    def holders(first: int, count: int) -> dict[str, Holder | None]:
        made: Any = Builder(["svc.local"]).compile(Service("a", "a", "/a"))
        return {Compared(f"{n * 7919 % 10007:05}"): made for n in range(first, first + count)}

    for first in range(0, 10_000, 500):
        Compared.count = 0
        table.apply(Delta(services=holders(first, 500)))
    assert table.service_names == sorted(map(str, table.services))
    assert Compared.count < 3 * 10_000
    table.apply(Delta(services={**dict.fromkeys(table.service_names[::2]), **holders(10_006, 1)}))
    assert table.service_names == sorted(map(str, table.services))
    assert len(table.service_names) == 5001
