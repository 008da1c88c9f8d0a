"""What stands under /zkdns: each root is handed to whom it is for, at a pace that leaves time for the rest.

Rules: pure; the clock comes in. Anybody who may write there may change it without end: what a root tells is
taken once a turn at most, and the longer that takes, the longer it waits.
"""

from __future__ import annotations

from collections.abc import Callable

from zkdns.pipeline.agenda import Agenda
from zkdns.pipeline.own_nodes import OwnNodes
from zkdns.pipeline.registry import Registry
from zkdns.roots import OVERRIDES, TOPOLOGY
from zkdns.wall import Wall


class OwnRoots:
    """`own`: the registry that they are read from, None for none. `override`: takes what operators order, as
    the registry holds it. `take_map`: takes the data of the map of networks, None where there is no node."""

    def __init__(
        self,
        own: Registry | None,
        own_nodes: OwnNodes,
        *,
        override: Callable[[], None],
        take_map: Callable[[bytes | None, float], None],
        wall: Wall,
    ) -> None:
        self._own = own
        self._own_nodes = own_nodes
        self._override = override
        self._take_map = take_map
        self._wall = wall
        self._agenda = Agenda()

    @property
    def idle(self) -> bool:
        """Whether all that was told of them is taken."""
        return self._agenda.idle

    @property
    def wake(self) -> float | None:
        """When one of them is to be taken next."""
        return self._agenda.wake

    def hear(self, root: str, now: float) -> None:
        """The registry told something of this root, which may be one that services are read from."""
        own = self._own
        if own is None:
            return
        if not own.connected:
            self._own_nodes.lose(own, now)
        if own.tree is None or root not in own.tree.reducers:
            self._agenda.mark_soon((root,), now)

    def work(self, now: float, tick: Callable[[], float]) -> None:
        """Take what is due. `tick`: seconds on any clock, by which its pace is found."""
        agenda = self._agenda
        agenda.ring(now)
        for _ in range(len(agenda.queue)):
            root, _ = agenda.queue.take_next()
            began = tick()
            with self._wall.around(root, ""):
                self._take(root, now)
            agenda.spend(root, now, tick() - began)

    def shift(self, by: float) -> None:
        """The clock was set."""
        self._agenda.shift(by)

    def _take(self, root: str, now: float) -> None:
        own = self._own
        if own is None or root not in own.wholes:
            return
        if root == OVERRIDES:
            self._override()
        elif root == TOPOLOGY:
            self._take_map(own.topology.nodes().get(()), now)
        else:
            self._own_nodes.take(root, own, now)
