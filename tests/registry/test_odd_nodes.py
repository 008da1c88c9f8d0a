"""Nodes of other systems with something odd in one place: each is read or told, and no other suffers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.examples import some
from support.placing import arrange_all, read_fixture, read_into
from zkdns.model import State
from zkdns.registry import presets
from zkdns.registry.endpoints import MAX_URL_CHARACTERS
from zkdns.registry.fields import _pool
from zkdns.registry.formats import Node, named, registrar
from zkdns.registry.places import Preset, place
from zkdns.registry.presets import helix
from zkdns.registry.readers import open_tree
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.url import parse_registry

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 65_536, 2**31, 2**64, 10**40, 0.5, 5e-324, 1e308,
    "", " ", "0", "-1", "٣", "00000065536", "80 ", "1e2", "x", "a_b", "::", "[", "[]:1", ":1", "h:",
    "h:99999", "0.0.0.0", "fe80::1%eth0", "http://", "http://[::1", "http://h:1", "10.0.0.1:1", "10.0.0.1",
    "a" * 9000, [], [None], [[]], {}, {"": ""}, {"a": None},
)  # fmt: skip
"""What stands in the place of one value after the other. (Nothing at all: the value's key is left out.)"""

HEAD = "10.9.9.9"


def places_in(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to each value that stands in this one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        for rest in places_in(inner):
            yield (key, *rest)


def with_odd(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    if not way:
        return odd
    changed = list(value) if isinstance(value, list) else dict(value)
    changed[way[0]] = with_odd(value[way[0]], way[1:], odd)
    return changed


def without(value: Any, way: tuple[Any, ...]) -> Any:
    changed = list(value) if isinstance(value, list) else dict(value)
    if len(way) == 1:
        del changed[way[0]]
    else:
        changed[way[0]] = without(value[way[0]], way[1:])
    return changed


def oddities(znodes: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for path, data in znodes.items():
        try:
            value = json.loads(data)
        except ValueError:
            continue
        for way in places_in(value):
            yield path, json.dumps(without(value, way)).encode()
            for odd in ODD:
                yield path, json.dumps(with_odd(value, way, odd)).encode()


@pytest.mark.parametrize("name", presets.names())
def test_whatever_stands_in_one_place_of_a_node_it_is_read_or_told(name: str) -> None:
    preset, znodes = presets.named(name), read_fixture(name)
    ordinary = {s: {i.id: i for i in a.instances} for s, a in arrange_all(preset, znodes).items()}
    for path, data in some(list(oddities(znodes))):
        arranged = arrange_all(preset, {**znodes, path: data})
        assert arranged.keys() == ordinary.keys(), data
        for service, found in arranged.items():
            assert not [p for p in found.problems if p.ours], data
            unreadable = {i.path for i in found.instances if i.state is State.UNREADABLE}
            assert unreadable <= {p.path for p in found.problems}, data
            for i in found.instances:
                said = i.registration
                assert i.path in unreadable or said.addresses or said.host, data
                assert max(said.port, said.weight) <= 65_535, data
                assert min(said.port, said.weight) >= 0, data
            held = {i.id: i.registration.addresses for i in found.instances if i.path != path}
            others = {id: i for id, i in ordinary[service].items() if i.path != path}
            lost = {id for id, i in others.items() if id not in held or held[id] != i.registration.addresses}
            assert len(lost) <= 1, f"{data!r} is of one member: {lost}"


def addresses(tree: ServiceTree, znodes: dict[str, bytes]) -> dict[str, list[str]]:
    """Those of each service after all of this was read."""
    services = read_into(tree, znodes).catalog().services
    return {n: sorted(a for i in s.instances for a in i.addresses) for n, s in services.items()}


def planted_at(address: str) -> Any:
    def breaking(one: Any, *rest: Any) -> Any:
        if one is not None and address in one.addresses:
            raise RuntimeError("planted")
        return one

    return breaking


def test_a_member_that_a_preset_falls_over_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole cluster stood as it was, however its others changed."""
    monkeypatch.setattr(helix, "PRESET", Preset("helix", helix.PRESET.places, planted_at(HEAD)))
    presets.named.cache_clear()
    try:
        tree = open_tree(parse_registry("zk://h/?preset=helix"))
        live = {f"/c/LIVEINSTANCES/10.0.0.{n}_80": b"" for n in range(1, 4)}
        for others in ((), ("10.0.0.7", "10.0.0.8")):
            more = {f"/c/LIVEINSTANCES/{address}_80": b"" for address in (HEAD, *others)}
            expected = sorted([*(f"10.0.0.{n}" for n in range(1, 4)), *others])
            assert addresses(tree, {**live, **more}) == {"c": expected}
            (problem,) = tree.catalog().problems
            assert (problem.path, problem.ours) == (f"/c/LIVEINSTANCES/{HEAD}_80", True)
        assert addresses(tree, live) == {"c": ["10.0.0.1", "10.0.0.2", "10.0.0.3"]}
        assert not tree.catalog().problems
    finally:
        presets.named.cache_clear()


def test_an_instance_that_can_not_inherit_is_told_and_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registrar.Inherited.complete

    def complete(self: registrar.Inherited, registration: Any) -> Any:
        return real(self, planted_at(HEAD)(registration))

    monkeypatch.setattr(registrar.Inherited, "complete", complete)
    tree = open_tree(parse_registry("zk://h/services"))
    of_service = {"type": "service", "service": {"srvce": "_http", "proto": "_tcp", "port": 80}}
    znodes = {"/services/web": json.dumps(of_service).encode()}
    for n, address in enumerate(("10.0.0.1", HEAD, "10.0.0.2")):
        host = {"type": "load_balancer", "load_balancer": {"address": address}}
        znodes[f"/services/web/i{n}"] = json.dumps(host).encode()
    assert addresses(tree, znodes) == {"web": ["10.0.0.1", "10.0.0.2", HEAD]}
    assert [(p.path, p.ours) for p in tree.catalog().problems] == [("/services/web/i1", True)]
    ports = {i.id: i.registration.port for i in tree.catalog().services["web"].instances}
    assert ports == {"i0": 80, "i1": 0, "i2": 80}


@pytest.mark.parametrize("text", ["00000065536", "000000080", "0000000080", "9" * 400, "٨٠", "-1", ""])
def test_a_number_as_text_is_the_one_that_stands_there_or_none(text: str) -> None:
    """Cut to nine digits it was another one: 00000065536 was a weight of 655."""
    readers = {
        "zk://h/?preset=kratos": ("/s/a", {"endpoints": ["grpc://10.0.0.1:9"], "metadata": {"weight": text}}),
        "zk://h/s?format=json&address=a&port=p": ("/s/a", {"a": "10.0.0.1", "p": text}),
        "zk://h/s?format=json&address=a&weight=p": ("/s/a", {"a": "10.0.0.1", "p": text}),
        "zk://h/s?format=nerve": ("/s/a", {"host": "10.0.0.1", "port": text}),
        "zk://h/?preset=helix": (
            "/c/CONFIGS/PARTICIPANT/x", {"simpleFields": {"HELIX_HOST": "10.0.0.1", "HELIX_PORT": text}},
        ),
    }  # fmt: skip
    for url, (path, data) in readers.items():
        root = "/" if "preset" in url else "/s"
        tree = open_tree(parse_registry(url))
        below = path if root == "/" else f"{root}{path}"
        live = {"/c/LIVEINSTANCES/x": b""} if "helix" in url else {}
        addresses(tree, {below: json.dumps(data).encode(), **live})
        (service,) = tree.catalog().services.values()
        (instance,) = service.instances
        assert instance.state is State.UNREADABLE, (url, instance.registration)
        assert len(tree.catalog().problems) == 1
    assert presets.named("hbase").places[0].parts(Node(f"h,{text},1", b""), {})[1] is not None


def test_an_id_that_stands_in_the_data_is_as_long_as_a_name_may_be() -> None:
    """A lock of HDFS tells its own, which was of a megabyte."""

    def lock(id: bytes) -> bytes:
        fields = ((1, b"ns"), (2, id), (3, b"10.0.0.1"))
        texts = b"".join(bytes([number << 3 | 2]) + varint(len(text)) + text for number, text in fields)
        return texts + b"\x20\x50"

    path = "/hadoop-ha/ns/ActiveStandbyElectorLock"
    hdfs = presets.named("hdfs")
    fits = arrange_all(hdfs, {path: lock(b"n" * MAX_URL_CHARACTERS)})["ns"]
    assert [i.id for i in fits.instances] == ["n" * MAX_URL_CHARACTERS]
    beyond = arrange_all(hdfs, {path: lock(b"n" * (MAX_URL_CHARACTERS + 1))})["ns"]
    assert not beyond.instances
    assert [p.path for p in beyond.problems] == [path]


def varint(number: int) -> bytes:
    return (bytes([number & 127 | 128]) + varint(number >> 7)) if number > 127 else bytes([number])


def test_a_vote_before_an_id_that_is_too_long_is_a_vote() -> None:
    """Of a node that can't be read what it said before that counts."""
    nifi = presets.named("nifi").places[0]
    parts, error = nifi.parts(Node("_c_x-lock-0000000001", b"h" * 9000), {"role": "Primary Node"})
    assert error is not None
    assert [type(part).__name__ for part in parts] == ["Leads"]
    assert place("/a/{id}", "s", lambda node, holes: ()).parts(Node("x", b""), {}) == ((), None)


def test_no_text_of_a_payload_is_kept_for_good() -> None:
    """Some Pythons never let go of a text that was interned (3.12)."""
    long, short = "z" * 9000, "".join(["eu", "-1z"])
    payload = {"address": "10.0.0.1", "zone": long}
    assert named("native").parse(Node("a", json.dumps(payload).encode())).zone == long
    assert long not in _pool
    one, other = (
        named("native").parse(Node("a", json.dumps({**payload, "zone": short}).encode())) for _ in "ab"
    )
    assert one.zone is other.zone
    assert short in _pool


def test_a_member_that_tells_an_empty_id_is_told_as_unreadable() -> None:
    """What changed of it was told as if the service had."""
    tree = open_tree(parse_registry("zk://h/?preset=hdfs"))
    path = "/hadoop-ha/ns1/ActiveStandbyElectorLock"
    node = b"\x0a\x03ns1\x12\x00\x1a\x0810.0.0.1\x20\x50"
    catalog = read_into(tree, {path: node}).catalog()
    assert [(i.id, i.state) for i in catalog.services["ns1"].instances] == [
        ("ActiveStandbyElectorLock", State.UNREADABLE)
    ]
    assert [p.what for p in catalog.problems] == ["the id that it tells is empty"]
