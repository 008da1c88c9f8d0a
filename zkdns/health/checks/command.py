"""`command`: a program exits with 0.

Rules: never through a shell; the words are what the settings say, and what the registry says of the
instance goes into the environment alone. The program sees none of the server's own environment but
where programs are found: secrets stand there. It leads a process group of its own, and all of that ends
with it, or with its time: what each probe left behind would be more at each. Nobody waits for one that can't
be ended (it is another user's, by sudo, or waits for a disk), and until it has ended each probe of its
target is a bad one.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL
from typing import Final

from zkdns.health.processes import kill_group
from zkdns.health.targets import Target
from zkdns.lack import is_local_lack

REAP_SECONDS: Final = 0.1
"""Seconds in which one that is killed has ended: what takes longer would count as a lack of time of ours."""

_left: dict[str, asyncio.subprocess.Process] = {}
"""By the path of their target, those that had not."""

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


async def probe(target: Target) -> str:
    if (left := _left.get(target.path)) is not None and left.returncode is None:
        return "the program of the last probe goes on, and can't be ended"
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "ZKDNS_ADDRESS": target.address,
        "ZKDNS_PORT": str(target.port),
        "ZKDNS_ID": target.id,
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *target.check.command,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        if is_local_lack(error):
            raise
        return f"can't run {target.check.command[0]}: {error.strerror}"
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        kill_group(process.pid)
        try:
            async with asyncio.timeout(REAP_SECONDS):
                await process.wait()
        except TimeoutError:
            for path in [path for path, one in _left.items() if one.returncode is not None]:
                del _left[path]
            _left[target.path] = process
        raise
    kill_group(process.pid)
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}" if code else ""
