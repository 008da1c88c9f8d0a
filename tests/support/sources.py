"""The source of a file, read and parsed once for all that is held to a law.

Rules: the collector rests while a tree is made, and never walks it after: that took three times as long as
the parsing, and each of its rounds later on as long as some laws.
"""

from __future__ import annotations

import ast
import gc
from functools import cache
from pathlib import Path

import zkdns

PACKAGE = Path(zkdns.__file__).parent
MODULES = tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def text_of(path: Path) -> str:
    return path.read_text()


@cache
def parsed(path: Path) -> ast.Module:
    is_on = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text_of(path), str(path))
    finally:
        gc.freeze()
        if is_on:
            gc.enable()


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All that are in it, as `ast.walk` gives them."""
    return tuple(ast.walk(parsed(path)))
