"""The values that flow between the rooms, and the errors.

Rules: no I/O, no clock, no chance. Every value is frozen; an unchanged one is passed on as the
*same object*, so that `is` tells whether there is anything to do.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from zkdns.routes import Route, StandsFor

Protocol: TypeAlias = Literal["tcp", "udp"]
Nearness: TypeAlias = Literal["off", "prefer", "balanced"]
Status: TypeAlias = Literal["up", "starting", "draining", "down"]


class ConfigError(Exception):
    """The operator is wrong: a flag, a setting, a URL or a file. Fatal at start, kept out at reload."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.why = why


class ListenError(ConfigError):
    """An address that can't be had: the settings are well formed, and the machine refuses. Exit code 1."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Bad data, as a value: where it stands, what is wrong with it, what would cure it. `ours`: we are
    wrong, and the item that met it goes without."""

    path: str
    what: str
    cure: str
    ours: bool = False


def fault(path: str, error: BaseException) -> Problem:
    """An error of ours that cost one item, as a row for people with what a report needs."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        place = f", {file}:{trace.tb_lineno}"
    what = f"an error of ours: {type(error).__name__}{place}: {str(error)[:100]}"
    cure = "report it, with the data that stands there; it is tried again when that changes"
    return Problem(path, what, cure, ours=True)


# --- what a registry tells: one event for each reply or state -----------------------------------


class Stat(Struct, frozen=True):
    """The part of a znode's Stat that we use (ZooKeeper Programmer's Guide, "Stat structure").

    `czxid`, `mzxid`: transaction ids of creation and last data change; `ctime`: creation time in
    seconds since the epoch; `ephemeral`: bound to a session; `has_children`: other nodes stand below;
    `mtime`: when its data was written, seconds since the epoch; `owner`: the session of an ephemeral, else 0.
    """

    czxid: int
    mzxid: int
    ctime: float
    ephemeral: bool
    has_children: bool = False
    mtime: float = 0.0
    owner: int = 0


UNSEEN = Stat(0, 0, 0.0, True)
"""That of a node whose data we may not read."""


class OfNode(Struct, frozen=True, kw_only=True):
    """What is told of one node. `told_at`: when a watch event said first that it is another, by a clock of
    whoever asks how late it is; 0 where none did, and all was read."""

    told_at: float = 0.0


class Children(OfNode, frozen=True):
    """The whole child list of `path` as of `zxid` (the pzxid of its Stat). Names only, any order."""

    path: str
    names: tuple[str, ...]
    zxid: int


class Listed(OfNode, frozen=True):
    """Of the child list of `path` these came, and these are gone; the rest of it stands as it was told.
    `zxid`: that of `Children`, or less; 0 where it is not known."""

    path: str
    come: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    zxid: int = 0


class Data(OfNode, frozen=True):
    """The data of `path`, ordered by `stat.mzxid`."""

    path: str
    data: bytes
    stat: Stat


class Unreadable(OfNode, frozen=True):
    """`path` is there but may not be read (an ACL, or a reply that can't be decoded)."""

    path: str
    why: str


class Begin(Struct, frozen=True):
    """A new full reading starts: zxids seen before bind nothing (an older backup may stand there)."""


class Whole(Struct, frozen=True):
    """The reading that `Begin` opened is complete: it takes the old one's place now."""


class Session(Struct, frozen=True):
    """Whether the registry is within reach from now on."""

    connected: bool


Event: TypeAlias = Children | Listed | Data | Unreadable | Begin | Whole | Session

LISTS: Final = (Children, Listed)

OF_NODES: Final = (Children, Listed, Data, Unreadable)
"""The events of single nodes, for `isinstance`: a union would be put together anew at each of a million."""


# --- what is registered ---------------------------------------------------------------------------

MAX_WEIGHT: Final = 65_535
"""Of a weight, and of a priority: each has 16 bits in an SRV record (RFC 2782)."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an instance says of itself, validated. `host` is set, and `addresses` empty, where it
    gave a host name. Addresses are canonical text (RFC 5952), in the order given, without repeats.
    `port` 0 means that none was given. `ports`: by name; one that listens on several ports under one name has
    that name for each. `ttl`: seconds, of its own addresses; None: the service's."""

    addresses: tuple[str, ...]
    host: str | None = None
    port: int = 0
    weight: int = 1
    priority: int = 0
    status: Status = "up"
    tags: tuple[str, ...] = ()
    zone: str = ""
    protocol: Protocol = "tcp"
    ports: tuple[tuple[str, int], ...] = ()
    meta: tuple[tuple[str, str], ...] = ()
    format: str = "native"
    ttl: int | None = None

    def port_numbers(self) -> dict[str, int]:
        """The ports by name: of several under one name the first."""
        return dict(reversed(self.ports))


@dataclass(frozen=True, slots=True)
class Check:
    """How a service's instances are probed. `interval`, `timeout`: seconds; `rise`, `fall`: in a row."""

    type: str
    port: str | int | None = None
    path: str = "/"
    command: tuple[str, ...] = ()
    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service's own znode says. `ttl`, `warm`, `hold`: seconds; `ttl` None: the server's default.
    `answers`: records of one answer at most. `fail_open`: the share of healthy instances below which all are
    given; 0 is off, and `true` in the data is `NONE_HEALTHY`. `near_min`: a share, too.
    `given`: the fields that the znode sets; the server's own defaults stand in for the others. `unknown`:
    keys that it has and nobody reads."""

    ttl: int | None = None
    policy: str = "weighted"
    answers: int = 8
    fail_open: float = 0.0
    warm: float = 0.0
    hold: float = 0.0
    srv_scale: float = 1.0
    check: Check | None = None
    near: Nearness = "off"
    near_min: float = 0.5
    route: Route | None = None
    given: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


NONE_HEALTHY = 1e-9
"""`fail_open: true`: only where not a single instance is healthy."""

DEFAULTS = ServiceSettings()


class State(enum.StrEnum):
    """Why an instance is in or out, in one word (fixed for API, metrics and page)."""

    HEALTHY = "healthy"
    STARTING = "starting"
    DRAINING = "draining"
    DOWN = "down"
    FAILING = "failing"
    DRAINED = "drained"
    SUSPECT = "suspect"
    WARMING = "warming"
    UNREADABLE = "unreadable"


SERVING = frozenset({State.HEALTHY, State.WARMING, State.SUSPECT})
"""The states that are answered."""

NEVER = frozenset({State.DRAINING, State.DRAINED, State.UNREADABLE})
"""The states that not even `fail_open` brings back."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One registered instance. `id` as registered, `label` as a DNS label (lower case).

    `weight` is the one in force (an override or warming may have changed the registered one);
    `answered` tells whether it is given out; `reason` is one short phrase for people; `since` is
    the time of creation, `resolved` the addresses of a host name (seconds since the epoch; text).
    `registry`: the name of the one that it stands in, where there are several. `home`: the label of the
    service that its own name stands under, where a route gives it for another; `known_as`: its label, where
    another of the service has its id, or has had its label first. `owner`: the session that its
    node is bound to, 0 where that is not known; `zxid`: the transaction that wrote its node last.
    """

    id: str
    label: str
    path: str
    registration: Registration
    since: float
    ephemeral: bool = True
    state: State = State.HEALTHY
    reason: str = ""
    weight: int = 1
    answered: bool = True
    resolved: tuple[str, ...] = ()
    registry: str = ""
    home: str = ""
    known_as: str = ""
    owner: int = 0
    zxid: int = field(default=0, compare=False)

    @property
    def key(self) -> str:
        """Its id, told from the same one of another service or registry that a route gives as well."""
        id = self.known_as or self.id
        return f"{self.home}/{id}" if self.home else id

    @property
    def unique_key(self) -> str:
        """What tells it from all others: a path may stand in several registries, and a node be several."""
        path = self.path if self.path.endswith(f"/{self.id}") else f"{self.path}/{self.id}"
        return f"{self.registry}@{path}" if self.registry else path

    @property
    def is_healthy(self) -> bool:
        """Whether it is given out, and not by `fail_open` alone."""
        return self.answered and self.state in SERVING

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.registration.addresses or self.resolved


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its settings and its instances, in the order of their ids.

    `note` is a short phrase about the whole (`fail_open: all given`, `3 kept by hold`), or empty.
    `registries`: those that it stands in, where there are several. `offices`: tags that one instance at
    most bears, by election; their names exist while nobody does. `view_of`: the name of the service of
    which this is what one registry alone holds; it has no names but those that the other gives it.
    `stands_for`: the route that counts, once it is known which one does. `zxid`: of the transaction that made
    it, where it came without instances; else theirs tell, and it is 0.
    """

    name: str
    label: str
    path: str
    settings: ServiceSettings = DEFAULTS
    instances: tuple[Instance, ...] = ()
    note: str = ""
    registries: tuple[str, ...] = ()
    offices: tuple[str, ...] = ()
    view_of: str = ""
    stands_for: StandsFor | None = None
    zxid: int = field(default=0, compare=False)

    def healthy(self) -> int:
        return sum([i.state in SERVING for i in self.instances])


@dataclass(frozen=True, slots=True)
class Catalog:
    """All services by name, as one immutable view (Consul's sense of the word, not RFC 9432's).

    `serial`: 32 bits, the SOA's. `complete`: False until the first whole reading. `stale_since`:
    when the registry went out of reach (seconds since the epoch), None while it is within.
    """

    services: Mapping[str, Service] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    serial: int = 0
    complete: bool = False
    stale_since: float | None = None


EMPTY = Catalog()


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator ordered for one instance: `drain`, or another `weight`; for a service, a `route`.

    `until`: when it ends by itself, None for never; `at`: when it was ordered. Both are seconds since the
    epoch; `at`, `who` and `why` are told to people. `under`: the override that it was laid upon and that
    holds again when it ends (a drained instance whose weight was set as well). The JSON of its node has the
    same keys.
    """

    drain: bool = False
    weight: int | None = None
    until: float | None = None
    why: str = ""
    who: str = ""
    at: float = 0.0
    under: Override | None = None
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One raw probe of one instance: was it good, and what a person should read of it."""

    path: str
    good: bool
    why: str = ""


What: TypeAlias = Literal["registered", "gone", "state", "weight", "settings", "route", "leader", "registry"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing about one instance, service or registry that has changed in the answers.

    `at`: seconds since the epoch. `id` is "" for the service itself, and `service` too for a registry. `was`
    and `now`: from what to what, as text, "" for nothing. `zxid`: of the write that made it so, where a node
    tells; else the newest that its registry had told by then. `why` and `by` are for people. `instance`: as
    it stands now, or as it stood before it went.
    """

    at: float
    zxid: int
    service: str
    id: str
    what: What
    was: str
    now: str
    why: str = ""
    by: str = ""
    instance: Instance | None = None


def serial_of(zxid: int) -> int:
    """The SOA serial of a zxid: (epoch * 2**24 + counter) mod 2**32."""
    return ((zxid >> 32) * (1 << 24) + (zxid & 0xFFFFFFFF)) & 0xFFFFFFFF
