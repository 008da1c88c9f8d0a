"""The machine's own resolver, where no upstream is named.

Rules: one asyncio loop; raises Unresolved and Lacking, and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
import threading

from zkdns.forward.addresses import Lacking, Resolved, Unresolved, few
from zkdns.lack import is_local_lack, reason

MACHINE_TTL = 10
"""How long what the machine's own resolver said is taken for true: getaddrinfo tells no TTL."""


async def ask_machine(name: str) -> Resolved:
    """By the machine's own resolver. On a thread of its own, which delays no exit: getaddrinfo may hang for a
    minute, and a pool's threads are waited for when the interpreter ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Resolved] = loop.create_future()

    def deliver(addresses: tuple[str, ...], why: Exception) -> None:
        if done.done():
            return
        if addresses:
            done.set_result(Resolved(addresses, MACHINE_TTL))
        else:
            done.set_exception(why)

    def ask() -> None:
        addresses: tuple[str, ...] = ()
        why: Exception = Unresolved(f"{name} has no address")
        try:
            infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            texts = dict.fromkeys(str(each[4][0]) for each in infos if "%" not in str(each[4][0]))
            addresses = tuple(few(texts))
        except OSError as error:
            lacking = _find_lack()
            unresolved = Unresolved(f"{name} can't be resolved: {error.strerror or error}")
            why = Lacking(lacking) if lacking else unresolved
        except UnicodeError:
            why = Unresolved(f"{name} is no host name")
        try:
            loop.call_soon_threadsafe(deliver, addresses, why)
        except RuntimeError:
            pass  # the loop has ended meanwhile

    try:
        threading.Thread(target=ask, name=f"resolve {name}", daemon=True).start()
    except RuntimeError as error:
        raise Lacking(str(error)) from None
    return await done


def _find_lack() -> str:
    """What is lacking here for a question; "" for nothing. getaddrinfo makes an upstream's silence of it."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        return reason(error) if is_local_lack(error) else ""
    return ""
