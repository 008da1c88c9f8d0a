"""The machine's own resolver, where no upstream is named.

Rules: one asyncio loop; raises Unresolved and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
import threading

from zkdns.forward.addresses import Resolved, Unresolved

MACHINE_TTL = 10
"""How long what the machine's own resolver said is taken for true: getaddrinfo tells no TTL."""


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
            infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = tuple(dict.fromkeys(str(each[4][0]) for each in infos if "%" not in str(each[4][0])))
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
