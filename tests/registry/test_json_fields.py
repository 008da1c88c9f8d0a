"""JSON of one's own: which field holds what, and how a wrong one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zkdns.model import Registration
from zkdns.registry.fields import BadData
from zkdns.registry.formats import Node
from zkdns.registry.json_fields import JSONFields


def parse(value: Any, *names: str) -> Registration:
    return JSONFields(*names).parse(Node("a", json.dumps(value).encode()))


def test_a_dot_goes_into_an_object() -> None:
    value = {"net": {"ip": "10.0.0.1", "p": 80}, "w": {"eu": 7}}
    found = parse(value, "net.ip", "net.p", "w.eu")
    assert (found.addresses, found.port, found.weight, found.format) == (("10.0.0.1",), 80, 7, "json")


def test_a_field_with_that_very_name_comes_first() -> None:
    assert parse({"net.ip": "10.0.0.1", "net": {"ip": "10.0.0.2"}}, "net.ip").addresses == ("10.0.0.1",)


@pytest.mark.parametrize(
    ("address", "where", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 0),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("[fd00::1]:80", "fd00::1", 80),
        ("fd00::1", "fd00::1", 0),
        ("db.example", "db.example", 0),
        ("db.example:80", "db.example", 80),
        ("https://user@db.example:8443/x?y#z", "db.example", 8443),
        ("grpc://[fd00::1]:9000", "fd00::1", 9000),
        ("http://db.example", "db.example", 0),
    ],
)
def test_an_address_may_hold_a_port_or_be_a_url(address: str, where: str, port: int) -> None:
    found = parse({"a": address}, "a")
    assert (found.host or found.addresses[0], found.port) == (where, port)


def test_a_list_of_addresses_is_taken_too() -> None:
    assert parse({"a": ["10.0.0.1", "fd00::1"]}, "a").addresses == ("10.0.0.1", "fd00::1")


def test_a_port_of_its_own_wins_over_one_in_the_address() -> None:
    assert parse({"a": "10.0.0.1:80", "p": 81}, "a", "p").port == 81
    assert parse({"a": "10.0.0.1:80", "p": None}, "a", "p").port == 80


def test_numbers_may_stand_as_text() -> None:
    found = parse({"a": "10.0.0.1", "p": "80", "w": "3"}, "a", "p", "w")
    assert (found.port, found.weight) == (80, 3)


@pytest.mark.parametrize(
    ("word", "status"),
    [("UP", "up"), ("Draining", "draining"), ("down", "down"), (True, "up"), (False, "down"), (None, "up")],
)
def test_a_status_is_read_by_its_word(word: Any, status: str) -> None:
    assert parse({"a": "10.0.0.1", "s": word}, "a", "", "", "s").status == status


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({}, "it has no a"),
        ({"a": None}, "it has no a"),
        ({"a": 7}, "a is 7"),
        ({"a": "10.0.0.1:99999"}, "port is 99999"),
        ({"a": "0.0.0.0"}, "no client can reach"),
        ({"a": "10.0.0.1", "p": "x"}, 'p is "x"'),
        ({"a": "10.0.0.1", "w": -1}, "w is -1"),
        ({"a": "10.0.0.1", "s": "odd"}, 's is "odd"'),
        ([], "no JSON object"),
    ],
)
def test_a_wrong_field_is_named(value: Any, what: str) -> None:
    with pytest.raises(BadData) as error:
        parse(value, "a", "p", "w", "s")
    assert what in error.value.what
