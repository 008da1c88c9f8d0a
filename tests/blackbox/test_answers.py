"""Each row and each rule of "names and answers", asked of a running server over a real ZooKeeper."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from support import zookeeper as real
from support.server import Zkdns

pytestmark = pytest.mark.zookeeper

HTTP = {"http": 8080, "metrics": 9100}

REGISTERED: dict[str, dict[str, Any]] = {
    "web": {"": {"ttl": 7}},
    "web/a": {"address": "10.0.0.1", "port": 8080, "weight": 1, "tags": ["canary", "B"], "ports": HTTP},
    "web/b": {"address": ["10.0.0.2", "fd00::2"], "port": 8080, "weight": 3, "ports": {"http": 8081}},
    "web/c": {"address": "10.0.0.3", "port": 8080, "status": "down", "tags": ["canary", "lost"]},
    "web/d": {"address": "10.0.0.4", "port": 8080, "weight": 0, "meta": {"version": "1.4"}},
    "tiers/a": {"address": "10.1.0.1", "port": 1, "status": "down"},
    "tiers/b": {"address": "10.1.0.2", "port": 2, "priority": 5, "weight": 40},
    "tiers/c": {"address": "fd00:1::3", "port": 3, "priority": 9, "weight": 50},
    "tiers/d": {"address": "10.1.0.4", "port": 4, "priority": 9, "weight": 0},
    "dead/a": {"address": "10.2.0.1", "port": 1, "status": "draining", "tags": ["old"]},
    "dead/b": {"address": "10.2.0.2", "port": 1, "status": "down"},
    "dead/c": {"address": "10.2.0.3", "port": 1, "status": "starting"},
    "empty": {},
    "dns-udp/a": {"address": "10.3.0.1", "port": 53, "protocol": "udp", "ports": {"dns": 53}},
    "twice/a": {"address": "10.4.0.1", "port": 1, "weight": 1},
    "twice/b": {"address": "10.4.0.1", "port": 2, "weight": 2},
    "twice/c": {"address": "10.4.0.2", "port": 1, "weight": 1},
    "portless/a": {"address": "10.5.0.1"},
    "first": {"": {"policy": "first", "answers": 2}},
    "robin": {"": {"policy": "round_robin"}},
    "chance": {"": {"policy": "random"}},
    "scaled": {"": {"srv_scale": 256}},
    "scaled/a": {"address": "10.7.0.1", "port": 1, "weight": 10},
    "scaled/b": {"address": "10.7.0.2", "port": 1, "weight": 300},
    "zeros/a": {"address": "10.8.0.1", "port": 1, "weight": 0},
    "zeros/b": {"address": "10.8.0.2", "port": 1, "weight": 0},
    "counted/a": {"address": "10.10.0.1", "port": 1, "weight": 1},
    "counted/b": {"address": "10.10.0.2", "port": 1, "weight": 3},
    "counted/c": {"address": "10.10.0.3", "port": 1, "weight": 5, "status": "down"},
    "big": {"": {"answers": 500}},
}
for _service in ("first", "robin", "chance"):
    for _n, _id in enumerate("abc"):
        REGISTERED[f"{_service}/{_id}"] = {"address": f"10.6.0.{_n + 1}", "port": 1, "weight": _n + 1}
for _n in range(100):
    REGISTERED[f"big/i{_n:03}"] = {"address": f"10.9.0.{_n + 1}", "port": 7}


@pytest.fixture(scope="module")
def world(zookeeper: real.ZooKeeperServer, engine: str) -> Iterator[Zkdns]:
    """One server of each engine with all of the above. Tests that change something take another."""
    root = real.unique_root()
    client = zookeeper.client()
    client.ensure_path(root)
    for path, fields in REGISTERED.items():
        client.ensure_path(f"{root}/{path}".rpartition("/")[0])
        fields = fields.get("", fields)
        client.create(f"{root}/{path}", json.dumps(fields).encode() if fields else b"")
    flags = ("--zone", "svc.local", "--zone", "corp.example", "--engine", engine, "--ttl", "4")
    with Zkdns(*flags, registry=f"zk://{zookeeper.hosts}{root}") as server:
        yield server
    real.finish(client)


def ede(reply: dns.message.Message) -> list[tuple[int, str]]:
    return [(int(o.code), o.text or "") for o in reply.options if isinstance(o, dns.edns.EDEOption)]


def extra(reply: dns.message.Message) -> list[tuple[str, str]]:
    return sorted((r.name.to_text(), i.to_text()) for r in reply.additional for i in r)


def is_nodata(reply: dns.message.Message, zone: str = "svc.local.") -> bool:
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.answer
    return has_soa(reply, zone)


def is_nxdomain(reply: dns.message.Message, zone: str = "svc.local.") -> bool:
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert not reply.answer
    return has_soa(reply, zone)


def has_soa(reply: dns.message.Message, zone: str) -> bool:
    assert reply.flags & dns.flags.AA
    [soa] = reply.authority
    assert soa.rdtype == dns.rdatatype.SOA
    assert soa.name.to_text() == zone
    assert soa.ttl <= 2
    assert soa[0].minimum <= 2
    return True


# --- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["svc.local", "corp.example"])
def test_a_service_answers_with_its_healthy_instances_in_each_zone(world: Zkdns, zone: str) -> None:
    assert world.answers(f"web.{zone}") == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert world.answers(f"web.{zone}", "AAAA") == ["fd00::2"]


def test_only_the_lowest_priority_that_has_a_healthy_instance_serves(world: Zkdns) -> None:
    assert world.answers("tiers.svc.local") == ["10.1.0.2"]


def test_no_address_of_the_asked_family_in_the_serving_tier_is_nodata(world: Zkdns) -> None:
    assert is_nodata(world.ask("tiers.svc.local", "AAAA"))


@pytest.mark.parametrize("owner", ["tiers.svc.local", "_tiers._tcp.svc.local"])
def test_srv_gives_every_priority_in_order_with_addresses_beside(world: Zkdns, owner: str) -> None:
    reply = world.ask(owner, "SRV", edns=True)
    [rrset] = reply.answer
    said = [item.to_text() for item in rrset]
    assert said == [
        "5 40 2 b.tiers.svc.local.",
        "9 50 3 c.tiers.svc.local.",
        "9 0 4 d.tiers.svc.local.",
    ]
    assert extra(reply) == [
        ("b.tiers.svc.local.", "10.1.0.2"),
        ("c.tiers.svc.local.", "fd00:1::3"),
        ("d.tiers.svc.local.", "10.1.0.4"),
    ]


def test_srv_targets_stand_in_the_zone_that_was_asked(world: Zkdns) -> None:
    assert world.answers("_first._tcp.corp.example", "SRV")[0].endswith(" a.first.corp.example.")


def test_a_named_port_has_an_srv_name_of_its_own(world: Zkdns) -> None:
    assert world.answers("_http._tcp.web.svc.local", "SRV") == [
        "0 1 8080 a.web.svc.local.",
        "0 3 8081 b.web.svc.local.",
    ]
    assert world.answers("_metrics._tcp.web.svc.local", "SRV") == ["0 1 9100 a.web.svc.local."]
    assert is_nodata(world.ask("_http._tcp.web.svc.local", "A"))
    assert is_nxdomain(world.ask("_http._udp.web.svc.local", "SRV"))


def test_an_instance_without_a_main_port_is_in_a_and_not_in_srv(world: Zkdns) -> None:
    assert world.answers("portless.svc.local") == ["10.5.0.1"]
    assert is_nodata(world.ask("portless.svc.local", "SRV"))
    assert is_nodata(world.ask("a.portless.svc.local", "SRV"))


def test_a_udp_service_stands_under_udp(world: Zkdns) -> None:
    assert world.answers("_dns-udp._udp.svc.local", "SRV") == ["0 1 53 a.dns-udp.svc.local."]
    assert world.answers("_dns._udp.dns-udp.svc.local", "SRV") == ["0 1 53 a.dns-udp.svc.local."]
    assert is_nxdomain(world.ask("_dns-udp._tcp.svc.local", "SRV"))


@pytest.mark.parametrize("id", "abcd")
def test_an_instance_has_its_own_name_whatever_its_health(world: Zkdns, id: str) -> None:
    number = "abcd".index(id) + 1
    assert world.answers(f"{id}.web.svc.local") == [f"10.0.0.{number}"]
    assert world.answers(f"{id}.web.svc.local", "SRV")[0].endswith(f" 8080 {id}.web.svc.local.")
    said = " ".join(world.answers(f"{id}.web.svc.local", "TXT"))
    assert ("state=down" if id == "c" else "state=healthy") in said
    if id == "b":
        assert world.answers("b.web.svc.local", "AAAA") == ["fd00::2"]
    else:
        assert is_nodata(world.ask(f"{id}.web.svc.local", "AAAA"))


def test_the_srv_of_one_instance_has_its_addresses_beside_it(world: Zkdns) -> None:
    reply = world.ask("b.web.svc.local", "SRV")
    assert extra(reply) == [("b.web.svc.local.", "10.0.0.2"), ("b.web.svc.local.", "fd00::2")]


def test_a_tag_names_its_healthy_instances_and_an_id_wins_over_it(world: Zkdns) -> None:
    assert world.answers("canary.web.svc.local") == ["10.0.0.1"]
    assert world.answers("canary.web.svc.local", "SRV") == ["0 1 8080 a.web.svc.local."]
    assert world.answers("b.web.svc.local") == ["10.0.0.2"]
    assert is_nodata(world.ask("canary.web.svc.local", "AAAA"))
    assert is_nodata(world.ask("lost.web.svc.local", "A"))
    assert is_nodata(world.ask("old.dead.svc.local", "SRV"))


def test_txt_tells_a_person_how_the_service_stands(world: Zkdns) -> None:
    [said] = world.answers("web.svc.local", "TXT")
    for word in ('"instances=4"', '"healthy=3"', '"policy=weighted"'):
        assert word in said
    [said] = world.answers("empty.svc.local", "TXT")
    assert '"instances=0" "healthy=0"' in said


def test_browsing_lists_services_then_instances_then_their_place(world: Zkdns) -> None:
    kinds = world.answers("_services._dns-sd._udp.svc.local", "PTR", tcp=True)
    assert "_web._tcp.svc.local." in kinds
    assert "_dns-udp._udp.svc.local." in kinds
    assert world.answers("_services._dns-sd._udp.corp.example", "PTR", tcp=True)[0].endswith(".corp.example.")
    found = world.answers("_web._tcp.svc.local", "PTR")
    assert found == [f"{id}._web._tcp.svc.local." for id in "abd"]
    assert world.answers(found[1], "SRV") == ["0 3 8080 b.web.svc.local."]
    assert '"version=1.4"' in world.answers("d._web._tcp.svc.local", "TXT")[0]
    assert world.answers("a._web._tcp.svc.local", "TXT") == ['""']


def test_reverse_names_lead_to_every_instance_at_the_address(world: Zkdns) -> None:
    assert world.answers("1.0.0.10.in-addr.arpa", "PTR") == ["a.web.svc.local."]
    assert world.answers("3.0.0.10.in-addr.arpa", "PTR") == ["c.web.svc.local."]
    assert world.answers("1.0.4.10.in-addr.arpa", "PTR") == ["a.twice.svc.local.", "b.twice.svc.local."]
    assert world.answers("1.0.6.10.in-addr.arpa", "PTR") == [
        "a.chance.svc.local.", "a.first.svc.local.", "a.robin.svc.local.",
    ]  # fmt: skip
    v6 = dns.name.from_text("2." + "0." * 27 + "0.0.d.f.ip6.arpa").to_text()
    assert world.answers(v6, "PTR") == ["b.web.svc.local."]
    assert world.ask("1.0.0.10.IN-ADDR.arpa", "PTR").flags & dns.flags.AA


@pytest.mark.parametrize(
    "name", ["9.9.9.9.in-addr.arpa", "0.0.10.in-addr.arpa", "www.example.com", "local", "."]
)
def test_what_is_not_ours_is_refused_with_a_reason(world: Zkdns, name: str) -> None:
    reply = world.ask(name, "PTR", edns=True)
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & dns.flags.AA
    assert ede(reply)[0][0] == 18


def test_the_apex_has_soa_and_ns_and_the_ns_has_an_address(world: Zkdns) -> None:
    for zone in ("svc.local", "corp.example"):
        [soa] = world.ask(zone, "SOA").answer
        assert soa.ttl <= 2
        assert soa[0].minimum <= 2
        for server in world.answers(zone, "NS"):
            assert world.answers(server) == ["127.0.0.1"]
        assert is_nodata(world.ask(zone, "A"), zone + ".")


def test_the_serial_is_the_largest_zxid_of_what_makes_the_answers(
    world: Zkdns, zookeeper: real.ZooKeeperServer
) -> None:
    root = world.command[world.command.index("--registry") + 1].rpartition("/")[2]
    client = zookeeper.client()

    def largest() -> int:
        found, waiting = 0, [f"/{root}", "/zkdns/overrides", "/zkdns/health"]
        while waiting:
            path = waiting.pop()
            stat = client.exists(path)
            if stat is not None:
                found = max(found, stat.mzxid, stat.pzxid)
                waiting += [f"{path}/{name}" for name in client.get_children(path)]
        return found

    before = largest()
    serials = {world.ask(zone, "SOA").answer[0][0].serial for zone in ("svc.local", "corp.example")}
    if largest() == before:  # else another test moved /zkdns meanwhile
        assert serials == {((before >> 32) * 2**24 + (before & 0xFFFFFFFF)) % 2**32}
    real.finish(client)


# --- policies --------------------------------------------------------------------------------------


def firsts(server: Zkdns, name: str, times: int, type: str = "A", **how: Any) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(times):
        [rrset] = server.ask(name, type, **how).answer
        found[rrset[0].to_text()] += 1
    return found


def test_first_places_are_exactly_the_weights_over_a_cycle(world: Zkdns) -> None:
    assert firsts(world, "web.svc.local", 40) == {"10.0.0.1": 10, "10.0.0.2": 30}
    assert firsts(world, "web.svc.local", 8, tcp=True) == {"10.0.0.1": 2, "10.0.0.2": 6}


def test_the_order_of_srv_follows_the_weights_too(world: Zkdns) -> None:
    found = firsts(world, "_http._tcp.web.svc.local", 40, "SRV")
    assert found == {"0 1 8080 a.web.svc.local.": 10, "0 3 8081 b.web.svc.local.": 30}


def test_first_is_stable_and_answers_cuts_each_type(world: Zkdns) -> None:
    assert firsts(world, "first.svc.local", 6) == {"10.6.0.1": 6}
    assert world.answers("first.svc.local") == ["10.6.0.1", "10.6.0.2"]
    assert len(world.answers("first.svc.local", "SRV")) == 2


def test_round_robin_takes_turns_whatever_the_weights(world: Zkdns) -> None:
    assert firsts(world, "robin.svc.local", 9) == {f"10.6.0.{n}": 3 for n in (1, 2, 3)}


def test_random_gives_everyone_in_any_order(world: Zkdns) -> None:
    found = firsts(world, "chance.svc.local", 120)
    assert set(found) == {f"10.6.0.{n}" for n in (1, 2, 3)}
    assert min(found.values()) >= 15  # the mean is 40; far beyond seven sigma below it fails


def test_shares_and_first_answers_are_what_clients_got(world: Zkdns) -> None:
    found = firsts(world, "counted.svc.local", 8) + firsts(world, "counted.corp.example", 4, tcp=True)
    assert found == {"10.10.0.1": 3, "10.10.0.2": 9}
    told = {i["id"]: i for i in world.json("/api/v1/services/counted")["instances"]}
    assert {id: i["first_answers"] for id, i in told.items()} == {"a": 3, "b": 9, "c": 0}
    assert {id: i["share"] for id, i in told.items()} == {"a": 0.25, "b": 0.75, "c": 0}
    metrics = {name: value for name, value in world.metrics().items() if 'service="counted"' in name}
    assert [n for name, n in metrics.items() if "first_answers" in name and '"b"' in name] == [9]


def test_all_weights_zero_are_equal_shares(world: Zkdns) -> None:
    assert firsts(world, "zeros.svc.local", 10) == {"10.8.0.1": 5, "10.8.0.2": 5}


def test_the_rest_of_the_answer_is_shuffled(world: Zkdns) -> None:
    seconds = Counter(world.ask("web.svc.local").answer[0][1].to_text() for _ in range(40))
    assert len(seconds) >= 2


# --- one address twice -------------------------------------------------------------------------------


def test_an_address_registered_twice_is_one_a_with_the_weights_added(world: Zkdns) -> None:
    assert world.answers("twice.svc.local") == ["10.4.0.1", "10.4.0.2"]
    [rrset] = world.ask("twice.svc.local").answer
    assert len(rrset) == 2
    assert firsts(world, "twice.svc.local", 40) == {"10.4.0.1": 30, "10.4.0.2": 10}


def test_two_ports_at_one_address_are_two_srv_and_one_additional_record(world: Zkdns) -> None:
    reply = world.ask("twice.svc.local", "SRV")
    assert len(reply.answer[0]) == 3
    addresses = [address for _, address in extra(reply)]
    assert sorted(addresses) == ["10.4.0.1", "10.4.0.2"]
    targets = {item.target.to_text() for item in reply.answer[0]}
    assert {name for name, _ in extra(reply)} == targets


def test_srv_scale_multiplies_srv_weights_alone(world: Zkdns) -> None:
    assert world.answers("scaled.svc.local", "SRV") == [
        "0 2560 1 a.scaled.svc.local.", "0 65535 1 b.scaled.svc.local.",
    ]  # fmt: skip
    assert world.answers("a.scaled.svc.local", "SRV") == ["0 2560 1 a.scaled.svc.local."]
    assert firsts(world, "scaled.svc.local", 31) == {"10.7.0.1": 1, "10.7.0.2": 30}


# --- nothing there -----------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["A", "AAAA", "SRV"])
@pytest.mark.parametrize("name", ["dead", "empty"])
def test_a_service_with_nobody_healthy_is_nodata(world: Zkdns, name: str, type: str) -> None:
    assert is_nodata(world.ask(f"{name}.svc.local", type))
    if type == "SRV":
        assert is_nodata(world.ask(f"_{name}._tcp.svc.local", type))


@pytest.mark.parametrize("name", ["_tcp.web", "_tcp", "_udp.dns-udp", "_udp", "_dns-sd._udp"])
def test_an_empty_non_terminal_is_nodata(world: Zkdns, name: str) -> None:
    for type in ("A", "SRV", "TXT"):
        assert is_nodata(world.ask(f"{name}.svc.local", type))


@pytest.mark.parametrize("type", ["A", "AAAA", "SRV", "TXT", "PTR", "SOA", "NS", "CNAME", "MX", "TYPE999"])
@pytest.mark.parametrize(
    "name", ["nope", "nope.web", "_nope._tcp.web", "_nope._tcp", "x.a.web", "nope._web._tcp"]
)
def test_a_name_that_does_not_exist_is_nxdomain_for_every_type(world: Zkdns, name: str, type: str) -> None:
    assert is_nxdomain(world.ask(f"{name}.svc.local", type))


@pytest.mark.parametrize("type", ["MX", "CNAME", "SOA", "NS", "HTTPS", "TYPE999"])
@pytest.mark.parametrize("name", ["web", "a.web", "_web._tcp", "_http._tcp.web", "canary.web"])
def test_another_type_of_a_name_that_exists_is_nodata(world: Zkdns, name: str, type: str) -> None:
    assert is_nodata(world.ask(f"{name}.svc.local", type))


def test_the_text_of_nodata_tells_the_counts(world: Zkdns) -> None:
    [(_, text)] = ede(world.ask("dead.svc.local", "A", edns=True))
    assert text.startswith("dead: 3 registered, 0 healthy (")
    for part in ("1 draining", "1 down", "1 starting"):
        assert part in text
    [(_, text)] = ede(world.ask("empty.svc.local", "A", edns=True))
    assert text == "empty: 0 registered, 0 healthy"
    assert not ede(world.ask("web.svc.local", edns=True))
    assert all(len(text.encode()) < 100 for _, text in ede(world.ask("dead.svc.local", "SRV", edns=True)))


def test_ttls_are_the_services_or_the_servers(world: Zkdns) -> None:
    assert world.ask("web.svc.local").answer[0].ttl == 7
    assert world.ask("a.web.svc.local").answer[0].ttl == 7
    assert {r.ttl for r in world.ask("web.svc.local", "SRV").additional} == {7}
    assert world.ask("tiers.svc.local").answer[0].ttl == 4


# --- packets -----------------------------------------------------------------------------------------


def exchange(server: Zkdns, packet: bytes, timeout: float = 5.0) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((server.host, server.port))
        sock.send(packet)
        return sock.recv(65535)


@pytest.mark.parametrize(("edns", "room"), [(False, 512), (512, 512), (100, 512), (1000, 1000), (4096, 1232)])
def test_udp_answers_stay_within_their_size_and_give_what_fits(
    world: Zkdns, edns: bool | int, room: int
) -> None:
    for type in ("A", "SRV"):
        query = dns.message.make_query("big.svc.local", type, use_edns=0 if edns else False)
        if edns:
            query.use_edns(0, payload=edns)
        raw = exchange(world, query.to_wire())
        reply = dns.message.from_wire(raw)
        assert len(raw) <= room
        assert reply.flags & dns.flags.TC or (type == "A" and len(reply.answer[0]) == 100)
        assert not reply.additional
        one = 16 if type == "A" else len(raw) // len(reply.answer[0])
        assert room - len(raw) < one + 16
    assert len(world.answers("big.svc.local", tcp=True)) == 100


def test_tcp_gives_the_whole_with_its_additional_section(world: Zkdns) -> None:
    reply = world.ask("big.svc.local", "SRV", tcp=True)
    assert len(reply.answer[0]) == 100
    assert len(extra(reply)) == 100
    assert not reply.flags & dns.flags.TC


def test_the_additional_section_goes_first_and_without_tc(world: Zkdns) -> None:
    query = dns.message.make_query("_first._tcp.svc.local", "SRV")
    reply = dns.message.from_wire(exchange(world, query.to_wire()))
    assert extra(reply)
    long = world.ask("big.svc.local", "A", edns=1232)
    assert long.flags & dns.flags.TC


def test_the_question_comes_back_as_it_was_spelled(world: Zkdns) -> None:
    for name in (b"\3WeB\3sVc\5LOCAL\0", b"\1B\3wEb\3svc\5local\0", b"\4NoPe\3Svc\5local\0"):
        question = name + b"\0\1\0\1"
        reply = exchange(world, b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question)
        assert reply[:2] == b"\x12\x34"
        assert reply[12 : 12 + len(question)] == question


def test_answers_spell_their_owner_as_the_question_does(world: Zkdns) -> None:
    [rrset] = world.ask("WEB.svc.LOCAL").answer
    assert rrset.name.to_text() == "WEB.svc.LOCAL."


@pytest.mark.parametrize("name", ["web.svc.local", "nope.svc.local", "example.com", "svc.local"])
@pytest.mark.parametrize("flags", [0x0100, 0x0110, 0x0120, 0x0170, 0x0000, 0x0030])
def test_rd_is_copied_and_ad_z_ra_stay_clear(world: Zkdns, name: str, flags: int) -> None:
    query = dns.message.make_query(name, "A")
    query.flags = dns.flags.Flag(flags)
    reply = exchange(world, query.to_wire())
    said = struct.unpack("!H", reply[2:4])[0]
    assert said & 0x8000
    assert said & 0x0100 == flags & 0x0100
    assert not said & 0x0080  # RA: nothing is forwarded here
    assert not said & 0x0060  # Z and AD


def test_replies_and_short_packets_are_dropped(world: Zkdns) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((world.host, world.port))
        for junk in (b"", b"\0", b"\0" * 11, b"\0\1\x80\0\0\1\0\0\0\0\0\0\3web\3svc\5local\0\0\1\0\1"):
            sock.send(junk)
        sock.send(dns.message.make_query("web.svc.local", "A", id=77).to_wire())
        assert sock.recv(65535)[:2] == b"\0\x4d"


HEAD = b"\xab\xcd\1\0"
ONE = b"\0\1\0\0\0\0\0\0"
WEB = b"\3web\3svc\5local\0"


@pytest.mark.parametrize(
    "packet",
    [
        HEAD + b"\0" * 8,
        HEAD + b"\0\2\0\0\0\0\0\0" + (WEB + b"\0\1\0\1") * 2,
        HEAD + ONE + WEB[:-1],
        HEAD + ONE + WEB + b"\0\1\0",
        HEAD + ONE + WEB + b"\0\1\0\1extra",
        HEAD + ONE + b"\xc0\x0c\0\1\0\1",
        HEAD + ONE + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        HEAD + ONE + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
        HEAD + b"\0\1\0\0\0\0\0\1" + WEB + b"\0\1\0\1",
        HEAD + b"\0\1\0\0\0\0\0\1" + WEB + b"\0\1\0\1" + b"\0\0\x29\x10\0\0\0\0\0\0\5\0\x0a",
        HEAD + b"\0\1\0\0\0\0\0\2" + WEB + b"\0\1\0\1" + b"\0\0\x29\x10\0\0\0\0\0\0\0" * 2,
    ],
)
def test_what_cannot_be_read_gets_formerr(world: Zkdns, packet: bytes) -> None:
    reply = exchange(world, packet)
    assert reply[:2] == packet[:2]
    assert reply[3] & 15 == dns.rcode.FORMERR
    assert reply[2] & 0x80


@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 15])
def test_other_opcodes_get_notimp(world: Zkdns, opcode: int) -> None:
    packet = b"\0\7" + bytes([opcode << 3 | 1]) + b"\0" + ONE + WEB + b"\0\1\0\1"
    reply = exchange(world, packet)
    assert reply[3] & 15 == dns.rcode.NOTIMP
    assert reply[2] >> 3 & 15 == opcode


def test_edns_versions_above_0_get_badvers_and_unknown_options_are_ignored(world: Zkdns) -> None:
    query = dns.message.make_query("web.svc.local", "A", use_edns=1)
    reply = dns.message.from_wire(exchange(world, query.to_wire()))
    assert reply.rcode() == dns.rcode.BADVERS
    assert reply.edns == 0
    assert not reply.answer
    options = [dns.edns.GenericOption(65001, b"x" * 9), dns.edns.GenericOption(8, b"\0\1\x18\0\x0a\0\0")]
    query = dns.message.make_query("web.svc.local", "A", use_edns=0, options=options)
    reply = dns.message.from_wire(exchange(world, query.to_wire()))
    assert len(reply.answer[0]) == 3
    assert not reply.options


def test_without_edns_in_the_query_there_is_none_in_the_reply(world: Zkdns) -> None:
    for name in ("web.svc.local", "dead.svc.local", "nope.svc.local", "example.com"):
        assert world.ask(name).edns == -1
        assert world.ask(name, edns=True).edns == 0


@pytest.mark.parametrize(
    "name",
    [
        "web.svc.local",
        "a.web.svc.local",
        "canary.web.svc.local",
        "svc.local",
        "_web._tcp.svc.local",
        "a._web._tcp.svc.local",
        "_services._dns-sd._udp.svc.local",
        "1.0.0.10.in-addr.arpa",
    ],
)
def test_any_gets_the_one_record_of_rfc_8482(world: Zkdns, name: str) -> None:
    [rrset] = world.ask(name, "ANY").answer
    assert rrset.to_text().endswith('IN HINFO "RFC8482" ""')
    assert is_nxdomain(world.ask("nope.svc.local", "ANY"))


def test_the_server_tells_its_version_and_name(world: Zkdns) -> None:
    from zkdns import __version__

    assert __version__ in world.answers("version.bind", "TXT", cls="CH")[0]
    host = socket.gethostname()
    for name in ("id.server", "hostname.bind", "HOSTNAME.bind"):
        assert world.answers(name, "TXT", cls="CH") == [f'"{host}"']
    assert host in world.dig("+nsid", "web.svc.local")
    query = dns.message.make_query("web.svc.local", "A", use_edns=0, options=[dns.edns.GenericOption(3, b"")])
    [nsid] = dns.message.from_wire(exchange(world, query.to_wire())).options
    assert host in nsid.to_text()


@pytest.mark.parametrize("cls", ["HS", "CLASS254", "ANY", "NONE"])
def test_another_class_is_refused(world: Zkdns, cls: str) -> None:
    if cls == "NONE":
        cls = "CLASS254"
    assert world.ask("web.svc.local", cls=cls).rcode() == dns.rcode.REFUSED


def test_dig_reads_it_all(world: Zkdns) -> None:
    assert sorted(world.dig("+short", "web.svc.local").split()) == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert "status: NXDOMAIN" in world.dig("nope.svc.local")
    said = world.dig("+tcp", "_http._tcp.web.svc.local", "SRV")
    assert "a.web.svc.local." in said
    assert "EDE" in world.dig("dead.svc.local")
    assert "Warning" not in said
