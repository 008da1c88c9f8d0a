"""Votes of the elections that Curator's recipes hold: the lowest sequence number leads.

Source: curator 5, recipes' LeaderLatch and LeaderSelector (`_c_<uuid>-latch-<seq>`, `_c_<uuid>-lock-<seq>`;
the data is the participant's id) and LockInternals (sorted by what follows the lock's name, as strings).
Rules: pure; a node without a sequence number takes no part; one without data holds its place and names
nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zkdns.registry.endpoints import MAX_URL_CHARACTERS, anywhere, sequence
from zkdns.registry.fields import BadData, show
from zkdns.registry.formats import Node
from zkdns.registry.places import Leads, Part, Read


def latch_reader() -> Read:
    """Reads votes whose data is a URL or host:port of the voter."""

    def read(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
        order = standing(node.name)
        if order is None:
            return
        try:
            yield Leads(voter(node), order)
        except BadData:
            yield Leads("", order)
            raise

    return read


def standing(name: str) -> int | None:
    """Where a vote stands in line. Numbers below 0 come once the counter has overflowed: in the order of
    strings they stand before all others, the newest first."""
    number = sequence(name)
    return int.from_bytes(number.encode().ljust(11, b"\0"), "big") if number else None


def voter(node: Node) -> str:
    """Who votes, as host:port; "" for a node that does not say."""
    try:
        if len(node.data) > MAX_URL_CHARACTERS:
            raise ValueError
        text = node.data.decode().strip()
    except ValueError:
        raise BadData(f"its data is {show(ascii(node.data[:40]))}, no voter's host:port", "wait") from None
    return str(anywhere(text, "its data")).lower() if text else ""
