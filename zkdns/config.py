"""TOML, environment and flags -> frozen Settings. One dataclass field is one setting.

Rules: reads files and the environment, nothing else; every mistake is a ConfigError that names
where it stands. Flags win over the environment, that over the file, that over the defaults.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, get_args

from zkdns import toml
from zkdns.files import MIB, read_bounded
from zkdns.lists import list_near
from zkdns.model import ConfigError, Nearness
from zkdns.registry.access import ZooKeeperSettings
from zkdns.registry.url import RegistryURL, parse_registry
from zkdns.topology import V4_IN_V6, parse_place, parse_topology

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
class Settings:
    """All that can be set. Times in seconds."""

    registry: tuple[RegistryURL, ...] = ()
    failover: tuple[str, ...] = ()
    """Names of registries whose instances stand behind those of the others, in this order."""
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
    forward_private: str = "allow"
    forward_trusted: tuple[str, ...] = ()
    cache_mb: int = 64
    cache_entries: int = 100_000
    zones: str = ""
    state: str = ""
    ttl: int = 5
    advertise: Address | None = None
    lameduck: float = 0.0
    stale_max: float = 0.0
    grace: float = 15.0
    allow_command_checks: bool = False
    check_targets: tuple[str, ...] = ()
    log_format: str = "text"
    query_log_sample: int = 0
    query_log_slow: float = 0.0
    query_log_most: int = 50
    client_table: bool = True
    journal_days: float = 14.0
    journal_mb: float = 64.0
    http_hosts: tuple[str, ...] = ()
    near: str = "off"
    location: str = ""
    topology: Mapping[str, str] = field(default_factory=dict, hash=False)
    topology_clients: Mapping[str, float] = field(default_factory=dict, hash=False)
    ecs_from: tuple[str, ...] = ()
    zookeeper: ZooKeeperSettings = field(default_factory=ZooKeeperSettings)
    service_defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """For services that don't set them: as a service's own znode would write them."""
    file: str = field(default="", compare=False)
    """Where these stand, for errors that are found later: "" without a file."""


MAX_ZONE_CHARS = 120
"""Characters: `<id>._<service>._tcp.<zone>` with labels of 63 must fit in the 255 bytes of a name."""

MAX_UPSTREAMS = 64
"""Each is probed all the while, and no question lives long enough for more than a few."""

RESTART_ONLY = (
    "registry", "failover", "zone", "listen", "http", "engine", "workers", "state", "zookeeper", "zones",
    "cache_mb", "cache_entries", "allow_command_checks", "check_targets", "log_format", "journal_days",
    "journal_mb", "client_table", "http_hosts", "advertise",
)  # fmt: skip
"""Settings that a reload can't change."""

DEFAULT_REGISTRY = "zk://127.0.0.1:2181/services"


def load(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags (None or () where not given), the environment and `flags["config"]`.

    Raises ConfigError, naming the flag, variable or key of the file that is wrong.
    """
    path = flags.get("config")
    if path == "":
        raise ConfigError("--config", "names no file")
    table, where = _read_file(Path(path)) if path else ({}, "")
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = name.replace("-", "_")
        if key not in _PARSERS:
            raise ConfigError(f"{where}: {name}", f"no such setting; {list_near(key, _PARSERS)}")
        values[key] = _parse(key, value, f"{where}: {name}")
    for variable, key in (("ZKDNS_REGISTRY", "registry"),):
        if environ.get(variable):
            values[key] = _parse(key, environ[variable].split(), variable)
    if environ.get("ZKDNS_ZOOKEEPER_AUTH"):
        auth = _parse("zookeeper", {"auth": environ["ZKDNS_ZOOKEEPER_AUTH"]}, "ZKDNS_ZOOKEEPER_AUTH").auth
        values["zookeeper"] = replace(values.get("zookeeper", ZooKeeperSettings()), auth=auth)
    for name, value in flags.items():
        if name in _PARSERS and value is not None and value != ():
            values[name] = _parse(name, value, "--" + name.replace("_", "-"))
    if not values.get("registry"):
        values["registry"] = _parse("registry", DEFAULT_REGISTRY, "registry")
    values["registry"] = _name_registries(values["registry"])
    if "near" in values:
        values["service_defaults"] = {**values.get("service_defaults", {}), "near": values["near"]}
    names = [url.name for url in values["registry"]]
    for name in values.get("failover", ()):
        if name not in names:
            place = "--failover" if flags.get("failover") else f"{where}: failover"
            raise ConfigError(place, f"no registry is named {name}; there are {', '.join(names)}")
    return Settings(**values, file=where)


def _name_registries(urls: tuple[RegistryURL, ...]) -> tuple[RegistryURL, ...]:
    """Each with a name of its own: `r1`, `r2` … by position where none was given."""
    every = tuple(replace(url, name=url.name or f"r{at}") for at, url in enumerate(urls, 1))
    names = [url.name for url in every]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError("--registry", f"two registries are named {name}: give each a name of its own")
    return every


def _read_file(path: Path) -> tuple[dict[str, Any], str]:
    try:
        return toml.parse(read_bounded(path, MIB)[0]), str(path)
    except toml.NotTOML as error:
        raise ConfigError(str(path), f"not TOML: {error}") from None
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error)) from None


def _parse(key: str, value: Any, where: str) -> Any:
    try:
        return _PARSERS[key](value)
    except (ValueError, TypeError) as error:
        raise ConfigError(where, str(error)) from None


def parse_address(text: Any) -> Address:
    """`ADDR:PORT`, an IPv6 address in brackets; ValueError says what is wrong."""
    host, colon, port = _words(text).rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is no ADDR:PORT, as in 127.0.0.1:5300 or [::1]:5300")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"{text!r}: {host!r} is no IP address") from None
    if (address.version == 6) != bracketed:
        raise ValueError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:5300")
    return Address(str(_plain(address)), int(port))


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address as one, however it is written."""
    return (address.version == 6 and address.ipv4_mapped) or address


def _listen(text: Any) -> Address:
    address = parse_address(text)
    if "%" in address.host:
        raise ValueError(
            f"{text!r}: write the address without its interface, or listen on [::]:{address.port}"
        )
    return address


def _advertise(text: Any) -> Address | None:
    """`ADDR[:PORT]`; without a port it is that of the first --listen, told by 0."""
    if not text:
        return None
    try:
        address = Address(str(_plain(ipaddress.ip_address(_words(text).strip("[]")))), 0)
    except ValueError:
        try:
            address = parse_address(text)
        except ValueError:
            raise ValueError(f"{text!r} is no ADDR[:PORT], as in 10.0.0.5 or [fd00::5]:53") from None
    if address.wildcard:
        raise ValueError(f"{text!r} is every address: name the one by which others reach this server")
    if "%" in address.host or ipaddress.ip_address(address.host).is_multicast:
        raise ValueError(f"{text!r} is no address by which others reach this server")
    return address


def _http(text: Any) -> Address | None:
    return parse_address(text) if text else None


def _many(parse: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def parse_all(value: Any) -> tuple[Any, ...]:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(dict.fromkeys(parse(item) for item in items))

    return parse_all


def _few(parse: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    parse_all = _many(parse)

    def parse_few(value: Any) -> tuple[Any, ...]:
        few = parse_all(value)
        if len(few) > MAX_UPSTREAMS:
            raise ValueError(f"{len(few)} of them; {MAX_UPSTREAMS} at most")
        return few

    return parse_few


def _some(parse: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    parse_all = _many(parse)

    def parse_some(value: Any) -> tuple[Any, ...]:
        if value in ([], ()):
            raise ValueError("an empty list; name at least one")
        return parse_all(value)

    return parse_some


def _zone(text: Any) -> str:
    name = _words(text).lower().rstrip(".")
    if not all(0 < len(p) < 64 and p.isascii() and p.replace("-", "").replace("_", "").isalnum()
               for p in name.split(".")) or len(name) > MAX_ZONE_CHARS:  # fmt: skip
        wanted = f"labels of letters, digits, - and _, {MAX_ZONE_CHARS} characters at most"
        raise ValueError(f"{text!r} is no zone name: {wanted}")
    return name


def _network(text: Any) -> str:
    """Clients are known by their plain addresses: an IPv4-mapped network would be nobody's."""
    network = ipaddress.ip_network(str(text), strict=False)
    base = network.network_address
    if "%" in str(base):
        raise ValueError(f"{text!r}: write the network without an interface")
    if _plain(base) is base or network.prefixlen < V4_IN_V6:
        return str(network)
    return str(ipaddress.ip_network((str(_plain(base)), network.prefixlen - V4_IN_V6)))


def _words(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    if "\0" in text:
        raise ValueError(f"{text!r} holds a NUL character")
    return text


def _secret(text: Any) -> str:
    """The same, and no error shows it."""
    try:
        return _words(text)
    except (TypeError, ValueError):
        raise ValueError("it is no text without NUL characters") from None


def _one_of(*choices: str) -> Callable[[Any], str]:
    def choose(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
        return str(value)

    return choose


def _number(kind: type, low: float, high: float) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (kind is int and value % 1):
            raise TypeError(f"{value!r} is no {'whole ' if kind is int else ''}number")
        if not low <= value <= high:
            raise ValueError(f"{value!r} is not within {low:.10g} to {high:.10g}")
        return kind(value)

    return parse


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("must be a table: [service_defaults]")
    return value


def _topology(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("must be a table: [topology]")
    _, problems = parse_topology("[topology]", value)
    if problems:
        raise ValueError(problems[0].what)
    return value


def _topology_clients(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TypeError("must be a table: [topology_clients]")
    _, problems = parse_topology("[topology_clients]", {}, value)
    if problems:
        raise ValueError(problems[0].what)
    return value


def _zookeeper(value: Any) -> ZooKeeperSettings:
    if not isinstance(value, dict):
        raise TypeError("must be a table: [zookeeper]")
    known = {f.name: f.type for f in fields(ZooKeeperSettings)}
    for name in value:
        if name not in known:
            raise ValueError(f"no such setting {name!r}; {list_near(name, known)}")
    parsers = dict.fromkeys(known, _words) | {"auth": _secret, "session_timeout": _number(float, 0.5, 600)}
    given: dict[str, Any] = {}
    for name, item in value.items():
        try:
            given[name] = parsers[name](item)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None
    settings = ZooKeeperSettings(**given)
    if settings.auth and settings.auth != "sasl" and settings.auth.count(":") < 1:
        raise ValueError("auth must be sasl or SCHEME:CREDENTIALS, as in digest:user:secret")
    return settings


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "registry": _some(lambda text: parse_registry(_words(text))),
    "failover": _many(_words),
    "zone": _some(_zone),
    "listen": _some(_listen),
    "http": _http,
    "engine": _one_of(*ENGINES),
    "workers": _number(int, 0, 1024),
    "forward": _few(_words),
    "forward_allow": _many(_network),
    "forward_private": _one_of("allow", "deny"),
    "forward_trusted": _few(_words),
    "cache_mb": _number(int, 1, 65_536),
    "cache_entries": _number(int, 100, 10**7),
    "zones": _words,
    "state": _words,
    "ttl": _number(int, 0, 2**31 - 1),
    "advertise": _advertise,
    "lameduck": _number(float, 0, 3600),
    "stale_max": _number(float, 0, 10**9),
    "grace": _number(float, 0, 3600),
    "allow_command_checks": _flag,
    "check_targets": _many(_network),
    "log_format": _one_of("text", "json"),
    "query_log_sample": _number(int, 0, 2**32 - 1),
    "query_log_slow": _number(float, 0, 3600),
    "query_log_most": _number(int, 1, 10**6),
    "client_table": _flag,
    "journal_days": _number(float, 0.01, 3650),
    "journal_mb": _number(float, 1, 10**6),
    "http_hosts": _many(_words),
    "near": _one_of(*get_args(Nearness)),
    "location": lambda text: str(parse_place(_words(text))) if text else "",
    "topology": _topology,
    "topology_clients": _topology_clients,
    "ecs_from": _many(_network),
    "zookeeper": _zookeeper,
    "service_defaults": _table,
}
