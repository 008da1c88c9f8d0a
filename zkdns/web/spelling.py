"""JSON as it goes out: what msgspec encodes, in characters that print wherever somebody reads them.

Rules: pure. A document says what it said before. msgspec escapes what JSON must have escaped (RFC 8259,
section 7); a terminal acts on more: DEL and C1 controls, and marks that turn the direction of what stands
beside them.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from zkdns.printable import json_printable

_ODD: Final = re.compile(rb"[\x7f-\xff]")


def spell(document: object) -> bytes:
    text = msgspec.json.encode(document)
    return json_printable(text.decode()).encode() if _ODD.search(text) else text
