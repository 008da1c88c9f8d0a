"""Which of two stands at a name: a service's, else a zone file's, else our own; and what of that moved.

Rules: pure. A file's names stand where no service has their label. Where one zone lies inside another, two
services may bring the same name (`nested`). Replacing one service costs what it brings and brought.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from zkdns.answers.nested import Claims
from zkdns.answers.records import DEALT
from zkdns.answers.service import ServiceAnswers
from zkdns.answers.table import Entry, Name, Zone
from zkdns.dns import names
from zkdns.dns.types import TXT
from zkdns.piecemeal import empty_in_steps
from zkdns.steps import SLICE, Steps


class Precedence:
    """`services`: what stands now, by name; whoever replaces one does it there first."""

    def __init__(self, zones: Sequence[Zone], services: Mapping[str, ServiceAnswers]) -> None:
        self._services = services
        self._apexes = frozenset(zone.apex for zone in zones)
        nested = any(not self._apexes.isdisjoint(names.suffixes(apex)) for apex in self._apexes)
        self._claims = Claims(zones) if nested else None
        self._entries: dict[bytes, Entry] = {}
        self._names: dict[bytes, Name] = {}
        """What stands in the table, by its keys."""
        self._built_in: dict[bytes, Name] = {}
        """Names that are there without any service or file."""
        self._own_entries: frozenset[bytes] = frozenset()
        self._labels: Counter[str] = Counter()
        """How many services have each label."""
        self._beneath: Mapping[bytes, Name] = {}
        """The names of zone files, by owner."""
        self._beneath_of: dict[str, list[bytes]] = {}
        """The owners among them, by the label of a service that would hide them."""
        self._laying: deque[Steps[None]] = deque()
        """What is left of laying others in their place, the oldest first."""
        self._laid: dict[bytes, Name] = {}
        """What stands in place of `beneath` already, and `lifted` what stands there no more."""
        self._lifted: set[bytes] = set()
        self._moved_entries: dict[bytes, Entry | None] = {}
        self._moved_names: dict[bytes, Name | None] = {}
        """What has changed since the last `take`."""

    def take(self, *, whole: bool) -> tuple[dict[bytes, Entry | None], dict[bytes, Name | None]]:
        """The entries and names that moved since the last call; None where there is none any more. `whole`:
        with all names of files, of which else some come at a time."""
        if self._laying:
            self.lay(whole=whole)
        moved = self._moved_entries, self._moved_names
        self._moved_entries, self._moved_names = {}, {}
        return moved

    @property
    def is_nested(self) -> bool:
        """Whether a zone lies inside another."""
        return self._claims is not None

    @property
    def beneath(self) -> Mapping[bytes, Name]:
        """The names of zone files, as those stood that were laid last."""
        return self._beneath

    # --- our own ------------------------------------------------------------------------------------

    def build_in(self, own: Mapping[bytes, Name]) -> None:
        """These names, and all entries that were put until now, are there without any service or file."""
        self._built_in = dict(own)
        for owner, known in own.items():
            self._stand(owner, known)
        self._own_entries = frozenset(self._entries)

    def is_built_in(self, owner: bytes) -> bool:
        """Whether a name is there without any service or file."""
        return owner in self._built_in

    def replace_built_in(self, owner: bytes, known: Name) -> None:
        """A name of our own has changed; a service or file that has it keeps it."""
        stands = self._names.get(owner) is self._built_in[owner]
        self._built_in[owner] = known
        if stands:
            self._stand(owner, known)

    def put(self, key: bytes, entry: Entry) -> None:
        self._entries[key] = self._moved_entries[key] = entry

    # --- files ----------------------------------------------------------------------------------------

    def put_beneath(self, files: Iterable[tuple[bytes, Name]]) -> None:
        """The names of zone files, in place of those before, as soon as they are laid. Each stands where no
        service has its label and no name of our own is, except an apex that the file shares."""
        self._laying.append(self._lay(files))

    @property
    def has_more(self) -> bool:
        """Whether names of zone files are not laid yet."""
        return bool(self._laying)

    def lay(self, *, whole: bool) -> None:
        """Lay some names of files, or all: a file may have 65,000 of them, which took half a second."""
        while self._laying:
            try:
                next(self._laying[0])
            except StopIteration:
                self._laying.popleft()
            if not whole:
                return

    def _lay(self, files: Iterable[tuple[bytes, Name]]) -> Steps[None]:
        at, laid, of = 0, self._laid, dict[str, list[bytes]]()
        for at, (owner, known) in enumerate(files, 1):
            if owner in self._apexes or owner not in self._built_in:
                before = {owner: self._own(owner)}
                laid[owner] = known
                label = self.label_of(owner)
                if label is not None:
                    for owners in (of, self._beneath_of):
                        owners.setdefault(label, []).append(owner)
                self._restand(before)
            if not at % SLICE:
                yield
        for then, owner in enumerate(self._beneath, at + 1):
            if owner not in laid:
                before = {owner: self._own(owner)}
                self._lifted.add(owner)
                self._restand(before)
            if not then % SLICE:
                yield
        before_of, self._beneath_of = self._beneath_of, of
        lifted, self._lifted = self._lifted, set()
        self._beneath, self._laid = laid, {}
        yield from empty_in_steps(before_of)  # to free all at once would be a turn
        yield from empty_in_steps(lifted)

    def label_of(self, owner: bytes) -> str | None:
        """The label right below the apex of a zone of services, as text."""
        for suffix in (owner, *names.suffixes(owner)):
            if suffix[1 + suffix[0] :] in self._apexes:
                return suffix[1 : 1 + suffix[0]].decode("latin-1")
        return None

    # --- services -------------------------------------------------------------------------------------

    def replace(self, name: str, old: ServiceAnswers | None, answers: ServiceAnswers | None) -> None:
        """A service brings `answers` where it brought `old`."""
        labels = {a.label for a in (old, answers) if a is not None}
        before = {owner: self._own(owner) for label in labels for owner in self._beneath_of.get(label, ())}
        if len(labels) > 1 or old is None or answers is None:
            self._count_labels(old, answers)
        if self._claims is None:
            self._put_in_place(old, answers)
        else:
            for owner in self._claims.move(name, old, answers):
                self._restand_at(owner, self._claims)
        self._restand(before)

    def _count_labels(self, old: ServiceAnswers | None, answers: ServiceAnswers | None) -> None:
        if old is not None:
            self._labels[old.label] -= 1
            if not self._labels[old.label]:
                del self._labels[old.label]
        if answers is not None:
            self._labels[answers.label] += 1

    def _put_in_place(self, old: ServiceAnswers | None, answers: ServiceAnswers | None) -> None:
        """Where no zone lies inside another."""
        if old is not None:
            for key in old.entries.keys() - (answers.entries.keys() if answers else ()):
                self._drop(key, old.entries[key])
            for owner in old.names.keys() - (answers.names.keys() if answers else ()):
                if self._names.get(owner) is old.names[owner]:  # else another service took the name over
                    self._stand(owner, self._own(owner))
        if answers is not None:
            for key, entry in answers.entries.items():
                if key not in self._own_entries:  # each NS name keeps its address
                    self.put(key, entry)
            for owner, known in answers.names.items():
                self._stand(owner, known)

    def _restand_at(self, owner: bytes, claims: Claims) -> None:
        """What stands at a name that a service brings, or brought, where zones nest."""
        known = self._own(owner)
        holder, built_in = claims.holder(owner), self._built_in.get(owner)
        entries: Mapping[bytes, Entry] = {}
        if holder is not None:
            brought, zone = self._services[holder[0]], claims.zone_of(owner)
            if owner in self._apexes:  # the zone's own, and what is below it is there all the same
                known = structs.replace(brought.names[owner], zone=zone, ede=b"", service="")
            elif built_in is None or holder[1] == built_in.zone:
                entries, known = brought.entries, structs.replace(brought.names[owner], zone=zone)
        for rtype in (*DEALT, TXT):
            key = owner + rtype.to_bytes(2, "big")
            if key in self._own_entries:
                continue
            if key in entries:
                self.put(key, entries[key])
            elif key in self._entries:
                self._drop(key, self._entries[key])
        self._stand(owner, known)

    def _own(self, owner: bytes) -> Name | None:
        """What stands at a name where no service has one of its own."""
        beneath = self._laid.get(owner)
        if beneath is None and owner not in self._lifted:
            beneath = self._beneath.get(owner)
        if beneath is not None and self.label_of(owner) not in self._labels:
            return beneath
        return self._built_in.get(owner)

    def _restand(self, before: Mapping[bytes, Name | None]) -> None:
        """Files' names come forth or give way, where what stood was none of a service's."""
        for owner, known in before.items():
            if self._names.get(owner) is known:
                self._stand(owner, self._own(owner))

    def _stand(self, owner: bytes, known: Name | None) -> None:
        if self._names.get(owner) is known:
            return
        self._moved_names[owner] = known
        if known is None:
            del self._names[owner]
        else:
            self._names[owner] = known

    def _drop(self, key: bytes, entry: Entry) -> None:
        if self._entries.get(key) is entry:  # else another service took the name over
            del self._entries[key]
            self._moved_entries[key] = None
