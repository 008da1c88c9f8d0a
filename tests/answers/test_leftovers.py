"""What a large route gave is let go of in parts, and not before something else is given."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from zkdns.answers.leftovers import AT_A_TIME, MANY, Leftovers
from zkdns.answers.routed import Given, InForce, Routed
from zkdns.answers.routes import EMPTY, Composed
from zkdns.answers.service import ServiceAnswers
from zkdns.model import Service


class Part:
    """What can be seen to be gone."""


def a_route(*parts: Any) -> Routed:
    return Routed(InForce(()), Composed(EMPTY, (), ()), Given(parts), {}, {})


ANSWERS = ServiceAnswers(Service("web", "web", "/web"), 5, {}, {}, None, ())


def test_what_a_large_route_gave_is_freed_some_at_a_time_once_no_table_holds_it() -> None:
    number = 3 * AT_A_TIME
    standing: WeakSet[Part] = WeakSet()
    leftovers = Leftovers()
    route = a_route(*(Part() for _ in range(number)))
    standing.update(route.name.group)
    leftovers.put(ANSWERS, route)
    leftovers.drop()
    del route  # the table has taken what stands in its place
    left = [len(standing)]
    while leftovers.has_work:
        leftovers.drop()
        left.append(len(standing))
    assert left == [*range(number, -1, -AT_A_TIME)]


def test_what_is_little_is_not_held() -> None:
    leftovers = Leftovers()
    leftovers.put(ANSWERS, a_route(*(Part() for _ in range(MANY))))
    assert not leftovers.has_work
