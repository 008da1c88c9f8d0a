"""What a large service gave is let go of in parts: counted in blocks of memory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator

import pytest

from support.stepping import World, an_address, settings_of
from zkdns.answers import leftovers
from zkdns.answers.table import Table, Unready
from zkdns.dns import names
from zkdns.dns.types import SRV
from zkdns.model import Begin, Children, Session, Whole
from zkdns.serve.respond import next_position

SOME, MORE = 70, 210
"""All of them more than are compiled in the loop."""

MAP = {"10.0.0.0/25": "eu/a", "10.0.0.128/25": "eu/b"}


class Large:
    """A service of so many instances, in each of these registries, and the table that has taken it over."""

    def __init__(self, number: int, *registries: str, near: bool = False, **others: object) -> None:
        self.world = world = World(settings_of(*registries, topology=MAP, **others), replica=None)
        self.table = Table()
        ids = [f"i{n:05}" for n in range(number)]
        for name in world.pipeline.registries:
            world.hear("/services", Begin(), Whole(), Session(True), registry=name)
            for event in (
                Children("/services", ("web",), next(world.zxid)),
                Children("/services/web", tuple(ids), next(world.zxid)),
                world.data("/services/web", '{"near": "prefer"}' if near else "{}"),
                *(world.data(f"/services/web/{id}", an_address(n)) for n, id in enumerate(ids)),
            ):
                world.hear("/services", event, registry=name)
        for _ in self.turns():
            pass
        if near:  # some of what is compiled when somebody asks for it
            folder = names.wire("_zone.web.svc.local")
            responder = self.table.names[folder].responder
            assert responder is not None
            with pytest.raises(Unready) as later:
                responder.answer(
                    names.label("a") + names.label("prefer") + folder, SRV, self.table, next_position, 65_535
                )
            later.value.work()

    def turns(self) -> Iterator[int]:
        """All that is due, turn by turn: how many blocks each frees, but for the one that compiles."""
        pipeline, now = self.world.pipeline, self.world.now
        more, is_first = True, True
        while more:
            before = sys.getallocatedblocks()
            delta = pipeline.publish(now)
            published = sys.getallocatedblocks()
            self.table.apply(delta)
            del delta
            yield published - sys.getallocatedblocks() if is_first else before - sys.getallocatedblocks()
            more, is_first = pipeline.rest(now).more, False

    def frees(self) -> int:
        """How many blocks the turn frees that frees the most, once one instance is another."""
        gc.collect()
        last = [*self.world.pipeline.registries][-1]
        self.world.hear("/services", self.world.data("/services/web/i00003", an_address(9000)), registry=last)
        return max(self.turns())


KINDS: dict[str, Callable[[int], Large]] = {
    "one registry": lambda number: Large(number, "zk://h/services"),
    "one behind": lambda number: Large(number, "zk://h/services", "zk://i/services", failover=("r2",)),
    "near": lambda number: Large(number, "zk://h/services", near=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_turn_frees_more_the_larger_the_service_is_that_changed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "MANY", 8)
    monkeypatch.setattr(leftovers, "AT_A_TIME", 8)
    gc.disable()
    try:
        KINDS[kind](SOME).frees()  # what is kept for all services is kept from then on
        few, many = KINDS[kind](SOME).frees(), KINDS[kind](MORE).frees()
    finally:
        gc.enable()
    assert many - few < (MORE - SOME) / 4
