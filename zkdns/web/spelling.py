"""JSON as it goes out: what msgspec encodes, in characters that print wherever somebody reads them.

Rules: pure. A document says what it said before. msgspec escapes what JSON must have escaped (RFC 8259,
section 7); a terminal acts on more: DEL and C1 controls, and marks that turn the direction of what stands
beside them. A file's name may be of any bytes; what of it is no text is written out as `printable` does.
"""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from zkdns.printable import json_printable

_ODD: Final = re.compile(rb"[\x7f-\xff]")
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")
"""What Python has for bytes that are no UTF-8."""


def spell(document: object) -> bytes:
    try:
        text = msgspec.json.encode(document)
    except UnicodeEncodeError:
        plain = json.dumps(msgspec.to_builtins(document), ensure_ascii=False, separators=(",", ":"))
        text = _NO_TEXT.sub(lambda letter: rf"\\u{ord(letter[0]):04x}", plain).encode()
    return json_printable(text.decode()).encode() if _ODD.search(text) else text
