"""Where nodes stand below a registry's root, as data: `/{service}/members/{id}`.

Rules: pure. A segment is a literal or a hole that takes any name; in layouts of our own a hole may have a
literal in front (`json.info_{id}`). `prefix` is what can be watched without looking at anything else; a
node fits with all of its segments or not at all. ValueError says what is wrong with a layout's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from msgspec import Struct

MAX_SEGMENTS: Final = 16
"""Far above any layout that is known, and below what would make walks long."""

_HOLE = re.compile(r"([^{}]*)\{([a-z]+)\}")


class Segment(Struct, frozen=True):
    """One step of a path: the name `literal` itself, or, where it has a `hole`, any that starts so."""

    literal: str
    hole: str = ""

    def fits(self, name: str) -> bool:
        """Whether a node may have this name here."""
        if not self.hole:
            return name == self.literal
        return name.startswith(self.literal) and len(name) > len(self.literal)


@dataclass(frozen=True, slots=True)
class Layout:
    """`segments`, and the `prefix` of those at its start that are literal."""

    text: str
    segments: tuple[Segment, ...] = field(repr=False)
    prefix: tuple[str, ...] = field(repr=False)

    def match(self, names: Sequence[str]) -> dict[str, str] | None:
        """What the holes took of a path's names below the root; None where the path does not fit."""
        if len(names) != len(self.segments):
            return None
        holes: dict[str, str] = {}
        for segment, name in zip(self.segments, names, strict=True):
            if not segment.fits(name):
                return None
            if segment.hole:
                holes[segment.hole] = name
        return holes

    @property
    def folder(self) -> Layout:
        """The layout of the folders that hold the ids, or the nodes where there are none: the service is
        there while its folder is."""
        at = self.at("id")
        return _build(self.segments[: len(self.segments) - 1 if at is None else at])

    def at(self, hole: str) -> int | None:
        """Which of the segments is this hole."""
        return next((n for n, segment in enumerate(self.segments) if segment.hole == hole), None)

    @property
    def by_service(self) -> bool:
        """Whether the path names the service."""
        return self.at("service") is not None


@lru_cache(256)
def layout(text: str) -> Layout:
    """A layout of our own: holes by any name, and literals in front of them."""
    return _build(tuple(map(_read_segment, _split(text))))


def parse_layout(text: str) -> Layout:
    """An operator's: whole segments, `{id}` once and `{service}` once at most."""
    built = layout(text)
    holes = [segment.hole for segment in built.segments if segment.hole]
    for segment in built.segments:
        if segment.hole and segment.literal:
            raise ValueError(f"layout {text!r}: {{{segment.hole}}} must be a whole segment")
    for hole in holes:
        if hole not in ("service", "id"):
            raise ValueError(f"layout {text!r}: no {{{hole}}}; there are {{service}} and {{id}}")
        if holes.count(hole) > 1:
            raise ValueError(f"layout {text!r}: {{{hole}}} stands there more than once")
    if "id" not in holes:
        raise ValueError(f"layout {text!r}: no {{id}}; write one such as /{{service}}/members/{{id}}")
    return built


def name_service(template: str, holes: Mapping[str, str]) -> str:
    """The service's name: `kafka`, `{service}`, `db-{service}`; `{role}` is the same in lower case."""
    service = holes.get("service", "")
    # An operator's nodes may be anybody's: who makes one that differs in case alone makes another service.
    return template.replace("{service}", service).replace("{role}", service.lower())


def _split(text: str) -> list[str]:
    if not text.startswith("/"):
        raise ValueError(f"layout {text!r} must start with /")
    segments = text[1:].split("/")
    if not all(segments):
        raise ValueError(f"layout {text!r} has an empty segment")
    if len(segments) > MAX_SEGMENTS:
        raise ValueError(f"layout {text!r} has more than {MAX_SEGMENTS} segments")
    if not text.isprintable() or {".", ".."} & set(segments):
        raise ValueError(f"layout {text!r} is no path of ZooKeeper's")
    return segments


def _read_segment(text: str) -> Segment:
    hole = _HOLE.fullmatch(text)
    if hole is not None:
        return Segment(*hole.groups())
    if "{" in text or "}" in text:
        raise ValueError(f"layout: {text!r} is no segment; write {{service}}, {{id}} or a literal")
    return Segment(text)


def _build(segments: tuple[Segment, ...]) -> Layout:
    literals = []
    for segment in segments:
        if segment.hole:
            break
        literals.append(segment.literal)
    text = "".join(f"/{s.literal}{{{s.hole}}}" if s.hole else f"/{s.literal}" for s in segments)
    return Layout(text or "/", segments, tuple(literals))
