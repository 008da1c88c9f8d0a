"""Looks around in an ensemble for a survey: reads alone, many at once, and no watch.

Rules: it waits for no reply longer than PATIENCE. What may not be read, or is gone by now, is not there.
Servers before 3.6 know no multiRead; they are asked one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import (
    APIError,
    BadArgumentsError,
    MarshallingError,
    NoAuthError,
    NoNodeError,
    UnimplementedError,
)

from zkdns.registry.survey import Look, Reply, Survey
from zkdns.registry.zk.adopt import ask
from zkdns.registry.zk.wire import GET_CHILDREN, GET_DATA, MultiRead, Node, Op, decode_all

PATIENCE: Final = 10.0
BATCH: Final = 100
IN_FLIGHT: Final = 4

OLD: Final = (UnimplementedError, MarshallingError, BadArgumentsError, APIError)
"""How servers before 3.6 refuse multiRead."""


def look_around(client: KazooClient, survey: Survey) -> None:
    """Bring the survey to its end. KazooException where the ensemble does not answer."""
    read = _read_many
    while wanted := survey.wants():
        try:
            for look, reply in read(client, wanted):
                survey.take(look, reply)
        except OLD:
            if read is _read_each:
                raise
            read = _read_each


def _read_many(client: KazooClient, wanted: Sequence[Look]) -> Iterator[tuple[Look, Reply]]:
    flying: deque[tuple[Sequence[Look], tuple[Op, ...], Any]] = deque()
    batches = deque(wanted[at : at + BATCH] for at in range(0, len(wanted), BATCH))
    while batches or flying:
        while batches and len(flying) < IN_FLIGHT:
            batch = batches.popleft()
            ops = tuple(Op(GET_CHILDREN if look.listing else GET_DATA, look.path) for look in batch)
            flying.append((batch, ops, ask(client, MultiRead(ops))))
        batch, ops, result = flying.popleft()
        replies = decode_all(ops, result.get(timeout=PATIENCE))
        for look, reply in zip(batch, replies, strict=True):
            if isinstance(reply, int):  # an error of its own
                yield look, None
            else:
                yield look, reply.data if isinstance(reply, Node) else reply


def _read_each(client: KazooClient, wanted: Sequence[Look]) -> Iterator[tuple[Look, Reply]]:
    for at in range(0, len(wanted), BATCH):
        batch = wanted[at : at + BATCH]
        results = [
            client.get_children_async(look.path) if look.listing else client.get_async(look.path)
            for look in batch
        ]
        for look, result in zip(batch, results, strict=True):
            try:
                found = result.get(timeout=PATIENCE)
                yield look, tuple(found) if look.listing else found[0]
            except (NoNodeError, NoAuthError):
                yield look, None
