"""Master files (RFC 1035, section 5) -> records: dnspython reads the lines, with directives of our own.

Rules: reads one file and those that it includes from the same folder; what is wrong is `Wrong`, with file and
line.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import dns.exception
import dns.grange
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer
import dns.ttl
import dns.zonefile
from msgspec import Struct

from zkdns.answers.zonefiles.octets import NEWLINE, count, find, text_of
from zkdns.files import MIB, Mark, mark_of, read_bounded
from zkdns.lack import reason

MAX_INCLUDE_DEPTH = 8
"""Files that include one another, so that none includes itself for ever."""
MAX_INCLUDED_FILES = 1000
MAX_FILE_BYTES = 256 * MIB
MAX_ZONE_BYTES = 512 * MIB
"""What a zone's files may hold together, each counted as often as it is included."""
MAX_LINES = 1_000_000
"""Of all zone files together, each counted as often as it is included or generated: mostly a record, of which
each takes a kilobyte of memory once it is read."""
TOO_MANY_LINES = f"all zone files have more than {MAX_LINES:,} lines"
MAX_GENERATED = 65_536
"""Records that the $GENERATE lines of one zone may make."""
MAX_WIDTH_CHARS = 255
STAYS = frozenset(
    {errno.EACCES, errno.EFBIG, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENOTDIR}
)
"""Why a file can't be read for as long as it is what it is; a disk, a share or a lack of ours may come to
itself, and nothing about the file tells that."""
MAX_RECORD_CHARACTERS = 1 << 20
"""Of a record as it is written: 65,535 octets, each as \\DDD in quotes of its own, are half of that."""
MAX_RDATA_BYTES = 0xFFFF
MAX_TOLD_CHARACTERS = 200
"""Of what is said to be wrong: some of it repeats a word of the file."""
MAX_LINE_CHARACTERS = 60
"""Of a wrong line that is told."""
_TTL = re.compile(r"(?:[0-9]++[SMHDWsmhdw]?+)++")
"""It never goes back: a word of 60 digits and an x would take years, in which no other thread runs."""
_WIDTH = re.compile(r"\$\{-?\d+,(\d+)")


class Wrong(Exception):
    """An error in a file: where it is, what it is. `may_pass`: without the file being written to."""

    def __init__(self, where: str, what: str, *, may_pass: bool = False) -> None:
        super().__init__(what)
        self.where = where
        self.what = what
        self.may_pass = may_pass

    def copy(self) -> Wrong:
        """One that can be kept: what was raised knows where, and so all that had been read of the file."""
        return Wrong(self.where, self.what, may_pass=self.may_pass)

    @property
    def names_line(self) -> bool:
        """Whether it is in one line, and not with the file as a whole."""
        return self.where.rpartition(":")[2].isdecimal()


class Stopped(Exception):
    """Nobody wants to know any more."""


class Record(Struct):
    owner: bytes
    rtype: int
    ttl: int
    rdata: bytes
    where: str


class _Records:
    """Stands where dnspython's reader wants a transaction, and keeps what it reads with its place.
    `is_over`: whether nobody wants it any more."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self.is_over = is_over
        self.records: list[Record] = []
        self.where = ""

    @property
    def manager(self) -> _Records:
        """Itself; kept as a field it would be a reference cycle, and all records stay for good: they are old
        by the time at which they are not wanted any more."""
        return self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, check: Any) -> None:
        """Its check walks all records for each; ours comes once, at the end."""

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        if self.is_over():
            raise Stopped
        owner = name.to_digestable()
        ttl = 0 if ttl >> 31 else ttl  # RFC 2181, section 8; so does BIND
        wire = rdata.to_wire() or b""
        if len(wire) > MAX_RDATA_BYTES:
            raise Wrong(self.where, f"a record of more than {MAX_RDATA_BYTES:,} octets")
        self.records.append(Record(owner, int(rdata.rdtype), ttl, wire, self.where))


class _Lines(dns.tokenizer.Tokenizer):
    """dnspython's, with a bound: it would keep the words of a record without an end in objects of their own,
    60 bytes for each of the file's."""

    def __init__(self, data: bytes, shown: str) -> None:
        super().__init__(text_of(data), shown)
        self._taken = 0

    def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
        token = super().get(want_leading, want_comment)
        if token.is_eol_or_eof():
            self._taken = 0
            return token
        self._taken += len(token.value) + 1
        if self._taken > MAX_RECORD_CHARACTERS and not token.is_comment():
            raise ValueError(f"a record of more than {MAX_RECORD_CHARACTERS:,} characters")
        return token


class _Tokens:
    """One line's tokens, where dnspython's reader wants a tokenizer."""

    def __init__(self, tokens: list[dns.tokenizer.Token], lines: dns.tokenizer.Tokenizer) -> None:
        self._left = iter(tokens)
        self.idna_codec = lines.idna_codec

    def get(self) -> dns.tokenizer.Token:
        return next(self._left, dns.tokenizer.Token(dns.tokenizer.EOL, ""))


class MasterFile(dns.zonefile.Reader):
    """dnspython's reader of lines, with our own directives: an $INCLUDE stays inside the folder. It may have
    `most` lines. Stopped where `is_over`."""

    def __init__(
        self, folder: Path, most: int = MAX_LINES, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self.sink = _Records(is_over)
        self.folder = folder.resolve()
        self.marks: dict[Path, Mark | None] = {}
        self._most = most
        self.lines = self.bytes_read = self.generated = 0
        self.depth = 0
        self.first_origin: dns.name.Name | None = None
        super().__init__(dns.tokenizer.Tokenizer(""), dns.rdataclass.IN, self.sink)  # type: ignore[arg-type]

    def read_file(self, path: Path) -> None:
        saved = self.tok, self.current_origin, self.last_name, self.sink.where
        shown = _shown(path, self.folder)
        self.marks[path] = mark(path)
        try:
            data, _ = read_bounded(path, MAX_FILE_BYTES)
        except OSError as error:
            if error.errno not in STAYS:
                self.marks[path] = None  # the next look finds it changed, and it is tried again
            what = f"{shown} can't be read: {plainly(error)}"
            raise Wrong(self.sink.where or shown, what, may_pass=True) from None
        if mark(path) != self.marks[path]:
            raise Wrong(self.sink.where or shown, f"{shown} is written to while it is read")
        self._count(len(data), self.sink.where or shown)
        self._count_lines(count(data, NEWLINE) or count(data, b"\r"), self.sink.where or shown)
        if (nul := find(data, b"\0")) >= 0:
            raise Wrong(f"{shown}:{count(data, NEWLINE, nul) + 1}", "holds a NUL byte")
        self.tok = _Lines(data, shown)
        try:
            self._lines(shown)
        except (Wrong, Stopped):
            raise
        except Exception as error:  # dnspython lets out many kinds: they all mean this line
            where, what = self.sink.where or shown, plainly(error)[:MAX_TOLD_CHARACTERS]
            if isinstance(error, dns.exception.DNSException):  # whose words name nothing of the line
                what = f"{what.rstrip('.')}, in {_line(data, where)!r}"
            raise Wrong(where, what) from None
        self.tok, self.current_origin, self.last_name, self.sink.where = saved

    def _count(self, bytes: int, where: str) -> None:
        """What the zone's files hold, and what is made of their lines."""
        self.bytes_read += bytes
        if self.bytes_read > MAX_ZONE_BYTES:
            raise Wrong(where, f"the zone has more than {MAX_ZONE_BYTES // MIB} MiB of files")

    def _count_lines(self, lines: int, where: str) -> None:
        self.lines += lines
        if self.lines > self._most:
            raise Wrong(where, TOO_MANY_LINES, may_pass=True)

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
        elif name == "$DATE":  # when BIND dumped the file: it says nothing of the records
            self.tok.get_string()
            self.tok.get_eol()
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
        try:
            start, stop, step = dns.grange.from_text(tokens[0].value)
        except AssertionError:
            raise ValueError("the step of $GENERATE is not 1 or more") from None
        if tokens[3:] and tokens[2].value.upper() == "IN" and _TTL.fullmatch(tokens[3].value):
            tokens[2:4] = tokens[3], tokens[2]  # BIND takes class and TTL in either order
        records = (stop - start) // step + 1
        self.generated += records
        if self.generated > MAX_GENERATED:
            raise ValueError(f"$GENERATE of more than {MAX_GENERATED} records")
        self._count_lines(records, self.sink.where)
        self._count(records * sum(len(token.value) for token in tokens), self.sink.where)
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
        if self.depth >= MAX_INCLUDE_DEPTH or len(self.marks) >= MAX_INCLUDED_FILES:
            raise ValueError(
                f"$INCLUDE {named}: more than {MAX_INCLUDE_DEPTH} deep, or {MAX_INCLUDED_FILES} files"
            )
        before, self.current_origin = self.current_origin, origin
        self.depth += 1
        self.read_file(path)
        self.depth -= 1
        self.current_origin = before


def mark(path: Path) -> Mark | None:
    try:
        return mark_of(path.stat())
    except OSError:
        return None


def _shown(path: Path, folder: Path) -> str:
    """As people know it: a link has its own name, wherever it leads."""
    try:
        return str((path.parent.resolve() / path.name).relative_to(folder))
    except ValueError:
        return str(path)


def _line(data: bytes, where: str) -> str:
    """The line of the file, or as much of it as a person needs to know it again."""
    number = where.rpartition(":")[2]
    lines = islice(text_of(data), int(number) - 1, None) if number.isdigit() and int(number) else iter(())
    words = " ".join(next(lines, "").split())
    return words if len(words) <= MAX_LINE_CHARACTERS else f"{words[:MAX_LINE_CHARACTERS]}…"


def plainly(error: BaseException) -> str:
    """An exception as a short phrase."""
    if isinstance(error, OSError):
        return reason(error)
    return str(error) or type(error).__name__
