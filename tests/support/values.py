"""Instances and services as the model has them, of the few words that a test says of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from zkdns.model import Instance, Registration, Service, ServiceSettings
from zkdns.registry.labels import to_label

OF_REGISTRATION = frozenset(field.name for field in fields(Registration))


def an_instance(id: str, *addresses: str, service: str = "web", since: float = 0.0, **about: Any) -> Instance:
    """`about`: fields of its registration, and where that has none of the name, of itself. At port 80, of an
    address of its own, with the weight that is registered."""
    own = {name: about.pop(name) for name in [*about] if name not in OF_REGISTRATION}
    registration = Registration(addresses or (f"10.0.0.{ord(id[0])}",), **{"port": 80, **about})
    own = {"weight": registration.weight, **own}
    return Instance(id, to_label(id), f"/services/{service}/{id}", registration, since, **own)


def a_service(*instances: Instance, name: str = "web", **settings: Any) -> Service:
    """These instances, in the order of their ids."""
    ordered = tuple(sorted(instances, key=lambda instance: instance.id))
    return Service(name, to_label(name), f"/services/{name}", ServiceSettings(**settings), ordered)
