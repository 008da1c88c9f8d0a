"""What commands read in one go: as much at once as is soon through."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zkdns.registry.zk import look
from zkdns.registry.zk.portion import FIRST_READS, HEAVY_BYTES, MAX_READS
from zkdns.registry.zk.wire import GET_DATA, MultiRead, Node, Op


@pytest.mark.parametrize(
    ("size", "most", "last"), [(10, MAX_READS, MAX_READS), (HEAVY_BYTES, FIRST_READS, 1)]
)
def test_the_more_nodes_hold_the_fewer_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch, size: int, most: int, last: int
) -> None:
    asked: list[int] = []

    def ask(client: object, what: MultiRead) -> Any:
        asked.append(len(what.ops))
        return SimpleNamespace(get=lambda timeout: what.ops)

    node = Node(b"x" * size, 1, 1, 1, 0.0, 0, 0)
    monkeypatch.setattr(look, "ask", ask)
    monkeypatch.setattr(look, "decode_all", lambda ops, raw: [node for _ in ops])
    paths = [f"/services/web/i{n}" for n in range(1000)]
    replies = look.Eyes(None).read([Op(GET_DATA, path) for path in paths])
    assert len(replies) == sum(asked) == len(paths)
    assert max(asked) == most
    assert max(asked[8:]) == last, "once it is known what they hold"
