"""Extended DNS Errors (RFC 8914): the codes we use and their option on the wire.

Rules: pure. A text stays under 100 bytes: it travels in answers that must fit 512. It is printable, whoever
wrote it.
"""

from __future__ import annotations

import struct

OTHER, STALE_ANSWER, NOT_READY, PROHIBITED, NO_REACHABLE_AUTHORITY, NETWORK_ERROR = 0, 3, 14, 18, 22, 23

MAX_TEXT_BYTES = 99


MIN_NAME_CHARACTERS = 16
"""Of a name, at least, where several things are said of it."""


def about(name: str, text: str) -> str:
    """`NAME: SAID`, under 100 bytes: a name that is too long is cut before what is said of it. Of several
    things (`SAID; SAID`) the last ones are left out where hardly any name would be left."""
    most = MAX_TEXT_BYTES - len(": ")
    while len(text) > most - min(len(name), MIN_NAME_CHARACTERS) and "; " in text:
        text = text.rpartition("; ")[0]
    room = most - len(text)
    return f"{name if len(name) <= room else name[: max(room - 2, 0)] + '..'}: {text}"


def option(code: int, text: str = "") -> bytes:
    """The whole EDNS option: 15, length, info code, text."""
    if not text.isprintable():  # dig prints it as it comes
        text = "".join(c if c.isprintable() else "?" for c in text)
    raw = text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore").encode()
    return struct.pack("!HHH", 15, 2 + len(raw), code) + raw


def bare(options: bytes) -> bytes:
    """The same options without their texts."""
    return b"".join(o[:2] + b"\0\2" + o[4:6] for o in each(options))


def read(options: bytes) -> list[tuple[int, str]]:
    """Code and text of the errors among options that anyone may have sent; what can't be read ends it."""
    errors, at = [], 0
    while at + 6 <= len(options):
        end = at + 4 + int.from_bytes(options[at + 2 : at + 4], "big")
        if end > len(options):
            break
        if options[at : at + 2] == b"\0\x0f" and end >= at + 6:
            text = options[at + 6 : end].decode("utf-8", "ignore")
            errors.append((int.from_bytes(options[at + 4 : at + 6], "big"), text))
        at = end
    return errors


def among(options: bytes, most: int = 0xFFFF) -> bytes:
    """The same as whole options again, as many as there is room for."""
    run = b""
    for code, text in read(options):
        one = option(code, text)
        if len(run) + len(one) > most:
            break
        run += one
    return run


def each(options: bytes) -> list[bytes]:
    """A run of whole options, one by one."""
    whole, at = [], 0
    while at < len(options):
        end = at + 4 + int.from_bytes(options[at + 2 : at + 4], "big")
        whole.append(options[at:end])
        at = end
    return whole
