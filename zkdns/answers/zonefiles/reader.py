"""The zone files of a folder -> zones: each checked as a whole, the last good copy kept.

Rules: reads files under one folder and nothing else; what is wrong is a Problem with file and line,
never an exception, and costs that file alone. A file with an error isn't served in part: its last
good copy stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import dns.exception
import dns.name
import dns.rdatatype
from msgspec import Struct

from zkdns.answers.zonefiles.lookup import ZoneData, negative_soa
from zkdns.answers.zonefiles.master_file import (
    MAX_LINES,
    MasterFile,
    Record,
    Stopped,
    Wrong,
    mark,
    plainly,
)
from zkdns.answers.zonefiles.nodes import Built, Node, RRset, add_between
from zkdns.dns import names
from zkdns.dns.rdata import Parts, cut_rdata
from zkdns.dns.types import CNAME, DNAME, NS, SOA
from zkdns.files import Mark
from zkdns.model import Problem, fault
from zkdns.piecemeal import empty

SUFFIX = ".zone"
_BESIDE_CNAME = frozenset({46, 47})  # RRSIG and NSEC (RFC 4034, section 4; RFC 2181, section 10.1)


class Loaded(Struct, frozen=True):
    """What a folder holds now. `zones` by apex; `problems` as of the last reading."""

    zones: Mapping[bytes, ZoneData] = {}
    problems: tuple[Problem, ...] = ()


class _Read(Struct, frozen=True):
    """What came of a file. `marks`: of it, and of those that it includes; `lines` of all of them."""

    marks: Mapping[Path, Mark | None]
    lines: int
    data: ZoneData | None
    wrong: Wrong | None

    def is_still_so(self) -> bool:
        may_pass = self.wrong is not None and self.wrong.may_pass
        return not may_pass and all(mark(path) == seen for path, seen in self.marks.items())

    def take(self) -> ZoneData:
        """Raises what was wrong."""
        if self.wrong is not None:
            raise self.wrong.copy()
        assert self.data is not None  # noqa: S101
        return self.data


class ZoneFolder:
    """The zone files of one folder. `own`: the apexes (wire, lower case) of the services' zones: a file
    for one of them needs no SOA, and shares the zone. `is_stopping`: what is being read is not wanted any
    more, and may take minutes."""

    def __init__(self, folder: Path, own: Collection[bytes] = ()) -> None:
        self.folder = folder
        self.own = frozenset(own)
        self._good: dict[Path, ZoneData] = {}
        self._marks: dict[Path, Mark | None] | None = None
        """Each file's mark as of before it was read: a change while it is read is seen next time."""
        self._known: dict[Path, _Read] = {}
        self._built = Built()
        self.loaded = Loaded()
        self.is_stopping = False

    def changed(self) -> bool:
        """Whether a file is not what it was at the last `load`. Called again and again, in a thread: what
        files said before that is freed here."""
        self._built.drop()
        return self._marks is None or self.look() != self._marks

    def look(self) -> dict[Path, Mark | None] | None:
        """The marks of all files as they are now; None where the folder can't be read."""
        try:
            return {path: mark(path) for path in {*self._list(), *(self._marks or ())}}
        except OSError:
            return None

    def load(self, *, anew: bool = False) -> Loaded:
        """Reads the files that have changed; `anew`: all of them. Slow where they are large: call it where
        nobody waits."""
        self._built.drop()
        try:
            return self._load({} if anew else self._known)
        except Stopped:
            return self.loaded

    def _load(self, known: Mapping[Path, _Read]) -> Loaded:
        problems: list[Problem] = []
        try:
            marks = {path: mark(path) for path in self._list()}
        except OSError as error:
            cure = "name a folder that is there and can be read, with --zones"
            self._marks = None  # it may be as it was once it can be read: that is to be seen
            self.loaded = Loaded(self.loaded.zones, (Problem(str(self.folder), plainly(error), cure),))
            return self.loaded
        good: dict[Path, ZoneData] = {}
        zones: dict[bytes, ZoneData] = {}
        reads: dict[Path, _Read] = {}
        left = MAX_LINES
        for path in list(marks):
            try:
                read = known.get(path)
                if read is None or not read.is_still_so() or read.lines > left:
                    read = self._read(path, left)
                reads[path] = read
                marks.update(read.marks)
                data = read.take()
                left -= read.lines
            except Wrong as wrong:
                kept = self._good.get(path)
                mend = "mend the line" if wrong.names_line else "mend that"
                cure = f"{mend}; the last good copy is served" if kept else f"{mend}; the file is not served"
                problems.append(Problem(str(self.folder / wrong.where), wrong.what, cure))
                if kept is None:
                    continue
                data = kept
            except Stopped:
                raise
            except Exception as error:  # ours: it costs this file, and the others are served
                problems.append(fault(str(path), error))
                if path not in self._good:
                    continue
                data = self._good[path]
            if data.apex in zones:
                what = f"{names.text(data.apex)} is in {Path(zones[data.apex].path).name} already"
                problems.append(Problem(str(path), what, "keep one file for a zone; $INCLUDE others in it"))
                continue
            good[path] = zones[data.apex] = data
        self._good = good
        self._marks = marks
        self._known = reads
        self.loaded = Loaded(zones, tuple(problems))
        return self.loaded

    def _read(self, path: Path, most: int) -> _Read:
        reader = MasterFile(self.folder, most, lambda: self.is_stopping)
        data = wrong = None
        try:
            data = read_zone(path, self.folder, self.own, reader, self._built)
        except Wrong as error:
            wrong = error.copy()
        finally:
            empty(reader.sink.records)
        return _Read(reader.marks, reader.lines, data, wrong)

    def _list(self) -> list[Path]:
        """The zone files, and none of those that editors keep beside them (`.#x.zone`, `.x.zone`)."""
        return sorted(
            p for p in self.folder.iterdir() if p.name.endswith(SUFFIX) and not p.name.startswith(".")
        )


def read_zone(
    path: Path,
    folder: Path,
    own: Collection[bytes] = (),
    reader: MasterFile | None = None,
    built: Built | None = None,
) -> ZoneData:
    """One zone from its file. Its name is the SOA's owner; without one, $ORIGIN's, or the file's. `built`:
    what keeps its nodes."""
    try:
        origin = dns.name.from_text(path.name.removesuffix(SUFFIX))
    except dns.exception.DNSException as error:
        raise Wrong(path.name, f"the file's name is no zone's: {plainly(error)}") from None
    reader = reader or MasterFile(folder)
    reader.current_origin = origin
    reader.read_file(path)
    records = reader.sink.records
    soas = [record for record in records if record.rtype == SOA]
    apex = soas[0].owner if soas else (reader.first_origin or origin).to_digestable()
    shared = apex in own
    if apex == names.ROOT:
        raise Wrong(soas[0].where if soas else path.name, "the root zone is not served")
    if not soas and not shared:
        raise Wrong(f"{path.name}:1", f"no SOA record for {names.text(apex)}")
    nodes = _check(apex, records, reader.sink.is_over)
    at_apex = nodes.setdefault(apex, {})
    if shared:
        # The zone's own SOA and NS are those of the services: one zone has one of each.
        soa = b""
        nodes[apex] = {rtype: rrset for rtype, rrset in at_apex.items() if rtype not in (SOA, NS)}
    else:
        soa = negative_soa(at_apex[SOA])
    add_between(apex, nodes)
    return ZoneData(apex, (built or Built()).keep(nodes), soa, str(path), shared)


class _Growing(Struct):
    """An RRset as its records are met. `rdatas`: as they are written, by what makes two of them the same."""

    ttl: int
    where: str
    rdatas: dict[Parts, Parts] = {}

    def take(self, rtype: int) -> RRset:
        rrset = RRset(rtype, self.ttl, tuple(self.rdatas.values()), self.where)
        empty(self.rdatas)
        return rrset


def _check(apex: bytes, records: list[Record], is_over: Callable[[], bool]) -> dict[bytes, Node]:
    """The records by owner and type, or the first thing that can't stand in a zone. Nothing is left of
    `records`: what is read of a large file is freed as it is taken up, and not at once."""
    grown: dict[bytes, dict[int, _Growing]] = {}
    records.reverse()
    try:
        while records:
            if is_over():
                raise Stopped
            _put(apex, records.pop(), grown)
        nodes = dict[bytes, Node]()
        for owner in [*grown]:
            nodes[owner] = {rtype: one.take(rtype) for rtype, one in grown.pop(owner).items()}
        return nodes
    finally:
        empty(records, grown)


def _put(apex: bytes, record: Record, grown: dict[bytes, dict[int, _Growing]]) -> None:
    owner, rtype = record.owner, record.rtype
    if owner not in grown and not _within(owner, apex):
        raise Wrong(record.where, f"{names.text(owner)} is outside the zone {names.text(apex)}")
    here = grown.setdefault(owner, {})
    one = here.get(rtype)
    if one is None:
        one = here[rtype] = _Growing(record.ttl, record.where)
        if dns.rdatatype.is_metatype(dns.rdatatype.RdataType(rtype)):
            raise Wrong(record.where, f"{_kind(rtype)} is no type of data")
        if CNAME in here and len(here.keys() - _BESIDE_CNAME) > 1:
            raise Wrong(record.where, f"{names.text(owner)} has a CNAME and other records")
        if rtype == SOA and owner != apex:
            raise Wrong(record.where, f"a SOA record for {names.text(owner)} in the zone {names.text(apex)}")
    # RFC 2181, section 5.2: an RRset has one TTL; the least is the safe one.
    one.ttl = min(one.ttl, record.ttl)
    parts = cut_rdata(record.rdata, rtype)
    same = _canonical(parts)
    if same in one.rdatas:
        return
    if one.rdatas and rtype in (SOA, CNAME, DNAME):
        raise Wrong(record.where, f"{names.text(owner)} has a second {_kind(rtype)}")
    one.rdatas[same] = parts


def _kind(rtype: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType(rtype))


def _canonical(parts: Parts) -> Parts:
    return tuple(part.lower() if index & 1 else part for index, part in enumerate(parts))


def _within(owner: bytes, apex: bytes) -> bool:
    return owner == apex or apex in names.suffixes(owner) or apex == names.ROOT
