"""What something costs: counted in lines of the interpreter, never in seconds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def steps(act: Callable[[], Any], ours: str = "zkdns", but: str = "") -> int:
    """How many lines of ours this runs, `but` for those of one file; with `ours` "" those of the libraries
    too."""
    count = 0

    def line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
        return line

    def called(frame: FrameType, event: str, _: object) -> Any:
        file = frame.f_code.co_filename
        return line if ours in file and file != but else None

    with traced(called):
        act()
    return count


def longest(taken: Iterator[Any]) -> int:
    """How many lines of ours the longest of these steps runs."""
    most, is_over = 0, False
    while not is_over:
        ended: list[bool] = []
        most = max(most, steps(lambda ended=ended: ended.append(next(taken, DONE) is DONE)))  # type: ignore[misc]
        is_over = ended[0]
    return most


DONE = object()


def functions(act: Callable[[], Any]) -> set[str]:
    """Which functions of ours this enters, each by its file and name."""
    entered: set[str] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        if "zkdns/" in code.co_filename:
            entered.add(f"{code.co_filename.rpartition('zkdns/')[2]}:{code.co_qualname}")

    with traced(trace):
        act()
    return entered


def longest_sort(act: Callable[[], Any]) -> int:
    """How long the longest list is that this sorts where it stands: no other thread runs until that is done.
    What is `sorted` is not seen."""
    most = 0

    def note(frame: FrameType, event: str, called: Any) -> None:
        nonlocal most
        if event == "c_call" and called.__name__ == "sort" and isinstance(called.__self__, list):
            most = max(most, len(called.__self__))

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return most


@contextmanager
def traced(trace: Callable[[FrameType, str, object], Any]) -> Iterator[None]:
    """The collector rests meanwhile: it would end generators that other tests left suspended, which are no
    part of what is counted."""
    before, was_enabled = sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
        if was_enabled:
            gc.enable()
