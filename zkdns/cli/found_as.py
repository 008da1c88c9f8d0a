"""What there is to tell of a registration: the names under which it is found, and an address that misleads.

Rules: pure. The zone is the first of the settings; servers may have others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from zkdns.registry.labels import to_label


def dns_names(service: str, id: str, payload: Mapping[str, Any], zone: str) -> list[str]:
    """The service's, its ports', its own, its tags'."""
    label, protocol = to_label(service), payload.get("protocol", "tcp")
    names = [f"{label}.{zone}"]
    if payload.get("port"):
        names.append(f"_{label}._{protocol}.{zone}")
    names += [f"_{name}._{protocol}.{label}.{zone}" for name in payload.get("ports", {})]
    return [*names, *(f"{to_label(tag)}.{label}.{zone}" for tag in (id, *payload.get("tags", ())))]


def loopback_warning(addresses: str | list[str], hosts: str) -> str:
    """What to say of an address that leads everybody to himself, where others may read it; "" for nothing."""
    given = [addresses] if isinstance(addresses, str) else addresses
    loopback = next((address for address in given if _is_loopback(address)), None)
    elsewhere = next((h for h in hosts.split(",") if not _is_loopback(h.rpartition(":")[0])), None)
    if loopback is None or elsewhere is None:
        return ""
    return (
        f"warning: {loopback} is each machine's own, and the ensemble ({elsewhere}) is not on this one: "
        "who finds it there finds itself; give --address"
    )


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name: where it leads is not known
        return False
