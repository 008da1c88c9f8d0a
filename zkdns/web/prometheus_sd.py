"""All instances as Prometheus takes targets (`http_sd_configs`): Prometheus decides what it scrapes.

Rules: pure. One target group an instance, with labels that relabelling may use (Prometheus docs,
"HTTP SD configuration"); label names are what the data model allows, and their values text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from zkdns.answers.ports import ports_of
from zkdns.model import Instance, Service
from zkdns.wall import walk

LABEL = "__meta_zkdns"
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_]")


def target_groups(services: Iterable[Service], port: str = "") -> Iterator[dict[str, Any]]:
    """`port`: a name or a number; without it the main port. An instance that has no such port, or no
    address, is no target."""
    pairs = ((service, instance) for service in services for instance in service.instances)
    groups = walk(pairs, lambda pair: _group(*pair, port), lambda pair, error: None)
    return (group for group in groups if group is not None)


def _group(service: Service, instance: Instance, port: str) -> dict[str, Any] | None:
    target = _target(instance, port)
    return {"targets": [target], "labels": _labels(service, instance)} if target else None


def _target(instance: Instance, port: str) -> str:
    addresses = instance.addresses or ((instance.registration.host,) if instance.registration.host else ())
    if not addresses:
        return ""
    is_number = port.isascii() and port.isdigit()
    number = int(port) if is_number else next(iter(ports_of(instance, port.lower() or None)), 0)
    host = str(addresses[0])
    host = f"[{host}]" if ":" in host else host
    if not number:
        return "" if port else host
    return f"{host}:{number}"


def _labels(service: Service, instance: Instance) -> dict[str, str]:
    r = instance.registration
    labels = {
        f"{LABEL}_service": service.name,
        f"{LABEL}_instance": instance.id,
        f"{LABEL}_state": str(instance.state),
        f"{LABEL}_weight": str(instance.weight),
        f"{LABEL}_priority": str(r.priority),
        f"{LABEL}_zone": r.zone,
        f"{LABEL}_tags": f",{','.join(r.tags)}," if r.tags else "",
    }
    labels |= {f"{LABEL}_port_{_name(name)}": str(number) for name, number in reversed(r.ports)}
    labels |= {f"{LABEL}_meta_{_name(key)}": value for key, value in r.meta}
    return labels


def _name(text: str) -> str:
    return _FORBIDDEN.sub("_", text)
