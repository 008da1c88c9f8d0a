"""The map from networks to zones: longest prefix, IPv4 and IPv6, and what is wrong in it."""

from __future__ import annotations

import ipaddress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.client_map import IPV4, IPV6, MAX_REMEMBERED, client_map
from zkdns.topology import MAX_NETWORKS, MAX_PLACES, Place, parse_place, parse_topology

MAP = {"10.0.0.0/8": "eu/eu-1b", "10.1.0.0/16": "eu/eu-1a", "fd00::/8": "dc9", "2001:db8::/32": "us/us-1a"}


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.1.2.3", "eu/eu-1a"),
        ("::ffff:10.1.2.3", "eu/eu-1a"),
        ("10.2.0.1", "eu/eu-1b"),
        ("fd00::7%eth0", "dc9"),
        ("2001:db8::1", "us/us-1a"),
        ("192.0.2.1", "home"),
        ("no address", "home"),
    ],
)
def test_the_longest_prefix_tells_the_place_and_else_the_servers_own(address: str, place: str) -> None:
    topology, problems = parse_topology("[topology]", MAP, own=parse_place("home"))
    assert not problems
    stands = topology.place_of(address) or topology.own
    assert str(stands) == place
    assert topology.class_of(stands) > 0


networks = st.builds(
    lambda n, bits: ipaddress.ip_network((n, bits), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.dictionaries(networks, st.sampled_from(["a", "b", "r/c"]), max_size=12), st.integers(0, 2**32 - 1))
def test_the_map_says_what_a_walk_over_all_networks_says(
    found: dict[ipaddress.IPv4Network, str], number: int
) -> None:
    topology, problems = parse_topology("x", {str(n): p for n, p in found.items()})
    assert not problems
    address = ipaddress.IPv4Address(number)
    holding = [n for n in found if address in n]
    longest = max(holding, key=lambda n: n.prefixlen, default=None)
    place = topology.place_of(str(address))
    assert (str(place) if place else None) == (found[longest] if longest is not None else None)


@pytest.mark.parametrize(
    ("network", "place"),
    [
        ("10.0.0.0/33", "a"),
        ("nonsense", "a"),
        ("10.0.0.0/8", ""),
        ("10.0.0.0/8", "/a"),
        ("10.0.0.0/8", "a b"),
        ("10.0.0.0/8", 7),
    ],
)
def test_a_bad_entry_costs_itself_and_is_told(network: str, place: object) -> None:
    topology, problems = parse_topology("/zkdns/topology", {network: place, "fd00::/8": "dc9"})
    assert [p.path for p in problems] == ["/zkdns/topology"]
    assert topology.place_of("fd00::1") == Place("", "dc9")
    assert topology.place_of("10.0.0.1") is None


@pytest.mark.parametrize("data", [None, [], "x", 7])
def test_what_is_no_map_at_all_is_one_problem(data: object) -> None:
    topology, problems = parse_topology("/zkdns/topology", data)
    assert len(problems) == 1
    assert topology.places == ()


def test_client_shares_are_equal_or_as_given() -> None:
    topology, _ = parse_topology("x", MAP)
    assert topology.client_shares() == dict.fromkeys(("eu-1a", "eu-1b", "dc9", "us-1a"), Fraction(1, 4))
    topology, problems = parse_topology("x", MAP, {"eu-1a": 3, "us-1a": 1, "dc9": -1})
    assert len(problems) == 1
    assert {z: s for z, s in topology.client_shares().items() if s} == {
        "eu-1a": Fraction(3, 4),
        "us-1a": Fraction(1, 4),
    }


def test_more_places_than_there_is_room_for_are_left_out_and_told() -> None:
    many = {f"10.{n // 256}.{n % 256}.0/24": f"z{n}" for n in range(MAX_PLACES + 5)}
    topology, problems = parse_topology("x", many)
    assert len(topology.places) == MAX_PLACES
    assert len(problems) == 1


def test_as_many_networks_and_places_as_there_is_room_for_are_kept_and_nothing_is_told() -> None:
    places = {f"10.{n // 256}.{n % 256}.0/24": f"z{n}" for n in range(MAX_PLACES)}
    topology, problems = parse_topology("x", places)
    assert (len(topology.places), problems) == (MAX_PLACES, ())
    many = {f"fd00:{n:x}::/32": "a" for n in range(MAX_NETWORKS)}
    topology, problems = parse_topology("x", many)
    assert (len(topology.networks), problems) == (MAX_NETWORKS, ())
    topology, problems = parse_topology("x", many | {"fd00:ffff::/32": "a"})
    assert (len(topology.networks), len(problems)) == (MAX_NETWORKS, 1)


def test_an_ipv4_mapped_client_is_of_the_same_class_for_as_much_around_it() -> None:
    """RFC 4291, section 2.5.5.2: 96 bits stand before it."""
    topology, _ = parse_topology("x", MAP)
    clients = client_map(topology)
    for address in ("10.1.2.3", "10.2.0.1", "192.0.2.1"):
        number = int(ipaddress.ip_address(address))
        place, scope = clients.locate(IPV4, number)
        assert clients.locate(IPV6, 0xFFFF << 32 | number) == (place, scope + 96)
        assert clients.class_of(address) == clients.class_of(f"::ffff:{address}") == place


def test_classes_of_clients_are_remembered_for_so_many_and_no_more() -> None:
    clients = client_map(parse_topology("x", MAP)[0])
    for n in range(2 * MAX_REMEMBERED + 5):
        clients.class_of(str(ipaddress.ip_address((10 << 24) + n)))
    assert len(clients._known) <= MAX_REMEMBERED


def test_of_many_bad_entries_some_are_told_and_the_rest_counted() -> None:
    _, problems = parse_topology("map", {f"bad{n}": "a" for n in range(100)})
    assert len(problems) == 17
    assert "84 more" in problems[-1].what
