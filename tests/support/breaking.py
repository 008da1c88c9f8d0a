"""Every function of ours that is given one item from outside: found by running, broken for that item alone.

    breaker = Breaker("zkdns.pipeline", "zkdns.registry"); with breaker.watching(mentions): ...; breaker.found

Rules: what is replaced is the code of a function, so that whoever took it by name meets it too. A call is of
the item where its arguments mention it and nobody else (`mentions`). What is put in place is taken back.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

HOOK = "__met_by_the_breaker__"

Mentions = Callable[[object], bool]
"""Whether the arguments of a call are of the item."""


class Planted(RuntimeError):
    """The error that is met."""


class Breaker:
    """`functions`: all that can be broken, by name."""

    def __init__(self, *packages: str) -> None:
        self.functions: dict[str, FunctionType] = {}
        for package in packages:
            for module in _modules(package):
                self.functions.update(_functions(module))

    @contextmanager
    def watching(self, mentions: Mentions) -> Iterator[set[str]]:
        """Which of them are given the item."""
        found: set[str] = set()

        def see(name: str, arguments: object) -> None:
            if name not in found and mentions(arguments):
                found.add(name)

        with self._hooked(self.functions, see):
            yield found

    @contextmanager
    def breaking(self, name: str, mentions: Mentions) -> Iterator[list[str]]:
        """This one raises whenever it is given the item. How often it did."""
        met: list[str] = []

        def see(name: str, arguments: object) -> None:
            if mentions(arguments):
                met.append(name)
                raise Planted("planted")

        with self._hooked({name: self.functions[name]}, see):
            yield met

    @contextmanager
    def _hooked(
        self, functions: Mapping[str, FunctionType], see: Callable[[str, object], None]
    ) -> Iterator[None]:
        reals: dict[str, FunctionType] = {}
        codes: dict[str, CodeType] = {}
        is_looking = False

        def call(name: str, args: tuple[object, ...], named: dict[str, object]) -> object:
            nonlocal is_looking
            if not is_looking:  # what looking itself calls is none of the matter
                is_looking = True
                try:
                    see(name, (args, named))
                finally:
                    is_looking = False
            return reals[name](*args, **named)

        try:
            for name, function in functions.items():
                codes[name] = function.__code__
                real = FunctionType(
                    function.__code__, function.__globals__, function.__name__, function.__defaults__
                )
                real.__kwdefaults__ = function.__kwdefaults__
                reals[name] = real
                function.__code__ = _stub(name)
            setattr(builtins, HOOK, call)
            yield
        finally:
            for name, code in codes.items():
                functions[name].__code__ = code
            delattr(builtins, HOOK)


def _stub(name: str) -> CodeType:
    space: dict[str, Any] = {}
    exec(f"def stub(*args, **named): return {HOOK}({name!r}, args, named)", space)
    code: CodeType = space["stub"].__code__
    return code


def _modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(getattr(root, "__path__", ()), package + "."):
        yield importlib.import_module(found.name)


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Those that are written in this module, save what Python itself calls, waits, or remembers a scope."""
    for owner, members in [(None, vars(module)), *((c, vars(c)) for c in _classes(module))]:
        for name, member in members.items():
            function = _plain(member)
            if function is None or function.__module__ != module.__name__ or function.__closure__:
                continue
            if name.startswith("__") or inspect.iscoroutinefunction(function):
                continue
            of = f"{owner.__name__}." if owner is not None else ""
            yield f"{module.__name__}.{of}{name}", function


def _classes(module: ModuleType) -> list[type]:
    return [m for m in vars(module).values() if isinstance(m, type) and m.__module__ == module.__name__]


def _plain(member: object) -> FunctionType | None:
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    if isinstance(member, property):
        member = member.fget
    return member if isinstance(member, FunctionType) else None
