"""A preset as a registry's reader: the tree of its services, out of the events of the roots it watches."""

from __future__ import annotations

import pytest

from support.placing import arrange_all, read_fixture, read_into
from zkdns.model import Catalog, State
from zkdns.registry import presets
from zkdns.registry.readers import open_tree
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.url import parse_registry


def tree_of(options: str, root: str = "/prod") -> ServiceTree:
    return open_tree(parse_registry(f"zk://h{root}?{options}"))


def catalog(name: str, znodes: dict[str, bytes], refused: tuple[str, ...] = (), options: str = "") -> Catalog:
    below = "" if name == "zookeeper" else "/prod"
    there = {below + path: data for path, data in znodes.items()}
    tree = tree_of(f"preset={name}{options}")
    return read_into(tree, there, [below + path for path in refused]).catalog()


def bearers(found: Catalog, service: str, tag: str = "leader") -> list[str]:
    return [i.id for i in found.services[service].instances if tag in i.registration.tags]


@pytest.mark.parametrize("name", presets.names())
def test_what_is_read_of_an_ensemble_is_what_the_preset_arranges(name: str) -> None:
    found = catalog(name, read_fixture(name))
    expected = arrange_all(presets.named(name), read_fixture(name))
    assert found.complete
    assert found.problems == ()
    for service, arranged in expected.items():
        assert found.services[service].offices == arranged.offices
        assert [(i.id, i.registration) for i in found.services[service].instances] == [
            (i.id, i.registration) for i in arranged.instances
        ]
    assert found.services.keys() == expected.keys()


def test_only_what_fits_is_read() -> None:
    tree = tree_of("preset=kafka")
    assert [scope.root for scope in tree.scopes] == ["/prod/brokers/ids", "/prod/controller"]
    pg = tree_of("preset=patroni")
    (scope,) = pg.scopes
    assert scope.root == "/prod/service"
    for path in ("pg1/history", "pg1/config", "pg1/members/a/b", "pg1/leader/x"):
        assert scope.at(f"/prod/service/{path}") is None


def test_a_master_alone_makes_its_service() -> None:
    master = {"/hbase/master": read_fixture("hbase")["/hbase/master"]}
    assert bearers(catalog("hbase", master), "hbase-master") == ["hm1.example,16000,1700000000001"]


def test_a_standalone_ensemble_has_its_service_and_no_server_in_it() -> None:
    found = catalog("zookeeper", {"/zookeeper/config": b""})
    assert found.services["zookeeper"].instances == ()


def test_a_folder_without_members_is_a_service_without_instances() -> None:
    found = catalog("hdfs", {"/hadoop-ha/ns1/ActiveBreadCrumb": b"x"})
    assert found.services["ns1"].instances == ()
    assert found.services["ns1"].offices == ("leader", "active")
    assert catalog("kafka", {"/brokers/topics/t": b""}).services == {}


def test_a_member_that_can_not_be_read_is_counted_and_told() -> None:
    znodes = read_fixture("kafka") | {"/brokers/ids/2": b"{"}
    found = catalog("kafka", znodes)
    assert {i.id: i.state for i in found.services["kafka"].instances}["2"] is State.UNREADABLE
    assert [problem.path for problem in found.problems] == ["/prod/brokers/ids/2"]


def test_a_member_that_may_not_be_read_is_counted_and_told() -> None:
    found = catalog("solr", read_fixture("solr"), ("/live_nodes/10.0.7.1:8983_solr",))
    assert [i.id for i in found.services["solr"].instances if i.state is State.UNREADABLE] == [
        "10.0.7.1:8983_solr"
    ]
    assert "ACL" in found.problems[0].what


def test_a_vote_that_may_not_be_read_keeps_its_place_in_the_line() -> None:
    for name, service in (("storm", "storm-nimbus"), ("mesos", "mesos"), ("nifi", "nifi")):
        znodes = read_fixture(name)
        votes = [path for path in znodes if path[-10:].isdigit() and "log_replicas" not in path]
        first = min(votes, key=lambda path: ("Cluster" not in path, path[-10:]))
        assert bearers(catalog(name, znodes), service)
        assert bearers(catalog(name, znodes, (first,)), service) == []


def test_a_change_of_leader_makes_other_services_no_other_objects() -> None:
    tree = tree_of("preset=patroni")
    znodes = {"/prod" + path: data for path, data in read_fixture("patroni").items()}
    znodes |= {path.replace("/pg1", "/pg2"): data for path, data in znodes.items()}
    before = read_into(tree, znodes).catalog()
    znodes["/prod/service/pg1/leader"] = b"pg-a"
    after = read_into(tree, znodes).catalog()
    assert bearers(after, "pg1", "primary") == ["pg-a"]
    assert after.services["pg2"] is before.services["pg2"]


def test_as_renames_the_services_that_are_read() -> None:
    found = catalog("patroni", read_fixture("patroni"), options="&as=db-{service}")
    assert bearers(found, "db-pg1") == ["pg-b"]


@pytest.mark.parametrize("name", presets.names())
def test_a_service_says_the_same_whichever_of_its_places_was_read_first(name: str) -> None:
    """Where it stands was that of the folder that a replica saw first, so replicas named it differently."""
    znodes = {f"/prod{path}" if name != "zookeeper" else path: d for path, d in read_fixture(name).items()}
    tops = sorted({path.rpartition("/")[0] for path in znodes})
    first = read_into(tree_of(f"preset={name}"), znodes).catalog()
    for top in tops:
        tree = tree_of(f"preset={name}")
        read_into(tree, {path: data for path, data in znodes.items() if path.rpartition("/")[0] == top})
        tree.catalog()
        assert read_into(tree, znodes, anew=False).catalog() == first
