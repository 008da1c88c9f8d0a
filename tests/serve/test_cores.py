"""How many threads answer: by cores, and by what a control group leaves of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zkdns.serve import cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_a_ration_there_is_a_thread_for_each_core(tmp_path: Path) -> None:
    assert cores.available(tmp_path) == 8
    write(tmp_path, sys__fs__cgroup__cpu_DOT_max="max 100000\n")
    assert cores.available(tmp_path) == 8


@pytest.mark.parametrize(
    ("ration", "threads"),
    [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8)],
)
def test_in_a_container_the_ration_at_the_root_of_what_is_mounted_counts(
    tmp_path: Path, ration: str, threads: int
) -> None:
    write(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_DOT_max=ration)
    assert cores.available(tmp_path) == threads


def test_the_tightest_ration_of_the_group_and_all_above_it_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        proc__self__cgroup="0::/system.slice/zkdns.service\n",
        sys__fs__cgroup__system_DOT_slice__cpu_DOT_max="300000 100000\n",
    )
    group = tmp_path / "sys/fs/cgroup/system.slice/zkdns.service"
    group.mkdir()
    (group / "cpu.max").write_text("600000 100000\n")
    assert cores.available(tmp_path) == 3


def test_the_older_version_of_control_groups_is_read_as_well(tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup="4:cpuset:/x\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    group = tmp_path / "sys/fs/cgroup/cpu/docker/abc"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("150000\n")
    (group / "cpu.cfs_period_us").write_text("50000\n")
    assert cores.available(tmp_path) == 3
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores.available(tmp_path) == 8


def test_what_cannot_be_read_rations_nothing(tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_DOT_max="gibberish\n")
    assert cores.available(tmp_path) == 8
