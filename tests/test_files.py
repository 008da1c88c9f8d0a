"""Files that somebody else may have laid in our way."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from zkdns.files import MIB, create_aside, mark_of, read_bounded


def test_a_file_is_read_whole_with_the_mark_of_before(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    before = mark_of(path.stat())
    assert read_bounded(path, 3) == (b"abc", before)


def test_what_was_written_anew_with_the_same_size_and_time_is_another_file(tmp_path: Path) -> None:
    """`cp -p`, `rsync --times --inplace` and archives of reproducible builds do so."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    before, status = mark_of(path.stat()), path.stat()
    time.sleep(0.02)  # the kernel's clock for files goes in steps
    path.write_bytes(b"xyz")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_ino == status.st_ino
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert mark_of(path.stat()) != before


@pytest.mark.parametrize("kind", ["fifo", "device", "endless", "directory", "large"])
def test_what_is_no_file_of_a_bounded_size_is_refused_before_it_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(b"x" * (MIB + 1))
    else:
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    with pytest.raises(OSError, match=r"regular file|directory|larger than 1 MiB"):
        read_bounded(path, MIB)


def test_a_link_under_the_name_aside_is_not_followed(tmp_path: Path) -> None:
    victim, aside = tmp_path / "victim", tmp_path / "aside"
    victim.write_text("precious")
    aside.symlink_to(victim)
    with create_aside(aside) as file:
        file.write(b"ours")
    assert victim.read_text() == "precious"
    assert not aside.is_symlink()
    assert aside.read_bytes() == b"ours"


def test_what_is_written_aside_is_for_us_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_aside(tmp_path / "x").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_a_file_that_has_more_than_it_says_is_refused_as_well() -> None:
    """It may grow while it is read; this one says that it is empty."""
    path = Path("/proc/self/maps")
    assert path.stat().st_size == 0
    with pytest.raises(OSError, match="larger than"):
        read_bounded(path, 100)


def test_a_file_that_would_be_waited_for_is_none_to_read() -> None:
    """The kernel's messages say that they are a regular file."""
    path = Path("/proc/kmsg")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        pytest.skip("the kernel's messages are not for us")
    with os.fdopen(handle, "rb", 0) as kernel:
        while kernel.read(65536):
            pass
    with pytest.raises(OSError, match="not a regular file"):
        read_bounded(path, 100)


def test_a_file_of_which_a_part_was_never_written_is_read_so_far_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * MIB)
    os.truncate(path, 3 * MIB)
    with pytest.raises(OSError, match="never written"):
        read_bounded(path, 4 * MIB)
    assert read_bounded(path, 4 * MIB, may_have_holes=True)[0] == b"x" * MIB
    with pytest.raises(OSError, match="larger than"):
        read_bounded(path, 2 * MIB, may_have_holes=True)
