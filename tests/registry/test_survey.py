"""What `discover` recognises, in an ensemble that others filled, and how little it looks at."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from support.placing import grow, read_fixture
from zkdns.registry import presets
from zkdns.registry.survey import MAX_LOOKS, Finding, Survey


def survey(znodes: Mapping[str, bytes], start: str = "/") -> Survey:
    """A survey of these znodes, to its end."""
    return look_at(znodes, start)[0]


def look_at(znodes: Mapping[str, bytes], start: str = "/") -> tuple[Survey, set[str]]:
    """The same, and the paths that it looked at."""
    data, children = grow(znodes)
    found = Survey(start)
    seen: set[str] = set()
    while wanted := found.wants():
        for look in wanted:
            seen.add(look.path)
            reply = tuple(children[look.path]) if look.listing else data.get(look.path)
            found.take(look, reply if look.path in data else None)
    return found, seen


def below(chroot: str, znodes: Mapping[str, bytes]) -> dict[str, bytes]:
    return {chroot + path: data for path, data in znodes.items()}


def lines(findings: list[Finding]) -> list[str]:
    return [
        f"{one.system} {one.path} " + " ".join(f"{name}={n}" for name, n in sorted(one.services.items()))
        for one in findings
    ]


@pytest.mark.parametrize("chroot", ["", "/prod", "/prod/eu"])
@pytest.mark.parametrize("name", [name for name in presets.names() if name != "zookeeper"])
def test_each_system_is_recognised_at_any_chroot_of_depth_two(name: str, chroot: str) -> None:
    znodes = below(chroot, read_fixture(name))
    found = survey(znodes | {"/zookeeper/quota": b"", "/zkdns/servers/a": b'{"address": "10.0.0.1"}'})
    assert [(one.system, one.path) for one in found.findings()] == [(name, chroot or "/")]


def test_all_of_them_at_once_are_told_apart() -> None:
    znodes: dict[str, bytes] = {}
    for name in presets.names():
        znodes |= below("" if name == "zookeeper" else f"/{name}-prod", read_fixture(name))
    found = survey(znodes).findings()
    assert sorted(one.system for one in found) == list(presets.names())


def test_the_ensembles_own_servers_are_found_at_its_root_alone() -> None:
    znodes = read_fixture("zookeeper")
    assert lines(survey(znodes).findings()) == ["zookeeper / zookeeper=3"]
    assert survey(znodes | {"/x/y": b""}, "/x").findings() == []


def test_a_clickhouse_cluster_is_found_where_its_documentation_puts_it() -> None:
    found = survey(below("/clickhouse/discovery/main", read_fixture("clickhouse"))).findings()
    assert lines(found) == ["clickhouse /clickhouse/discovery/main clickhouse=2"]


NATIVE = b'{"address": "10.0.0.1", "port": 80}'
CURATOR = json.dumps(
    {"name": "db", "id": "a", "address": "10.0.0.2", "port": 1, "serviceType": "DYNAMIC"}
).encode()
DUBBO = "dubbo%3A%2F%2F10.0.0.5%3A20880%2Fcom.example.Greeter"


def test_plain_layouts_are_found_with_their_formats() -> None:
    znodes = {
        "/services/web/a": NATIVE,
        "/services/web/b": NATIVE,
        "/services/empty": b"",
        "/services/db/a": CURATOR,
        f"/dubbo/com.example.Greeter/providers/{DUBBO}": b"",
        "/dubbo/com.example.Greeter/consumers/consumer%3A%2F%2F10.0.0.9%2Fcom.example.Greeter": b"",
    }
    assert lines(survey(znodes).findings()) == [
        "dubbo /dubbo com.example.Greeter=1",
        "curator, native /services db=1 web=2",
    ]


def test_a_systems_own_nodes_are_no_plain_services_as_well() -> None:
    """Kafka's brokers look like SmartStack's, a vote of NiFi's like host:port."""
    for name in ("kafka", "nifi", "hive", "storm"):
        assert [one.system for one in survey(read_fixture(name)).findings()] == [name]


def test_nothing_is_recognised_in_what_is_none_of_it() -> None:
    znodes = {f"/app/config/{n}/{m}": b'{"host": "x"}' for n in range(30) for m in range(5)}
    assert survey(znodes).findings() == []


def test_twenty_thousand_other_nodes_cost_a_bounded_look() -> None:
    znodes = below("/prod", read_fixture("patroni"))
    znodes |= {f"/a/{n // 1000}/{n // 25 % 40}/{n % 25}": b"{}" for n in range(20_000)}
    found = survey(znodes)
    assert lines(found.findings()) == ["patroni /prod pg1=4"]
    assert found.looks <= MAX_LOOKS


def test_what_was_left_out_is_told() -> None:
    assert survey({f"/app/{n:05}/x": b"" for n in range(2000)}).cut
    assert not survey(read_fixture("kafka")).cut


def test_a_survey_ends_at_its_bound() -> None:
    znodes = {f"/{a}/{b}/{c}": b"" for a in range(40) for b in range(40) for c in range(40)}
    found = survey(znodes)
    assert found.looks <= MAX_LOOKS


def test_what_was_found_until_the_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    znodes = {f"/{a}/{b}/{c}": b"" for a in range(3) for b in range(3) for c in range(3)}
    for bound in range(1, 200):
        monkeypatch.setattr("zkdns.registry.survey.MAX_LOOKS", bound)
        found, seen = look_at(znodes | read_fixture("patroni"))
        assert found.looks <= bound
        assert found.cut or bound > 50
        if "/service/pg1/members/pg-b" in seen:
            assert [one.system for one in found.findings()] == ["patroni"]


def test_what_may_not_be_read_is_passed_over() -> None:
    found = Survey()
    while wanted := found.wants():
        for look in wanted:
            found.take(look, None)
    assert found.findings() == []


def test_the_leader_is_among_what_was_found() -> None:
    (found,) = survey(read_fixture("patroni")).findings()
    assert found.offices == {"pg1": ("leader", "primary")}
    assert [i.id for i in found.instances["pg1"] if "leader" in i.registration.tags] == ["pg-b"]
