"""Who may have names forwarded: the same cost for a client whom nobody saw before, of many networks."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.steps import steps
from zkdns.forward.allow import permit
from zkdns.model import ConfigError

V4 = st.builds(
    lambda n, bits: f"{ipaddress.IPv4Address(n)}/{bits}", st.integers(0, 2**32 - 1), st.integers(0, 32)
)
V6 = st.builds(
    lambda n, bits: f"{ipaddress.IPv6Address(n)}/{bits}", st.integers(0, 2**128 - 1), st.integers(0, 128)
)


def test_a_client_whom_nobody_saw_before_costs_the_same_however_many_networks_may() -> None:
    """Addresses of datagrams can be made up; of 40,000 networks each such client was a turn of 20 ms."""
    few, many = (permit([f"10.{n // 250}.{n % 250}.0/24" for n in range(count)]) for count in (10, 10_000))
    assert few("10.0.5.9")
    assert not few("10.30.0.1")
    assert many("10.30.0.1")
    few_steps, many_steps = (steps(lambda may=may: may("10.9.9.9"), ours="") for may in (few, many))
    assert many_steps < few_steps * 1.5


@given(st.lists(V4 | V6, max_size=12), st.lists(V4 | V6, min_size=1, max_size=12))
def test_it_is_whoever_is_within_one_of_the_networks(networks: list[str], clients: list[str]) -> None:
    may = permit(networks)
    every = [ipaddress.ip_network(one, strict=False) for one in networks]
    for one in [*clients, *networks]:
        client = ipaddress.ip_address(one.partition("/")[0])
        plain = getattr(client, "ipv4_mapped", None) or client
        assert may(str(client)) is any(plain in network for network in every)


def test_what_is_no_address_may_not_and_what_is_no_network_is_told() -> None:
    may = permit(["0.0.0.0/0", "::/0"])
    assert [may(client) for client in ("", "x", "10.0.0.1", "fe80::1%eth0")] == [False, False, True, True]
    with pytest.raises(ConfigError, match="expected a network"):
        permit(["10.0.0.0/33"])
