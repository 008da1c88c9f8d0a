"""`http`: a GET of `check.path` is answered with 2xx.

Rules: only the status line is read; a redirect is not followed, since what it leads to may be another
machine's health.
"""

from __future__ import annotations

import asyncio

from zkdns.health.targets import Target

LONGEST_LINE = 4096


async def probe(target: Target) -> str:
    reader, writer = await asyncio.open_connection(target.address, target.port, limit=LONGEST_LINE)
    try:
        host = f"[{target.address}]" if ":" in target.address else target.address
        writer.write(
            f"GET {target.check.path} HTTP/1.1\r\nHost: {host}:{target.port}\r\n"
            "User-Agent: zkdns\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii", "replace")
        )
        while True:
            status = await _read_status(reader)
            if not 100 <= status <= 199:  # RFC 9110, section 15.2: any number of them may come first
                break
            while (await reader.readline()).strip():
                pass
    except ValueError:
        return "no HTTP in the answer"
    except asyncio.IncompleteReadError:
        return "connection closed without an answer"
    finally:
        # A graceful close would wait for a body that nobody reads.
        writer.transport.abort()
    return "" if 200 <= status <= 299 else f"HTTP status {status}"


async def _read_status(reader: asyncio.StreamReader) -> int:
    """The code of a status line (RFC 9112, section 4); ValueError where it is none."""
    line = await reader.readline()
    if not line:
        raise asyncio.IncompleteReadError(line, None)
    version, _, rest = line.decode("ascii", "replace").partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/") or not (len(code) == 3 and code.isascii() and code.isdigit()):
        raise ValueError(line)
    return int(code)
