"""What happens to the pipeline, and what is due afterwards: plain values, each one frozen.

Rules: no I/O, no clock. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from zkdns.answers.first_places import Counted
from zkdns.answers.routed import Routed
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.sifting import Sifted
from zkdns.answers.table import Delta
from zkdns.answers.zonefiles.lookup import ZoneData
from zkdns.client_map import ClientMap
from zkdns.config import Settings
from zkdns.health.targets import Target
from zkdns.model import Catalog, Change, Event, Override, Problem, Service, Verdict
from zkdns.pipeline.hostnames import Account
from zkdns.roots import TOPOLOGY
from zkdns.steps import Steps
from zkdns.topology import Topology

# --- in ---------------------------------------------------------------------------------------------


class OfRegistry(Struct, frozen=True):
    """Of the registry with this name."""

    registry: str


class Heard(OfRegistry, frozen=True):
    """What one of its roots tells, in the order in which it was told. `more_went`: whether watch events told
    of more that went in its ensemble, which is not read yet."""

    root: str
    events: tuple[Event, ...]
    more_went: bool = False


class FileRead(OfRegistry, frozen=True):
    """The file that it is, read whole."""

    catalog: Catalog


class Remembered(OfRegistry, frozen=True):
    """What the state directory holds of it, which answers until it is read."""

    catalog: Catalog
    overrides: Mapping[tuple[str, str], Override] = {}
    topology: bytes | None = None


class Probed(Struct, frozen=True):
    """One probe of one target."""

    target: Target
    verdict: Verdict


class HostResolved(Struct, frozen=True):
    """A host name's addresses now; none where it has none, and `why`."""

    host: str
    addresses: tuple[str, ...]
    why: str = ""


class ZoneFilesRead(Struct, frozen=True):
    """The zone files by apex, in place of those before."""

    zones: Mapping[bytes, ZoneData]


class Compiled(Struct, frozen=True):
    """What came of a Compilation: its answers, or the error that it ended with. `lost`: the names that the
    service does not get."""

    name: str
    answers: ServiceAnswers | None
    error: Exception | None = None
    lost: tuple[Problem, ...] = ()


class Followed(Struct, frozen=True):
    """What came of following a service's route in a thread: it, what is left of it after an error of ours, or
    the error that this ended with."""

    name: str
    routed: Routed | Sifted | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class MapRead:
    """What came of reading a map of networks under these settings. `entries`: of the last one that could
    be read."""

    data: bytes | None
    settings: Settings
    entries: Mapping[str, object] | None
    topology: Topology
    problems: tuple[Problem, ...]
    clients: ClientMap


class ClockSet(Struct, frozen=True):
    """The clock by which `now` is told was set, and is so many seconds ahead of where it would be."""

    by: float


class Advertised(Struct, frozen=True):
    """Where others reach us is known, DNS and HTTP ("" for nowhere)."""

    address: str
    http: str


Done: TypeAlias = Compiled | Followed | MapRead | Counted
"""What comes of a Compilation."""

Happened: TypeAlias = (
    Heard
    | FileRead
    | Remembered
    | Probed
    | HostResolved
    | ZoneFilesRead
    | ClockSet
    | Advertised
    | Done
    | Settings
)


def subject(happened: Happened) -> str:
    """Of what it tells: a path, where there is one."""
    match happened:
        case OfRegistry():
            return f"registry {happened.registry}"
        case Probed():
            return happened.target.path
        case HostResolved():
            return f"host {happened.host}"
        case Compiled() | Followed() | Counted():
            return f"service {happened.name}"
        case MapRead():
            return TOPOLOGY
        case ClockSet():
            return "clock"
        case Advertised():
            return "our own address"
    return "zone files"


NOTHING = Delta()

# --- out --------------------------------------------------------------------------------------------


class Compilation(Struct, frozen=True):
    """What is too large to be done between two queries, for a service by its name or for a map of networks:
    do `work` in a thread, and step with what it gives. `freeze`: to be called just before, in the thread of
    the pipeline: it takes hold of what the work looks at, so that what waits for a thread holds nothing."""

    name: str
    work: Callable[[], Done]
    size: int = 0
    """Instances that it looks at, about."""
    freeze: Callable[[], object] = lambda: None


class Ready(Struct, frozen=True):
    """What is due, in this order: publish, tell, then do.

    `delta`: what both engines take over. `changes`: what has changed in them. `probe`: what is
    probed from now on, by path, None for no more (what moved since the last time). `resolve`: the host
    names to follow. `write`: nodes of ours under /zkdns to be kept with this data. `compile`: work for
    threads. `wake`: when to ask again if nothing happens; `more`: there is more to do at once. `is_behind`:
    registries are to tell no more until there is a Ready without it. `served`: when the changes came (as
    `told_at` of their events) that are in force now.
    """

    delta: Delta = NOTHING
    changes: tuple[Change, ...] = ()
    probe: Mapping[str, Target | None] = {}
    resolve: Mapping[str, Account] = {}
    write: Mapping[str, bytes] = {}
    compile: tuple[Compilation, ...] = ()
    wake: float | None = None
    more: bool = False
    is_behind: bool = False
    served: tuple[float, ...] = ()


Judgement: TypeAlias = Steps[tuple[Service, float | None]]
"""A service as it is to be answered, and when it is to be judged again."""

Judge: TypeAlias = Callable[[Service, float, Service | None], Judgement]
