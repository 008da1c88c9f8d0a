"""A transcript's world: registry events in, answers out, all in memory and by a clock of its own.

A transcript is a file of worlds. Each world starts afresh after a line of `====`; in it, commands stand
above a line of `----` and what they print below, up to an empty line; the world goes on after that.

    zone NAME..             the zones (first command of a world)         ttl N        `--ttl`
    list PATH [CHILD..]     the children of a node, whole                data PATH [DATA]
    unreadable PATH WHY     a node that may not be read                  zxid N       of the next event
    begin, whole            a new reading; one that starts with `begin` is not ready until `whole`
    session lost|back       the registry out of reach, and within again
    clock N                 the clock goes to N seconds after the start
    probe PATH good|bad [WHY]    one probe of an instance's check
    host NAME [ADDRESS..]   what a host name resolves to
    ask NAME TYPE [WORD..]  a query: tcp, edns, size=N, do, nsid, class=CH, version=N, opcode=N, bare (answer
                            only), counts (sizes, no records)
    send HEX                a raw packet
    tally N NAME TYPE [behind DATA]    who stands first in N answers (who is second where DATA is first)
    states SERVICE, problems, firsts SERVICE      what people are told
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from support.tables import Answers
from zkdns.dns import ede, names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.health.guard import NO_LOSSES, Losses, retain
from zkdns.health.judge import ServiceView, judge
from zkdns.health.thresholds import ProbeHistory, advance
from zkdns.model import (
    Begin,
    Children,
    Data,
    Instance,
    Override,
    Service,
    Session,
    Stat,
    Unreadable,
    Whole,
    serial_of,
)
from zkdns.overrides import is_drained
from zkdns.pipeline.publisher import Publisher
from zkdns.registry.overrides import ROOT as OVERRIDES
from zkdns.registry.overrides import Overrides
from zkdns.registry.readers import open_root
from zkdns.serve.dispatch import Dispatcher

START = 1_700_000_000.0
NOT_READY = ede.option(ede.NOT_READY, "the first catalog is not loaded yet")
STALE = ede.option(ede.STALE_ANSWER, "the registry is out of reach")


@dataclass(slots=True)
class Alarm:
    at: float
    ring: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and what they print. `at`: the line in the file where `----` stands."""

    commands: tuple[str, ...]
    expected: str
    at: int


@dataclass(frozen=True, slots=True)
class Script:
    """One world of a file. `title`: its first comment."""

    title: str
    blocks: tuple[Block, ...]


def read(path: Path) -> list[Script]:
    """The worlds of a file."""
    scripts = []
    title, blocks, commands = "", [], []
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if line == "====":
            scripts.append(_script(path, title, blocks, commands))
            title, blocks, commands = "", [], []
        elif line.startswith("#"):
            title = title or line.lstrip("# ")
        elif line == "----":
            start = at
            while at < len(lines) and lines[at].strip():
                at += 1
            blocks.append(Block(tuple(commands), "\n".join(lines[start:at]), start))
            commands = []
        elif line:
            commands.append(line)
    scripts.append(_script(path, title, blocks, commands))
    return scripts


def _script(path: Path, title: str, blocks: list[Block], commands: list[str]) -> Script:
    if not blocks or commands or not title:
        raise ValueError(
            f"{path}: {title or commands}: each world has a comment and ends with what it prints"
        )
    return Script(title, tuple(blocks))


def rewrite(path: Path, found: dict[int, str]) -> None:
    """Put what was printed in the place of what was expected, by the line of its `----`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for start in sorted(found, reverse=True):
        end = start
        while end < len(lines) and lines[end].strip():
            end += 1
        lines[start:end] = found[start].splitlines()
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(slots=True)
class Node:
    czxid: int
    ctime: float


@dataclass
class World:
    """The server without sockets: ServiceTree, merge, judge, Publisher, Dispatcher."""

    zones: tuple[str, ...] = ("svc.local",)
    ttl: int = 5
    now: float = START
    zxid: int = 0x100000000
    ready: bool = True
    told: bool = False
    alarms: list[Alarm] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    orders: dict[tuple[str, str], Override] = field(default_factory=dict)
    counts: dict[str, ProbeHistory] = field(default_factory=dict)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    losses: dict[str, Losses] = field(default_factory=dict)
    registered: dict[str, Service] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree = open_root("/services")
        self.overrides = Overrides()
        self._open()

    def _open(self) -> None:
        self.answers = Answers(self.zones, ("127.0.0.1", "::1"), self.ttl)
        self.answers.table.identity = {
            names.wire("version.bind"): "zkdns 1.0",
            names.wire("id.server"): "box",
        }
        self.publisher = Publisher(
            self.answers, self.judge, self.resolve, self.call_later, clock=lambda: self.now, tick=lambda: 0.0
        )
        self.publisher.published = self.settle
        self.dispatcher = Dispatcher(self.answers.table)

    # --- what the server wires ------------------------------------------------------------------------

    def call_later(self, wait: float, ring: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + wait, ring)
        self.alarms.append(alarm)
        return alarm

    def resolve(self, label: str, instance: Instance) -> tuple[str, ...]:
        return self.hosts.get(instance.registration.host or "", ())

    def judge(self, service: Service, now: float, previous: Service | None) -> tuple[Service, float | None]:
        name = service.name
        check_states = {path: c.check_state for path, c in self.counts.items()}
        orders = {id: order for (s, id), order in self.orders.items() if s == name}

        def released(instance: Instance) -> bool:
            check_state = check_states.get(instance.path)
            return (check_state is not None and not check_state.good) or is_drained(
                orders.get(instance.id), now
            )

        losses = retain(self.losses.get(name, NO_LOSSES), self.registered.get(name), service, now, released)
        self.losses[name], self.registered[name] = losses, service
        checked = service.settings.check is not None
        return judge(service, ServiceView(orders, checked, check_states, losses.kept), now, previous)

    def settle(self) -> None:
        self.answers.set_serial(max(self.publisher.registered.serial, serial_of(self.overrides.zxid)))
        self.dispatcher.table.apply(self.answers.take())

    def publish(self) -> None:
        """Bring what was said so far into the answers."""
        self.told = True
        if self.ready:
            self.publisher.take([self.tree.catalog()])
        self.settle()
        self.answers.bear(STALE if self.publisher.registered.stale_since is not None else b"")
        self.answers.fail(b"" if self.ready else NOT_READY)
        self.dispatcher.table.apply(self.answers.take())

    # --- commands ---------------------------------------------------------------------------------------

    def run(self, commands: Iterable[str]) -> str:
        printed = []
        for line in commands:
            word, _, rest = line.partition(" ")
            command: Callable[[str], str | None] = getattr(self, "do_" + word)
            said = command(rest.strip())
            if said is not None:
                printed.append((line, said))
        if len(printed) == 1:
            return printed[0][1]
        return "\n".join(f"> {line}\n{said}" for line, said in printed)

    def do_zone(self, rest: str) -> None:
        self.zones = tuple(rest.split())
        self._open()

    def do_ttl(self, rest: str) -> None:
        self.ttl = int(rest)
        self._open()

    def do_zxid(self, rest: str) -> None:
        self.zxid = int(rest, 0) - 1

    def _apply(self, path: str, event: Any) -> None:
        if path.startswith(OVERRIDES):
            self.overrides.apply(event)
            if self.overrides.by_instance() != self.orders:
                self.orders = self.overrides.by_instance()
                self.publisher.mark(self.publisher.registered.services)
        else:
            self.tree.apply(event)

    def do_list(self, rest: str) -> None:
        path, *children = rest.split()
        self.zxid += 1
        below = {f"{path}/{child}" for child in children}
        for gone in [p for p in self.nodes if p.startswith(path + "/")]:
            if not any(gone == p or gone.startswith(p + "/") for p in below):
                del self.nodes[gone]
        for there in below:
            self.nodes.setdefault(there, Node(self.zxid, self.now))
        self._apply(path, Children(path, tuple(children), self.zxid))

    def do_data(self, rest: str) -> None:
        path, _, data = rest.partition(" ")
        self.zxid += 1
        node = self.nodes.setdefault(path, Node(self.zxid, self.now))
        stat = Stat(node.czxid, self.zxid, node.ctime, True)
        self._apply(path, Data(path, data.strip().encode(), stat))

    def do_unreadable(self, rest: str) -> None:
        path, _, why = rest.partition(" ")
        self._apply(path, Unreadable(path, why))

    def do_begin(self, rest: str) -> None:
        if not self.told and self.zxid == 0x100000000:
            self.ready = False
        self.tree.apply(Begin())

    def do_whole(self, rest: str) -> None:
        self.tree.apply(Whole())
        self.ready = True

    def do_session(self, rest: str) -> None:
        self.tree.apply(Session({"lost": False, "back": True}[rest], self.now))

    def do_clock(self, rest: str) -> None:
        self.publish()
        until = START + float(rest)
        while due := [a for a in self.alarms if a.at <= until]:
            alarm = min(due, key=lambda a: a.at)
            self.alarms.remove(alarm)
            if not alarm.cancelled:
                self.now = max(self.now, alarm.at)
                alarm.ring()
        self.now = until

    def do_probe(self, rest: str) -> None:
        path, verdict, *why = rest.split(maxsplit=2)
        self.publish()
        service = next(s for s in self.registered.values() if path.startswith(s.path + "/"))
        check = service.settings.check
        assert check is not None, "a probe needs a check"
        good = {"good": True, "bad": False}[verdict]
        self.counts[path] = advance(self.counts.get(path), good, " ".join(why), check.rise, check.fall)
        self.publisher.mark([service.name])

    def do_host(self, rest: str) -> None:
        host, *addresses = rest.split()
        self.hosts[host] = tuple(addresses)
        self.publisher.mark(self.publisher.registered.services)

    # --- questions ----------------------------------------------------------------------------------------

    def _reply(self, query: bytes, limit: int) -> bytes | None:
        self.publish()
        outcome = self.dispatcher.dispatch(self.dispatcher.read(query, "192.0.2.1", "udp", limit))
        assert outcome is None or isinstance(outcome, bytes), "nothing is forwarded here"
        return outcome

    def do_ask(self, rest: str) -> str:
        name, rtype, *words = rest.split()
        ways = dict(w.partition("=")[::2] for w in words)
        query = dns.message.make_query(
            name, rtype, rdclass=ways.get("class", "IN"), use_edns=False, id=0, flags=0
        )
        if ways.keys() & {"edns", "size", "do", "nsid", "version"}:
            options = [dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")] if "nsid" in ways else None
            flags = dns.flags.DO if "do" in ways else 0
            size = int(ways.get("size", 1232))
            query.use_edns(int(ways.get("version", 0)), flags, size, options=options)
        if "opcode" in ways:
            query.set_opcode(dns.opcode.Opcode(int(ways["opcode"])))
        if "rd" in ways:
            query.flags |= dns.flags.RD
        limit = 65_535 if "tcp" in ways else HIGHEST_UDP
        reply = self._reply(query.to_wire(), limit)
        return "dropped" if reply is None else show(reply, "bare" in ways, "counts" in ways)

    def do_send(self, rest: str) -> str:
        reply = self._reply(bytes.fromhex(rest), HIGHEST_UDP)
        return "dropped" if reply is None else f"{show(reply)}\n{reply.hex(' ', -2)}"

    def do_tally(self, rest: str) -> str:
        times, name, rtype, *behind = rest.split(maxsplit=4)
        query = dns.message.make_query(name, rtype, use_edns=False, id=0, flags=0).to_wire()
        found: Counter[str] = Counter()
        for _ in range(int(times)):
            reply = self._reply(query, 65_535)
            assert reply is not None
            # dnspython folds equal owner and type into one RRset in the order of the wire.
            (rrset,) = dns.message.from_wire(reply).answer
            order = [item.to_text() for item in rrset]
            if not behind:
                found[order[0]] += 1
            elif order[0] == behind[1]:
                found[order[1]] += 1
        return "\n".join(f"{n} {text}" for text, n in sorted(found.items()))

    def do_states(self, rest: str) -> str:
        self.publish()
        service = self.publisher.services.get(rest)
        if service is None:
            return "no such service"
        lines = [
            f"{i.id} {i.state}{' (' + i.reason + ')' if i.reason else ''}{'' if i.answered else ', out'}"
            for i in service.instances
        ]
        return "\n".join([*lines, *([service.note] if service.note else [])]) or "none"

    def do_problems(self, rest: str) -> str:
        self.publish()
        found = [*self.publisher.problems, *self.overrides.problems()]
        return "\n".join(f"{p.path}: {p.what}" for p in found) or "none"

    def do_firsts(self, rest: str) -> str:
        self.publish()
        return json.dumps(dict(sorted(self.answers.first_answers(rest).items())))


def show(reply: bytes, bare: bool = False, counts: bool = False) -> str:
    """A reply as a stranger reads it."""
    message = dns.message.from_wire(reply, one_rr_per_rrset=True)
    flags = [
        word for word in ("aa", "tc", "rd", "ra", "ad") if message.flags & dns.flags.from_text(word.upper())
    ]
    lines = [" ".join([dns.rcode.to_text(message.rcode()), *flags])]
    if counts:
        lines[0] += (
            f" {len(message.answer)} answers {len(message.authority)} authority "
            f"{len(message.additional)} additional {len(reply)} bytes"
        )
    else:
        for section, records in (
            ("", message.answer),
            ("authority ", message.authority),
            ("additional ", message.additional),
        ):
            if bare and section:
                continue
            lines += [section + _record(rrset) for rrset in records]
    if message.edns >= 0 and not bare:
        for option in message.options:
            if isinstance(option, dns.edns.EDEOption):
                lines.append(f'ede {int(option.code)} "{option.text or ""}"')
            else:
                lines.append(f"option {int(option.otype)} {option.to_wire()!r}")
        if message.ednsflags & dns.flags.DO:
            lines.append("do")
    return "\n".join(lines)


def _record(rrset: dns.rrset.RRset) -> str:
    rdclass = "" if rrset.rdclass == dns.rdataclass.IN else f" {dns.rdataclass.to_text(rrset.rdclass)}"
    rtype = dns.rdatatype.to_text(rrset.rdtype)
    return f"{rrset.name} {rrset.ttl}{rdclass} {rtype} {rrset[0].to_text()}"
