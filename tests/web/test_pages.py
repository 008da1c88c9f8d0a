"""What a page asks of the server: all that its query string says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from unittest.mock import MagicMock

import pytest

from zkdns.serve.clients import NO_DEMAND, Demand
from zkdns.web import pages
from zkdns.web.pages import Pages
from zkdns.web.rates import MAX_CLIENTS
from zkdns.web.threads import Busy


@pytest.mark.parametrize(
    ("query", "tried", "asked"),
    [
        ({}, [], ("web", "A", None, (), None)),
        (
            {"type": "SRV", "client": "10.0.0.9", "at": "5.5"},
            ["drain=web/a", "up=web/b"],
            ("web", "SRV", "10.0.0.9", ("drain=web/a", "up=web/b"), 5.5),
        ),
        ({"at": "2026-11-24T14:02:07"}, [], ("web", "A", None, (), 1795528927.0)),
    ],
)
def test_an_explanation_is_asked_for_as_the_page_was(
    query: dict[str, str], tried: list[str], asked: tuple[object, ...]
) -> None:
    observed = MagicMock()
    observed.status.return_value.services = {}
    observed.status.return_value.zones = ("svc.local",)
    Pages(observed).prepare({"explain": "web", **query}, tried)
    ((name, qtype, client, changes, at), _) = observed.explain.call_args
    assert (name, qtype, client, tuple(changes), at) == asked


def test_the_changes_of_an_hour_are_shown_and_of_one_service_those_of_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    observed = MagicMock()
    observed.status.return_value.services = {}
    observed.status.return_value.zones = ("svc.local",)
    Pages(observed).prepare({"service": "gone"}, [])
    asked = [call.args[0] for call in observed.history.call_args_list]
    assert [(one.service, one.since) for one in asked] == [("gone", 913_600.0), ("", 996_400.0)]
    assert observed.beside.call_args.args == ("gone",), "it may still be in somebody's cache"


async def test_who_asks_is_sampled_since_the_last_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SAMPLE_EVERY", 0.001)
    observed = MagicMock()
    observed.counters.return_value.queries = {"udp": 5, "tcp": 2}
    those = Pages(observed)
    taken: list[Demand] = []

    async def run(work: Callable[[], Demand]) -> Demand:
        if len(taken) == 3:
            raise asyncio.CancelledError
        taken.append(NO_DEMAND)
        if len(taken) == 2:
            raise Busy
        return NO_DEMAND

    with pytest.raises(asyncio.CancelledError):
        await those.sample(run)
    first, *later = (call.args for call in observed.demand.call_args_list)
    assert first == (0.0, MAX_CLIENTS)
    assert later[0][0] == later[1][0] > 0.0, "one that failed is none"
    assert those._rates.load.total == (0.0,)
