"""What the kernel is told of TCP sockets that are about to end.

Rules: what it can't be told is done without.
"""

from __future__ import annotations

import fcntl
import logging
import socket
import struct
import sys
import termios
from array import array

log = logging.getLogger("zkdns.tcp")

_SO_ATTACH_FILTER = 26
"""Linux' (asm-generic/socket.h); Python has no name for it."""


def refuse_new(listening: socket.socket) -> None:
    """From here on it begins no connection: a client that opens one hears nothing and tries again in a
    second, when another has the port. Those that have begun can be accepted. A listener that is just
    closed takes what its queue holds along (tcp_migrate_req is off unless an operator turned it on)."""
    if sys.platform != "linux":
        return
    # Classic BPF over the TCP header, whose byte 13 holds the flags: SYN without ACK is dropped.
    steps = (
        (0x30, 0, 0, 13),
        (0x54, 0, 0, 0x12),
        (0x15, 0, 1, 0x02),
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 0xFFFFFFFF),
    )
    code = array("B", b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), code.buffer_info()[0])
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        log.debug("leaving: %s", error)


def forget_unsent(sock: socket.socket) -> None:
    """Have the kernel drop what a client does not read, and tell it so (RST), where it would keep that for
    minutes behind a closed descriptor. A client that has read all just sees the end."""
    try:
        left = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        if left:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (OSError, ValueError):  # it has ended already
        pass
