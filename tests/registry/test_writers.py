"""What real registrars wrote (support/writers.py says which), read without them: tests/writers runs them."""

from __future__ import annotations

import pytest

from support.trees import catalog_of
from support.writers import EXPECTED, WRITERS, Row, recorded
from zkdns.model import Instance


def row(instance: Instance) -> Row:
    r = instance.registration
    state = "healthy" if r.status == "up" else r.status
    return Row((*r.addresses, r.host or "")[0], r.port, state, r.weight, r.tags, r.ports)


@pytest.mark.parametrize("writer", WRITERS)
def test_what_real_registrars_wrote_is_read_as_they_mean_it(writer: str) -> None:
    nodes = {path[1:]: (text or "").encode() for path, text in recorded(writer).items()}
    catalog = catalog_of(nodes)
    assert catalog.problems == ()
    found = {name: sorted(map(row, s.instances)) for name, s in catalog.services.items()}
    assert found == {name: sorted(rows) for name, rows in EXPECTED[writer].items()}
