"""Messages in a stream: each with its length before it, in two bytes (RFC 1035, section 4.2.2).

Rules: pure. `native/src/connection.rs` does the same.
"""

from __future__ import annotations

_EMPTY_ONES = bytes(1 << 10)


def cut(stream: bytes, most: int) -> tuple[list[bytes], list[int], bool]:
    """The first messages of a stream, so many at most; where the rest begins after none of them, after one,
    two …; and whether a whole message follows them."""
    at, size = 0, len(stream)
    if most and size > 2 and size == 2 + (stream[0] << 8 | stream[1]):
        return [stream[2:]], [0, size], False  # as most come
    messages: list[bytes] = []
    ends = [0]
    while size >= at + 2:
        length = stream[at] << 8 | stream[at + 1]
        if not length:
            at = ends[-1] = _skip_empty(stream, at)
            continue
        end = at + 2 + length
        if size < end:
            break
        if len(messages) == most:
            return messages, ends, True
        messages.append(stream[at + 2 : end])
        ends.append(end)
        at = end
    return messages, ends, False


def is_query(message: bytes) -> bool:
    """Whether it has the head of a query."""
    return len(message) >= 12 and not message[2] & 0x80


def _skip_empty(stream: bytes, at: int) -> int:
    """Where the messages without a byte end that begin there: they are many, where somebody means harm."""
    run = len(_EMPTY_ONES)
    while stream[at : at + run] == _EMPTY_ONES:
        at += run
    while stream[at : at + 2] == b"\0\0":
        at += 2
    return at
