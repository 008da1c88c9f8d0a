"""The last known Catalog and overrides on disk, so that a restart without a registry can answer.

Rules: written aside, synced, renamed, and the folder synced: what stands under the name is always whole.
A file that is cut, corrupt, foreign or newer is reported and left as it is; before the first writing
replaces such a file it is renamed to `catalog.zkdns.aside-<n>`, never overwritten. OSError (a full disk)
is the caller's to log. Written in small pieces, so that a thread that saves never holds the GIL for long.

The file: MAGIC, VERSION and the schema's fingerprint, then items (`state_items`), each with its length in
front, length 0, and the SHA-256 of all.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import msgspec

from zkdns.files import MIB, create_aside, read_bounded, sync_directory
from zkdns.model import Catalog, Override, Problem
from zkdns.registry import state_items

NAME: Final = "catalog.zkdns"
MAGIC: Final = b"zkdns catalog\n"
VERSION: Final = 1
MAX_BYTES: Final = 4096 * MIB
ABANDONED: Final = 600.0
"""Seconds without a byte after which a file that is being written is nobody's."""

MAX_ASIDE: Final = 16
"""Files that are kept aside, beyond which those of other versions of ours are not: two that share a folder
would put each other's aside every few seconds."""

_START = struct.Struct("!H8s")
_LENGTH = struct.Struct("!I")

# Files that this process wrote or read whole, by path: (inode, mtime_ns, size). Only others are looked into
# before they are replaced.
_known: dict[Path, tuple[int, int, int]] = {}


InstanceOverrides: TypeAlias = Mapping[tuple[str, str], Override]
"""What operators ordered, by service and instance id."""

NO_OVERRIDES: Final[InstanceOverrides] = MappingProxyType({})


class Loaded(NamedTuple):
    """`catalog` is None where there is none to be had; `problem` then says why, None for no file at all.
    `source`: the registry that it was read from, as it was saved with; `topology`: the data of the map of
    networks that stood beside it."""

    catalog: Catalog | None
    problem: Problem | None
    overrides: InstanceOverrides = NO_OVERRIDES
    source: str = ""
    topology: bytes | None = None


class _Bad(Exception):
    """The file is none of ours, or not whole: what a person should read of it."""


class _OfOurs(_Bad):
    """It is one of another version of zkdns."""


# --- writing ------------------------------------------------------------------------------------


def save(
    directory: Path,
    catalog: Catalog,
    overrides: InstanceOverrides = NO_OVERRIDES,
    *,
    name: str = NAME,
    source: str = "",
    topology: bytes | None = None,
    faults: list[Problem] | None = None,
) -> str:
    """Write them down, in the file of this name. OSError where that is not possible; what was there before
    still is. Returns what is to be said of what stood there and is no state of ours, "" for nothing.
    `faults`: is told what can't be spelled, for an error of ours: it is left out, and the rest is written."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / name
    notice = _put_aside(target)
    _sweep(directory, name)
    aside = directory / f".{name}.{os.urandom(8).hex()}.tmp"
    try:
        with create_aside(aside) as file:
            digest = hashlib.sha256()
            for chunk in _spell(catalog, overrides, source, topology, [] if faults is None else faults):
                digest.update(chunk)
                file.write(chunk)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
            mark = _mark(os.fstat(file.fileno()))
        aside.replace(target)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    _known[target] = mark
    sync_directory(directory)
    return notice


def _sweep(directory: Path, name: str) -> None:
    """Remove what writers left that were killed. A name of each writing's own lets several processes share
    the folder, whose ids may be the same in containers; so what is left is told by its age alone."""
    for left in directory.glob(f".{name}.*.tmp"):
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > ABANDONED:
                left.unlink()


def _spell(
    catalog: Catalog,
    overrides: InstanceOverrides,
    source: str,
    topology: bytes | None,
    faults: list[Problem],
) -> Iterator[bytes]:
    yield MAGIC + _START.pack(VERSION, state_items.FINGERPRINT)
    for item in state_items.spell(catalog, overrides, source, topology, faults):
        yield _framed(item)
    yield _LENGTH.pack(0)


def _framed(item: bytes) -> bytes:
    return _LENGTH.pack(len(item)) + item


def _mark(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _put_aside(target: Path) -> str:
    """Keep what another program, or another version of this one, left under our name. Returns what is to be
    said of that."""
    try:
        mark = _mark(target.stat())
    except FileNotFoundError:
        return ""
    except OSError:  # a link to itself, and the like
        mark = None
    if mark is not None and _known.get(target) == mark:
        return ""
    try:
        for _ in _items(target):
            pass
    except (_Bad, OSError) as error:
        number = 1
        while (kept := target.with_name(f"{target.name}.aside-{number}")).exists():
            number += 1
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if number > MAX_ASIDE and isinstance(error, _OfOurs):
            return f"{target}: {why}; written over, for {MAX_ASIDE} files were kept beside it"
        target.rename(kept)
        return f"{target}: {why}; kept as {kept.name}"
    assert mark is not None  # noqa: S101  (it was read)
    _known[target] = mark
    return ""


# --- reading ------------------------------------------------------------------------------------


def load(directory: Path, name: str = NAME) -> Loaded:
    """What was saved last. Never raises: what is wrong with the file is its problem."""
    path = directory / name
    try:
        mark = _mark(path.stat())
        catalog, overrides, head = state_items.read(_items(path))
    except FileNotFoundError:
        return Loaded(None, None)
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        return Loaded(None, Problem(str(path), what, "make it readable for the server, or remove it"))
    except (_Bad, state_items.NotRead) as error:
        why = str(error) if isinstance(error, _Bad) else f"its content makes no sense: {error}"
        cure = "nothing is lost: it is written anew once the registry is read, and this one kept beside it"
        return Loaded(None, Problem(str(path), why, cure))
    _known[path] = mark
    return Loaded(catalog, None, overrides, head.source, head.topology)


def source_of(path: Path) -> str:
    """The registry that a file says it is of, "" where it says none that can be read. Only its beginning is
    looked at: whether it is whole is told by `load`."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC) + _START.size)
            if begin != MAGIC + _START.pack(VERSION, state_items.FINGERPRINT):
                return ""
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            head = file.read(min(length, MAX_BYTES))
        return state_items.read_head(head).source
    except (
        OSError,
        struct.error,
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        ZeroDivisionError,
        RecursionError,
    ):
        return ""


def _items(path: Path) -> Iterator[bytes]:
    """The items of a file. The checksum is verified before the first is given, and before it is read whether
    it is one of ours: what is not may be as large as anything."""
    data, _ = read_bounded(path, MAX_BYTES, _look)
    _look(data)
    start = len(MAGIC) + _START.size
    body = len(data) - hashlib.sha256().digest_size
    if body < start or hashlib.sha256(memoryview(data)[:body]).digest() != data[body:]:
        raise _Bad("it is cut short or corrupt: its checksum does not fit")
    return _split(data, start)


def _look(begin: bytes) -> None:
    """Raises what is wrong with a file that begins so."""
    if not begin.startswith(MAGIC):
        raise _Bad("it is empty" if not begin else "it is not a file of zkdns")
    if len(begin) < len(MAGIC) + _START.size:
        raise _Bad("it is cut short")
    version, fingerprint = _START.unpack_from(begin, len(MAGIC))
    if version > VERSION:
        raise _OfOurs(
            f"it was written by a newer zkdns (version {version} of the file, this one knows {VERSION})"
        )
    if version != VERSION or fingerprint != state_items.FINGERPRINT:
        raise _OfOurs("it was written by another version of zkdns")


def _split(data: bytes, at: int) -> Iterator[bytes]:
    try:
        while length := _LENGTH.unpack_from(data, at)[0]:
            at += _LENGTH.size
            yield data[at : at + length]
            at += length
    except struct.error:
        raise _Bad("its last item is cut") from None
