"""One registry as the pipeline knows it: what it holds, whether it was read, and how long it is out of reach.

Rules: pure; time comes in as an argument. A registry is *whole* once all its roots were read; before that
what the state directory remembered stands in for it, where there is any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from zkdns.arrivals import NOTHING, Arrivals, Came
from zkdns.identity import carry
from zkdns.model import Catalog, Event, Instance, OfNode, Problem, Service, Session, Whole
from zkdns.persistent import PersistentMap, differing
from zkdns.pipeline.replica import ServerNode, read_node
from zkdns.registry.format_reader import labelled
from zkdns.registry.override_nodes import Overrides
from zkdns.registry.readers import open_tree
from zkdns.registry.scope import Scope
from zkdns.registry.service_tree import ServiceTree
from zkdns.registry.stored import StoredServices
from zkdns.registry.url import RegistryURL
from zkdns.registry.znodes import Nodes
from zkdns.roots import HEALTH, OVERRIDES, SERVERS, TOPOLOGY
from zkdns.steps import Steps
from zkdns.wall import Wall

PATIENCE: Final = 5.0
"""Seconds for which a start waits for a registry that is out of reach."""

STATE_WAIT: Final = 0.5
"""The same where the state directory holds what it last said."""

BELOW: Final = "below"
"""What is told of a service's overrides, and not of their list."""

SERVERS_AT_ONCE: Final = 256
"""Nodes of replicas that are read in one turn: more than anybody has, and some milliseconds."""


class Reducer(Protocol):
    """What takes the events of one root."""

    def apply(self, event: Event) -> None: ...
    def steps(self, event: Event) -> Iterator[None]: ...


class Registry:
    """`own`: whether what stands under /zkdns is this one's to tell. `started`: since when we listen.
    `label`: what its instances are marked with, "" where there is no other registry."""

    def __init__(
        self, url: RegistryURL, started: float, *, own: bool, label: str, wall: Wall | None = None
    ) -> None:
        self.url = url
        self.wall = wall or Wall()
        self.name = url.name
        self.label = label
        self.is_remembered = False
        """Whether the state directory holds what it said."""
        self._stored = StoredServices()
        """What a file or the state directory holds of it."""
        self.tree: ServiceTree | None = None
        self.overrides = Overrides()
        self.ballots = Nodes(HEALTH)
        self.servers = Nodes(SERVERS)
        self._read_servers: PersistentMap[ServerNode] = PersistentMap()
        self.topology = Nodes(TOPOLOGY, 0)
        self.reducers: dict[str, Reducer] = {}
        """By root, what takes its events."""
        self.scopes: tuple[Scope, ...] = ()
        """What of an ensemble is read."""
        if url.scheme == "zk":
            self.tree = open_tree(url, label)
            self.reducers = dict(self.tree.reducers)
            self.scopes = self.tree.scopes
            if own:
                for reducer in (self.overrides, self.ballots, self.servers, self.topology):
                    self.reducers[reducer.root] = reducer
                    self.scopes = (*reducer.scopes, *self.scopes)
        self.wholes: set[str] = set()
        """Roots that were read once."""
        self.current: set[str] = set()
        """Roots that were read since the ensemble was out of reach."""
        self.ordered = Arrivals()
        """When came what was told of overrides."""
        self._is_read = False
        """Whether all of them were."""
        self._is_refused = False
        """Whether none of those of services may be read."""
        self.graced_until = float("-inf")
        """Until when what vanishes may have gone with an outage."""
        self._is_file = False
        """Whether it is a file that was read."""
        self._heard_at = started
        self._connected = False
        self._lost = False
        """Whether it was out of reach, and is not read whole since."""
        self._unmarked: Mapping[str, Service] = {}
        self._marked: PersistentMap[Service] = PersistentMap()
        """Its services as they were last, without its mark and with it."""

    # --- in ---------------------------------------------------------------------------------------

    def read_file(self, catalog: Catalog) -> None:
        self._is_file = True
        self._stored.take(catalog)

    def remember(self, catalog: Catalog) -> None:
        """Until it is read, this is what it holds."""
        self.is_remembered = True
        self._stored.take(catalog)

    def recall(self) -> None:
        """What was remembered is what is answered from now on: what is not there any more when it is read
        may have gone with the outage."""
        self._lost = self._lost or not self.is_whole

    def shift(self, by: float) -> None:
        """The clock was set: how long it was heard of, is away and has its grace stays as it is."""
        self._heard_at += by
        self.graced_until += by
        self._stored.shift(by)
        if self.tree is not None:
            self.tree.shift(by)

    def steps(self, root: str, event: Event, now: float, grace: float) -> Iterator[None]:
        """Take one event of one root, with a pause after each step where it takes several."""
        reducer = self.reducers.get(root)
        if reducer is None:
            return
        self._heard_at = now
        if isinstance(event, Session):
            self._connected = event.connected
            (self.current.add if event.connected else self.current.discard)(root)
            self._lost = self._lost or (not event.connected and self.is_whole)
        yield from reducer.steps(event)
        if reducer is self.overrides and isinstance(event, OfNode) and event.told_at:
            self.ordered.tell("" if event.path == OVERRIDES else BELOW, event)
        if isinstance(event, Session) and self.tree is not None:
            self.tree.tell_age(now)  # as it is taken: while it waited, somebody may have set the clock
        if isinstance(event, Whole):
            self.wholes.add(root)
            self._is_read = self.wholes == self.reducers.keys()
            if self._lost and self.tree is not None and root in self.tree.reducers:
                self.graced_until = now + grace if grace else float("-inf")
        if self.tree is not None and (self._is_refused or (isinstance(event, Whole) and self._is_read)):
            self._is_refused = not any(one.is_whole for one in self.tree.reducers.values())
            if self.is_whole and self.is_remembered:
                self.is_remembered = False
                yield from self.tree.take_over(self._stored.services)
        if self._lost and self.is_whole and self.stale_since is None:
            self._lost = False  # until then another root may not be read yet

    # --- out --------------------------------------------------------------------------------------

    @property
    def is_whole(self) -> bool:
        """Whether the services and all that goes with them were read. Roots that we may not read tell
        nothing: where that is so of each, nothing is known."""
        return (self._is_read and not self._is_refused) or self._is_file

    @property
    def is_missing(self) -> bool:
        """Whether it was read, and none of its roots is there. Zxid 0 is that of a node that is not there,
        and of those that an ensemble begins with: `/`, and the list of its own members."""
        if not self._is_read or self.tree is None or self.tree.zxid or self.refusals:
            return False
        return not (self.shown.services or "/" in self.tree.reducers)

    @property
    def refusals(self) -> Sequence[Problem]:
        """Why nothing can be read, where that is so."""
        return self.tree.show(0).problems if self.tree is not None and self._is_refused else ()

    @property
    def refusals_of_own(self) -> Sequence[Problem]:
        """What can't be read of what stands under /zkdns."""
        own = self.overrides, self.topology, self.servers, self.ballots
        return [problem for one in own for problem in one.refusals]

    def take_orders(self) -> Came:
        """When came what operators ordered since the last call. That folders come and go orders nothing where
        more is told."""
        if not self.ordered.came:
            return NOTHING
        by_lists = self.ordered.take("")
        return self.ordered.take(BELOW) or by_lists

    def read_servers(self) -> Mapping[str, ServerNode]:
        """The live replicas by id. Of those that changed since the last call only so many are read."""
        changes: dict[str, ServerNode | None] = {}
        for (id,), stands in self.servers.take_moved(SERVERS_AT_ONCE).items():
            changes[id] = None
            if stands is None:
                self.wall.forgive(f"{SERVERS}/{id}", "read")
                continue
            with self.wall.around(f"{SERVERS}/{id}", "read"):
                changes[id] = read_node(stands[0])
        self._read_servers = self._read_servers.changed(changes)
        return self._read_servers

    @property
    def is_known(self) -> bool:
        """Whether there is anything to answer from: read, or remembered."""
        return self.is_whole or self.is_remembered

    @property
    def connected(self) -> bool:
        return self._is_file or self._connected

    @property
    def shown(self) -> Catalog:
        """What it holds, or held when it was last known, as far as `show` has come."""
        return self._live.show(0)

    @property
    def backlog(self) -> int:
        """Services of which not all that was told is shown."""
        return self._live.backlog

    @property
    def in_part(self) -> int:
        """Those of them that are so large that they are made in several steps, and are not made yet."""
        return self._live.in_part

    @property
    def own_backlog(self) -> int:
        """Those of them that something was told of each."""
        return self._live.own_backlog

    def show(self, most: int, is_late: Callable[[], bool]) -> int:
        """What it holds, as far as that was made of what was told until it is late: so many more services at
        most; how many moved."""
        live = self._live
        if not live.backlog:
            return 0
        live.work(is_late, most)
        return live.show_more(most)

    @property
    def _live(self) -> ServiceTree | StoredServices:
        """Where an ensemble was read, what it says."""
        return self.tree if self.tree is not None and self.is_whole else self._stored

    @property
    def zxid(self) -> int:
        """The largest zxid in what makes the answers."""
        tree = self.tree.zxid if self.tree is not None else 0
        return max(tree, self.overrides.zxid, self.ballots.zxid)

    @property
    def stale_since(self) -> float | None:
        """Since when it is out of reach; None while it is within, or was never read."""
        return self._live.stale_since  # asked at every turn: no need to make the services anew for it

    def settles_at(self, now: float) -> float:
        """When a start waits no longer for it: at once where it was read."""
        if self.is_whole:
            return now
        return self._heard_at + (STATE_WAIT if self.is_remembered else PATIENCE)

    def mark_services(self, services: Mapping[str, Service]) -> Steps[Mapping[str, Service]]:
        """These, which are its own, marked so where there are other registries."""
        if not self.label:
            return services
        changes: dict[str, Service | None] = {}
        for name in differing(self._unmarked, services):
            changes[name] = None
            if (service := services.get(name)) is not None:
                # An error of ours costs this service here; others may tell of it.
                with self.wall.around(service.path, "marked"):
                    changes[name] = yield from self._mark(service)
        self._unmarked, self._marked = services, self._marked.changed(changes)
        return self._marked

    def _mark(self, service: Service) -> Steps[Service]:
        """Of thousands those that did not change are the same objects as before."""
        before, marked = self._unmarked.get(service.name), self._marked.get(service.name)
        old, images = (before.instances, marked.instances) if before and marked else ((), ())
        instances = yield from carry(old, images, service.instances, self._mark_one)
        return replace(service, instances=tuple(instances), registries=(self.label,))

    def _mark_one(self, i: Instance) -> Instance:
        own = labelled(i.registration, self.label)
        if own is i.registration and i.registry == self.label:
            return i  # the registry's own reader marked it
        return replace(i, registration=own, registry=self.label)
