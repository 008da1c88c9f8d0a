"""What the page is made of: a server at one moment, and what was asked of it.

Rules: frozen; the page is made in a thread beside the server that it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zkdns.answers.routed import Routed
from zkdns.model import Change
from zkdns.pipeline.journal import LeftOut
from zkdns.web.page.words import number
from zkdns.web.rates import Load
from zkdns.web.shapes import Firsts
from zkdns.web.status import Beside, Status

MAX_TEXT = 200
"""Characters of what is typed into the page to choose by. What is explained is taken whole: a part of a name,
or of a change, is another one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The query string. `service` opens one; `q`, `state` and `sort` choose among all, `page` turns;
    `explain` is a name to explain, with `type`, `client`, `tried` (changes) and `at`."""

    service: str = ""
    q: str = ""
    state: str = ""
    sort: str = ""
    page: int = 1
    explain: str = ""
    type: str = ""
    client: str = ""
    tried: str = ""
    at: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Asked:
        def text(key: str, most: int | None = MAX_TEXT) -> str:
            return query.get(key, "")[:most].strip()

        return cls(
            query.get("service", ""), text("q"), text("state"), text("sort"), number(query.get("page", "1")),
            text("explain", None), text("type"), text("client"), text("if", None), text("at"),
        )  # fmt: skip

    def about(self, service: str) -> Asked:
        """The same with this service opened."""
        return replace(self, service=service)

    @property
    def changes(self) -> list[str]:
        """What is to be tried, as explain takes it."""
        return self.tried.split()


@dataclass(frozen=True, slots=True)
class Past:
    """What changed, oldest first; `since`: how far back that is known (seconds since the epoch), None: not at
    all; `left_out`: who of them changed too often for all of it to be kept."""

    changes: Sequence[Change] = ()
    since: float | None = None
    left_out: Sequence[LeftOut] = ()


NO_FIRSTS = Firsts()
NO_PAST = Past()
NOTHING_BESIDE = Beside()
NO_LOAD = Load()


@dataclass(frozen=True, slots=True)
class View:
    """`firsts`, `past`: of the service that is opened; `recent`: of all, the last hour; `explained`: the
    shape of /api/v1/explain, or in words why there is none; `load`: how much is asked;
    `now`: seconds since the epoch; `beside`: of the opened service; `routed`: the routes in force, by
    service."""

    status: Status
    now: float
    firsts: Firsts = NO_FIRSTS
    past: Past = NO_PAST
    recent: Past = NO_PAST
    explained: Mapping[str, Any] | str | None = None
    load: Load = NO_LOAD
    beside: Beside = NOTHING_BESIDE
    routed: Mapping[str, Routed] = field(default_factory=dict)
