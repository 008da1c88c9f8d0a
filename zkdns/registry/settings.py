"""What a service's own node says: its settings, in our JSON or as the format of its instances has it.

Rules: pure; bad settings cost only themselves: each wrong one leaves its default in force. Unknown keys are
kept by name, for `zkdns check` to tell of.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping, Set
from itertools import islice
from typing import Any, Final, TypeAlias, get_args

from zkdns import parts
from zkdns.model import DEFAULTS, NONE_HEALTHY, Check, Nearness, ServiceSettings
from zkdns.registry import formats
from zkdns.registry.fields import ABSENT, BadData, Rule, number, one_of, show, whole
from zkdns.routes import parse_route

DAY: Final = 86_400
MAX_TIMEOUT: Final = 10.0
"""Seconds of a check: a probe that hangs keeps a place."""

MAX_COMMAND_CHARACTERS: Final = 8192
MAX_COMMAND_WORDS: Final = 256
MAX_PATH_CHARACTERS: Final = 2048
MAX_NAME_CHARACTERS: Final = 255
"""Of a check: its program with all its words, its path, the name of its port."""

MAX_UNKNOWN: Final = 16
MAX_UNKNOWN_CHARACTERS: Final = 80
"""Unknown keys that are kept, and what of each."""


def _read_fail_open(value: Any) -> float:
    if isinstance(value, bool):
        return NONE_HEALTHY if value else 0.0
    share_of_healthy: float = _RATIO.read(value)
    return share_of_healthy


def _read_port(value: Any) -> str | int:
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARACTERS:
        return value
    port: int = whole(1, 65535).read(value)
    return port


def _read_path(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_PATH_CHARACTERS:
        raise ValueError
    if not value.startswith("/") or not value.isascii():
        raise ValueError
    if not value.isprintable() or " " in value:
        raise ValueError  # it becomes part of a request line
    return value


def _read_command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str | list) or len(value) > (
        MAX_COMMAND_CHARACTERS if isinstance(value, str) else MAX_COMMAND_WORDS
    ):
        raise ValueError
    words = shlex.split(value) if isinstance(value, str) else value
    if not words or not all(isinstance(w, str) for w in words) or not words[0]:
        raise ValueError
    if sum(map(len, words)) > MAX_COMMAND_CHARACTERS or any("\0" in word for word in words):
        raise ValueError
    return tuple(words)


_RATIO = number(0, 1)

SETTINGS: Final[Mapping[str, Rule]] = {
    "ttl": whole(0, 2**31 - 1),  # RFC 2181, section 8
    "policy": one_of(*parts.names(parts.POLICIES)),
    "answers": whole(1, 65535),
    "fail_open": Rule("true, false or a number from 0 to 1", _read_fail_open),
    "warm": number(0, DAY),
    "hold": number(0, DAY),
    "srv_scale": number(0.0001, 65535),
    "near": one_of(*get_args(Nearness)),
    "near_min": number(0, 1),
}

CHECK: Final[Mapping[str, Rule]] = {
    "type": one_of(*parts.names(parts.CHECKS)),
    "port": Rule("the name of a port or a whole number from 1 to 65535", _read_port),
    "path": Rule(
        f"a path that starts with / and has no spaces, {MAX_PATH_CHARACTERS} characters at most", _read_path
    ),
    "command": Rule(
        f"a list of words, the program first, {MAX_COMMAND_CHARACTERS} characters at most", _read_command
    ),
    "interval": number(0.1, DAY),
    "timeout": number(0.01, MAX_TIMEOUT),
    "rise": whole(1, 1000),
    "fall": whole(1, 1000),
}

ROUTE: Final = ("to", "spill", "over", "from")
"""Keys of a route (`zkdns.routes`)."""

ELSEWHERE: Final = frozenset({"check", *ROUTE, "near", "near_min"})
"""Keys that are read by others."""

ROUTE_CURE: Final = 'write "to": [{"TARGET": SHARE, …}, …], with "spill", "over" and "from" as wanted'


Read: TypeAlias = tuple[ServiceSettings, list[BadData], formats.Inherits | None]


def read_node(format: str, node: formats.Node, written: float = 0.0, zxid: int = 0) -> Read:
    """What a service's own node says, and what its instances inherit of it. `written`, `zxid`: when, and by
    which transaction (its mtime, mzxid)."""
    data = node.data
    if is_empty(data):
        return DEFAULTS, [], None
    value = node.value
    if value is ABSENT:
        error = node.why_no_object()
        json = "no JSON" in error.what
        cure = 'write JSON such as {"ttl": 5, "policy": "weighted"}, or nothing' if json else error.cure
        return DEFAULTS, [BadData(error.what, cure)], None
    for module in formats.ranked() if format == "auto" else formats.some(format):
        own = getattr(module, "settings", None)
        outcome: Read | None = own(value) if own is not None else None
        if outcome is not None:
            return outcome
    return (*read_table(value, written, zxid), None)


def read(format: str, data: bytes, written: float = 0.0, zxid: int = 0) -> Read:
    """The same of its data alone."""
    return read_node(format, formats.Node("", data), written, zxid)


def is_empty(data: bytes) -> bool:
    """Whether the node says nothing: it has no data, or what Curator writes for none."""
    return not data.strip() or _is_address(data)


def read_table(value: Any, written: float = 0.0, zxid: int = 0) -> tuple[ServiceSettings, list[BadData]]:
    """The settings in an object, and what is wrong. `written`, `zxid`: when it was."""
    if not isinstance(value, Mapping):
        what = f"the service's data is {show(value)}, not a JSON object"
        return DEFAULTS, [BadData(what, 'write an object such as {"ttl": 5}, or nothing')]
    taken, wrong = _take(value, SETTINGS, "")
    unknown = _unknown(value, "", {*SETTINGS, *ELSEWHERE})
    check = value.get("check")
    if check is not None:
        try:
            taken["check"] = _read_check(check, wrong)
            unknown += _unknown(check, "check.", CHECK.keys())
        except BadData as error:
            wrong.append(BadData(error.what, f"{error.cure}; until then the service has no check"))
    if any(value.get(key) is not None for key in ROUTE):
        try:
            taken["route"] = parse_route(value, written, zxid)
        except ValueError as error:
            wrong.append(BadData(f"the route is left out: {error}", ROUTE_CURE))
    given = tuple(sorted(taken))
    return ServiceSettings(**taken, given=given, unknown=tuple(unknown[:MAX_UNKNOWN])), wrong


def _unknown(value: Mapping[Any, Any], prefix: str, known: Set[str]) -> list[str]:
    keys = islice((str(key) for key in value if key not in known), MAX_UNKNOWN)
    return [prefix + key[:MAX_UNKNOWN_CHARACTERS] for key in keys]


def _read_check(value: Any, wrong: list[BadData]) -> Check:
    if not isinstance(value, Mapping):
        must = 'an object such as {"type": "tcp"}'
        raise BadData(f"check is {show(value)}, not {must}", f"set check to {must}")
    if value.get("type") is None:
        raise BadData("check has no type", f"set check.type to {CHECK['type'].must}")
    timeout = value.get("timeout")
    if isinstance(timeout, int | float) and timeout > MAX_TIMEOUT:
        what = f"check.timeout is {show(timeout)}, and at most {MAX_TIMEOUT:g} s are waited"
        wrong.append(BadData(f"{what}: it is left out", f"set check.timeout to {CHECK['timeout'].must}"))
        value = {key: value[key] for key in CHECK if key in value and key != "timeout"}
    taken, bad = _take(value, CHECK, "check.")
    if bad:
        raise bad[0]
    if taken["type"] == "command" and "command" not in taken:
        raise BadData("check has no command", f"set check.command to {CHECK['command'].must}")
    return Check(**taken)


def _take(
    value: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str
) -> tuple[dict[str, Any], list[BadData]]:
    taken: dict[str, Any] = {}
    wrong: list[BadData] = []
    for field, rule in rules.items():
        if value.get(field) is not None:
            try:
                taken[field] = rule.take(prefix + field, value[field])
            except BadData as error:
                wrong.append(error)
    return taken, wrong


def _is_address(data: bytes) -> bool:
    """Curator clients leave their own address in nodes that they make without data (its default)."""
    if len(data) > MAX_NAME_CHARACTERS:
        return False
    try:
        ipaddress.ip_address(data.decode("ascii").strip())
    except ValueError:
        return False
    return True
