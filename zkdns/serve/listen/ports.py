"""Which ports we listen on where the settings leave them open (`:0`).

Rules: chosen once, before anything is made of the settings: all that tell an address tell one that is there.
"""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from zkdns.config import Address, Settings
from zkdns.serve.listen.bind import bind
from zkdns.serve.listen.refused import refused

log = logging.getLogger("zkdns")

MAX_TRIES: Final = 16
"""A port that is free over TCP may be somebody's over UDP."""


class Ports:
    """Those of one server, for as long as it runs: a reload finds the same."""

    def __init__(self) -> None:
        self._chosen: dict[tuple[str, Address], Address] = {}

    def choose(self, settings: Settings) -> Settings:
        """The settings with ports in them. ConfigError where an address can't be had."""
        listen = tuple(self._of("--listen", address) for address in settings.listen)
        http = self._of("--http", settings.http) if settings.http is not None else None
        return replace(settings, listen=listen, http=http)

    def _of(self, flag: str, address: Address) -> Address:
        if address.port:
            return address
        if (flag, address) not in self._chosen:
            kinds = [socket.SOCK_STREAM, *([socket.SOCK_DGRAM] if flag == "--listen" else [])]
            self._chosen[flag, address] = one = _find_free(flag, address, kinds)
            log.info("%s %s: port %d is free", flag, address, one.port)
        return self._chosen[flag, address]


def _find_free(flag: str, address: Address, kinds: list[socket.SocketKind]) -> Address:
    """With a port that is free for all of these kinds."""
    for tries in range(1, MAX_TRIES + 1):
        one = address
        with ExitStack() as stack:
            try:
                for kind in kinds:
                    sock = stack.enter_context(bind(one, kind))
                    one = replace(address, port=sock.getsockname()[1])
                return one
            except OSError as error:
                if not one.port or tries == MAX_TRIES:
                    raise refused(flag, str(one), error) from None
    raise AssertionError("the last try raises")
