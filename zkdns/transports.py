"""What asyncio's transports leave to those whose connections end.

Rules: no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_OWN_METHOD = "_read_ready_cb"


def let_go(transport: asyncio.BaseTransport) -> None:
    """Of one that is closing: end the reference cycle that it makes with a method of its own (CPython's
    `_SelectorSocketTransport`). Else it waits for the collector, which here hardly ever looks at what has
    lived for a while: 2 KB a connection, for good."""
    if transport.is_closing() and getattr(transport, _OWN_METHOD, None) is not None:
        setattr(transport, _OWN_METHOD, None)
