"""One registry's replies -> its Catalog: services, instances, settings, problems.

Rules: pure. Listed means alive. Any order of the same replies gives the same Catalog. A new reading
(Begin ... Whole) is folded beside the one in force and takes its place at Whole, so an old Catalog
answers until the new one is whole, and zxids bind only within one reading. What did not change stays
the same object, across readings too. The cost is that of the services that changed.
"""

from __future__ import annotations

from typing import Any

from zkdns.model import (
    DEFAULTS,
    EMPTY,
    Begin,
    Catalog,
    Children,
    Data,
    Event,
    Instance,
    Problem,
    Session,
    Unreadable,
    Whole,
    serial_of,
)
from zkdns.registry import formats
from zkdns.registry.fields import BadData
from zkdns.registry.labels import to_label
from zkdns.registry.reading import DEPTH, NOT_SERVICES, Reading
from zkdns.registry.znodes import Znode


class ServiceTree:
    """`root`: where the services stand; `format`: how their instances' data is read."""

    def __init__(self, root: str, format: str = "auto") -> None:
        self.root = root
        self.format = format
        module = formats.named(format)
        self._parse = module.parse
        self._folders: frozenset[str] = module.FOLDERS
        self._quiet: frozenset[str] = module.QUIET | module.FOLDERS
        self._now = self._open(None)
        self._next: Reading | None = None
        self._refused = False
        self._complete = False
        self._connected = True
        self._behind = False  # what was read before the connection was lost is still in force
        self._stale_since: float | None = None
        self._catalog = EMPTY

    @property
    def zxid(self) -> int:
        """The largest mzxid or pzxid in the reading in force."""
        return self._now.replies.zxid

    def apply(self, event: Event) -> None:
        """Take one event. Never raises on what the registry holds."""
        if isinstance(event, Children | Data | Unreadable):
            names = self._now.replies.names(event.path)
            if names is not None and self._counts(event, names):
                (self._next or self._now).apply(event, names)
                if self._refused and self._now.replies.root.unreadable is None:
                    self._end_reading()
        elif isinstance(event, Begin):
            self._next = self._open(self._now)
        elif isinstance(event, Whole):
            self._end_reading()
        else:
            self._take_session(event)

    def catalog(self) -> Catalog:
        """What stands now. The same object as before where nothing changed."""
        now = self._now
        now.settle()
        old = self._catalog
        serial = serial_of(now.replies.zxid)
        problems = now.problems
        if (
            now.services is not old.services
            or problems is not old.problems
            or (serial, self._complete, self._stale_since) != (old.serial, old.complete, old.stale_since)
        ):
            self._catalog = Catalog(now.services, problems, serial, self._complete, self._stale_since)
        return self._catalog

    # --- readings ---------------------------------------------------------------------------------

    def _open(self, before: Reading | None) -> Reading:
        return Reading(self.root, self._folders, self._read, before)

    def _end_reading(self) -> None:
        done, self._next = self._next, None
        refused = done.replies.root.unreadable if done is not None else None
        self._refused = refused is not None
        if refused is not None:
            # Nothing was read, which is no sign that nothing is there: the old reading stands.
            self._now.apply(Unreadable(self.root, refused), ())
            return
        if done is not None:
            done.settle()
            done.take_over(self._now)
            self._now = done
        self._complete = True
        self._behind = False
        self._tell_age(None)

    def _take_session(self, event: Session) -> None:
        self._connected = event.connected
        if not event.connected:
            self._behind = True
        self._tell_age(event.at)

    def _tell_age(self, at: float | None) -> None:
        if self._connected and not self._behind:
            self._stale_since = None
        elif not self._connected and self._stale_since is None:
            self._stale_since = at

    # --- what a node means --------------------------------------------------------------------------

    def _counts(self, event: Children | Data | Unreadable, names: tuple[str, ...]) -> bool:
        """Whether the path can have a part in the Catalog (and so in its serial)."""
        if names and self.root == "/" and names[0] in NOT_SERVICES:
            return False
        if len(names) == 2 and isinstance(event, Children):
            return names[1] in self._folders
        return len(names) < DEPTH or (len(names) == DEPTH and names[1] in self._folders)

    def _read(self, names: tuple[str, ...], node: Znode, event: Data) -> Any:
        """The settings of a service, an Instance, a Problem, or None for what is none of these."""
        if self._next is not None and (known := self._known(names, event)) is not None:
            return known
        if len(names) == 1:
            settings, wrong, inherits = formats.settings(self.format, event.data)
            if settings == DEFAULTS and not wrong and inherits is None:
                return None
            return settings, tuple(Problem(event.path, error.what, error.cure) for error in wrong), inherits
        name = node.name
        payload = formats.Node(name, event.data)
        if len(names) == 2 and name in self._quiet and not (self.format == "auto" and payload.object):
            return None
        try:
            registration = self._parse(payload)
        except BadData as error:
            return Problem(event.path, error.what, error.cure)
        stat = event.stat
        return Instance(
            name,
            to_label(name),
            event.path,
            registration,
            stat.ctime,
            stat.ephemeral,
            weight=registration.weight,
        )

    def _known(self, names: tuple[str, ...], event: Data) -> Any:
        """What the reading in force made of the very same data, None where it had other."""
        stat = event.stat
        old = self._now.replies.find(names)
        if (
            old is None
            or (old.czxid, old.mzxid) != (stat.czxid, stat.mzxid)
            or old.digest != hash(event.data)
        ):
            return None
        value = old.value
        if isinstance(value, Instance) and (value.since, value.ephemeral) != (stat.ctime, stat.ephemeral):
            return None
        return value
