"""Who may have one more question under way: laws of shares, whoever comes and goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zkdns.forward.allow import network_of
from zkdns.forward.load import MAX_IN_FLIGHT, MAX_IN_FLIGHT_OF_CLIENT, Full, Load

clients = st.sampled_from([None, *(f"10.0.{n}.{k}" for n in range(4) for k in range(20)), "fd00::1", "?"])


def fill(load: Load, client: str | None) -> int:
    """As many as this client may have."""
    before = load.total
    while load.hindrance(client) is None:
        load.start(client)
    return load.total - before


def test_a_client_has_a_tenth() -> None:
    load = Load()
    assert fill(load, "10.0.0.1") == MAX_IN_FLIGHT_OF_CLIENT == 100
    assert load.hindrance("10.0.0.1") is Full.CLIENT
    assert load.hindrance("10.0.0.2") is None


def test_however_many_addresses_one_network_has_another_has_its_turn() -> None:
    load = Load()
    for n in range(250):
        fill(load, f"10.0.0.{n}")
    assert load.total == 750
    assert load.hindrance("10.0.0.251") is Full.NETWORK
    assert fill(load, "10.0.1.1") == MAX_IN_FLIGHT_OF_CLIENT
    assert fill(load, "fd00:1::1") == MAX_IN_FLIGHT_OF_CLIENT
    in_the_same, in_another = (fill(load, f"fd00:1:0:{n}ff::1") for n in (0, 1))
    assert in_the_same < in_another, "a /56 is one network"


def test_networks_that_are_modest_fill_all_the_room() -> None:
    load = Load()
    for n in range(10):
        assert fill(load, f"10.0.{n}.1") == 100
    assert load.total == MAX_IN_FLIGHT
    assert load.hindrance("10.9.9.9") is Full.ALL
    assert load.hindrance(None) is None, "what we ask for ourselves is no client's to take"


def test_where_all_is_taken_who_has_less_than_its_share_has_one_of_who_has_the_most() -> None:
    load = Load()
    for n in range(10):
        fill(load, f"10.0.{n}.1")
    load.end("10.0.1.1")
    load.start("10.1.0.1")
    assert load.giver("10.9.9.9") in {network_of(f"10.0.{n}.1") for n in range(10)} - {network_of("10.0.1.1")}
    assert load.giver("10.1.0.1") is not None
    assert load.giver("10.0.1.1") is None, "it has more than an eleventh"
    assert not load._room._by_network.keys() & {network_of("10.9.9.9")}, "who asks takes nothing yet"


def test_where_each_of_a_thousand_networks_has_one_nobody_gives_it() -> None:
    load = Load()
    for n in range(MAX_IN_FLIGHT):
        load.start(f"10.{n // 250}.{n % 250}.1")
    assert load.hindrance("10.9.9.9") is Full.ALL
    assert load.giver("10.9.9.9") is None


@given(st.lists(clients, max_size=300))
def test_what_came_and_went_leaves_nothing_behind(asking: list[str | None]) -> None:
    load, taken = Load(), []
    for client in asking:
        if load.hindrance(client) is None:
            load.start(client)
            taken.append(client)
    for client in taken:
        load.end(client)
    assert load.total == 0
    assert not load._by_client
    assert not load._room._by_network
