"""An address that can't be had is told with its cure."""

from __future__ import annotations

import errno
import os

import pytest

from zkdns.serve.listen.refused import refused


@pytest.mark.parametrize(
    ("flag", "address", "number", "cure"),
    [
        ("--listen", "0.0.0.0:53", errno.EACCES, "ip_unprivileged_port_start=0"),
        ("--listen", "0.0.0.0:53", errno.EPERM, "above 1023"),
        ("--listen", "[::1]:53", errno.EADDRINUSE, "DNSStubListener=no"),
        ("--listen", "127.0.0.1:5300", errno.EADDRINUSE, "`--listen ADDR:PORT` takes another"),
        ("--http", "127.0.0.1:8053", errno.EADDRINUSE, "`--http ADDR:PORT` takes another"),
        ("--http", "127.0.0.1:80", errno.EACCES, "CAP_NET_BIND_SERVICE"),
        ("--listen", "10.0.0.1:53", errno.EADDRNOTAVAIL, "no address of this machine"),
    ],
)
def test_each_refusal_names_the_address_the_reason_and_a_cure(
    flag: str, address: str, number: int, cure: str
) -> None:
    told = str(refused(flag, address, OSError(number, os.strerror(number))))
    assert told.startswith(f"{flag} {address}: {os.strerror(number)}; ")
    assert cure in told


def test_a_refusal_that_nobody_foresaw_is_told_as_the_kernel_tells_it() -> None:
    assert str(refused("--listen", "127.0.0.1:53", OSError(errno.EIO, "bad"))) == "--listen 127.0.0.1:53: bad"
