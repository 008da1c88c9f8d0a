"""Patroni: PostgreSQL with a leader. `/service/<scope>/members/<name>`, `/service/<scope>/leader`.

Source: patroni 4.1, `patroni/dcs/__init__.py` (AbstractDCS: `_MEMBERS`, `_LEADER`, Member),
`patroni/ha.py` (Ha.touch_member: conn_url, api_url, state, role, tags), `patroni/postgresql/misc.py`
(PostgresqlState, PostgresqlRole), `patroni/dcs/zookeeper.py` (both nodes ephemeral; the leader's data is
the member's name). Rules: who has the leader's node leads, whatever role its own node still tells, since
that one is written later; a role that says so without the node is of a moment that has passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from zkdns.model import Registration, Status
from zkdns.registry.endpoints import named_ports, url
from zkdns.registry.fields import BadData, Rule, loose_meta, share, show, text
from zkdns.registry.formats import Node, demand_object
from zkdns.registry.places import Leads, Part, Preset, place

MAX_NAME_BYTES: Final = 1024
_TEXT = Rule("a text", text)
_LEADING = frozenset({"primary", "standby-leader"})


def _read_member(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    value = demand_object(node)
    if value.get("conn_url") is None:
        raise BadData("it has no conn_url", "wait until Patroni has started PostgreSQL")
    server = url(value["conn_url"], "conn_url")
    api = value.get("api_url")
    ports = {"api": url(api, "api_url").port} if api is not None else {}
    state: str = _TEXT.take("state", value.get("state", "running"))
    role: str = _TEXT.take("role", value.get("role", "replica"))
    status: Status = "up" if state == "running" else "down"
    texts = {key: value[key] for key in ("state", "role", "version") if key in value}
    yield Registration(
        server.addresses,
        server.host,
        server.port or 5432,
        status=status,
        tags=_tags(role, value.get("tags")),
        ports=share(named_ports(ports)),
        meta=share(tuple(sorted(loose_meta(texts).items()))),
        format="patroni",
    )


def _tags(role: str, tags: object) -> tuple[str, ...]:
    # `master` was the word for `primary` before 4.0.
    word = {"master": "primary", "primary": "primary", "standby_leader": "standby-leader"}.get(role)
    if word is not None:
        return (word,)
    silent = isinstance(tags, Mapping) and bool(tags.get("noloadbalance"))  # as Patroni takes it
    return ("replica",) if role == "replica" and not silent else ()


def _read_leader(node: Node, holes: Mapping[str, str]) -> Iterator[Part]:
    try:
        if len(node.data) > MAX_NAME_BYTES:
            raise ValueError
        name = node.data.decode()
    except ValueError:
        raise BadData(f"its data is {show(ascii(node.data[:40]))}, no member's name", "wait") from None
    if name:
        yield Leads(name)


def _finish(registration: Registration | None, held: tuple[str, ...], detail: object) -> Registration:
    assert registration is not None  # noqa: S101
    tags = registration.tags
    if held:
        tags = ("leader", "standby-leader" if "standby-leader" in tags else "primary")
    elif _LEADING & set(tags):
        tags = ()
    return registration if tags == registration.tags else replace(registration, tags=share(tags))


PRESET = Preset(
    "patroni",
    (
        place("/service/{service}/members/{id}", "{service}", _read_member),
        place(
            "/service/{service}/leader",
            "{service}",
            _read_leader,
            members=False,
            offices=("leader", "primary"),
        ),
    ),
    _finish,
)
