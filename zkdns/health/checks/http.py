"""`http`: a GET of `check.path` is answered with 2xx.

Rules: only the status line is read; a redirect is not followed, since what it leads to may be another
machine's health.
"""

from __future__ import annotations

import asyncio

from zkdns.health.connection import Reader, connect
from zkdns.health.targets import Target

MAX_INTERIM = 64
"""Answers that only announce another. Any number of them may come (RFC 9110, section 15.2); who sends more
announces for ever."""


async def probe(target: Target) -> str:
    with await connect(target) as sock:
        request = (
            f"GET {target.check.path} HTTP/1.1\r\nHost: {target.authority}\r\n"
            "User-Agent: zkdns\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        await asyncio.get_running_loop().sock_sendall(sock, request.encode("ascii", "replace"))
        reader = Reader(sock)
        try:
            for _ in range(1 + MAX_INTERIM):
                line = await reader.line()
                if not line:
                    return "connection closed without an answer"
                status = _status(line)
                if not 100 <= status <= 199:
                    return "" if 200 <= status <= 299 else f"HTTP status {status}"
                await reader.pass_headers()
        except ValueError:
            pass
    return "no HTTP in the answer"


def _status(line: bytes) -> int:
    """The code of a status line (RFC 9112, section 4); ValueError where it is none."""
    version, _, rest = line.decode("ascii", "replace").partition(" ")
    code = rest.strip().partition(" ")[0]
    if not version.startswith("HTTP/") or not (len(code) == 3 and code.isascii() and code.isdigit()):
        raise ValueError(line)
    return int(code)
