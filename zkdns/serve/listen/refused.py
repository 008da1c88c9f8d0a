"""Why an address can't be had, and the cure: one line for whoever starts the server.

Rules: pure; the reasons are the kernel's (bind(2)), the cures are those of the places where people run it.
"""

from __future__ import annotations

import errno

from zkdns.model import ConfigError, ListenError

CURES = {
    errno.EADDRINUSE: "`ss -lntup` tells by whom; `--listen ADDR:PORT` takes another",
    errno.EADDRNOTAVAIL: "it is no address of this machine; `ip address` lists those that are",
}
RESOLVED = "where it is systemd-resolved, name one address of the machine, or set DNSStubListener=no"
PRIVILEGED = (
    "ports below 1024 need a right: in a container --sysctl net.ipv4.ip_unprivileged_port_start=0, under"
    " systemd AmbientCapabilities=CAP_NET_BIND_SERVICE; or take a port above 1023"
)


def refused(flag: str, address: str, error: OSError) -> ConfigError:
    """The error to raise. `flag` is --listen or --http. An address that the machine has not is a mistake in
    the settings; one that is taken, or is not for this user, may be had in another moment or place."""
    port = address.rpartition(":")[2]
    cure = CURES.get(error.errno or 0, "")
    if error.errno in (errno.EACCES, errno.EPERM) and port.isdigit() and int(port) < 1024:
        cure = PRIVILEGED
    elif error.errno == errno.EADDRINUSE and port == "53":
        cure = f"`ss -lntup` tells by whom; {RESOLVED}"
    elif flag != "--listen":
        cure = cure.replace("--listen", flag)
    why = error.strerror or str(error)
    kind = ConfigError if error.errno == errno.EADDRNOTAVAIL else ListenError
    return kind(f"{flag} {address}", f"{why}; {cure}" if cure else why)
