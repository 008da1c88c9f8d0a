"""Host names that instances gave as their address, resolved again and again in the background.

Rules: one asyncio loop; never raises out of it; the last good addresses stay while a name can't be
resolved. Addresses are canonical text, IPv4 first as asked, in the order of the answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from zkdns.dns.message import CNAME, Message

log = logging.getLogger("zkdns.hosts")

MIN_WAIT, MAX_WAIT = 1.0, 60.0
MIN_RETRY, MAX_RETRY = 5.0, 30.0
MACHINE_TTL = 10
"""How long what the machine's own resolver said is taken for true: getaddrinfo tells no TTL."""
MAX_LOOKUPS = 32


class Unresolved(Exception):
    """A name has no addresses now; the text says why."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Addresses in text, and for how many seconds they are true."""

    addresses: tuple[str, ...]
    ttl: int


def addresses_in(message: Message, owner: bytes, rtype: int) -> Resolved:
    """The addresses at the end of the alias chain from `owner`, wherever its links stand (RFC 1034,
    section 3.6.2: their order means nothing)."""
    name = owner.lower()
    ttl = 0x7FFFFFFF
    aliases = {r.owner.lower(): r for r in message.answer if r.rtype == CNAME and len(r.parts) > 1}
    for _ in range(len(aliases) + 1):
        found = [r for r in message.answer if r.rtype == rtype and r.owner.lower() == name]
        if found:
            packed = [b"".join(r.parts) for r in found]
            size = 4 if rtype == 1 else 16
            texts = dict.fromkeys(str(ipaddress.ip_address(raw)) for raw in packed if len(raw) == size)
            return Resolved(tuple(texts), min([ttl, *(r.ttl for r in found)]))
        alias = aliases.get(name)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = alias.parts[1].lower()
    return Resolved((), 0)


async def ask_machine(name: str) -> Resolved:
    """By the machine's own resolver. A thread of its own, that holds up no exit: getaddrinfo may hang
    for a minute, and a pool's threads are waited for when the interpreter ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Resolved] = loop.create_future()

    def deliver(addresses: tuple[str, ...], why: str) -> None:
        if done.done():
            return
        if addresses:
            done.set_result(Resolved(addresses, MACHINE_TTL))
        else:
            done.set_exception(Unresolved(why))

    def ask() -> None:
        addresses: tuple[str, ...] = ()
        why = f"{name} has no address"
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found if "%" not in str(each[4][0])))
        except OSError as error:
            why = f"{name} can't be resolved: {error.strerror or error}"
        except UnicodeError:
            why = f"{name} is no host name"
        try:
            loop.call_soon_threadsafe(deliver, addresses, why)
        except RuntimeError:
            pass  # the loop has ended meanwhile

    threading.Thread(target=ask, name=f"resolve {name}", daemon=True).start()
    return await done


class Hosts:
    """Keeps the addresses of the names that are wanted; tells `changed(name, addresses)`."""

    def __init__(
        self,
        resolve: Callable[[str], Awaitable[Resolved]],
        changed: Callable[[str, tuple[str, ...]], None],
    ) -> None:
        self._resolve = resolve
        self._changed = changed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._problems: dict[str, str] = {}
        self._again: dict[str, asyncio.Event] = {}
        self._due: set[str] = set()
        self._news = asyncio.Event()
        self._room = asyncio.Semaphore(MAX_LOOKUPS)

    def want(self, names: Iterable[str]) -> None:
        """From now on exactly these names."""
        names = set(names)
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
            self._addresses.pop(name, None)
            self._problems.pop(name, None)
            self._again.pop(name)
            self._due.discard(name)
        for name in names - self._tasks.keys():
            self._again[name] = asyncio.Event()
            self._due.add(name)
            self._tasks[name] = asyncio.get_running_loop().create_task(
                self._follow(name), name=f"host {name}"
            )

    def ask_again(self, name: str) -> None:
        """Resolve this name now: what it leads to has changed."""
        if name in self._again:
            self._due.add(name)
            self._again[name].set()

    def addresses(self, name: str) -> tuple[str, ...]:
        """The last good addresses; empty before the first."""
        return self._addresses.get(name, ())

    @property
    def problems(self) -> dict[str, str]:
        """Names that don't resolve now, and why."""
        return dict(self._problems)

    async def settled(self) -> None:
        """Returns when each wanted name was resolved or failed once, and again where that was due."""
        while self._due:
            self._news.clear()
            await self._news.wait()

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        retry = MIN_RETRY
        again = self._again[name]
        while True:
            again.clear()
            try:
                async with self._room:
                    found = await self._resolve(name)
            except Unresolved as error:
                self._fail(name, str(error))
                wait, retry = retry, min(retry * 2, MAX_RETRY)
            except Exception:
                log.exception("resolving %s", name)
                self._fail(name, f"{name} can't be resolved")
                wait = MAX_RETRY
            else:
                retry = MIN_RETRY
                wait = min(max(float(found.ttl), MIN_WAIT), MAX_WAIT)
                was_failing = self._problems.pop(name, None) is not None
                # A server that turns its records round with each answer changes nothing.
                if was_failing or set(found.addresses) != set(self.addresses(name)):
                    self._addresses[name] = found.addresses
                    self._changed(name, found.addresses)
            if not again.is_set():
                self._due.discard(name)
            self._news.set()
            try:
                await asyncio.wait_for(again.wait(), wait)
            except TimeoutError:
                pass

    def _fail(self, name: str, why: str) -> None:
        if self._problems.get(name) != why:
            self._problems[name] = why
            log.warning("%s", why)
            self._changed(name, self.addresses(name))
