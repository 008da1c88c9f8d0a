"""Who stands on an address of ours already and shares it: the kernel gives that one a part of our queries.

Rules: asks before we listen there ourselves, since the question could come to us then; blocks for a second at
most, and never raises. One of our own (a restart by overlap) is nobody to tell of.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from zkdns.config import Address
from zkdns.dns import names
from zkdns.dns.message import read_reply, spell_query
from zkdns.dns.types import CH, TXT
from zkdns.serve.listen.bind import here, open_socket

TIMEOUT_SECONDS: Final = 1.0
OURS: Final = "zkdns "
_QUESTION: Final = names.wire("version.bind") + TXT.to_bytes(2, "big") + CH.to_bytes(2, "big")


def find_stranger(address: Address) -> str:
    """What another program there says it is (RFC 4892), or that it says nothing; "" for nobody and for one of
    our own."""
    if not _is_taken(address):
        return ""
    version = _ask_version(address)
    if version.startswith(OURS):
        return ""
    return f"says that it is {version[:80]!a}" if version else "does not say what it is"


def _is_taken(address: Address) -> bool:
    with open_socket(address, socket.SOCK_DGRAM) as alone:
        try:
            alone.bind((address.host, address.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _ask_version(address: Address) -> str:
    """What it says to `version.bind`; "" where it says nothing that can be read."""
    ident = int.from_bytes(os.urandom(2), "big")
    with open_socket(address, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_SECONDS)
        try:
            sock.connect((here(address.host), address.port))
            sock.send(spell_query(ident, _QUESTION, False, 0, edns=False))
            reply = sock.recv(4096)
        except OSError:
            return ""
    message = read_reply(reply)
    if message is None or reply[:2] != ident.to_bytes(2, "big"):
        return ""
    texts = [b"".join(record.parts) for record in message.answer if record.rtype == TXT]
    return texts[0][1 : 1 + texts[0][0]].decode("utf-8", "replace") if texts else ""
