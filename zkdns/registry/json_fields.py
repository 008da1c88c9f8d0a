"""JSON of one's own: `format=json&address=FIELD&port=FIELD[&weight=FIELD][&status=FIELD]`.

Rules: pure; `BadData` is the only error. A dot goes into an object, unless a field has that very name. The
address may be an address, a host name, host:port or a URL; a port of its own wins over one in there.
Numbers may stand there as text. A status counts by its word, whatever the case; true is `up`, false `down`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from zkdns.model import Registration, Status
from zkdns.registry.addresses import where
from zkdns.registry.endpoints import anywhere
from zkdns.registry.fields import PORT, WEIGHT, BadData, Rule, from_digits
from zkdns.registry.formats import Node, demand_object

STATUSES: Final[Mapping[str, Status]] = {
    "up": "up",
    "starting": "starting",
    "draining": "draining",
    "down": "down",
    "true": "up",
    "false": "down",
}

_ABSENT: Final = object()


def _read_status(value: Any) -> Status:
    word = str(value).lower() if isinstance(value, str | bool) else ""
    if word not in STATUSES:
        raise ValueError
    return STATUSES[word]


_STATUS = Rule("one of " + ", ".join(STATUSES), _read_status)


class JSONFields(Struct, frozen=True):
    """The names of the fields; "" where none was told."""

    address: str
    port: str = ""
    weight: str = ""
    status: str = ""

    def parse(self, node: Node) -> Registration:
        value = demand_object(node)
        address = look(value, self.address)
        if address is _ABSENT:
            raise BadData(
                f"it has no {self.address}", f"add {self.address}, or tell another field in the URL"
            )
        if isinstance(address, str):
            end = anywhere(address, self.address)
            addresses, host, port = end.addresses, end.host, end.port
        else:
            addresses, host = where(address, self.address)
            port = 0
        given = look(value, self.port)
        weight = look(value, self.weight)
        status = look(value, self.status)
        return Registration(
            addresses,
            host,
            port if given is _ABSENT else PORT.take(self.port, from_digits(given)),
            1 if weight is _ABSENT else WEIGHT.take(self.weight, from_digits(weight)),
            status="up" if status is _ABSENT else _STATUS.take(self.status, status),
            format="json",
        )


def look(value: Mapping[str, Any], field: str) -> Any:
    """The value of a field; null is as if it were not there."""
    here: Any = value
    if field in value:
        here = value[field]
    else:
        for step in field.split(".") if field else ("",):
            if not isinstance(here, Mapping) or step not in here:
                return _ABSENT
            here = here[step]
    return _ABSENT if here is None else here
