"""Master files (RFC 1035, section 5) -> zones: read by dnspython, checked, the last good copy kept.

Rules: reads files under one folder and nothing else; what is wrong is a Problem with file and line,
never an exception, and costs that file alone. A file with an error isn't served in part: its last
good copy stays.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.exception
import dns.grange
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl
import dns.zonefile

from zkdns.answers.zonefiles.lookup import RRset, ZoneData, build_nodes, negative_soa
from zkdns.dns import names
from zkdns.dns.rdata import Parts, cut_rdata
from zkdns.dns.types import CNAME, DNAME, NS, SOA
from zkdns.files import MIB, Mark, mark_of, read_bounded
from zkdns.model import Problem

SUFFIX = ".zone"
DEEPEST = 8
"""Files that include one another, so that none includes itself for ever."""
MOST_INCLUDED = 1000
MAX_FILE_BYTES = 256 * MIB
MAX_ZONE_BYTES = 512 * MIB
"""What a zone's files may hold together, each counted as often as it is included."""
MAX_GENERATED = 65_536
"""Records that the $GENERATE lines of one zone may make."""
MAX_WIDTH_CHARS = 255
NEWLINE = b"\n"
_WIDTH = re.compile(r"\$\{-?\d+,(\d+)")
_ABOVE = re.compile(rb"\\.|[\x80-\xff]", re.DOTALL)
_BESIDE_CNAME = frozenset({46, 47})  # RRSIG and NSEC (RFC 4034, section 4; RFC 2181, section 10.1)


class _Wrong(Exception):
    """An error in a file: where it is, what it is."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where = where
        self.what = what


@dataclass(slots=True)
class _Record:
    owner: bytes
    rtype: int
    ttl: int
    rdata: bytes
    where: str


class _Records:
    """Stands where dnspython's reader wants a transaction, and keeps what it reads with its place."""

    def __init__(self) -> None:
        self.records: list[_Record] = []
        self.where = ""
        self.manager = self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, check: Any) -> None:
        """Its check walks all records for each; ours comes once, at the end."""

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        owner = name.to_digestable()
        self.records.append(_Record(owner, int(rdata.rdtype), ttl, rdata.to_wire() or b"", self.where))


class _Tokens:
    """One line's tokens, where dnspython's reader wants a tokenizer."""

    def __init__(self, tokens: list[dns.tokenizer.Token], lines: dns.tokenizer.Tokenizer) -> None:
        self._left = iter(tokens)
        self.idna_codec = lines.idna_codec

    def get(self) -> dns.tokenizer.Token:
        return next(self._left, dns.tokenizer.Token(dns.tokenizer.EOL, ""))


class _Reader(dns.zonefile.Reader):
    """dnspython's reader of lines, with our own directives: an $INCLUDE stays inside the folder."""

    def __init__(self, folder: Path, origin: dns.name.Name) -> None:
        self.sink = _Records()
        self.folder = folder.resolve()
        self.marks: dict[Path, Mark | None] = {}
        self.bytes_read = self.generated = 0
        self.depth = 0
        self.first_origin: dns.name.Name | None = None
        super().__init__(dns.tokenizer.Tokenizer(""), dns.rdataclass.IN, self.sink)  # type: ignore[arg-type]
        self.current_origin = origin

    def read_file(self, path: Path) -> None:
        saved = self.tok, self.current_origin, self.last_name, self.sink.where
        shown = _shown(path, self.folder)
        self.marks[path] = _mark(path)
        try:
            data, _ = read_bounded(path, MAX_FILE_BYTES)
        except OSError as error:
            raise _Wrong(self.sink.where or shown, f"{shown} can't be read: {_plainly(error)}") from None
        self.bytes_read += len(data)
        if self.bytes_read > MAX_ZONE_BYTES:
            raise _Wrong(
                self.sink.where or shown, f"the zone has more than {MAX_ZONE_BYTES // MIB} MiB of files"
            )
        if (nul := data.find(b"\0")) >= 0:
            raise _Wrong(f"{shown}:{data.count(NEWLINE, 0, nul) + 1}", "holds a NUL byte")
        self.tok = dns.tokenizer.Tokenizer(spell_octets(data), shown)
        try:
            self._lines(shown)
        except _Wrong:
            raise
        except Exception as error:  # dnspython lets out many kinds: they all mean this line
            raise _Wrong(self.sink.where or shown, _plainly(error)) from None
        self.tok, self.current_origin, self.last_name, self.sink.where = saved

    def _lines(self, shown: str) -> None:
        while True:
            token = self.tok.get(True, True)
            self.sink.where = f"{shown}:{self.tok.where()[1] - token.is_eol()}"
            if token.is_eof():
                return
            if token.is_eol():
                continue
            if token.is_comment():
                self.tok.get_eol()
            elif token.is_identifier() and token.value.startswith("$"):
                self._directive(token.value.upper())
            else:
                self.tok.unget(token)
                self._rr_line()

    def _directive(self, name: str) -> None:
        if name == "$TTL":
            self.default_ttl = dns.ttl.from_text(self.tok.get_string())
            self.default_ttl_known = True
            self.default_ttl_from_soa = False
            self.tok.get_eol()
        elif name == "$ORIGIN":
            origin = self.tok.get_name(self.current_origin)
            self.tok.get_eol()
            self.current_origin = origin
            if self.first_origin is None and not self.sink.records:
                self.first_origin = origin
        elif name == "$GENERATE":
            self._generate()
        elif name == "$INCLUDE":
            self._include()
        else:
            raise ValueError(f"unknown directive {name}")

    def _generate(self) -> None:
        """BIND's directive (ARM, "Zone file", $GENERATE). Its right side may be quoted, which is how several
        fields are written; dnspython's own reader takes one bare word alone."""
        tokens = []
        while not (token := self.tok.get()).is_eol_or_eof():
            if token.is_quoted_string():
                token = dns.tokenizer.Token(dns.tokenizer.IDENTIFIER, token.value)
            tokens.append(token)
        if not tokens:
            raise ValueError("$GENERATE without a range")
        start, stop, step = dns.grange.from_text(tokens[0].value)
        self.generated += (stop - start) // step + 1
        if self.generated > MAX_GENERATED:
            raise ValueError(f"$GENERATE of more than {MAX_GENERATED} records")
        for width in _WIDTH.findall(" ".join(token.value for token in tokens)):
            if int(width[:4]) > MAX_WIDTH_CHARS:
                raise ValueError(f"$GENERATE pads to more than {MAX_WIDTH_CHARS} characters")
        lines, self.tok = self.tok, _Tokens(tokens, self.tok)  # type: ignore[assignment]
        try:
            self._generate_line()  # type: ignore[no-untyped-call]
        finally:
            self.tok = lines

    def _include(self) -> None:
        named = os.fsdecode(self.tok.get_string().encode("latin-1"))
        token = self.tok.get()
        origin = self.current_origin
        if not token.is_eol_or_eof():
            origin = self.tok.as_name(token, self.current_origin)
            self.tok.get_eol()
        path = (self.folder / named).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError(f"$INCLUDE {named} is outside the folder of zone files")
        if self.depth >= DEEPEST or len(self.marks) >= MOST_INCLUDED:
            raise ValueError(f"$INCLUDE {named}: more than {DEEPEST} deep, or {MOST_INCLUDED} files")
        before, self.current_origin = self.current_origin, origin
        self.depth += 1
        self.read_file(path)
        self.depth -= 1
        self.current_origin = before


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a folder holds now. `zones` by apex; `problems` as of the last reading."""

    zones: Mapping[bytes, ZoneData] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class ZoneFolder:
    """The zone files of one folder. `own`: the apexes (wire, lower case) of the services' zones: a file
    for one of them needs no SOA, and shares the zone."""

    def __init__(self, folder: Path, own: Collection[bytes] = ()) -> None:
        self.folder = folder
        self.own = frozenset(own)
        self._good: dict[Path, ZoneData] = {}
        self._marks: dict[Path, Mark | None] | None = None
        """Each file's mark as of before it was read: a change while it is read is seen next time."""
        self.loaded = Loaded()

    def changed(self) -> bool:
        """Whether a file is not what it was at the last `load`."""
        if self._marks is None:
            return True
        try:
            return {path: _mark(path) for path in {*self._list(), *self._marks}} != self._marks
        except OSError:
            return True

    def load(self) -> Loaded:
        """Reads all files. Slow where they are large: call it where nobody waits."""
        problems: list[Problem] = []
        try:
            marks = {path: _mark(path) for path in self._list()}
        except OSError as error:
            cure = "name a folder that is there and can be read, with --zones"
            self.loaded = Loaded(self.loaded.zones, (Problem(str(self.folder), _plainly(error), cure),))
            return self.loaded
        good: dict[Path, ZoneData] = {}
        zones: dict[bytes, ZoneData] = {}
        for path in list(marks):
            try:
                data = read_zone(path, self.folder, self.own, marks)
            except _Wrong as wrong:
                kept = self._good.get(path)
                cure = "mend the line; " + (
                    "the last good copy is served" if kept else "the file is not served"
                )
                problems.append(Problem(str(self.folder / wrong.where), wrong.what, cure))
                if kept is None:
                    continue
                data = kept
            if data.apex in zones:
                what = f"{names.text(data.apex)} is in {Path(zones[data.apex].path).name} already"
                problems.append(Problem(str(path), what, "keep one file for a zone; $INCLUDE others in it"))
                continue
            good[path] = zones[data.apex] = data
        self._good = good
        self._marks = marks
        self.loaded = Loaded(zones, tuple(problems))
        return self.loaded

    def _list(self) -> list[Path]:
        """The zone files, and none of those that editors keep beside them (`.#x.zone`, `.x.zone`)."""
        return sorted(
            p for p in self.folder.iterdir() if p.name.endswith(SUFFIX) and not p.name.startswith(".")
        )


def _mark(path: Path) -> Mark | None:
    try:
        return mark_of(path.stat())
    except OSError:
        return None


def spell_octets(data: bytes) -> str:
    """A master file as ASCII: each octet above 127 as the escape \\DDD that stands for it, so that a name or
    a text has the very octets of the file, whatever its character set (RFC 1035, section 5.1)."""
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", NEWLINE).replace(b"\r", NEWLINE)
    if data.isascii():
        return data.decode("ascii")
    return _ABOVE.sub(lambda m: m[0] if m[0][-1] < 128 else b"\\%03d" % m[0][-1], data).decode("ascii")


def read_zone(
    path: Path, folder: Path, own: Collection[bytes] = (), marks: dict[Path, Mark | None] | None = None
) -> ZoneData:
    """One zone from its file; what was read goes to `marks`. Its name is the SOA's owner; without one,
    $ORIGIN's, or the file's."""
    try:
        origin = dns.name.from_text(path.name.removesuffix(SUFFIX))
    except dns.exception.DNSException as error:
        raise _Wrong(path.name, f"the file's name is no zone's: {_plainly(error)}") from None
    reader = _Reader(folder, origin)
    try:
        reader.read_file(path)
    finally:
        if marks is not None:
            marks.update(reader.marks)
    records = reader.sink.records
    soas = [record for record in records if record.rtype == SOA]
    apex = soas[0].owner if soas else (reader.first_origin or origin).to_digestable()
    shared = apex in own
    if apex == names.ROOT:
        raise _Wrong(soas[0].where if soas else path.name, "the root zone is not served")
    if not soas and not shared:
        raise _Wrong(f"{path.name}:1", f"no SOA record for {names.text(apex)}")
    rrsets = _check(apex, records)
    if shared:
        # The zone's own SOA and NS are those of the services: one zone has one of each.
        rrsets.pop((apex, SOA), None)
        rrsets.pop((apex, NS), None)
        soa = b""
    else:
        soa = negative_soa(rrsets[apex, SOA])
    return ZoneData(apex, build_nodes(apex, rrsets), soa, str(path), shared)


def _check(apex: bytes, records: list[_Record]) -> dict[tuple[bytes, int], RRset]:
    """The records by owner and type, or the first thing that can't stand in a zone."""
    by_key: dict[tuple[bytes, int], tuple[int, list[Parts], str]] = {}
    types: dict[bytes, set[int]] = {}
    known: set[tuple[bytes, int, tuple[bytes, ...]]] = set()
    for record in records:
        owner, rtype = record.owner, record.rtype
        shown = names.text(owner)
        kind = dns.rdatatype.to_text(dns.rdatatype.RdataType(rtype))
        if not (owner.endswith(apex) and _within(owner, apex)):
            raise _Wrong(record.where, f"{shown} is outside the zone {names.text(apex)}")
        if dns.rdatatype.is_metatype(dns.rdatatype.RdataType(rtype)):
            raise _Wrong(record.where, f"{kind} is no type of data")
        here = types.setdefault(owner, set())
        here.add(rtype)
        if CNAME in here and len(here - _BESIDE_CNAME) > 1:
            raise _Wrong(record.where, f"{shown} has a CNAME and other records")
        if rtype == SOA and owner != apex:
            raise _Wrong(record.where, f"a SOA record for {shown} in the zone {names.text(apex)}")
        parts = cut_rdata(record.rdata, rtype)
        old = by_key.get((owner, rtype))
        if old is None:
            by_key[owner, rtype] = old = record.ttl, [], record.where
        if record.ttl < old[0]:  # RFC 2181, section 5.2: an RRset has one TTL; the least is the safe one
            by_key[owner, rtype] = old = record.ttl, old[1], old[2]
        same = owner, rtype, _canonical(parts)
        if same in known:
            continue
        known.add(same)
        if old[1] and rtype in (SOA, CNAME, DNAME):
            raise _Wrong(record.where, f"{shown} has a second {kind}")
        old[1].append(parts)
    return {key: RRset(key[1], ttl, tuple(rdatas), where) for key, (ttl, rdatas, where) in by_key.items()}


def _canonical(parts: Parts) -> Parts:
    return tuple(part.lower() if index & 1 else part for index, part in enumerate(parts))


def _within(owner: bytes, apex: bytes) -> bool:
    return owner == apex or apex in names.suffixes(owner) or apex == names.ROOT


def _shown(path: Path, folder: Path) -> str:
    try:
        return str(path.resolve().relative_to(folder))
    except ValueError:
        return str(path)


def _plainly(error: BaseException) -> str:
    """An exception as a short phrase."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error) or type(error).__name__
