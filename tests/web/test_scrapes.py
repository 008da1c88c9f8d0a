"""However many scrape: one walk for all who wait, each of a moment after it was asked for, in pieces."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.filled import fill
from zkdns.answers.first_places import FirstAnswers, Sums
from zkdns.web import metrics, scrapes
from zkdns.web.scrapes import Scrapes
from zkdns.web.status import Counters, Observed, Status

STATUS: Status = fill(Status, "x", 1.8e9, {
    "Status.forward": {"cached": 3, "in_flight": 3, "cache_bytes": 3}, "ServiceSettings.policy": "weighted",
})  # fmt: skip
COUNTERS: Counters = fill(Counters, "x", 1.8e9, {
    "Counters.queries": {("udp", 1, 0): 3},
    "Counters.query_seconds": ((0.1,), (3, 3), 1.0),
    "Counters.change_seconds": ((0.1,), (3, 3), 1.0),
    "Counters.tcp_closed": dict.fromkeys(("idle", "limit", "backlog"), 3),
})  # fmt: skip


class Counting:
    """A server that is asked for names while it is looked at. `walks`: how often that was."""

    def __init__(self) -> None:
        self.asked = 0
        self.walks = 0
        self.walking = 0
        self.observed: Observed = SimpleNamespace(  # type: ignore[assignment]
            status=lambda: STATUS,
            counters=lambda: COUNTERS,
            walk_first_answers=self.walk,
            given_instead=lambda: lambda name: 0,
        )

    def walk(self) -> Iterator[FirstAnswers]:
        self.walks += 1
        self.walking += 1
        assert self.walking == 1, "one at a time"
        for n in range(20):
            yield FirstAnswers(f"s{n}", Sums({"a": self.asked}))
        self.walking -= 1


def given(text: str) -> Counter[str]:
    """How often `a` stood first, by service."""
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == "zkdns_first_answers")
    return Counter({sample.labels["service"]: int(sample.value) for sample in family.samples})


async def test_who_scrapes_at_once_shares_a_walk_that_begins_after_all_had_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zkdns.web.slices.SECONDS", 0.0)  # one service a turn
    server = Counting()
    taken = Scrapes(server.observed)

    async def scrape() -> tuple[int, Counter[str]]:
        asked = server.asked = server.asked + 1
        pieces = await taken.take()
        return asked, given(b"".join(pieces()).decode())

    first = asyncio.create_task(scrape())
    while not server.walks:  # noqa: ASYNC110
        await asyncio.sleep(0)
    late = [asyncio.create_task(scrape()) for _ in range(200)]
    for asked, text in await asyncio.gather(first, *late):
        assert len(text) == 20
        assert min(text.values()) >= asked, "what was counted before it asked is in it"
    assert server.walks == 2
    taken.close()


async def test_one_who_gives_up_takes_nothing_from_those_who_wait_with_him() -> None:
    taken = Scrapes(Counting().observed)
    one, other = (asyncio.create_task(taken.take()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    assert given(b"".join((await other)()).decode())
    taken.close()


async def test_after_a_walk_the_loop_has_its_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "PACE", 1_000_000)
    server = Counting()
    taken = Scrapes(server.observed)
    await taken.take()
    late = asyncio.create_task(taken.take())
    await asyncio.sleep(0.05)
    assert server.walks == 1
    taken.close()
    await asyncio.gather(late, return_exceptions=True)


@pytest.mark.parametrize("count", [0, 1, metrics.SAMPLES - 1, metrics.SAMPLES, 5 * metrics.SAMPLES + 1])
def test_a_family_in_parts_is_one_family_and_no_piece_is_long(count: int) -> None:
    server = Counting()
    each = [FirstAnswers(f"service-{n}", Sums({"a": n})) for n in range(count)]
    pieces = list(metrics.take(server.observed, each).pieces())
    text = b"".join(pieces).decode()
    assert text.count("# TYPE zkdns_first_answers_total counter") == 1
    assert text.endswith("\n")
    assert given(text) == Counter({f"service-{n}": n for n in range(count)})
    assert max(map(len, pieces)) < metrics.PIECE_BYTES + metrics.SAMPLES * 100
    assert all(pieces)
