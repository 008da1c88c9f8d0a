"""Which map of networks is in force, whenever its node, the settings and what is read aside come."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from zkdns.config import Settings
from zkdns.pipeline import locality
from zkdns.pipeline.inputs import MapRead
from zkdns.pipeline.locality import LARGE_BYTES, Localities
from zkdns.roots import TOPOLOGY

OURS = Settings(topology={"10.0.0.0/8": "eu/eu-1a"}, location="eu/eu-1a")


def large(zone: str) -> bytes:
    data = json.dumps({f"10.{n // 250}.{n % 250}.0/24": f"eu/{zone}" for n in range(1000)}).encode()
    assert len(data) > LARGE_BYTES
    return data


def aside(one: Localities, data: bytes) -> MapRead:
    work = one.take_aside(data)
    assert work is not None
    return work()


def zone_of(one: Localities, address: str) -> str:
    place = one.topology.place_of(address)
    return place.zone if place is not None else ""


def test_an_empty_map_in_the_node_is_the_map_and_none_is_that_of_the_settings() -> None:
    one = Localities(OURS)
    for data, zone, where in ((b"{}", "", TOPOLOGY), (None, "eu-1a", "the settings")):
        one.take_node(data)
        assert (zone_of(one, "10.1.2.3"), one.where) == (zone, where)


def test_a_large_map_is_read_by_the_settings_that_are_in_force_when_it_comes() -> None:
    one = Localities(OURS)
    read = aside(one, large("eu-1b"))
    one.take_settings(Settings(location="us/us-1a"))
    one.take_read(read)
    assert (zone_of(one, "10.1.2.3"), one.topology.own.zone) == ("eu-1b", "us-1a")


def test_a_map_that_was_read_too_late_is_none() -> None:
    one = Localities(OURS)
    first, second = aside(one, large("eu-1b")), aside(one, large("eu-1c"))
    one.take_read(second)
    one.take_read(first)
    assert zone_of(one, "10.1.2.3") == "eu-1c"
    third = aside(one, large("eu-1d"))
    one.take_node(None)
    one.take_read(third)
    assert zone_of(one, "10.1.2.3") == "eu-1a"


def test_a_large_map_that_is_none_is_told_and_the_last_good_one_holds() -> None:
    one = Localities(OURS)
    one.take_node(b'{"10.0.0.0/8": "eu/eu-1b"}')
    one.take_read(aside(one, b"x" * LARGE_BYTES))
    assert zone_of(one, "10.1.2.3") == "eu-1b"
    assert [problem.path for problem in one.problems] == [TOPOLOGY]
    one.take_read(aside(one, large("eu-1c")))
    assert zone_of(one, "10.1.2.3") == "eu-1c"
    assert one.problems == ()


MANY = {f"10.{n // 250}.{n % 250}.0/24": "eu/eu-1b" for n in range(1000)}


def test_a_large_map_in_the_settings_is_read_aside_and_until_then_the_last_one_holds() -> None:
    one = Localities(OURS)
    work = one.take_settings_aside(Settings(topology=MANY))
    assert work is not None
    assert zone_of(one, "10.1.2.3") == "eu-1a"
    one.take_read(work())
    assert zone_of(one, "10.1.2.3") == "eu-1b"


def test_what_came_while_a_map_of_the_settings_was_read_counts() -> None:
    one = Localities(OURS)
    work = one.take_settings_aside(Settings(topology=MANY))
    assert work is not None
    one.take_node(b'{"10.0.0.0/8": "eu/eu-1c"}')
    one.take_read(work())
    assert zone_of(one, "10.1.2.3") == "eu-1c"
    one.take_node(None)
    assert zone_of(one, "10.1.2.3") == "eu-1b"


def test_settings_that_say_nothing_else_of_networks_have_nothing_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Localities(Settings(topology=MANY))
    monkeypatch.setattr(locality, "parse_topology", None)
    assert one.take_settings_aside(Settings(topology=dict(MANY), ttl=9)) is None
    one.take_settings(Settings(topology=dict(MANY), ttl=9))
    assert zone_of(one, "10.1.2.3") == "eu-1b"


def test_a_node_that_is_read_while_other_settings_come_is_not_read_again() -> None:
    one = Localities(OURS)
    read = aside(one, large("eu-1b"))
    one.take_settings(replace(OURS, ttl=9))
    one.take_read(read)
    assert one._now.topology is read.topology


def test_an_error_of_ours_over_new_settings_leaves_the_map_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Localities(OURS)
    work = one.take_settings_aside(Settings(topology=MANY))
    assert work is not None
    monkeypatch.setattr(locality, "parse_topology", None)
    one.take_read(work())
    assert zone_of(one, "10.1.2.3") == "eu-1a"
    assert [problem.path for problem in one.problems] == [TOPOLOGY]
