"""What commands read in one go: as much at once as is soon through."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from support.mirrored import three_deep
from zkdns.model import Children, Data, Event, Unreadable
from zkdns.registry.zk import look
from zkdns.registry.zk.portion import (
    BATCH_BYTES,
    FIRST_READS,
    HEAVY_BYTES,
    MAX_PATH_CHARACTERS,
    MAX_READS,
    TOO_LONG,
    stand_in,
)
from zkdns.registry.zk.wire import GET_CHILDREN, GET_DATA, MultiRead, Node, Op, Reply, size


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


def test_the_longer_paths_are_the_fewer_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[MultiRead] = []

    def ask(client: object, what: MultiRead) -> Any:
        asked.append(what)
        return SimpleNamespace(get=lambda timeout: what.ops)

    node = Node(b"", 1, 1, 1, 0.0, 0, 0)
    monkeypatch.setattr(look, "ask", ask)
    monkeypatch.setattr(look, "decode_all", lambda ops, raw: [node for _ in ops])
    paths = [f"/services/web/{'i' * 20_000}{n}" for n in range(100)]
    assert len(look.Eyes(None).read([Op(GET_DATA, path) for path in paths])) == len(paths)
    most = BATCH_BYTES + size(paths[-1])
    assert max(len(what.serialize()) for what in asked) < most < 1_000_000


def test_a_node_whose_path_is_too_long_is_told_and_not_asked_for() -> None:
    long = "i" * MAX_PATH_CHARACTERS
    lists: dict[str, tuple[str, ...]] = {"/services": ("web",), "/services/web": ("a", long)}

    class Reader:
        @staticmethod
        def read(ops: Sequence[Op]) -> list[Reply]:
            assert all(len(op.path) < 100 for op in ops)
            node = Node(b"", 1, 1, 1, 0.0, 0, 0)
            return [lists.get(op.path, ()) if op.type == GET_CHILDREN else node for op in ops]

    class Reducer:
        scopes = (three_deep("/services"),)
        told: ClassVar[list[Event]] = []
        apply = staticmethod(told.append)

    look.read_root(cast("look.Eyes", Reader), Reducer())
    assert Children("/services/web", ("a", stand_in(long)), 1) in Reducer.told
    assert Unreadable(f"/services/web/{stand_in(long)}", TOO_LONG) in Reducer.told
    assert [event.path for event in Reducer.told if isinstance(event, Data)][-1] == "/services/web/a"
