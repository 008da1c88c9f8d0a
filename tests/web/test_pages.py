"""What a page asks of the server: all that its query string says."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest

from zkdns.web.pages import Pages


@pytest.mark.parametrize(
    ("query", "tried", "asked"),
    [
        ({}, [], ("web.svc.local", "A", None, (), None)),
        (
            {"type": "SRV", "client": "10.0.0.9", "at": "5.5"},
            ["drain=web/a", "up=web/b"],
            ("web.svc.local", "SRV", "10.0.0.9", ("drain=web/a", "up=web/b"), 5.5),
        ),
        ({"at": "2026-11-24T14:02:07"}, [], ("web.svc.local", "A", None, (), 1795528927.0)),
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
