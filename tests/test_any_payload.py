"""Whatever stands in the registry: it is answered or named as a problem, and costs nobody else's answer."""

from __future__ import annotations

import json
import logging

import dns.message
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import scenario
from support.asking import reply_of
from support.tables import opt, query
from zkdns.answers import policies
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.dns.types import AAAA, ANY, MX, NOERROR, PTR, SRV, TXT, A
from zkdns.model import Children, Data, Stat
from zkdns.registry.json_values import MAX_ITEMS

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
addresses = st.sampled_from(
    [
        "10.0.0.1",
        "fd00::1",
        "::ffff:1.2.3.4",
        "host.example",
        "web.svc.local",
        "a.web.svc.local",
        "x" * 64,
        "%",
        "",
    ]
)
numbers = st.sampled_from([-1, 0, 1, 80, 65_535, 65_536, 1e9, 0.5, 5e-324, 1e308, True, "80", None])
words = st.sampled_from(["a", "A", "_tcp", "é", "x" * 300, "", "-", ".", "a.b", "http", "\0", "ns", "*"])
registrations = st.fixed_dictionaries(
    {"address": addresses | st.lists(addresses, max_size=4) | anything},
    optional={
        "port": numbers,
        "weight": numbers,
        "priority": numbers,
        "status": st.sampled_from(["up", "starting", "draining", "down"]) | words,
        "tags": st.lists(words, max_size=4) | anything,
        "zone": words,
        "protocol": st.sampled_from(["tcp", "udp"]) | words,
        "ports": st.dictionaries(words, numbers, max_size=4) | anything,
        "meta": st.dictionaries(words, words | numbers, max_size=4) | anything,
    },
)
tiers = st.lists(
    st.dictionaries(st.sampled_from(["good", "x.good", "good@r1"]), numbers, max_size=2), max_size=2
)
settings_of_services = st.fixed_dictionaries(
    {},
    optional={
        "ttl": numbers,
        "policy": st.sampled_from(policies.names()) | words,
        "answers": numbers,
        "fail_open": numbers,
        "warm": numbers,
        "hold": numbers,
        "srv_scale": numbers,
        "check": anything,
        "near": st.sampled_from(["off", "prefer", "balanced"]) | words,
        "near_min": numbers,
        "to": tiers | anything,
        "from": tiers | anything,
        "over": numbers,
        "spill": numbers,
    },
)
payloads = st.one_of(
    registrations.map(json.dumps).map(str.encode),
    anything.map(json.dumps).map(str.encode),
    st.binary(max_size=60),
)
TYPES = (A, AAAA, SRV, TXT, PTR, ANY, MX)
ids = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=70)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    st.dictionaries(ids, payloads, max_size=5),
    settings_of_services.map(json.dumps).map(str.encode) | payloads,
    ids,
    payloads,
)
def test_any_payload_under_any_name_is_answered_or_named(
    held: dict[str, bytes], of_service: bytes, service: str, override: bytes
) -> None:
    caught = Caught()
    logging.getLogger("zkdns").addHandler(caught)
    try:
        world = scenario.World()
        world.hosts["host.example"] = ("192.0.2.1", "2001:db8::1")
        good = b'{"address": "10.9.9.9", "port": 9, "ports": {"http": 90}}'
        nodes = {**{f"/services/{service}/{id}": data for id, data in held.items()}}
        nodes[f"/services/{service}"] = of_service
        nodes["/services/good/one"] = good
        put(world, "/services", [service, "good"])
        put(world, f"/services/{service}", list(held))
        if service != "good":
            put(world, "/services/good", ["one"])
        for path, data in nodes.items():
            tell(world, Data(path, data, stat(world)))
        put(world, "/zkdns/overrides", [service])
        put(world, f"/zkdns/overrides/{service}", ["x"])
        tell(world, Data(f"/zkdns/overrides/{service}/x", override, stat(world)))
        world.publish()
        for owner in list(world.table.names):
            for rtype in TYPES:
                assert code_of(world, owner, rtype, HIGHEST_UDP) == NOERROR, (owner, rtype)
                if known := world.table.names[owner].instances:
                    for label in known:
                        below = names.label(label) + owner
                        assert code_of(world, below, rtype, 65_535) == NOERROR, (below, rtype)
        if service != "good":
            assert world.do_ask("good.svc.local A bare") == "NOERROR aa\ngood.svc.local. 5 A 10.9.9.9"
        registered = {i.path for s in world.pipeline.catalog.services.values() for i in s.instances}
        named = {p.path for p in world.pipeline.catalog.problems}
        for path in nodes:
            if path.count("/") == 3:
                assert path in registered or path in named, "neither served nor named"
    finally:
        logging.getLogger("zkdns").removeHandler(caught)
    assert not caught.said
    assert not world.dispatcher.errors


def code_of(world: scenario.World, name: bytes, rtype: int, limit: int) -> int:
    """What the reply says, which a stranger can read to its end."""
    reply = reply_of(world.dispatcher, query(name, rtype, opt()), limit=limit)
    assert reply is not None
    return dns.message.from_wire(reply).rcode()


def put(world: scenario.World, path: str, children: list[str]) -> None:
    world.zxid += 1
    registry = next(iter(world.pipeline.registries))
    world._tell(registry, path, Children(path, tuple(children), world.zxid))


def tell(world: scenario.World, event: Data) -> None:
    world._tell(next(iter(world.pipeline.registries)), event.path, event)


def stat(world: scenario.World) -> Stat:
    world.zxid += 1
    return Stat(world.zxid, world.zxid, world.now, True)


class Caught(logging.Handler):
    """Errors of ours, which nothing in the registry may cause."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.mark.parametrize("count", [20_000])
def test_of_an_instance_with_as_many_addresses_as_a_node_holds_the_first_are_answered(count: int) -> None:
    """ZooKeeper takes a mebibyte of data."""
    world = scenario.World()
    held = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(count)]
    put(world, "/services", ["web"])
    put(world, "/services/web", ["a"])
    data = json.dumps({"address": held, "port": 80}).encode()
    tell(world, Data("/services/web/a", data, stat(world)))
    assert "NOERROR aa 8 answers" in world.do_ask("web.svc.local A counts")
    assert "NOERROR aa 64 answers" in world.do_ask("a.web.svc.local A counts edns")
    assert f"it has {MAX_ITEMS} addresses or more, and 64 are taken" in world.do_problems("")
    assert "NOERROR aa 1 answers 0 authority 64 additional" in world.do_ask("web.svc.local SRV counts edns")
    assert "a.web.svc.local" in world.do_ask("63.0.0.10.in-addr.arpa PTR")
