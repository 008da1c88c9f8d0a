"""One reply of two: our alias and what an upstream says of the name that it leads to, or the other way round.

Rules: pure.
"""

from __future__ import annotations

from zkdns.dns import ede, reply
from zkdns.dns.message import read_reply, write
from zkdns.dns.reply import Reply, fail
from zkdns.dns.types import NOERROR, NXDOMAIN, SERVFAIL
from zkdns.forward.believe import names_private
from zkdns.serve.request import Request
from zkdns.serve.respond import Follow


def join(request: Request, alias: Follow, rest: bytes) -> bytes:
    """One reply of our alias and an upstream's answer. AA is for the first name (RFC 1035, section 4.1.1)."""
    return _joined(request, reply.AA, alias.answer, alias.options, rest)


def join_home(request: Request, alias: bytes, ours: bytes, denies_private: bool = False) -> bytes:
    """One reply of an upstream's aliases and our answer for the name at their end. No AA: the first name is
    not ours. `denies_private`: it may not lead to private addresses, by way of us neither."""
    first = read_reply(alias)
    if first is None:
        return fail(request, SERVFAIL, flags=request.ra)
    return _joined(
        request, first.flags & reply.TC, tuple(map(write, first.answer)), b"", ours, denies_private
    )


def _joined(
    request: Request,
    flags: int,
    aliases: tuple[bytes, ...],
    options: bytes,
    rest: bytes,
    denies_private: bool = False,
) -> bytes:
    """The code is that of the last name (RFC 6604, section 3); without the rest an alias would pass for
    NODATA."""
    message = read_reply(rest)
    errors = ede.among(message.options) if message is not None else b""
    if message is None or message.rcode not in (NOERROR, NXDOMAIN):
        return fail(request, SERVFAIL, errors, request.ra)
    records = [r for r in message.answer if not (denies_private and names_private(r))]
    answer = (*aliases, *map(write, records))
    extra = options + errors if request.edns is not None else b""
    joined = Reply(request, flags | message.flags & reply.TC | request.ra)  # what was cut before is cut
    return joined.write(message.rcode, answer, tuple(map(write, message.authority)), (), extra)
