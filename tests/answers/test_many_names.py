"""A zone file of thousands of names beside the services: they are laid some at a time, as if at once."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from support.tables import Answers, services
from zkdns.answers.table import FILES, NO_ZONE, Name, Table
from zkdns.dns import names
from zkdns.model import Service
from zkdns.steps import SLICE

APEX = names.wire("svc.local")
OWNERS = [names.wire(f"{name}.svc.local") for name in ("web", "a.web", "n0", "n1", "n2", "ns.dns", "a.b.c")]
FILES_OF = st.lists(st.sets(st.sampled_from(OWNERS)).map(sorted), max_size=4)


def laid(owners: list[bytes], of: int) -> Mapping[bytes, Name]:
    return {owner: Name(NO_ZONE, service=f"file {of}", origin=FILES) for owner in (APEX, *owners)}


def test_of_thousands_of_names_so_many_move_in_a_turn_and_all_of_them_at_last() -> None:
    answers = Answers(["svc.local"])
    answers.take()
    many = [names.wire(f"h{n}.svc.local") for n in range(3000)]
    for of, owners in enumerate((many, many[1000:], [])):
        answers.put_beneath(laid(owners, of).items(), in_turns=True)
        moved = 0
        while answers.has_more:
            delta = answers.take(1)
            assert len(delta.names) <= SLICE
            moved += len(delta.names)
        assert moved == (3001, 3001, 2001)[of], "those that went have moved as well"
        assert list(answers.snapshot().files) == [APEX, *owners]


@given(FILES_OF, st.lists(st.tuples(st.integers(0, 30), services("web")), max_size=3))
def test_laid_name_by_name_while_services_come_it_is_as_if_it_had_been_laid_at_once(
    files: list[list[bytes]], come: list[tuple[int, Service]]
) -> None:
    slowly, at_once = Answers(["svc.local"]), Answers(["svc.local"])
    with_one = dict(come)
    table = Table()
    with patch("zkdns.answers.precedence.SLICE", 1):
        for of, owners in enumerate(files):
            slowly.put_beneath(laid(owners, of).items(), in_turns=True)
        turn = 0
        while slowly.has_more or turn <= 30:
            if (service := with_one.get(turn)) is not None:
                slowly.replace("web", slowly.compile(service))
            table.apply(slowly.take(1))
            turn += 1
    for of, owners in enumerate(files):
        at_once.put_beneath(laid(owners, of).items())
    for _, service in sorted(with_one.items()):
        at_once.replace("web", at_once.compile(service))
    assert table.names.keys() == at_once.table.names.keys()
    for owner, known in at_once.table.names.items():
        assert table.names[owner].service == known.service, owner
