"""A server that is asked by a command, and is none: what it sends is bounded in time and size."""

from __future__ import annotations

import pytest

from zkdns.cli import asking


class Dripping:
    """A response that comes byte by byte, as long as somebody reads."""

    def __init__(self, clock: list[float], step: float, size: int) -> None:
        self.clock, self.step, self.size = clock, step, size

    def read1(self, most: int) -> bytes:
        self.clock[0] += self.step
        return b"x" * min(most, self.size)


def test_who_sends_a_byte_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(asking.time, "monotonic", lambda: clock[0])
    with pytest.raises(TimeoutError):
        asking._read(Dripping(clock, 1.0, 1), 10.0)
    assert clock[0] == 11.0


def test_of_what_has_no_end_no_more_is_read_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_REPLY_BYTES", 100_000)
    body = asking._read(Dripping([0.0], 0.0, 65_536), float("inf"))
    assert 100_000 < len(body) <= 100_000 + 65_536
    assert asking._parse(body) is None
