"""What one node may cost that somebody fills with all that ZooKeeper takes: a bounded number of steps,
whatever it holds and whoever reads it, never one for each of its items."""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.steps import steps
from zkdns.health.consensus import read_ballot
from zkdns.model import Data, Stat
from zkdns.pipeline.replica import read_node
from zkdns.registry import fields, formats, json_values, overrides, presets
from zkdns.registry import settings as service_settings
from zkdns.registry.addresses import where
from zkdns.registry.fields import BadData
from zkdns.registry.json_values import MAX_ITEMS, Fields
from zkdns.registry.labels import to_label
from zkdns.registry.readers import reader_of
from zkdns.registry.url import parse_registry

MIB = 1 << 20
STAT = Stat(1, 1, 1_700_000_000.0, True)
A = b'"10.0.0.1"'
MOST = 60_000
"""Lines of ours that one node may run: some milliseconds. Each of its items would take ten times that."""


def many(item: bytes | Callable[[int], bytes], size: int = MIB - 4096) -> bytes:
    """As many of them as there is room for, with commas between."""
    if isinstance(item, bytes):
        return b",".join([item] * (size // (len(item) + 1)))
    items, room, n = [], size, 0
    while room > 0:
        items.append(item(n))
        room -= len(items[-1]) + 1
        n += 1
    return b",".join(items)


def keys(value: bytes) -> bytes:
    return many(lambda n: b'"k%d":%s' % (n, value))


@cache
def many_addresses() -> bytes:
    return many(lambda n: b'"10.%d.%d.%d"' % (n >> 16, n >> 8 & 255, n & 255))


@cache
def texts() -> bytes:
    return many(lambda n: b'"t%d"' % n)


@cache
def urls() -> bytes:
    return many(lambda n: b'"http://h%d:80"' % n)


@cache
def megabyte() -> bytes:
    return b"a." * (MIB // 2 - 2048)


@cache
def nested() -> bytes:
    return many(b"[" * 100 + b"]" * 100)


MADE: dict[str, Callable[[], bytes]] = {
    "addresses": lambda: b'{"port":80,"address":[%s]}' % many_addresses(),
    "an address over and over": lambda: b'{"address":[%s]}' % many(A),
    "an address of a megabyte": lambda: b'{"address":"%s"}' % megabyte(),
    "no address, of spaces": lambda: b'{"address":"%s"}' % (b" " * MIB),
    "an address of colons": lambda: b'{"address":"%s"}' % (b":" * MIB),
    "fields over and over": lambda: b"{%s}" % many(b'"address":%s' % A),
    "tags": lambda: b'{"address":%s,"tags":[%s]}' % (A, texts()),
    "tags that are none": lambda: b'{"address":%s,"tags":[%s]}' % (A, many(b"{}")),
    "ports": lambda: b'{"address":%s,"ports":{%s}}' % (A, keys(b"80")),
    "meta": lambda: b'{"address":%s,"meta":{%s}}' % (A, keys(b'"v"')),
    "meta of numbers near their limits": lambda: b'{"address":%s,"meta":{%s}}' % (A, keys(b"1e300")),
    "meta of one long word": lambda: b'{"address":%s,"meta":{"k":"%s"}}' % (A, megabyte()),
    "unknown keys": lambda: b'{"address":%s,%s}' % (A, keys(b"1")),
    "unknown objects": lambda: b'{"address":%s,%s}' % (A, keys(b'{"a":1}')),
    "lists in lists": lambda: b'{"address":%s,"x":[%s]}' % (A, nested()),
    "lists that open and never close": lambda: b"[" * MIB,
    "lists instead of an object": lambda: b"[%s]" % nested(),
    "a key that nobody can read": lambda: b'{"%s":1}' % (b"\\u0007" * (MIB // 6)),
    "no text": lambda: b"\xff" * MIB,
    "lines": lambda: b"server.1=a:1:2:participant;3\n" * (MIB // 30),
    "pairs": lambda: b"a=b;" * (MIB // 4),
    "curator": lambda: b'{"address":%s,"serviceType":"DYNAMIC","payload":{"metadata":{%s}}}'
    % (A, keys(b'"v"')),
    "dubbo endpoints": lambda: b'{"address":%s,"uriSpec":1,"payload":{"metadata":{"dubbo.endpoints":"[%s]"}}}'
    % (A, many(b'{\\"port\\":1,\\"protocol\\":\\"a\\"}')),
    "serverset": lambda: b'{"serviceEndpoint":{"host":%s,"port":1},"additionalEndpoints":{%s}}'
    % (A, keys(b'{"host":%s,"port":1}' % A)),
    "nerve": lambda: b'{"host":%s,"port":1,"labels":{%s}}' % (A, keys(b"1")),
    "registrar": lambda: b'{"type":"host","host":{"address":%s,"ports":[%s]}}' % (A, many(b"1")),
    "database": lambda: b'{"type":"database","database":{"primary":"tcp://%s"}}' % megabyte(),
    "registrar's service": lambda: b'{"type":"service","service":{"srvce":"_%s","ttl":%s}}'
    % (megabyte(), b"9" * 999),
    "kafka": lambda: b'{"endpoints":[%s],"host":null,"port":-1}' % urls(),
    "d2": lambda: b'{"partitionDesc":{%s}}' % keys(b'{"0":{"weight":1.0}}'),
    "d2 of one URI": lambda: b'{"partitionDesc":{"http://h:80":{%s}}}' % keys(b'{"weight":1.0}'),
    "d2 weights": lambda: b'{"weights":{%s}}' % many(lambda n: b'"http://h%d:80":1.0' % n),
    "urls": lambda: b"{%s}" % ",".join(
        f'"{field}":"http://{"a" * 100_000}:80"'
        for field in ("pulsarServiceUrl", "conn_url", "api_url", "address", "addr", "admin_addr", "pid")
    ).encode(),
    "containers": lambda: b'{"IP":%s,"PublicPort":1,"Tags":[%s]}' % (A, texts()),
    "attributes": lambda: b'{"IP":%s,"PublicPort":1,"Attrs":{%s}}' % (A, keys(b'"1"')),
    "helix": lambda: b'{"simpleFields":{%s}}' % keys(b'"v"'),
    "druid": lambda: b'{"druidNode":{%s}}' % keys(b'"v"'),
    "protobuf": lambda: b"\x08\x01" * (MIB // 2),
    "protobuf in protobuf": lambda: (b"\x32\x04\x08\x01\x08\x01") * (MIB // 6),
    "protobuf of long messages": lambda: (b"\x32\xe8\x07" + b"\x08\x01" * 500) * 1000,
    "hbase": lambda: b"PBUF" + b"\x0a\x06\x08\x01\x08\x01\x08\x01" * (MIB // 8),
    "check of many keys": lambda: b'{"check":{"type":"tcp","timeout":11,%s}}' % keys(b"1"),
    "a command of words": lambda: b'{"check":{"type":"command","command":"%s"}}' % (b"a " * (MIB // 2)),
    "a command of quotes": lambda: b'{"check":{"type":"command","command":"%s"}}' % (b"'" * (MIB - 1)),
    "a command's list": lambda: b'{"check":{"type":"command","command":[%s]}}' % texts(),
    "a path of a megabyte": lambda: b'{"check":{"type":"http","path":"/%s"}}' % megabyte(),
    "a port of a megabyte": lambda: b'{"check":{"type":"tcp","port":"%s"}}' % megabyte(),
    "tiers": lambda: b'{"to":[%s]}' % many(b'{"a":1}'),
    "targets": lambda: b'{"to":[{%s}]}' % keys(b"1"),
    "a target of a megabyte": lambda: b'{"to":[{"%s":1}],"from":[{%s}]}' % (megabyte()[: MIB // 2], b'"a":1'),
    "overrides upon each other": lambda: b'{"under":' * 300 + b'{"to":[%s]}' % many(b"1e300") + b"}" * 300,
    "moments over and over": lambda: b'{"drain":true,%s}' % many(b'"until":1e300'),
    "votes": lambda: b'{"good":[%s]}' % texts()[: MIB // 4].rpartition(b",")[0],
}  # fmt: skip
"""By what they are. Each is a megabyte, and made by whoever reads it."""


@cache
def shape_of(what: str) -> bytes:
    return MADE[what]()


NAMES = (
    "a",
    "serverUri=" + "a=b;" * 200_000,
    "dubbo%3A%2F%2F" + "%41" * 300_000,
    "dubbo%3A%2F%2F10.0.0.1%3A80%2Fx%3F" + "a%3Db%26" * 7_000,
    "base64_99999_" + "e30K" * 25_000,
    "host:8983_" + "%41" * 300_000,
)


def read_as(url: str, names: tuple[str, ...], data: bytes) -> None:
    reader = reader_of(parse_registry(url))
    event = Data("/" + "/".join(names), data, STAT)
    for service in list(reader.owners(names)):
        reader.read(service, names, event)


def places_of(preset: str) -> list[tuple[str, ...]]:
    """A node of each of its places."""
    places = presets.named(preset).places
    return [tuple(s.literal or "a-0000000001" for s in place.layout.segments) for place in places]


FORMATS = {format: f"zk://h/services?format={format}" for format in formats.names()}
FORMATS["json"] = "zk://h/services?format=json&address=address&port=meta.k1&weight=tags&status=x"
OWN: dict[str, Callable[[bytes], object]] = {
    "an override": lambda data: overrides.parse(data),
    "a route that is laid": lambda data: overrides.parse_laid(data),
    "a replica": read_node,
    "a ballot": read_ballot,
}


def cost(url: str, names: tuple[str, ...], data: bytes) -> int:
    return steps(lambda: read_as(url, names, data), "")


def refused(read: Callable[[bytes], object], data: bytes) -> None:
    with suppress(ValueError):
        read(data)


@pytest.mark.parametrize("shape", MADE)
def test_a_megabyte_costs_no_step_for_each_of_its_items_whoever_reads_it(shape: str) -> None:
    data = shape_of(shape)
    costs = {}
    for format, url in FORMATS.items():
        costs[format] = cost(url, ("web", "a"), data)
        costs[f"{format}, of a service"] = cost(url, ("web",), data)
    for preset in presets.names():
        for names in places_of(preset):
            costs[f"{preset} {names}"] = cost(f"zk://h/?preset={preset}", names, data)
    for what, read in OWN.items():
        costs[what] = steps(lambda read=read: refused(read, data), "")
    assert {what: cost for what, cost in costs.items() if cost > MOST} == {}


@pytest.mark.parametrize(
    "data", [b"[{},{}]", b"[1,1", b"[" * 5000, b'{"a":1', b'"text"', b"\xff", b"1" * 400]
)
def test_what_is_no_object_is_read_once_to_be_told_so(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of values was read again for what is told of it, some 20 ms each time."""
    read: list[bytes] = []
    real = json_values.read
    monkeypatch.setattr(json_values, "read", lambda data: read.append(data) or real(data))
    for url, names in (
        *((url, names) for url in FORMATS.values() for names in (("web", "a"), ("web",))),
        *((f"zk://h/?preset={preset}", names) for preset in presets.names() for names in places_of(preset)),
    ):
        read.clear()
        read_as(url, names, data)
        assert len(read) <= 1, (url, names)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
def test_a_name_of_a_megabyte_costs_as_little(name: str) -> None:
    costs = {format: cost(url, ("web", name), b"") for format, url in FORMATS.items()}
    for preset in presets.names():
        for names in places_of(preset):
            costs[f"{preset} {names}"] = cost(f"zk://h/?preset={preset}", (*names[:-1], name), b"")
    assert {what: cost for what, cost in costs.items() if cost > MOST} == {}
    assert len(to_label(name)) <= 63


@pytest.mark.parametrize("preset", presets.names())
def test_no_preset_reads_a_node_whose_name_is_of_a_megabyte(preset: str) -> None:
    """A pattern that goes back over it, or only looks for its end, took 30 ms in one step of ours."""
    for place in presets.named(preset).places:
        read: list[str] = []
        unread = replace(place, read=lambda node, holes, read=read: read.append(node.name) or ())
        assert unread.parts(formats.Node("1" * MIB, b""), {})[1] is not None
        assert unread.parts(formats.Node("1" * 100, b""), {}) == ((), None)
        assert read == ["1" * 100]


def test_the_table_has_something_for_each_reader_to_read() -> None:
    """Otherwise it would be cheap because it is refused at once."""
    reader = reader_of(parse_registry("zk://h/services"))
    read = {what: reader.read("web", ("web", "a"), Data("/web/a", shape_of(what), STAT)) for what in MADE}
    served = {shape for shape, told in read.items() if getattr(told, "instance", told) is not None}
    assert len(served) > 20
    assert read["tags"].instance.registration.tags[:2] == ("t0", "t1")
    assert [p.what for p in read["addresses"].problems] == [
        f"it has {MAX_ITEMS} addresses or more, and 64 are taken: the others are left out"
    ]


def blocks(act: Callable[[], object]) -> int:
    """How many pieces of memory hold what comes of it."""
    before = sys.getallocatedblocks()
    held = act()
    after = sys.getallocatedblocks()
    del held
    return after - before


@pytest.mark.parametrize("shape", ["lists in lists", "tiers", "d2 of one URI"])
def test_what_nobody_asks_for_is_not_made_of_a_large_payload(shape: str) -> None:
    data = shape_of(shape)
    assert blocks(lambda: msgspec.json.decode(data)) > 100_000
    assert blocks(lambda: json_values.read(data)) < 100_000 // 3
    assert blocks(lambda: json_values.read(b'{"x":%s}' % data)) < 100


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=6))
def test_an_object_that_is_read_at_need_says_what_one_says_that_is_read_whole(value: dict[str, Any]) -> None:
    lazy = json_values._read(msgspec.json.encode(value))
    assert isinstance(lazy, Fields)
    assert set(lazy) == set(value)
    for key, held in value.items():
        assert plain(lazy[key]) == lazy.get(key) == plain(held)
    assert dict(lazy.items()) == plain(value)


def plain(value: Any) -> Any:
    """Lists in lists are read by nobody, and stay as they are written."""
    if isinstance(value, list):
        return [ANY if isinstance(item, list | msgspec.Raw) else plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def test_what_can_not_be_read_in_it_is_of_no_type_that_anybody_takes() -> None:
    lazy = json_values._read(b'{"a":"\xff","b":[1,"\xff"],"c":1}')
    assert isinstance(lazy["a"], msgspec.Raw)
    assert isinstance(lazy["b"][1], msgspec.Raw)
    assert lazy["c"] == 1
    with pytest.raises(BadData):
        where(lazy["a"])


@pytest.mark.parametrize("read", [json_values.read, lambda data: json_values.read(data + b" " * MIB)])
def test_floats_are_read_by_python_which_is_quick_near_their_limits(read: Callable[[bytes], Any]) -> None:
    """msgspec alone refuses one that is too large."""
    assert read(b"[1e300,1e400,-0.5]") == [1e300, math.inf, -0.5]


def test_a_float_that_json_can_not_spell_is_no_meta() -> None:
    with pytest.raises(BadData, match="meta is"):
        formats.named("native").parse(formats.Node("a", b'{"address":"10.0.0.1","meta":{"k":1e400}}'))
    assert fields.loose_meta({"k": math.inf, "l": 1.5}) == {"l": "1.5"}


@pytest.mark.parametrize("moment", [b"1e400", b"-1e400", b'"x"', b"true", b"1" * 400])
def test_an_override_that_ends_at_no_time_is_none(moment: bytes) -> None:
    with pytest.raises(ValueError, match=r"until is .*, not a time in seconds"):
        overrides.parse(b'{"drain":true,"until":%s}' % moment)


def test_long_values_are_not_kept_to_be_shared() -> None:
    """Whoever writes another megabyte again and again would take all the memory."""
    for n in range(8):
        one = fields.share((("k", f"{n}" * MIB),))
        assert one not in fields._pool
    assert fields.share(("a", "b")) is fields.share(("a", "b"))


def test_what_is_told_of_a_payload_is_short() -> None:
    error = BadData("\a" * MIB, "\a" * MIB)
    assert len(str(error)) + len(error.what) + len(error.cure) < 10_000


def test_of_a_preset_too_an_instance_has_so_much_and_no_more() -> None:
    url = "zk://h/?preset=kafka"
    ends = [f"L{n}://10.0.0.1:{9000 + n}" for n in range(100)]
    data = json.dumps({"endpoints": ends, "host": None, "port": -1}).encode()
    reader = reader_of(parse_registry(url))
    told = reader.read("kafka", ("brokers", "ids", "1"), Data("/brokers/ids/1", data, STAT))
    (part,) = told.found[0].parts
    assert len(part.ports) == fields.MAX_PORTS
    assert [p.what for p in told.problems] == ["it has 100 ports, and 64 are taken: the others are left out"]


@pytest.mark.parametrize(
    ("check", "what"),
    [
        ({"type": "command", "command": "a " * service_settings.MAX_COMMAND_WORDS * 99}, "check.command"),
        ({"type": "command", "command": ["a"] * (service_settings.MAX_COMMAND_WORDS + 1)}, "check.command"),
        ({"type": "command", "command": ["a" * 5000, "b" * 5000]}, "check.command"),
        ({"type": "http", "path": "/" + "a" * service_settings.MAX_PATH_CHARACTERS}, "check.path"),
        ({"type": "tcp", "port": "a" * (service_settings.MAX_NAME_CHARACTERS + 1)}, "check.port"),
    ],
)  # fmt: skip
def test_a_check_that_says_too_much_is_none_and_is_told(check: dict[str, object], what: str) -> None:
    read, wrong, _ = service_settings.read("native", json.dumps({"check": check, "ttl": 7}).encode())
    assert (read.check, read.ttl) == (None, 7)
    (error,) = wrong
    assert error.what.startswith(f"{what} is ")


WIDE: dict[str, bytes] = {
    "a list of numbers": b"[%s]" % many(b"1"),
    "a list of texts": b"[%s]" % many(b'""'),
    "a list of texts and a number": b"[%s,1]" % many(b'","'),
    "a list of objects": b"[%s]" % many(b"{}"),
    "an object": b"{%s}" % keys(b"1"),
    "an object with spaces": b"{ %s }" % many(lambda n: b' "k%d" : [ { } ] ' % n),
    "one key": b"{%s}" % many(b'"":1'),
}


@pytest.mark.parametrize("shape", WIDE)
@pytest.mark.parametrize("around", [b"%s", b'{"x":%s,"a":1}'], ids=["alone", "below a key"])
def test_of_very_many_values_the_first_are_made_and_no_others(shape: str, around: bytes) -> None:
    """Half a million were 47 ms, of which a thousand were read."""
    data = WIDE[shape]
    whole = around % data
    tracemalloc.start()
    read = json_values.read(whole)
    if around != b"%s":
        assert read["a"] == 1
        read = read["x"]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * MIB, "a copy or two of the data"
    first = msgspec.json.decode(data)
    some = dict(list(first.items())[:MAX_ITEMS]) if isinstance(first, dict) else first[:MAX_ITEMS]
    assert plain(read if isinstance(read, list) else dict(read.items())) == plain(some)
