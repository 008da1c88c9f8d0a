"""Registries as files: the lines of one instance, as an operator writes them."""

from __future__ import annotations

import json


def instance(
    service: str, id: str, address: str, port: int | None = 80, **fields: str | int | list[str]
) -> str:
    """One instance of a service. `fields`: what stands there beside; `port`: None for none."""
    written = {"id": id, "address": address, **({} if port is None else {"port": port}), **fields}
    lines = [f"{name} = {json.dumps(value)}" for name, value in written.items()]
    return "\n".join([f"[[{service}.instances]]", *lines])
