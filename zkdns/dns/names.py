"""Names on the wire: text to bytes and back, suffixes, reverse names (RFC 1035, section 3.1).

Rules: pure. Wire names are uncompressed and end in the root label. `bytes.lower()` is safe on them: a
label's length is at most 63, and "A" is 65.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from hashlib import blake2b

ROOT = b"\0"
ARPA = b"\4arpa\0"
_IN_ADDR = b"\7in-addr\4arpa\0"
_IN_ADDR_LABELS = [b"in-addr", b"arpa"]
_IP6 = b"\3ip6\4arpa\0"
_BYTES = [bytes([n]) for n in range(256)]
_OCTETS = {str(n).encode(): n for n in range(256)}


def wire(text: str) -> bytes:
    """The wire form of a name in text, lower case. ValueError where it is none. No escapes: the
    names that we make are letters, digits, hyphens and leading underscores."""
    bare = text.lower().rstrip(".")
    parts = [part.encode("ascii") for part in bare.split(".")] if bare else []
    if any(not 0 < len(part) < 64 for part in parts):
        raise ValueError(f"{text!r}: a label must have 1 to 63 characters")
    name = b"".join(bytes([len(part)]) + part for part in parts) + ROOT
    if len(name) > 255:
        raise ValueError(f"{text!r}: longer than 255 bytes")
    return name


def text(name: bytes) -> str:
    """A wire name as text with a final dot, odd bytes escaped (RFC 4343, section 2.1)."""
    return "".join(_escape(label) + "." for label in labels(name)) or "."


def _escape(label: bytes) -> str:
    return "".join(
        f"\\{b:03d}" if not 0x21 <= b <= 0x7E else f"\\{chr(b)}" if b in b'."\\();@$' else chr(b)
        for b in label
    )


def labels(name: bytes) -> list[bytes]:
    """The labels of a wire name, the root left out."""
    parts = []
    at = 0
    while name[at]:
        parts.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return parts


def label(text: bytes | str) -> bytes:
    """One label with its length in front."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    return _BYTES[len(raw)] + raw


def underscored(label: str) -> str:
    """`_web`, as it stands in `_web._tcp` (RFC 2782). A label of 63 has no room for it: it is cut, and
    ends in a hash of itself, so that two of them stay two."""
    if len(label) < 63:
        return "_" + label
    return f"_{label[:53]}-{blake2b(label.encode(), digest_size=4).hexdigest()}"


def suffixes(name: bytes) -> Iterator[bytes]:
    """The name without its first label, without its first two, and so on, the root left out."""
    at = 1 + name[0]
    while at < len(name) - 1:
        yield name[at:]
        at += 1 + name[at]


def domain_of(name: bytes) -> bytes:
    """The last two labels of a name, or what it has."""
    tails = [name, *suffixes(name)]
    return tails[max(len(tails) - 2, 0)]


def each(run: bytes) -> Iterator[bytes]:
    """The names that stand in a run, one behind the other."""
    at = start = 0
    while at < len(run):
        length = run[at]
        at += 1 + length
        if not length:
            yield run[start:at]
            start = at


def reverse(address: str | bytes) -> bytes:
    """The name under in-addr.arpa or ip6.arpa for an address, in text or packed."""
    return wire(ipaddress.ip_address(address).reverse_pointer)


REVERSE = (_IN_ADDR, _IP6)
"""What reverse names stand below."""


def is_reverse(name: bytes) -> bool:
    """Whether a name in lower case ends as reverse names do."""
    return name.endswith(REVERSE)


def address_of(name: bytes) -> bytes | None:
    """The packed address that a whole reverse name stands for, or None (lower case is asked for)."""
    if name.endswith(_IN_ADDR):
        parts = labels(name)  # the end may stand inside of a label, where it is no end of a name
        if parts[4:] != _IN_ADDR_LABELS or any(p not in _OCTETS for p in parts[:4]):
            return None
        return bytes(_OCTETS[p] for p in reversed(parts[:4]))
    if name.endswith(_IP6) and len(name) == 64 + len(_IP6):
        digits = name[1:64:2][::-1]
        if name[0:64:2] != b"\1" * 32:
            return None
        try:
            return bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            return None
    return None
