"""What `--registry` says: where registrations stand, and how they are read.

Rules: it only reads text; ValueError says in one line what is wrong. A format is a file of `formats`, a
preset one of `presets`; a preset is a layout, a format and a rule for leaders at once, so neither goes
with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from zkdns.registry import formats, presets
from zkdns.registry.json_fields import JSONFields
from zkdns.registry.layout import Layout, parse_layout
from zkdns.registry.places import Preset

DEFAULT_LAYOUT: Final = parse_layout("/{service}/{id}")
JSON: Final = "json"

_NO_NAME: Final = re.compile("[/\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")
"""What ZooKeeper takes in no node's name (PathUtils.validatePath). It looks at UTF-16: beyond the first plane
all is surrogates to it."""

_JSON_FIELDS = ("address", "port", "weight", "status")
_OPTIONS = ("format", "layout", "as", "preset", *_JSON_FIELDS)


@dataclass(frozen=True, slots=True)
class RegistryURL:
    """Where registrations are read: a ZooKeeper ensemble and root, or a file.

    `format`: a format's name, a preset's (its nodes in a layout of one's own) or `json` with its
    `fields`. `service`: the name of the services, with `{service}` for what the layout takes of the
    path. `preset`: what stands below the root instead, under the names that it gives. `name`: the label
    that the registry goes by, `r1`, `r2` … by position where none is given.
    """

    text: str
    scheme: str
    hosts: str = ""
    root: str = ""
    path: Path = Path()
    format: str = "auto"
    layout: Layout = DEFAULT_LAYOUT
    service: str = "{service}"
    fields: JSONFields | None = None
    preset: Preset | None = None
    name: str = ""


def is_usual(url: RegistryURL) -> bool:
    """Whether `<root>/<service>/<id>` is where an instance stands, under these very names, in a format of
    our own."""
    is_plain = url.preset is None and url.format in formats.names()
    return is_plain and url.layout == DEFAULT_LAYOUT and url.service == "{service}"


def registration_path(url: RegistryURL, service: str, id: str) -> str:
    """Where an instance of ours is to stand so that this registry reads it; ValueError where it has no place
    for one."""
    if url.preset is not None:
        raise ValueError(f"what stands in preset={url.preset.name} is registered by that system alone")
    if url.format not in ("auto", "native"):
        raise ValueError(f"nodes there are read as {url.format}: they can't be registered from here")
    if not url.layout.by_service and service != url.service:
        raise ValueError(f"the service there is {url.service}, by as=")
    holes = {"service": service, "id": id}
    names = [holes.get(segment.hole, segment.literal) for segment in url.layout.segments]
    return "/".join((url.root.rstrip("/"), *names))


def parse_registry(text: str) -> RegistryURL:
    """`[NAME=]zk://HOST:PORT,…/ROOT[?OPTION=…&…]` or `[NAME=]file:PATH`."""
    name, equals, url = text.partition("=")
    if equals and "/" not in name and ":" not in name:
        label = name.lower()
        if not is_label(label):
            raise ValueError(f"{text!r}: {name!r} is no name: letters, digits and -, 63 characters at most")
        return replace(_parse_url(url), name=label)
    return _parse_url(text)


def is_node_name(text: str) -> bool:
    """Whether a node may be called so, below some other one."""
    return text not in ("", ".", "..") and _NO_NAME.search(text) is None


def is_label(text: str) -> bool:
    """Whether it may stand in names, file names and labels of metrics."""
    plain = text.replace("-", "")
    return plain.isascii() and plain.isalnum() and len(text) < 64 and text.strip("-") == text


def _parse_url(text: str) -> RegistryURL:
    if text.startswith("file:"):
        path = text.removeprefix("file:").removeprefix("//")
        if not path:
            raise ValueError(f"{text!r}: no path; write file:PATH")
        return RegistryURL(text, "file", path=Path(path))
    if not text.startswith("zk://"):
        raise ValueError(f"{_without_secrets(text)}: write zk://HOST:PORT/ROOT or file:PATH")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"{_without_secrets(text)}: a bracket of its hosts has no other") from None
    hosts = ",".join(_zookeeper_host(host, text) for host in parts.netloc.split(","))
    if parts.fragment:
        raise ValueError(f"{_without_secrets(text)}: only options such as format=… may follow the root")
    try:
        url = _read_options(RegistryURL(text, "zk", hosts), parse_qs(parts.query, keep_blank_values=True))
    except ValueError as error:
        raise ValueError(f"{_without_secrets(text)}: {error}") from None
    elsewhere = url.preset is not None or url.layout != DEFAULT_LAYOUT
    root = "/" + _unquote(parts.path, text).strip("/") if parts.path else "/" if elsewhere else "/services"
    if "//" in root:
        raise ValueError(f"{text!r}: the root has an empty part")
    if any(part in (".", "..") for part in root.split("/")) or not root.isprintable():
        raise ValueError(f"{text!r}: the root is no path of ZooKeeper's")
    return replace(url, root=root if url.preset is None or url.preset.chroot else "/")


def _unquote(path: str, url: str) -> str:
    """The path as ZooKeeper has it: what has a meaning in a URL (`?`, `#`, a space) stands there as %3F."""
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"{url!r}: the root is not UTF-8") from None


def _read_options(url: RegistryURL, query: Mapping[str, list[str]]) -> RegistryURL:
    for name, values in query.items():
        if name not in _OPTIONS:
            known = ", ".join(f"{option}=" for option in _OPTIONS)
            raise ValueError(f"no option {_without_secrets(name)}; there are {known}")
        if len(values) > 1:
            raise ValueError(f"{name}= stands there more than once")
    options = {name: values[-1] for name, values in query.items()}
    if "preset" in options:
        return _with_preset(url, options)
    format = options.get("format", url.format)
    known_formats = (*formats.names(), JSON, *presets.names())
    if format not in known_formats:
        raise ValueError(f"no format {format!r}; there are {', '.join(known_formats)}")
    layout = parse_layout(options["layout"]) if "layout" in options else url.layout
    return replace(
        url,
        format=format,
        layout=layout,
        service=_read_name(options.get("as"), layout),
        fields=_read_fields(format, options),
    )


def _with_preset(url: RegistryURL, options: Mapping[str, str]) -> RegistryURL:
    name = options["preset"]
    if name not in presets.names():
        raise ValueError(f"no preset {name!r}; there are {', '.join(presets.names())}")
    for other in options:
        if other not in ("preset", "as"):
            raise ValueError(f"preset={name} says it all: leave {other}= out, or write format={name}")
    preset = presets.named(name)
    if preset.with_hosts is not None:
        preset = replace(preset, places=preset.with_hosts(url.hosts))
    if "as" in options:
        preset = preset.renamed(_check_name(options["as"]))
    return replace(url, format=name, preset=preset)


def _read_name(other: str | None, layout: Layout) -> str:
    if other is None:
        if not layout.by_service:
            raise ValueError(f"layout {layout.text} names no service: add as=NAME")
        return "{service}"
    _check_name(other)
    if layout.by_service and "{service}" not in other:
        raise ValueError(f"as={other}: the path names the service; write as={other}-{{service}}")
    if "{service}" in other and not layout.by_service:
        raise ValueError(f"as={other}: layout {layout.text} has no {{service}}")
    return other


def _check_name(text: str) -> str:
    literal = text.replace("{service}", "", 1)
    if not text or not literal.isprintable() or re.search(r"[{}/\s]", literal):
        raise ValueError(f"as={text} is no service's name; write as=NAME or as=NAME-{{service}}")
    return text


def _read_fields(format: str, options: Mapping[str, str]) -> JSONFields | None:
    given = {name: options[name] for name in _JSON_FIELDS if name in options}
    if format != JSON:
        for name in given:
            raise ValueError(f"{name}= goes with format=json alone")
        return None
    for name, field in given.items():
        if not field:
            raise ValueError(f"{name}= names no field")
    if "address" not in given:
        raise ValueError("format=json needs address=FIELD, the field that holds the address")
    return JSONFields(**given)


def _zookeeper_host(text: str, url: str) -> str:
    if "@" in text:
        raise ValueError(f"{_without_secrets(url)}: secrets don't stand in a URL; set ZKDNS_ZOOKEEPER_AUTH")
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, "2181"
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        why = "write an IPv6 address in brackets, as in [::1]:2181"
    elif not host.strip("[]") or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        # With an @ further on it is the first half of a secret with a slash in it, perhaps.
        why = f"{text!r} is no HOST:PORT" if "@" not in url else "HOST:PORT stands before the root"
    else:
        return f"{host}:{port}"
    raise ValueError(f"{_without_secrets(url)}: {why}")


def _without_secrets(url: str) -> str:
    """As it may be told: what stands before an @ is somebody's secret perhaps."""
    return repr(url.rpartition("@")[2])
