"""What real programs write, with all that they keep beside it: read as they mean it, told only where it is
broken, and with a cure that leads to a good answer when it is obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from support.trees import catalog_of
from zkdns.model import Instance, State


def one(nodes: Mapping[str, Any], service: str, id: str, format: str = "auto") -> Instance:
    (found,) = (i for i in catalog_of(nodes, format).services[service].instances if i.id == id)
    return found


MEMBER = {
    "serviceEndpoint": {"host": "10.0.0.5", "port": 8081},
    "additionalEndpoints": {},
    "status": "ALIVE",
}


# --- Curator, Druid, Spring ------------------------------------------------------------------------

CURATOR = {
    "name": "web", "id": "a", "address": "10.0.0.5", "port": 8080, "sslPort": None, "payload": None,
    "registrationTimeUTC": 1, "serviceType": "DYNAMIC", "uriSpec": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({"port": 8082, "sslPort": -1}, 8082),  # Druid without TLS: DruidNode.getTlsPort is -1
        ({"port": -1, "sslPort": 8282}, 8282),  # Druid with TLS alone
        ({"port": None, "sslPort": 8443}, 8443),  # Curator's ServiceInstanceBuilder leaves them null
        ({"port": -1, "sslPort": -1}, 0),
        ({"port": 0, "sslPort": None}, 0),
    ],
)
def test_a_port_of_minus_one_is_none(ports: dict[str, int | None], expected: int) -> None:
    catalog = catalog_of({"web/a": {**CURATOR, **ports}})
    assert catalog.problems == ()
    assert catalog.services["web"].instances[0].registration.port == expected


def test_votes_of_curators_recipes_beside_the_instances_are_none() -> None:
    vote = "_c_8a7b-latch-0000000003"
    catalog = catalog_of({"web/a": CURATOR, f"web/{vote}": b"node-1", "web/_c_1-lock-0000000001": b""})
    assert catalog.problems == ()
    assert [i.id for i in catalog.services["web"].instances] == ["a"]


# --- Dubbo -------------------------------------------------------------------------------------------


def provider(url: str, interface: str = "com.example.Greeter") -> str:
    return f"{interface}/providers/{quote(url, safe='')}"


@pytest.mark.parametrize(
    ("authority", "address", "port"),
    [
        # NetUtils.getLocalHost and URL.getAddress: Java spells all groups, without brackets
        ("fd00:0:0:0:0:0:0:5:20880", "fd00::5", 20880),
        ("2001:db8:0:1:0:0:0:7:50051", "2001:db8:0:1::7", 50051),
        ("[fd00::6]:20880", "fd00::6", 20880),
        ("fd00::7:20880", "fd00::7", 20880),  # no group has five digits
        ("fd00:0:0:0:0:0:0:8", "fd00::8", 0),
        ("user:secret@fd00:0:0:0:0:0:0:9:20880", "fd00::9", 20880),
        ("0:0:0:0:0:ffff:a00:5:20880", "10.0.0.5", 20880),
    ],
)
def test_dubbos_ipv6_hosts_have_no_brackets(authority: str, address: str, port: int) -> None:
    catalog = catalog_of({provider(f"dubbo://{authority}/com.example.Greeter?side=provider"): ""})
    assert catalog.problems == ()
    (instance,) = catalog.services["com.example.Greeter"].instances
    assert instance.registration.addresses == (address,)
    assert instance.registration.port == port


def test_an_ipv6_host_that_could_be_two_things_is_told() -> None:
    catalog = catalog_of({provider("dubbo://fd00::5:2088/com.example.Greeter"): ""})
    assert "brackets" in catalog.problems[0].what
    assert catalog.services["com.example.Greeter"].instances[0].state is State.UNREADABLE


def test_dubbos_group_and_version_are_tags() -> None:
    url = "dubbo://10.0.0.5:20880/com.example.Greeter?group=blue&version=1.0.0&dubbo.tag=gray"
    (instance,) = catalog_of({provider(url): ""}).services["com.example.Greeter"].instances
    assert instance.registration.tags == ("gray", "blue", "1.0.0")


@pytest.mark.parametrize(
    ("url", "port", "weight", "tags", "status"),
    [
        # Dubbo 2.5 and 2.6: a provider's defaults (URL.getParameter; sofastack/sofa-rpc-node #19)
        (
            "dubbo://10.0.0.5:20880/com.example.Greeter?default.group=HSF&default.version=1.0.0.dev"
            "&default.weight=7&timestamp=1522421683855", 20880, 7, ("HSF", "1.0.0.dev"), "up",
        ),
        ("dubbo://10.0.0.5:9408/x?default.weight=7&weight=9", 9408, 9, (), "up"),
        # SOFA RPC for Node: no path, empty values, a weight of its own (sofastack/sofa-rpc-node #18)
        (
            "bolt://10.0.0.5:9696?uniqueId=&version=1.0&timeout=0&delay=-1&id=rpc-cfg-0&dynamic=true"
            "&weight=100&accepts=100000&language=java", 9696, 100, ("1.0",), "up",
        ),
        ("bolt://10.0.0.5:9696?enabled=false", 9696, 100, (), "draining"),
        # Dubbo 3 (apache/dubbo #7641 has such URLs)
        (
            "tri://10.0.0.5:50051/com.example.Greeter?anyhost=true&application=shop&background=false"
            "&deprecated=false&dubbo=2.0.2&dynamic=true&generic=false&prefer.serialization=fastjson2,hessian2"
            "&release=3.2.0&service-name-mapping=true&side=provider", 50051, 100, (), "up",
        ),
    ],
)  # fmt: skip
def test_provider_urls_from_public_reports(
    url: str, port: int, weight: int, tags: tuple[str, ...], status: str
) -> None:
    catalog = catalog_of({provider(url): ""})
    assert catalog.problems == ()
    (instance,) = catalog.services["com.example.Greeter"].instances
    r = instance.registration
    assert (r.addresses, r.port, r.weight, r.tags, r.status) == (("10.0.0.5",), port, weight, tags, status)


@pytest.mark.parametrize(
    ("payload", "port", "meta"),
    [
        # spring-cloud-zookeeper #66: a payload of one's own, and a host name
        (
            {"name": "my-microservice", "id": "b7749231", "address": "serverx.myhost.com", "port": 21737,
             "sslPort": None, "payload": {"tenant": "myTenant", "version": "1.0.3", "n": {"x": 1}},
             "registrationTimeUTC": 1456326281161, "serviceType": "DYNAMIC", "uriSpec": None},
            21737, (("tenant", "myTenant"), ("version", "1.0.3")),
        ),
        # api7/apisix-seed #81: a client in Go, without ports for TLS, times and URIs
        (
            {"name": "Service A name", "id": "serverx.myhost.com:20991", "address": "serverx.myhost.com",
             "port": 20991, "payload": {}, "serviceType": "DYNAMIC"}, 20991, (),
        ),
        # spring-cloud-zookeeper #150: a random port is 0 at first, the one for TLS is set
        (
            {"name": "a", "id": "b", "address": "serverx.myhost.com", "port": 0, "sslPort": 9010,
             "payload": None, "registrationTimeUTC": 1, "serviceType": "DYNAMIC", "uriSpec": {"parts": []}},
            9010, (),
        ),
    ],
)  # fmt: skip
def test_curators_payloads_from_public_reports(payload: dict[str, Any], port: int, meta: Any) -> None:
    catalog = catalog_of({"web/a": payload})
    assert catalog.problems == ()
    (instance,) = catalog.services["web"].instances
    r = instance.registration
    assert (r.host, r.port, r.meta, r.format) == ("serverx.myhost.com", port, meta, "curator")


def test_a_weight_below_zero_is_zero_as_dubbos_balancer_has_it() -> None:
    (instance,) = (
        catalog_of({provider("dubbo://10.0.0.5:1/x?weight=-5"): ""}).services["com.example.Greeter"].instances
    )
    assert instance.weight == 0


@pytest.mark.parametrize("format", ["auto", "dubbo"])
def test_a_sound_dubbo_tree_tells_of_nothing(format: str) -> None:
    catalog = catalog_of(
        {
            provider("dubbo://10.2.0.1:20880/com.example.Greeter?side=provider"): "",
            "com.example.Greeter/configurators": "",
            "com.example.Greeter/routers/condition%3A%2F%2F0.0.0.0%2Fx": "",
            "com.example.Greeter/consumers/consumer%3A%2F%2F10.0.0.9%2Fx": "",
            "config/dubbo/dubbo.properties": b"a=b",
            "mapping/com.example.Greeter": b"shop,shop2",
            "metadata/com.example.Greeter/provider/shop": {},
            "metadata/shop/abcdef": {},
        },
        format,
    )
    assert catalog.problems == ()
    assert set(catalog.services) == {"com.example.Greeter"}


def test_a_service_of_ours_may_be_named_as_what_dubbo_keeps() -> None:
    catalog = catalog_of({"config/a": {"address": "10.0.0.1"}, "metadata": {"ttl": 9}, "mapping": ""})
    assert {name: len(s.instances) for name, s in catalog.services.items()} == {
        "config": 1, "metadata": 0, "mapping": 0,
    }  # fmt: skip
    broken = catalog_of({"config/a": {"address": "10.0.0.300"}})
    assert [problem.path for problem in broken.problems] == ["/services/config/a"]


def test_the_scheduler_s_votes_beside_aurora_s_members_are_none() -> None:
    member = {
        "serviceEndpoint": {"host": "10.0.0.5", "port": 8081},
        "additionalEndpoints": {},
        "status": "ALIVE",
    }
    catalog = catalog_of(
        {"scheduler/member_0000000001": member, "scheduler/singleton_candidate_0000000000": b"host-1"}
    )
    assert catalog.problems == ()
    assert [i.id for i in catalog.services["scheduler"].instances] == ["member_0000000001"]


# --- Joyent's registrar, as Binder serves it -----------------------------------------------------------


def record(kind: str, address: str | None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "address": address, kind: {"address": address, **more}}


SERVICE = {
    "type": "service",
    "service": {"type": "service", "service": {"srvce": "_http", "proto": "_tcp", "port": 80, "ttl": 60}},
}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        # registrar's README, "Registration of host records"
        ("db_host", False), ("host", False), ("load_balancer", True), ("moray_host", True),
        ("ops_host", True), ("redis_host", True), ("rr_host", True),
    ],
)  # fmt: skip
def test_which_host_records_stand_for_the_service(kind: str, given: bool) -> None:
    instance = one({"manta": SERVICE, "manta/a": record(kind, "10.5.0.1")}, "manta", "a")
    assert (instance.registration.status == "up") is given
    assert instance.addresses == ("10.5.0.1",)


def test_a_database_record_leads_to_the_host_of_its_primary() -> None:
    database = {"type": "database", "database": {"primary": "tcp://postgres@10.0.0.5/postgres"}}
    instance = one({"moray": SERVICE, "moray/db": database}, "moray", "db")
    assert instance.addresses == ("10.0.0.5",)
    assert instance.registration.status == "draining"


def test_a_host_record_without_an_address_is_no_instance_now() -> None:
    catalog = catalog_of({"manta": SERVICE, "manta/a": record("load_balancer", None)})
    assert catalog.problems == ()
    assert catalog.services["manta"].instances == ()


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [({}, {}, None), ({"ttl": 30}, {}, 30), ({"ttl": 30}, {"ttl": 90}, 90), ({}, {"ttl": 5}, 5)],
)
def test_of_a_host_records_ttls_the_innermost_is_that_of_its_addresses(
    outer: dict[str, int], inner: dict[str, int], expected: int | None
) -> None:
    """Registrar's README, "Using TTLs": what the service record says is for the list of instances."""
    nodes = {"manta": SERVICE, "manta/a": {**record("load_balancer", "10.5.0.1", **inner), **outer}}
    service = catalog_of(nodes).services["manta"]
    assert service.settings.ttl == 60
    assert service.instances[0].registration.ttl == expected


NAMED = {"srvce": "_x", "proto": "_tcp", "port": 9}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {
                "ttl": 1,
                "service": {"ttl": 2, "service": {**NAMED, "ttl": 3}},
            },
            3,
        ),
        ({"ttl": 1, "service": {"ttl": 2, "service": NAMED}}, 2),
        ({"ttl": 1, "service": {"service": NAMED}}, 1),
        # one level less, as in Binder's test/service.test.js
        ({"ttl": 1, "service": NAMED}, 1),
        ({"ttl": 1, "service": {**NAMED, "ttl": 2}}, 2),
    ],
)
def test_of_a_service_records_ttls_the_innermost_counts(value: dict[str, Any], expected: int) -> None:
    nodes = {"manta": {"type": "service", **value}, "manta/a": record("load_balancer", "10.5.0.1")}
    catalog = catalog_of(nodes)
    assert catalog.problems == ()
    service = catalog.services["manta"]
    assert service.settings.ttl == expected
    assert service.instances[0].registration.ports == (("x", 9),)


def test_the_least_ttl_of_host_records_holds_where_no_service_record_has_one() -> None:
    hosts = {f"manta/{n}": {**record("load_balancer", f"10.5.0.{n}"), "ttl": 10 * n} for n in (3, 2)}
    assert catalog_of(hosts).services["manta"].settings.ttl == 20


def test_each_port_of_a_host_record_is_one_of_the_services_name() -> None:
    nodes = {
        "manta": SERVICE,
        "manta/a": record("load_balancer", "10.5.0.1", ports=[2021, 2022, 2021]),
        "manta/b": record("load_balancer", "10.5.0.2", ports=[]),
    }
    service = catalog_of(nodes).services["manta"]
    a, b = (i.registration for i in service.instances)
    assert [port for name, port in a.ports if name == "http"] == [2021, 2022]
    assert [port for name, port in b.ports if name == "http"] == [80]
    assert (a.port, b.port) == (2021, 80)


# --- nodes at another level ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {"address": "10.5.2.2", "port": 8080},
        CURATOR,
        MEMBER,
        record("host", "10.5.2.1"),
        {"host": "10.0.0.5", "port": 80, "name": "i-1"},
        b"10.0.0.5:80",
    ],
)
def test_an_instance_one_level_too_high_is_told(data: Any) -> None:
    catalog = catalog_of({"web": data})
    (problem,) = catalog.problems
    assert problem.path == "/services/web"
    assert "one level too high" in problem.what
    assert "/services/web/ID" in problem.cure


def test_deeper_trees_are_told_with_the_root_that_reads_them() -> None:
    member = {
        "serviceEndpoint": {"host": "10.8.0.2", "port": 1},
        "additionalEndpoints": {},
        "status": "ALIVE",
    }
    nodes = {
        "foo/bar/u": CURATOR,
        "aurora/www/prod/web/member_0000000000": member,
        "shop/web/a": {"address": "10.0.0.1"},
    }
    for path, root, service in (
        ("/services/foo/bar", "/services/foo", "bar"),
        ("/services/aurora/www", "/services/aurora", "www"),
        ("/services/shop/web", "/services/shop", "web"),
    ):
        (problem,) = (p for p in catalog_of(nodes).problems if p.path == path)
        assert "other nodes stand below it" in problem.what
        assert f"whose root is {root}" in problem.cure
        assert f"{service} is a service" in problem.cure
        assert "layout=" in problem.cure


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("::ffff:10.0.0.77", "10.0.0.77"),  # a dual-stack socket's peer, as Node's server.address() has it
        ("::FFFF:10.0.0.77", "10.0.0.77"),
        ("0:0:0:0:0:ffff:0a00:004d", "10.0.0.77"),
        ("2001:DB8::1", "2001:db8::1"),
        ("64:ff9b::10.0.0.5", "64:ff9b::a00:5"),
        ("127.0.0.1", "127.0.0.1"),
        ("240.0.0.1", "240.0.0.1"),
    ],
)
def test_an_address_is_what_clients_can_use(text: str, address: str) -> None:
    assert one({"web/a": {"address": text, "port": 80}}, "web", "a").addresses == (address,)


def test_a_mapped_address_with_a_port_is_an_ipv4_one() -> None:
    instance = one({"api/b": b"[::ffff:10.0.0.78]:80"}, "api", "b")
    assert (instance.addresses, instance.registration.port) == (("10.0.0.78",), 80)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "no client can reach"), ("0.1.2.3", "no client can reach"), ("::", "no client can reach"),
        ("224.0.0.251", "multicast"), ("239.255.255.250", "multicast"), ("ff02::fb", "multicast"),
        ("255.255.255.255", "broadcast"), ("::ffff:0.0.0.0", "no client can reach"),
        ("::ffff:224.0.0.1", "multicast"), ("fe80::1", "link-local"), ("fe80::1%eth0", "link-local"),
    ],
)  # fmt: skip
def test_what_no_client_can_reach_is_refused_and_the_cure_helps(address: str, why: str) -> None:
    (problem,) = catalog_of({"web/a": {"address": address, "port": 80}}).problems
    assert why in problem.what
    assert "the host's own address" in problem.cure


@pytest.mark.parametrize(
    ("address", "cured"),
    [
        ("10.0.0.5:80", "10.0.0.5"), ("[fd00::5]:80", "fd00::5"), (" 10.0.0.5 ", "10.0.0.5"),
        ("10.0.0.5\0", "10.0.0.5"), ("\ufeff10.0.0.5", "10.0.0.5"), ("[::ffff:10.0.0.5]", "10.0.0.5"),
        ("[::ffff:10.0.0.5]:80", "10.0.0.5"),
    ],
)  # fmt: skip
def test_who_obeys_the_cure_of_an_address_has_a_good_one(address: str, cured: str) -> None:
    (problem,) = catalog_of({"web/a": {"address": address}}).problems
    named = problem.cure.split("set address to ")[1].split(" ")[0]
    assert named == cured
    assert catalog_of({"web/a": {"address": named}}).problems == ()


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("ports", {f"p{n}": n for n in range(1, 101)}, 64),
        ("tags", [f"t{n}" for n in range(100)], 64),
        ("address", [f"10.0.0.{n}" for n in range(1, 101)], 64),
        ("meta", {f"k{n}": "v" for n in range(300)}, 256),
    ],
)
def test_what_goes_beyond_a_limit_is_left_out_and_told(field: str, value: Any, limit: int) -> None:
    catalog = catalog_of({"web/a": {"address": "10.0.0.1", field: value}})
    registration = catalog.services["web"].instances[0].registration
    assert len(getattr(registration, "addresses" if field == "address" else field)) == limit
    (problem,) = catalog.problems
    assert str(limit) in problem.what
    at_the_limit = dict(list(value.items())[:limit]) if isinstance(value, dict) else value[:limit]
    assert catalog_of({"web/a": {"address": "10.0.0.1", field: at_the_limit}}).problems == ()


@pytest.mark.parametrize("field", ["hold", "warm"])
def test_hold_and_warm_are_a_day_at_most(field: str) -> None:
    catalog = catalog_of({"web": {field: 86_401, "ttl": 9}})
    assert [p.path for p in catalog.problems] == ["/services/web"]
    assert getattr(catalog.services["web"].settings, field) == 0
    assert catalog.services["web"].settings.ttl == 9
    assert getattr(catalog_of({"web": {field: 86_400}}).services["web"].settings, field) == 86_400


def test_a_check_waits_ten_seconds_at_most() -> None:
    catalog = catalog_of({"web": {"check": {"type": "tcp", "timeout": 10.5, "interval": 7}}})
    check = catalog.services["web"].settings.check
    assert check is not None
    assert (check.timeout, check.interval) == (2.0, 7.0)
    assert "10 s" in catalog.problems[0].what
    good = catalog_of({"web": {"check": {"type": "tcp", "timeout": 10}}})
    assert good.problems == ()


def test_keys_that_nobody_reads_are_known_by_name() -> None:
    settings = {"polcy": "first", "ttl": 5, "near": "prefer", "check": {"type": "tcp", "intervall": 1}}
    assert catalog_of({"web": settings}).services["web"].settings.unknown == ("polcy", "check.intervall")


@pytest.mark.parametrize("characters", [64, 100_000])
def test_what_a_service_record_calls_its_ports_is_no_longer_than_a_label(characters: int) -> None:
    """Each instance has it for each port: a record of 100 KB made half a gigabyte of eighty of them."""
    inner = {**NAMED, "srvce": "_" + "x" * (characters - 1)}
    nodes = {
        "manta": {"type": "service", "service": {"service": inner}},
        "manta/a": record("load_balancer", "10.5.0.1", ports=[80, 81]),
    }
    catalog = catalog_of(nodes)
    assert [p.what.split(" is ")[0] for p in catalog.problems] == ["service.srvce"]
    (instance,) = catalog.services["manta"].instances
    assert instance.registration.ports == (("port2", 81),)


def test_with_the_ports_that_it_inherits_an_instance_has_no_more_than_any_other() -> None:
    nodes = {
        "manta": {"type": "service", "service": {"service": NAMED}},
        "manta/a": record("load_balancer", "10.5.0.1", ports=list(range(100, 150))),
    }
    catalog = catalog_of(nodes)
    assert [p.what for p in catalog.problems] == [
        "it has 99 ports, and 64 are taken: the others are left out"
    ]
    (instance,) = catalog.services["manta"].instances
    assert instance.registration.ports[:51] == (
        *(("x", number) for number in range(100, 150)), ("port2", 101),
    )  # fmt: skip
    assert len(instance.registration.ports) == 64
