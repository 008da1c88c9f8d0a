"""What a program that we started leaves behind: of a check here, of `zkdns register` as well."""

from __future__ import annotations

import os
import signal


def kill_group(leader: int) -> None:
    """All of the process group that this one leads, or led: what it left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:  # it is gone, or became another user's
        pass
