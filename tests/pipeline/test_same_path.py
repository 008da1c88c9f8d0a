"""Instances that have one path: in two registries that call their services differently, and in one node."""

from __future__ import annotations

from dataclasses import replace

from support.scenario import World
from zkdns.registry.url import parse_registry

CHECK = '{"check": {"type": "tcp", "rise": 1, "fall": 1}}'


def two_registries() -> World:
    """What both call `/services/web/a` is `a` of `prod-web` here, and of `test-web` there."""
    world = World()
    urls = [
        replace(parse_registry(f"zk://{name}:2181/services?as={name}-{{service}}"), name=name)
        for name in ("prod", "test")
    ]
    world._open(replace(world.settings, registry=tuple(urls)))
    return world


def register(world: World, registry: str, instance: str) -> None:
    world.run(
        [
            f"list {registry}:/services web",
            f"list {registry}:/services/web a",
            f"data {registry}:/services/web {CHECK}",
            f"data {registry}:/services/web/a {instance}",
        ]
    )
    world.publish()


def test_a_check_in_another_registry_says_nothing_of_the_instance_of_the_same_path() -> None:
    world = two_registries()
    register(world, "prod", '{"address": "10.0.0.1", "port": 80}')
    register(world, "test", '{"address": "192.0.2.66", "port": 81}')
    assert {(t.address, t.port) for t in world.targets.values()} == {("10.0.0.1", 80), ("192.0.2.66", 81)}
    world.do_probe("prod@/services/web/a good")
    world.do_probe("test@/services/web/a bad refused")
    assert world.do_states("prod-web") == "a healthy"
    assert world.do_states("test-web") == "a failing (refused), out"
    register(world, "prod", '{"address": "10.0.0.2", "port": 80}')
    assert world.do_states("prod-web") == "a starting (no probe yet), out"
    world.do_probe("prod@/services/web/a good")
    assert world.do_states("prod-web") == "a healthy"
    world.run(["list test:/services"])
    world.publish()
    assert [t.address for t in world.targets.values()] == ["10.0.0.2"]
    assert world.do_states("prod-web") == "a healthy"


def test_a_host_name_that_does_not_resolve_is_told_of_each() -> None:
    world = two_registries()
    register(world, "prod", '{"address": "gone.example", "port": 80}')
    register(world, "test", '{"address": "lost.example", "port": 81}')
    assert len(world.do_problems("").splitlines()) == 2
    register(world, "test", '{"address": "192.0.2.66", "port": 81}')
    assert world.do_problems("") == "/services/web/a: the host name 'gone.example' doesn't resolve"


def test_the_servers_that_one_node_names_are_checked_each_by_itself() -> None:
    world = World()
    world._open(
        replace(
            world.settings,
            registry=(replace(parse_registry("zk://127.0.0.1:2181/?preset=zookeeper"), name="r1"),),
            service_defaults={"check": {"type": "tcp", "rise": 1, "fall": 1}},
        )
    )
    servers = "server.1=10.0.0.1:2888:3888:participant;2181\nserver.2=10.0.0.2:2888:3888:participant;2181"
    world.run(["list /zookeeper/config", f"data /zookeeper/config {servers}"])
    world.publish()
    assert sorted(t.address for t in world.targets.values()) == ["10.0.0.1", "10.0.0.2"]
    world.do_probe("/zookeeper/config/1 good")
    world.do_probe("/zookeeper/config/2 bad refused")
    assert world.do_states("zookeeper") == "1 healthy\n2 failing (refused), out"
