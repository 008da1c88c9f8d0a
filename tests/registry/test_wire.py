"""ZooKeeper's replies as values: whose a node is, and what is no reply to what was asked."""

from __future__ import annotations

import struct

import pytest

from zkdns.registry.zk.wire import GET_CHILDREN, GET_DATA, NO_NODE, Node, Op, decode_all


@pytest.mark.parametrize(
    ("owner", "is_ephemeral"),
    [
        (0, False),
        (0x1000_0000_0000_0001, True),
        (-(1 << 63), False),  # a container
        (-(1 << 56) | 5000, False),  # lives for 5 s after its last change
        (-(1 << 62), True),  # a session of a server whose id has its high bit set
    ],
)
def test_an_ephemeral_node_is_one_that_a_session_owns(owner: int, is_ephemeral: bool) -> None:
    """ZooKeeper's EphemeralType: containers and nodes with a time to live have marks in that place."""
    node = Node(b"", 1, 1, 1, 0.0, owner, 0)
    assert node.ephemeral is is_ephemeral
    assert (node.stat.ephemeral, node.stat.owner) == (is_ephemeral, owner if is_ephemeral else 0)


def head(kind: int, done: bool = False) -> bytes:
    return struct.pack("!iBi", kind, done, 0)


NAMES = struct.pack("!ii", 1, 1) + b"a"


def test_each_reply_of_a_multiread_is_of_the_kind_that_was_asked_for_or_an_error() -> None:
    ops = (Op(GET_CHILDREN, "/a"), Op(GET_DATA, "/b"))
    error = head(-1) + struct.pack("!i", NO_NODE)
    assert decode_all(ops, (head(GET_CHILDREN) + NAMES + error, 0)) == [("a",), NO_NODE]
    assert decode_all(ops[:1], (b"xyz" + error, 3)) == [NO_NODE]


@pytest.mark.parametrize(
    "reply",
    [head(GET_DATA) + NAMES, head(-1, done=True), head(GET_CHILDREN, done=True) + NAMES, head(8)[:5], b""],
)
def test_what_is_no_reply_to_what_was_asked_is_told_as_one(reply: bytes) -> None:
    with pytest.raises(struct.error):
        decode_all((Op(GET_CHILDREN, "/a"),), (reply, 0))
