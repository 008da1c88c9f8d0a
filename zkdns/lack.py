"""Which errors are a lack of ours (descriptors, memory, ports), and so say nothing of the other side.

Rules: pure. What is lacking here is never counted as a target's, an upstream's or a client's failure.
"""

from __future__ import annotations

import errno

LACKS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)
"""socket(2), connect(2), fork(2)."""


def is_local_lack(error: OSError) -> bool:
    """Whether it says nothing of the other side."""
    return error.errno in LACKS
