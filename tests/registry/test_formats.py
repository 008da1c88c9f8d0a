"""Formats: payloads of each kind in, registrations or precise complaints out."""

from __future__ import annotations

import base64
import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.drawing import pick
from zkdns.model import DEFAULTS, NONE_HEALTHY, Check, Registration
from zkdns.registry import formats
from zkdns.registry import settings as service_settings
from zkdns.registry.addresses import canonical, is_host
from zkdns.registry.fields import WRITE_AGAIN, BadData
from zkdns.registry.formats import Node, auto, native
from zkdns.registry.url import parse_registry

PAYLOADS = Path(__file__).parent.parent / "fixtures" / "curator" / "payloads"
DUBBO = (
    "dubbo%3A%2F%2F10.0.0.5%3A20880%2Fcom.example.Greeter%3Fanyhost%3Dtrue%26application%3Ddemo-provider"
    "%26deprecated%3Dfalse%26dubbo%3D2.0.2%26interface%3Dcom.example.Greeter%26methods%3DsayHi%26pid%3D250480"
    "%26release%3D2.7.3%26side%3Dprovider%26timestamp%3D1564144798682"
)
A: dict[str, Any] = {"address": "10.0.0.5", "port": 8080}


def parse(format: str, data: Any, name: str = "a") -> Registration:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    registration: Registration = formats.named(format).parse(Node(name, raw))
    return registration


def complaint(format: str, data: Any, name: str = "a") -> BadData:
    with pytest.raises(BadData) as caught:
        parse(format, data, name)
    assert caught.value.what
    assert caught.value.cure
    return caught.value


def test_every_file_of_the_folder_is_a_format_that_a_url_may_name() -> None:
    for name in formats.names():
        assert parse_registry(f"zk://h/x?format={name}").format == name


# --- native -------------------------------------------------------------------------------------


def test_native_takes_every_field() -> None:
    given_ = {
        **A,
        "weight": 10,
        "priority": 3,
        "status": "draining",
        "tags": ["canary", "canary", "x"],
        "zone": "eu-1a",
        "protocol": "udp",
        "ports": {"metrics": 9100, "http": 8080},
        "meta": {"version": "1.4", "build": 7, "dirty": False, "none": None},
        "unknown": {"is": ["ignored"]},
    }
    expected = Registration(
        ("10.0.0.5",), None, 8080, 10, 3, "draining", ("canary", "x"), "eu-1a", "udp",
        (("http", 8080), ("metrics", 9100)), (("build", "7"), ("dirty", "false"), ("version", "1.4")),
    )  # fmt: skip
    assert parse("native", given_) == expected
    assert parse("auto", given_) == expected
    assert native.from_table(given_) == expected
    assert native.explain(given_) == expected


def test_native_needs_an_address_alone() -> None:
    assert parse("native", {"address": "10.0.0.5"}) == Registration(("10.0.0.5",))
    assert parse("native", {**A, "weight": None, "tags": None, "meta": None}) == Registration(
        ("10.0.0.5",), None, 8080
    )
    assert parse("native", {**A, "weight": 0}).weight == 0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("FD00:0:0::5", (("fd00::5",), None)),
        (["10.0.0.5", "fd00::5", "10.0.0.5"], (("10.0.0.5", "fd00::5"), None)),
        ("Db1.Example.", ((), "db1.example")),
        (["db.example"], ((), "db.example")),
        ("db_1", ((), "db_1")),
        ("127.0.0.1", (("127.0.0.1",), None)),
    ],
)
def test_an_address_is_canonical_or_a_host_name(address: object, expected: object) -> None:
    registration = parse("native", {"address": address})
    assert (registration.addresses, registration.host) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": None}, ["no address"]),
        ({"address": ""}, ["address", "empty"]),
        ({"address": 5}, ["address", "5"]),
        ({"address": []}, ["address", "empty list"]),
        ({"address": ["10.0.0.5", 7]}, ["address"]),
        ({"address": ["10.0.0.5", "db.example"]}, ["address[1]", "db.example"]),
        ({"address": ["10.0.0.5", "10.0.0.999"]}, ["address[1]", "10.0.0.999"]),
        ({"address": "10.0.0.256"}, ["address", "10.0.0.256"]),
        ({"address": "10.0.0"}, ["address", "10.0.0"]),
        ({"address": "010.0.0.5"}, ["address", "010.0.0.5"]),
        ({"address": "0.0.0.0"}, ["address", "0.0.0.0"]),
        ({"address": "::"}, ["address", "::"]),
        ({"address": "fe80::1%eth0"}, ["address", "fe80::1%eth0"]),
        ({"address": "[fd00::5]"}, ["address", "[fd00::5]"]),
        ({"address": "10.0.0.5:80"}, ["address", "10.0.0.5:80"]),
        ({"address": "-bad.example"}, ["address", "-bad.example"]),
        ({"address": "a..b"}, ["address", "a..b"]),
        ({"address": "x" * 64}, ["address"]),
        ({"address": "ä.example"}, ["address"]),
        ({"address": "http://a/"}, ["address", "http://a/"]),
        ({"port": "8080"}, ["port", '"8080"', "0 to 65535"]),
        ({"port": 65536}, ["port", "65536"]),
        ({"port": -1}, ["port", "-1"]),
        ({"port": 80.5}, ["port", "80.5"]),
        ({"port": True}, ["port", "true"]),
        ({"weight": 65536}, ["weight", "65536"]),
        ({"weight": -1}, ["weight", "-1"]),
        ({"weight": "x"}, ["weight", '"x"']),
        ({"weight": 10**30}, ["weight", "1000000"]),
        ({"priority": 65536}, ["priority", "65536"]),
        ({"priority": []}, ["priority", "[]"]),
        ({"status": "UP"}, ["status", '"UP"', "draining"]),
        ({"status": 1}, ["status", "1"]),
        ({"tags": "canary"}, ["tags", '"canary"']),
        ({"tags": [1]}, ["tags", "[1]"]),
        ({"zone": 7}, ["zone", "7"]),
        ({"protocol": "sctp"}, ["protocol", '"sctp"', "udp"]),
        ({"ports": [80]}, ["ports", "[80]"]),
        ({"ports": {"http": 0}}, ["ports", '"http":0']),
        ({"ports": {"http": "80"}}, ["ports", '"80"']),
        ({"ports": {"": 80}}, ["ports"]),
        ({"meta": "x"}, ["meta", '"x"']),
        ({"meta": {"a": {}}}, ["meta", '"a"']),
    ],
)
def test_native_names_the_field_and_the_value(change: dict[str, Any], words: list[str]) -> None:
    error = complaint("native", {**A, **change})
    assert all(word in error.what for word in words), error.what
    assert "\n" not in error.what
    auto = complaint("auto", {**A, **change})
    assert (auto.what, auto.cure) == (error.what, error.cure)
    with pytest.raises(BadData) as caught:
        native.from_table({**A, **change})
    assert caught.value.what == error.what


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "no JSON object"),
        (b"7", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"address": "10.0', "no JSON"),
        (b'{"address": "10.0.0.5"} x', "no JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": NaN}', "no JSON"),
        (b'{"a": "\\ud800"}', "no JSON"),
        (b'{"a":' * 50_000, "too deep"),
        (b"\xff\xfe{\x00}\x00", "byte order mark (UTF-16)"),
        (b"\xef\xbb\xbf{}", "byte order mark (UTF-8)"),
        (b'{"address": "10.0.0.5"}\x00', "NUL"),
    ],
)
def test_native_says_why_data_is_no_json(data: bytes, word: str) -> None:
    assert word in complaint("native", data).what
    complaint("auto", data)


wild_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
field_names = st.sampled_from(["address", *native.FIELDS])
good_values = st.sampled_from(
    [
        "10.0.0.5",
        "db.example",
        0,
        80,
        65535,
        "up",
        "down",
        "tcp",
        "udp",
        [],
        ["x"],
        ["10.0.0.1"],
        {},
        {"x": 80},
    ]
)


@given(st.dictionaries(field_names, good_values | wild_json, max_size=5))
def test_the_fast_reading_and_the_one_that_explains_agree(value: dict[str, Any]) -> None:
    def outcome(read: Any, *arguments: Any) -> object:
        try:
            return read(*arguments)
        except BadData as error:
            return error.what

    data = json.dumps(value).encode()
    assert outcome(native.parse, Node("a", data)) == outcome(native.explain, json.loads(data))


# --- other formats ------------------------------------------------------------------------------


def curator(name: str, format: str = "auto") -> Registration:
    return parse(format, (PAYLOADS / f"{name}.json").read_bytes())


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_every_payload_that_curator_wrote_is_read_as_curators(path: Path) -> None:
    for format in "curator", "auto":
        registration = parse(format, path.read_bytes())
        assert registration.format == "curator"
        assert registration.addresses or registration.host == "db.example"


def test_curators_plain_port_counts_before_the_one_with_tls() -> None:
    assert curator("type-static") == Registration(("10.0.0.5",), None, 8080, format="curator")
    assert curator("no-port").port == 0
    assert (curator("ssl-only").port, curator("ssl-only").ports) == (8443, (("https", 8443),))
    assert (curator("both-ports").port, curator("both-ports").ports) == (8080, (("https", 8443),))


def test_curators_disabled_instances_are_kept_out() -> None:
    assert curator("disabled").status == "draining"
    assert curator("enabled").status == "up"
    assert curator("spring-out-of-service").status == "draining"


def test_spring_cloud_metadata_is_meta() -> None:
    registration = curator("spring-metadata")
    assert registration.meta == (("version", "1.4"), ("weight", "7"), ("zone", "eu-1a"))
    assert (registration.weight, registration.zone, registration.status) == (7, "eu-1a", "up")
    assert curator("spring").meta == ()


def test_curator_complains_of_what_it_can_not_use() -> None:
    value = json.loads((PAYLOADS / "spring-metadata.json").read_bytes())
    assert "port" in complaint("curator", {**value, "port": "x"}).what
    assert "no address" in complaint("curator", {**value, "address": None}).what
    assert "enabled" in complaint("curator", {**value, "enabled": "no"}).what
    for weight in ("heavy", "0" * 5000 + "1", "-1", "123456", "1.5"):
        value["payload"]["metadata"]["weight"] = weight
        parsed = formats.named("auto").parse(Node("a", json.dumps(value).encode()))
        assert isinstance(parsed, formats.Parsed)
        assert parsed.registration.weight == 1
        (error,) = parsed.left_out
        assert "weight" in error.what
        assert "left out" in error.what
    assert "empty" in complaint("curator", b"").what


MEMBER = {
    "serviceEndpoint": {"host": "10.0.0.5", "port": 8080},
    "additionalEndpoints": {
        "admin": {"host": "10.0.0.5", "port": 9990},
        "elsewhere": {"host": "10.0.0.6", "port": 1},
    },
    "status": "ALIVE",
    "shard": 3,
}


def test_serverset_members() -> None:
    expected = Registration(
        ("10.0.0.5",), None, 8080, ports=(("admin", 9990),), meta=(("shard", "3"),), format="serverset"
    )
    assert parse("serverset", MEMBER, "member_0000000001") == expected
    assert parse("auto", MEMBER, "member_0000000001") == expected
    assert parse("auto", {"serviceEndpoint": {"host": "db.example", "port": 1}}).host == "db.example"


@pytest.mark.parametrize(
    ("said", "status"),
    [("STARTING", "starting"), ("STOPPING", "draining"), ("DEAD", "down"), ("STOPPED", "down")],
)
def test_only_a_living_member_is_up(said: str, status: str) -> None:
    assert parse("serverset", {**MEMBER, "status": said}).status == status


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"serviceEndpoint": None}, "serviceEndpoint"),
        ({"serviceEndpoint": "10.0.0.5:8080"}, "serviceEndpoint"),
        ({"serviceEndpoint": {"host": "10.0.0.5", "port": "x"}}, "serviceEndpoint.port"),
        ({"serviceEndpoint": {"port": 80}}, "serviceEndpoint.host"),
        ({"additionalEndpoints": {"admin": 7}}, "additionalEndpoints.admin"),
        ({"additionalEndpoints": []}, "additionalEndpoints"),
        ({"status": "FINE"}, "FINE"),
        ({"status": 2}, "status"),
        ({"status": []}, "status"),
    ],
)
def test_serverset_complaints(change: dict[str, Any], word: str) -> None:
    assert word in complaint("serverset", {**MEMBER, **change}).what


NERVE = {"host": "10.0.0.5", "port": 8080, "name": "i-1234", "weight": 10, "labels": {"az": "a", "n": 1}}


def test_nerves_fields_are_read_and_a_wrong_one_is_a_problem() -> None:
    expected = Registration(
        ("10.0.0.5",), None, 8080, 10, meta=(("az", "a"), ("n", "1"), ("name", "i-1234")), format="nerve"
    )
    assert parse("nerve", NERVE) == expected
    assert parse("auto", NERVE) == expected
    assert parse("auto", {"host": "db.example", "port": "80"}).port == 80
    for change in {"port": "x"}, {"port": 0}, {"weight": -1}, {"host": 5}, {"host": None}, {"port": None}:
        complaint("nerve", {**NERVE, **change})


def test_nerve_may_stand_in_the_nodes_name() -> None:
    text = base64.urlsafe_b64encode(json.dumps(NERVE).encode()).decode()
    name = f"base64_{len(text)}_{text}_0000000007"
    assert parse("nerve", b"", name) == parse("auto", b"", name) == parse("nerve", NERVE)
    complaint("nerve", b"", "base64_8_aaaaaaaa_0000000001")
    complaint("nerve", b"", "base64_x_y")


HOST = {
    "type": "load_balancer",
    "address": "172.27.10.62",
    "ttl": 30,
    "load_balancer": {"address": "172.27.10.62", "ports": [80, 443, 8080]},
}
SERVICE = {
    "type": "service",
    "service": {"type": "service", "service": {"srvce": "_http", "proto": "_tcp", "port": 81, "ttl": 60}},
}


def test_registrar_host_records() -> None:
    expected = Registration(
        ("172.27.10.62",),
        None,
        80,
        ports=(("port2", 443), ("port3", 8080)),
        meta=(("ttl", "30"), ("type", "load_balancer")),
        format="registrar",
        ttl=30,
    )
    assert parse("registrar", HOST) == expected
    assert parse("auto", HOST) == expected
    assert parse("auto", {"type": "host", "address": "10.0.0.5", "host": {}}).addresses == ("10.0.0.5",)


@pytest.mark.parametrize(
    "change",
    [
        {"type": 7},
        {"type": "service", "service": {}},
        {"type": "host"},
        {"load_balancer": {"address": "10.0.0.300"}},
        {"load_balancer": {"address": "10.0.0.5", "ports": 80}},
        {"load_balancer": {"address": "10.0.0.5", "ports": [0]}},
        {"type": "web", "web": {"address": "10.0.0.5"}},
        {"type": "database", "database": {"primary": "no URL"}},
        {"load_balancer": {"address": "10.0.0.5", "ttl": "soon"}},
    ],
)
def test_what_is_no_registrars_record_is_a_problem(change: dict[str, Any]) -> None:
    complaint("registrar", {**HOST, **change})


@pytest.mark.parametrize("format", ["auto", "registrar"])
def test_registrars_service_record_gives_ttl_and_port(format: str) -> None:
    settings, wrong, inherited = service_settings.read(format, json.dumps(SERVICE).encode())
    assert (settings.ttl, wrong) == (60, [])
    assert inherited is not None
    bare = parse("registrar", {"type": "host", "host": {"address": "10.0.0.5"}})
    assert inherited.complete(bare).port == 81
    assert inherited.complete(bare).ports == (("http", 81),)
    each = inherited.complete(parse("registrar", HOST)).ports
    assert [port for name, port in each if name == "http"] == [80, 443, 8080]
    other = parse("native", A)
    assert inherited.complete(other) is other
    bad = {"type": "service", "service": {"service": {"port": "x", "ttl": -1}}}
    _, wrong, _ = service_settings.read(format, json.dumps(bad).encode())
    assert [error.what.split()[0] for error in wrong] == ["service.ttl", "service.port"]


def test_dubbo_providers() -> None:
    expected = Registration(
        ("10.0.0.5",),
        None,
        20880,
        100,
        ports=(("dubbo", 20880),),
        meta=(
            ("application", "demo-provider"), ("dubbo", "2.0.2"), ("interface", "com.example.Greeter"),
            ("protocol", "dubbo"), ("release", "2.7.3"),
        ),
        format="dubbo",
    )  # fmt: skip
    assert parse("dubbo", b"10.0.0.9", DUBBO) == expected
    assert parse("auto", b"", DUBBO) == expected


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fweight%3D7", "weight", 7),
        ("dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fdisabled%3Dtrue", "status", "draining"),
        ("dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fenabled%3Dfalse", "status", "draining"),
        ("dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fdubbo.tag%3Dcanary", "tags", ("canary",)),
        ("tri%3a%2f%2f%5Bfd00%3A%3A5%5D%3A50051%2Fx", "addresses", ("fd00::5",)),
        ("dubbo%3A%2F%2Fgreeter.example%3A1%2Fx", "host", "greeter.example"),
        ("dubbo%3A%2F%2Fuser%3Asecret%4010.0.0.5%3A1%2Fx", "addresses", ("10.0.0.5",)),
        ("rest%3A%2F%2F10.0.0.5%2Fx", "port", 0),
    ],
)
def test_dubbo_urls(name: str, field: str, value: object) -> None:
    assert getattr(parse("auto", b"", name), field) == value


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "dubbo%3A%2F%2F",
        "dubbo%3A%2F%2F10.0.0.500%3A1%2Fx",
        "dubbo%3A%2F%2F10.0.0.5%3A99999%2Fx",
        "dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fweight%3Dx",
        "dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fweight%3D70000",
        "dubbo%3A%2F%2F%5Bzz%2Fx",
        "dubbo%3A%2F%2F%FF%3A1",
        "dubbo%3A%2F%2F0.0.0.0%3A1%2Fx",
    ],
)
def test_dubbo_complaints(name: str) -> None:
    complaint("dubbo", b"", name)


@pytest.mark.parametrize(
    ("data", "addresses", "host", "port"),
    [
        (b"10.0.0.5:8080", ("10.0.0.5",), None, 8080),
        (b"  db.example:5432\n", (), "db.example", 5432),
        (b"[fd00::5]:80", ("fd00::5",), None, 80),
    ],
)
def test_hostport(data: bytes, addresses: object, host: object, port: int) -> None:
    for format in "hostport", "auto":
        registration = parse(format, data)
        assert (registration.addresses, registration.host, registration.port) == (addresses, host, port)
        assert registration.format == "hostport"


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"10.0.0.5:99999", b"10.0.0.500:80", b"x:y:80", b":80", b"\xff:80", b"a" * 500, b"a:b"],
)
def test_hostport_complaints(data: bytes) -> None:
    complaint("hostport", data)


def test_an_address_alone_is_taken_where_hostport_is_asked_for_and_not_by_auto() -> None:
    assert parse("hostport", b"10.0.0.5").addresses == ("10.0.0.5",)
    assert "10.0.0.5" in complaint("auto", b"10.0.0.5").what


def test_auto_decides_node_by_node() -> None:
    kinds = [
        parse("auto", data, name).format
        for name, data in [
            ("a", A), ("b", MEMBER), ("c", NERVE), ("d", HOST), (DUBBO, b""), ("e", b"10.0.0.5:80"),
            ("f", (PAYLOADS / "spring.json").read_bytes()),
        ]
    ]  # fmt: skip
    assert kinds == ["native", "serverset", "nerve", "registrar", "dubbo", "hostport", "curator"]


# --- settings -----------------------------------------------------------------------------------


def settings(value: Any) -> tuple[Any, list[str]]:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    found, wrong, _ = service_settings.read("auto", raw)
    assert all(error.cure for error in wrong)
    return found, [error.what for error in wrong]


def test_each_setting_of_a_node_is_taken() -> None:
    found, wrong = settings(
        {
            "ttl": 0, "policy": "first", "answers": 3, "fail_open": 0.5, "warm": 30,
            "hold": 1.5, "srv_scale": 10,
            "check": {"type": "http", "port": "http", "path": "/healthz?x=1", "interval": 5, "timeout": 2,
                      "rise": 2, "fall": 3},
            "unknown": 1,
        }
    )  # fmt: skip
    assert wrong == []
    assert (found.ttl, found.policy, found.answers, found.fail_open) == (0, "first", 3, 0.5)
    assert (found.warm, found.hold, found.srv_scale) == (30.0, 1.5, 10.0)
    assert found.check == Check("http", "http", "/healthz?x=1", (), 5.0, 2.0, 2, 3)


@pytest.mark.parametrize("data", [b"", b" ", b"{}", b"10.0.0.9", b"fd00::5\n"])
def test_a_service_without_settings_has_the_defaults_and_no_problem(data: bytes) -> None:
    assert settings(data) == (DEFAULTS, [])


@pytest.mark.parametrize("data", [b"some text", b"{", b"[]", b"7", b"\xff\xfe", b'{"a":' * 9999])
def test_data_that_is_no_object_leaves_the_defaults_and_is_named(data: bytes) -> None:
    found, wrong = settings(data)
    assert found == DEFAULTS
    assert len(wrong) == 1


def test_fail_open_is_true_false_or_a_ratio() -> None:
    assert settings({"fail_open": True})[0].fail_open == NONE_HEALTHY
    assert settings({"fail_open": False})[0].fail_open == 0
    assert settings({"fail_open": 1})[0].fail_open == 1
    assert settings({"fail_open": 1.5}) == (
        DEFAULTS,
        ["fail_open is 1.5, not true, false or a number from 0 to 1"],
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl", -1), ("ttl", 2**31), ("ttl", "5"), ("ttl", 5.5), ("ttl", True),
        ("policy", "best"), ("policy", 1), ("policy", []),
        ("answers", 0), ("answers", "x"), ("answers", 65536),
        ("fail_open", "yes"), ("fail_open", -0.1),
        ("warm", -1), ("warm", "x"), ("hold", -1), ("hold", True),
        ("srv_scale", 0), ("srv_scale", -1), ("srv_scale", "x"), ("srv_scale", 65536),
        ("check", "tcp"), ("check", {}), ("check", {"type": "icmp"}),
        ("check", {"type": "tcp", "interval": 0}), ("check", {"type": "tcp", "timeout": "x"}),
        ("check", {"type": "tcp", "rise": 0}), ("check", {"type": "tcp", "fall": 1.5}),
        ("check", {"type": "tcp", "port": 0}), ("check", {"type": "tcp", "port": ""}),
        ("check", {"type": "http", "path": "x"}), ("check", {"type": "http", "path": "/a b"}),
        ("check", {"type": "http", "path": "/\r\nX: y"}), ("check", {"type": "http", "path": 7}),
        ("check", {"type": "command"}), ("check", {"type": "command", "command": []}),
        ("check", {"type": "command", "command": "a 'b"}), ("check", {"type": "command", "command": [1]}),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_and_costs_itself_alone(field: str, value: object) -> None:
    found, wrong = settings({"ttl": 9, "answers": 2, field: value})
    assert len(wrong) == 1
    assert wrong[0].startswith(field)
    assert getattr(found, field) == getattr(DEFAULTS, field)
    others = {"ttl": 9, "answers": 2}
    assert all(getattr(found, name) == kept for name, kept in others.items() if name != field)


def test_a_command_is_a_list_of_words_or_a_line_of_them() -> None:
    for command in ["ping", "-c", "1 2"], "ping -c '1 2'":
        found, wrong = settings({"check": {"type": "command", "command": command}})
        assert wrong == []
        assert found.check.command == ("ping", "-c", "1 2")


# --- nothing but its own error ------------------------------------------------------------------

SEEDS: list[bytes] = [
    *(json.dumps(value).encode() for value in (A, MEMBER, NERVE, HOST, SERVICE)),
    (PAYLOADS / "spring-metadata.json").read_bytes(),
    b"10.0.0.5:8080",
    b"[fd00::5]:8080",
]


bits = st.binary(max_size=4) | st.sampled_from(
    [b'"', b"{}", b"[]", b"null", b"-1", b"1e400", b"9" * 25, b":"]
)
any_value = good_values | wild_json


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(pick(*SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 6))] = draw(bits)
    return bytes(data)


@st.composite
def replaced(draw: st.DrawFn) -> bytes:
    """A good payload with any value anywhere in it replaced by any JSON."""
    value = json.loads(draw(pick(*(seed for seed in SEEDS if seed.startswith(b"{")))))
    place = value
    while True:
        key = draw(pick(*sorted(place)))
        if isinstance(place[key], dict) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw(any_value)
        return json.dumps(value).encode()


node_names = st.text(max_size=30) | st.sampled_from([DUBBO, "member_0000000001", "base64_12_eyJhIjoxfQ==_1"])


@st.composite
def mixed(draw: st.DrawFn) -> bytes:
    """The fields of several formats in one payload."""
    seeds = [json.loads(seed) for seed in SEEDS if seed.startswith(b"{")]
    fields = [(key, value) for seed in seeds for key, value in seed.items()]
    return json.dumps(dict(draw(st.lists(st.sampled_from(fields), max_size=8)))).encode()


@given(node_names, st.binary(max_size=60) | mutated() | replaced() | mixed())
def test_the_short_cut_of_auto_gives_what_asking_each_format_gives(name: str, data: bytes) -> None:
    def outcome(read: Any) -> object:
        try:
            read_so = read(Node(name, data))
        except BadData as error:
            return error.what, error.cure
        if isinstance(read_so, formats.Parsed):  # two errors are equal where they say the same
            return read_so.registration, [str(error) for error in read_so.left_out]
        return read_so

    assert outcome(auto.parse) == outcome(auto.ask_each)


@given(node_names, st.binary(max_size=60) | mutated() | replaced())
def test_no_payload_makes_a_format_raise_anything_but_bad_data(name: str, data: bytes) -> None:
    told: list[BadData] = []
    for format in formats.names():
        module = formats.named(format)
        node = Node(name, data)
        assert module.claims(node) in (True, False)
        try:
            registration = module.parse(node)
        except BadData as error:
            told.append(error)
            continue
        if isinstance(registration, formats.Parsed):
            told += registration.left_out
            registration = registration.registration
        if registration is None:  # it is there, and no instance now
            continue
        assert bool(registration.addresses) != bool(registration.host)
        assert all(canonical(address) == address for address in registration.addresses)
        assert registration.host is None or is_host(registration.host)
        assert 0 <= registration.port <= 65535
        assert 0 <= registration.weight <= 65535
        assert all(1 <= port <= 65535 for _, port in registration.ports)
        hash(registration)
    assert all((error.what + error.cure).isprintable() for error in told)


@given(st.text(alphabet="dubo:/%[]?&=.01aé+@ #", max_size=60))
def test_no_name_makes_dubbo_raise_anything_but_bad_data(name: str) -> None:
    for text in name, "dubbo://" + name, "dubbo%3A%2F%2F" + name:
        try:
            parse("dubbo", b"", text)
        except BadData:
            pass


@given(
    st.binary(max_size=40) | mutated() | replaced() | wild_json.map(lambda value: json.dumps(value).encode())
)
def test_no_service_data_makes_the_settings_raise(data: bytes) -> None:
    for format in formats.names():
        found, wrong, _ = service_settings.read(format, data)
        assert found == DEFAULTS or isinstance(found.answers, int)
        assert all(error.what and error.cure for error in wrong)


octets = st.sampled_from(
    ["0", "1", "9", "10", "99", "100", "199", "249", "250", "255", "256", "01", "", "٣", "a", "-1"]
)


@given(st.lists(octets, min_size=3, max_size=5), st.sampled_from(["", " ", "\n", "."]))
def test_an_ipv4_address_is_what_the_standard_library_says(parts: list[str], tail: str) -> None:
    value = ".".join(parts) + tail
    try:
        expected = str(ipaddress.IPv4Address(value))
    except ValueError:
        expected = None
    ip = ipaddress.IPv4Address(expected or "0.0.0.0")
    reachable = int(ip) >> 24 and not ip.is_multicast and ip != ipaddress.IPv4Address("255.255.255.255")
    assert canonical(value) == (expected if reachable else None)


@pytest.mark.parametrize("format", sorted({*formats.names()} - {"auto", "native"}))
def test_nobody_is_told_to_write_by_hand_what_another_system_writes_in_its_own_way(format: str) -> None:
    with pytest.raises(BadData) as caught:
        formats.demand_object(Node("1", b"junk"))
    assert caught.value.cure == WRITE_AGAIN
    cures = []
    for data in (b"junk", b"", b"[1]", b"[" * 100_000):
        try:
            formats.named(format).parse(Node("1", data))
        except BadData as error:
            cures.append(error.cure)
    assert cures
    assert not [cure for cure in cures if native.CURE in cure]


@pytest.mark.parametrize("format", ["auto", "native"])
def test_who_writes_by_hand_is_told_how(format: str) -> None:
    for data in (b"junk", b"", b"[1]", b"[" * 100_000):
        with pytest.raises(BadData) as caught:
            formats.named(format).parse(Node("1", data))
        assert native.CURE in caught.value.cure, data
