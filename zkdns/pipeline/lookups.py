"""Host names that instances gave as their address, resolved again and again in the background.

Rules: one asyncio loop; never raises out of it; the last good addresses stay while a name can't be resolved.
Their owners take turns (`turns`): thousands of dead names, of one service or of many, make nobody else's
late, since a lookup without an early answer goes on in a place of another kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from zkdns.forward.addresses import Lacking, Resolved, Unresolved
from zkdns.lack import Lack
from zkdns.persistent import differing
from zkdns.pipeline.hostnames import Account
from zkdns.pipeline.turns import Turns

log = logging.getLogger("zkdns.hosts")

MIN_WAIT, MAX_WAIT = 1.0, 60.0
MIN_RETRY, MAX_RETRY = 5.0, 60.0
"""Seconds; a name that stays dead is asked for less and less often."""
AGAIN = 1.0
"""Seconds until one is tried again that failed for want of our own."""
MAX_LOOKUPS = 32
MAX_LOOKUPS_EACH = MAX_LOOKUPS // 4
"""At a time: all of them, and those of one service."""
MAX_SLOW = 64
MAX_DEAD = 32
"""The same of those that have no answer yet after `PATIENCE`, and of those that had none in time before; each
service a quarter."""
PATIENCE = 0.5
"""Seconds after which a lookup is a slow one."""

NOBODY = Account("")
"""Whose a name is that nobody wants any more."""

WAYS = len(NOBODY) - 1
"""In which whose a name is can be told."""


class Lookups:
    """Keeps the addresses of the names that are wanted; tells `changed(name, addresses)`, in the loop."""

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
        self._turns = Turns(MAX_LOOKUPS, MAX_LOOKUPS_EACH, WAYS)
        self._slow = Turns(MAX_SLOW, MAX_SLOW // 4, WAYS)
        self._dead = Turns(MAX_DEAD, MAX_DEAD // 4, WAYS)
        self._accounts: Mapping[str, Account] = {}
        self._lack = Lack()

    def want(self, accounts: Mapping[str, Account]) -> None:
        """From now on exactly these names, each on the account of the one who has it."""
        before, self._accounts = self._accounts, accounts
        for name in differing(before, accounts):
            if name not in accounts:
                self._tasks.pop(name).cancel()
                self._addresses.pop(name, None)
                self._problems.pop(name, None)
            elif name not in self._tasks:
                self._tasks[name] = asyncio.get_running_loop().create_task(
                    self._follow(name), name=f"host {name}"
                )

    def addresses(self, name: str) -> tuple[str, ...]:
        """The last good addresses; empty before the first."""
        return self._addresses.get(name, ())

    @property
    def problems(self) -> Mapping[str, str]:
        """Names that don't resolve now, and why."""
        return self._problems

    @property
    def lack(self) -> str:
        """What is lacking here for looking up names; "" for nothing."""
        return self._lack.why(asyncio.get_running_loop().time())

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        retry, is_slow = MIN_RETRY, False
        while True:
            try:
                outcome, is_slow = await self._ask(name, is_slow)
            except Lacking as lacking:
                if self._lack.meet(str(lacking), asyncio.get_running_loop().time()):
                    log.warning("host names can't be looked up: %s; what they were known for holds", lacking)
                await asyncio.sleep(AGAIN)
                continue
            except Unresolved as error:
                self._fail(name, str(error))
                is_slow = True
                wait, retry = retry, min(retry * 2, MAX_RETRY)
            except Exception:
                log.exception("resolving %s", name)
                self._fail(name, f"{name} can't be resolved")
                wait = MAX_RETRY
            else:
                retry = MIN_RETRY
                wait = min(max(float(outcome.ttl), MIN_WAIT), MAX_WAIT)
                was_failing = self._problems.pop(name, None) is not None
                # A server that rotates its records with each answer changes nothing.
                if was_failing or set(outcome.addresses) != set(self.addresses(name)):
                    self._addresses[name] = outcome.addresses
                    self._changed(name, outcome.addresses)
            await asyncio.sleep(wait)

    async def _ask(self, name: str, is_slow: bool) -> tuple[Resolved, bool]:
        """What it resolves to, and whether that took long. Raises Unresolved, and Lacking."""
        *whose, zxid = self._accounts.get(name, NOBODY)
        claimed, loop = (tuple(whose), zxid), asyncio.get_running_loop()
        if is_slow:
            with self._dead.claim(*claimed) as place:
                await place.called
                began = loop.time()
                return await self._resolve(name), loop.time() - began > PATIENCE
        with self._turns.claim(*claimed) as place:
            await place.called
            lookup = asyncio.ensure_future(self._resolve(name))
            lookup.add_done_callback(_hear)
            try:
                await asyncio.wait([lookup], timeout=PATIENCE)
                if lookup.done():
                    return await lookup, False
                with self._slow.claim(*claimed) as another:
                    await _first(lookup, another.called)
                    place.give_up()
                    return await lookup, True
            finally:
                lookup.cancel()
                del lookup  # else its error, which knows this frame, is known to it: a reference cycle

    def _fail(self, name: str, why: str) -> None:
        if self._problems.get(name) != why:
            self._problems[name] = why
            log.warning("%s", why)
            self._changed(name, self.addresses(name))


def _hear(lookup: asyncio.Future[Any]) -> None:
    """Its error, also where nobody wants the name any more at that moment: asyncio would write it to the log,
    with a traceback."""
    if not lookup.cancelled():
        lookup.exception()


async def _first(*either: asyncio.Future[Any]) -> None:
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
