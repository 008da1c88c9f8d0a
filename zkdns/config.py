"""TOML, environment and flags -> frozen Settings. One dataclass field is one setting.

Rules: reads files and the environment, nothing else; every mistake is a ConfigError that names
where it stands. Flags win over the environment, that over the file, that over the defaults.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import parse_qs, urlsplit

import msgspec

from zkdns.model import ConfigError

FORMATS = ("auto", "native", "curator", "serverset", "nerve", "registrar", "dubbo", "hostport")
ENGINES = ("auto", "native", "python")


@dataclass(frozen=True, slots=True)
class Address:
    """A socket address as the operator wrote it; `str()` gives it back with IPv6 in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def wildcard(self) -> bool:
        return self.host in ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class RegistryURL:
    """Where registrations are read: a ZooKeeper ensemble and root, or a file."""

    text: str
    scheme: str
    hosts: str = ""
    root: str = ""
    path: Path = Path()
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    """How to reach ZooKeeper. `auth`: "scheme:credentials" or "sasl". Secrets are kept out of repr."""

    auth: str = field(default="", repr=False)
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    session_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. Times in seconds."""

    registry: tuple[RegistryURL, ...] = ()
    zone: tuple[str, ...] = ("svc.local",)
    listen: tuple[Address, ...] = (Address("127.0.0.1", 5300),)
    http: Address | None = Address("127.0.0.1", 8053)
    engine: str = "auto"
    workers: int = 0
    forward: tuple[str, ...] = ()
    forward_allow: tuple[str, ...] = (
        "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
        "100.64.0.0/10", "fc00::/7", "fe80::/10",
    )  # fmt: skip
    zones: str = ""
    state: str = ""
    ttl: int = 5
    lameduck: float = 0.0
    stale_max: float = 0.0
    allow_command_checks: bool = False
    log_format: str = "text"
    zookeeper: ZooKeeperSettings = ZooKeeperSettings()
