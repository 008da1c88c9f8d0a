"""How two values of what a node says differ, as people read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.values import an_instance
from zkdns.model import Instance, Registration
from zkdns.pipeline.differing import MAX_VALUE_CHARS, differing_fields, tell_place


def at(registration: Registration) -> Instance:
    return replace(an_instance("a"), registration=registration)


@pytest.mark.parametrize(("length", "is_cut"), [(MAX_VALUE_CHARS, False), (MAX_VALUE_CHARS + 1, True)])
def test_what_is_long_is_cut_and_what_just_fits_is_not(length: int, is_cut: bool) -> None:
    was, now = differing_fields(Registration((), tags=("b",)), Registration((), tags=("x" * length,)))
    assert was == "tags b"
    assert now == f"tags {'x' * MAX_VALUE_CHARS}{'…' * is_cut}"


def test_a_place_is_told_by_addresses_else_by_its_host_and_is_never_empty() -> None:
    both = Registration(("10.0.0.1", "10.0.0.2"), port=80)
    assert tell_place(at(both)) == "10.0.0.1, 10.0.0.2 port 80"
    assert tell_place(at(Registration((), "db.example.org"))) == "db.example.org"
    assert tell_place(at(Registration(()))) == "no address"
