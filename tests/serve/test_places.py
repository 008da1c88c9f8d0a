"""Places for TCP connections: shares by network and client, the idlest first, bytes bounded."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from support.steps import steps
from zkdns.serve.listen.places import Limits, Places, shares_of


def test_shares_are_those_of_the_network_and_the_client() -> None:
    assert shares_of("10.1.2.3") == (b"\x0a\1\2", b"\x0a\1\2\3")
    assert shares_of("::ffff:10.1.2.3") == shares_of("10.1.2.3")
    network, client = shares_of("2001:db8:1:2345:6::7")
    assert shares_of("2001:db8:1:23ff::1")[0] == network
    assert shares_of("2001:db8:1:2445::1")[0] != network
    assert shares_of("2001:db8:1:2345:ffff::1")[1] == client
    assert shares_of("2001:db8:1:2346::1")[1] != client
    assert shares_of("fe80::1%eth0") == shares_of("fe80::1")
    assert shares_of("") == (b"", b"")


CLIENTS = st.builds("10.0.{}.{}".format, st.integers(0, 2), st.integers(0, 2))


@given(st.integers(1, 12), st.lists(st.tuples(CLIENTS, st.booleans()), max_size=80))
def test_who_has_most_gives_up_its_idlest(count: int, steps: list[tuple[str, bool]]) -> None:
    """Beside a list that is walked, idlest first."""
    places: Places[int] = Places(Limits(connections=count))
    open: list[tuple[int, str]] = []
    for number, (client, again) in enumerate(steps):
        if again and open:  # one of them asks something
            open.append(open.pop(number % len(open)))
            places.touch(open[-1][0])
        loser = places.take(number, client)
        if len(open) < count:
            assert loser is None
        else:
            gone, of = next(one for one in open if one[0] == loser)
            networks = Counter(shares_of(c)[0] for _, c in [*open, (number, client)])
            clients = Counter(c for _, c in [*open, (number, client)])
            standing = {shares_of(c)[0] for _, c in open}
            assert networks[shares_of(of)[0]] == max(networks[n] for n in standing)
            inside = {c for _, c in open if shares_of(c)[0] == shares_of(of)[0]}
            assert clients[of] == max(clients[c] for c in inside)
            assert gone == next(one for one, c in open if c == of), "its idlest"
            open.remove((gone, of))
        open.append((number, client))
        assert sorted(places) == sorted(one for one, _ in open)
    for one, _ in open:
        places.release(one)
        places.release(one)
    assert (len(places), places.held) == (0, 0)


def test_of_strangers_with_one_each_the_idlest_goes() -> None:
    places: Places[int] = Places(Limits(connections=3))
    for n in range(3):
        places.take(n, f"10.0.{n}.1")
    places.touch(0)
    assert places.take(9, "10.0.9.1") == 1


def test_a_newcomer_among_a_thousand_strangers_costs_one_look_at_each_network() -> None:
    """And 16 come in a turn: each cost 1.6 ms."""
    places: Places[int] = Places(Limits(connections=1000))
    for n in range(1000):
        places.take(n, f"10.{n >> 8}.{n & 255}.1")
    assert steps(lambda: places.take(1000, "11.0.0.1"), "") < 1500


def test_past_the_bytes_of_all_the_network_that_keeps_the_most_loses_its_largest() -> None:
    places: Places[int] = Places(Limits(bytes=1000))
    places.take(0, "10.0.1.1")
    for n in range(1, 5):
        places.take(n, f"10.0.2.{n}")
    assert places.weigh(0, 400) is None
    assert [places.weigh(n, 150 + n) for n in range(1, 5)] == [None, None, None, 4]
    assert (len(places), places.held) == (4, 856)
    assert 4 not in places
    assert places.weigh(0, 100) is None
    assert places.weigh(4, 5000) is None, "it is not there any more"
    assert places.held == 556


def test_who_waits_for_less_than_before_sends_nobody_away() -> None:
    """There may be too much all the same: others are about to go for it."""
    places: Places[str] = Places(Limits(bytes=100))
    for one in "abc":
        places.take(one, "10.0.0.1")
    assert places.weigh("a", 60) is None
    assert places.weigh("b", 70) == "b"
    assert places.held == 60
    assert places.weigh("c", 90) == "c"
    assert places.weigh("a", 130) == "a"
    assert places.held == 0
    places.take("d", "10.0.0.1")
    places.take("e", "10.0.0.2")
    places._places["d"].held = places.held = 150
    assert places.weigh("d", 120) is None
    assert (places.held, len(places)) == (120, 2)
