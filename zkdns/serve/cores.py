"""How many threads this process can keep busy: the cores it may use, or fewer where its CPU time is rationed.

Rules: a container on a node of 64 cores with a limit of 2 may run on all of them and has time for two. 64
threads would spend that in the first moments of each period of the kernel's, and then answer nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")


def available(root: Path = ROOT) -> int:
    """One for each core that the process may run on, and no more than its control groups give it time for."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    ration = quota(root)
    return cores if ration is None else max(1, min(cores, int(ration)))


def quota(root: Path = ROOT) -> float | None:
    """The cores' worth of time that the tightest control group allows; None where none does.

    Version 2: cpu.max in the group and all above it. Version 1: cpu.cfs_quota_us. In a container the group's
    own folder is often the root of what is mounted (cgroup_namespaces(7)), so that is looked at as well.
    """
    tightest: float | None = None
    for folder in _folders(root):
        try:
            ration = _read(folder)
        except (OSError, ValueError):
            continue
        if ration is not None and (tightest is None or ration < tightest):
            tightest = ration
    return tightest


def _folders(root: Path) -> list[Path]:
    mounted = root / "sys/fs/cgroup"
    folders = [mounted, mounted / "cpu"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = mounted / "cpu" if controllers else mounted
        group = base / path.strip("/")
        while group != base and base in group.parents:
            folders.append(group)
            group = group.parent
    return folders


def _read(folder: Path) -> float | None:
    together = folder / "cpu.max"
    if together.exists():
        text, period = together.read_text().split()
        return None if text == "max" else int(text) / int(period)
    text = (folder / "cpu.cfs_quota_us").read_text()
    return None if int(text) < 0 else int(text) / int((folder / "cpu.cfs_period_us").read_text())
