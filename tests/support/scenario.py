"""A transcript's world: registry events in, answers out, all in memory and by a clock of its own.

A transcript is a file of worlds. Each world starts afresh after a line of `====`; in it, commands stand
above a line of `----` and what they print below, up to an empty line; the world goes on after that.

    zone NAME..             the zones (first command of a world)         ttl N        `--ttl`
    registries NAME..       several registries (one, `r1`, by default)   set NAME JSON    any other setting
    registry REST           one, by what its URL says after the hosts: /?preset=kafka
    list PATH [CHILD..]     the children of a node, whole                data PATH [@N] [DATA]
                            (an ephemeral of session N; @-1: no ephemeral)
    unreadable PATH WHY     a node that may not be read                  zxid N       of the next event
    begin, whole [NAME]     a new reading; one that starts with `begin` is not ready until `whole`
    session lost|back [NAME]     the registry out of reach, and within again
    unreached NAME          this registry can't be reached from the start
    clock N                 the clock goes to N seconds after the start
    probe PATH good|bad [WHY]    one probe of an instance's check
    host NAME [ADDRESS..]   what a host name resolves to
    ask NAME TYPE [WORD..]  a query: tcp, edns, size=N, do, nsid, class=CH, version=N, opcode=N, bare (answer
                            only), counts (sizes, no records), from=ADDR, subnet=NETWORK
    send HEX                a raw packet
    tally N NAME TYPE [from ADDR | behind DATA]    who stands first in N answers (second, where DATA is first)
    states SERVICE, problems, firsts SERVICE, changes     what people are told
    keep N                  from here on N changes are kept in memory    history [SERVICE]    those

A path of another registry than the first is NAME:/PATH.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from zkdns.answers.table import Table
from zkdns.config import Settings
from zkdns.dns import names
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.health.targets import Target
from zkdns.model import (
    Begin,
    Change,
    Children,
    Data,
    Event,
    Session,
    Stat,
    Unreadable,
    Verdict,
    Whole,
)
from zkdns.pipeline.inputs import Heard, HostResolved, Probed, Ready
from zkdns.pipeline.journal import Query, gather
from zkdns.pipeline.journal_memory import MemoryJournal
from zkdns.pipeline.pipeline import Pipeline
from zkdns.pipeline.replica import Replica
from zkdns.registry.url import RegistryURL, parse_registry
from zkdns.serve.dispatch import Dispatcher

START = 1_700_000_000.0


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


class World:
    """A server without sockets: the Pipeline as `serve` drives it, by its own clock, and a Dispatcher.
    `defers`: from how many services on they are compiled when they are asked for."""

    def __init__(self, defers: float = float("inf")) -> None:
        self.defers = defers
        self.now = START
        self.zxid = 0x100000000
        self.nodes: dict[str, Node] = {}
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.targets: dict[str, Target] = {}
        self.writes: dict[str, bytes] = {}
        self.changes: list[Change] = []
        self.journal: MemoryJournal | None = None
        self.asked: set[str] = set()
        self.begun: set[str] = set()
        self.settings = Settings(registry=(_registry("r1"),), forward=())
        self._open(self.settings)

    def _open(self, settings: Settings) -> None:
        self.settings = settings
        self.pipeline = Pipeline(
            settings, self.now, addresses=("127.0.0.1", "::1"), replica=Replica("box"), defers=self.defers
        )
        self.table = Table(identity={names.wire("version.bind"): "zkdns 1.0", names.wire("id.server"): "box"})
        self.dispatcher = Dispatcher(self.table)
        self.dispatcher.compile_now = self._compile_now

    # --- what the server does -------------------------------------------------------------------------

    def drive(self) -> None:
        """Do what is due until there is nothing left to do now."""
        while self._turn().more:
            pass
        while fresh := self._turn().resolve.keys() - self.asked:
            self.asked |= fresh
            for host in sorted(fresh):
                self.pipeline.step(HostResolved(host, self.hosts.get(host, ())), self.now)
            while self._turn().more:
                pass

    def _compile_now(self, service: str) -> None:
        self.table.apply(self.pipeline.compile_now(service, self.now))

    def _turn(self) -> Ready:
        ready = self.pipeline.ready(self.now)
        self.table.apply(ready.delta)
        self.changes += ready.changes
        if self.journal is not None and ready.changes:
            self.journal.add(self.now, gather(ready.changes, {}))
        self.writes.update(ready.write)
        for path, target in ready.probe.items():
            if target is None:
                self.targets.pop(path, None)
            else:
                self.targets[path] = target
        return ready

    def hear(self, registry: str, root: str, *events: Event) -> None:
        self.pipeline.step(Heard(registry, root, events), self.now)

    def settle(self, registry: str) -> None:
        """Whoever is not told otherwise has read an empty registry already."""
        if registry in self.begun:
            return
        self.begun.add(registry)
        for root in self.pipeline.registries[registry].reducers:
            self.hear(registry, root, Begin(), Whole(), Session(True))
        self.drive()

    def publish(self) -> None:
        """Bring what was said so far into the answers."""
        for registry in self.pipeline.registries:
            self.settle(registry)
        self.drive()

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
        self._open(replace(self.settings, zone=tuple(rest.split())))

    def do_ttl(self, rest: str) -> None:
        self._open(replace(self.settings, ttl=int(rest)))

    def do_registries(self, rest: str) -> None:
        self._open(replace(self.settings, registry=tuple(map(_registry, rest.split()))))

    def do_registry(self, rest: str) -> None:
        """One of them alone, by what its URL says after the hosts: `registry /?preset=patroni`."""
        url = replace(parse_registry(f"zk://127.0.0.1:2181{rest}"), name="r1")
        self._open(replace(self.settings, registry=(url,)))

    def do_set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        self._open(replace(self.settings, **{name: json.loads(value)}))

    def do_zxid(self, rest: str) -> None:
        self.zxid = int(rest, 0) - 1

    def _place(self, text: str) -> tuple[str, str]:
        """`NAME:/path`, or a path of the first registry."""
        name, colon, path = text.partition(":/")
        return (name, "/" + path) if colon else (next(iter(self.pipeline.registries)), text)

    def _tell(self, registry: str, path: str, event: Event) -> None:
        self.settle(registry)
        root = next(r for r in self.pipeline.registries[registry].reducers if f"{path}/".startswith(f"{r}/"))
        self.hear(registry, root, event)

    def do_list(self, rest: str) -> None:
        where, *children = rest.split()
        registry, path = self._place(where)
        self.zxid += 1
        base = where
        below = {f"{base}/{child}" for child in children}
        for gone in [p for p in self.nodes if p.startswith(base + "/")]:
            if not any(gone == p or gone.startswith(p + "/") for p in below):
                del self.nodes[gone]
        for there in below:
            self.nodes.setdefault(there, Node(self.zxid, self.now))
        self._tell(registry, path, Children(path, tuple(children), self.zxid))

    def do_data(self, rest: str) -> None:
        where, _, data = rest.partition(" ")
        owner = 0
        if data.startswith("@"):
            session, _, data = data.partition(" ")
            owner = int(session[1:])
        registry, path = self._place(where)
        self.zxid += 1
        node = self.nodes.setdefault(where, Node(self.zxid, self.now))
        stat = Stat(node.czxid, self.zxid, node.ctime, owner >= 0, False, self.now, max(owner, 0))
        self._tell(registry, path, Data(path, data.strip().encode(), stat))

    def do_unreadable(self, rest: str) -> None:
        where, _, why = rest.partition(" ")
        registry, path = self._place(where)
        self._tell(registry, path, Unreadable(path, why))

    def do_begin(self, rest: str) -> None:
        registry = rest or next(iter(self.pipeline.registries))
        if registry not in self.begun:
            self.begun.add(registry)
            for root in self.pipeline.registries[registry].reducers:
                if root != "/services":
                    self.hear(registry, root, Begin(), Whole(), Session(True))
        self.hear(registry, "/services", Begin())

    def do_whole(self, rest: str) -> None:
        registry = rest or next(iter(self.pipeline.registries))
        self.hear(registry, "/services", Whole(), Session(True))

    def do_unreached(self, rest: str) -> None:
        self.begun.add(rest)
        for root in self.pipeline.registries[rest].reducers:
            self.hear(rest, root, Session(False))

    def do_session(self, rest: str) -> None:
        what, *registry = rest.split()
        name = registry[0] if registry else next(iter(self.pipeline.registries))
        self.settle(name)
        for root in self.pipeline.registries[name].reducers:
            self.hear(name, root, Session({"lost": False, "back": True}[what]))

    def do_clock(self, rest: str) -> None:
        self.publish()
        until = START + float(rest)
        while (wake := self._turn().wake) is not None and wake <= until:
            self.now = max(self.now, wake)
            self.drive()
        self.now = until

    def do_probe(self, rest: str) -> None:
        path, verdict, *why = rest.split(maxsplit=2)
        self.publish()
        good = {"good": True, "bad": False}[verdict]
        self.pipeline.step(Probed(self.targets[path], Verdict(path, good, " ".join(why))), self.now)

    def do_host(self, rest: str) -> None:
        host, *addresses = rest.split()
        self.hosts[host] = tuple(addresses)
        self.pipeline.step(HostResolved(host, tuple(addresses)), self.now)

    def do_changes(self, rest: str) -> str:
        """What was told since the last time."""
        self.publish()
        lines = [*map(_tell, self.changes)]
        self.changes.clear()
        return "\n".join(lines) or "none"

    def do_keep(self, rest: str) -> None:
        self.publish()
        self.journal = MemoryJournal(self.pipeline.services, self.now, int(rest))

    def do_history(self, rest: str) -> str:
        """What is kept of it, how far back, and what was left out."""
        self.publish()
        assert self.journal is not None, "keep N"
        known = self.journal.history(Query(rest))()
        assert known.since is not None
        lines = [f"since {known.since - START:g}"]
        lines += [f"{int(c.at - START)} {_tell(c)}" for c in known.changes]
        lines += [f"left out: {n} of {who}, up to {at - START:g}" for who, n, at in known.left_out]
        return "\n".join(lines)

    # --- questions ----------------------------------------------------------------------------------------

    def _reply(self, query: bytes, limit: int, client: str = "192.0.2.1") -> bytes | None:
        self.publish()
        return self._dispatch(query, limit, client)

    def _dispatch(self, query: bytes, limit: int, client: str) -> bytes | None:
        outcome = self.dispatcher.dispatch(self.dispatcher.read(query, client, "udp", limit))
        assert outcome is None or isinstance(outcome, bytes), "nothing is forwarded here"
        return outcome

    def do_ask(self, rest: str) -> str:
        name, rtype, *words = rest.split()
        ways = dict(w.partition("=")[::2] for w in words)
        query = dns.message.make_query(
            name, rtype, rdclass=ways.get("class", "IN"), use_edns=False, id=0, flags=0
        )
        if ways.keys() & {"edns", "size", "do", "nsid", "version", "subnet"}:
            options: list[dns.edns.Option] = []
            if "nsid" in ways:
                options.append(dns.edns.GenericOption(dns.edns.OptionType.NSID, b""))
            if "subnet" in ways:
                address, _, bits = ways["subnet"].partition("/")
                options.append(dns.edns.ECSOption(address, int(bits)))
            flags = dns.flags.DO if "do" in ways else 0
            size = int(ways.get("size", 1232))
            query.use_edns(int(ways.get("version", 0)), flags, size, options=options)
        if "opcode" in ways:
            query.set_opcode(dns.opcode.Opcode(int(ways["opcode"])))
        if "rd" in ways:
            query.flags |= dns.flags.RD
        limit = 65_535 if "tcp" in ways else HIGHEST_UDP
        reply = self._reply(query.to_wire(), limit, ways.get("from", "192.0.2.1"))
        return "dropped" if reply is None else show(reply, "bare" in ways, "counts" in ways)

    def do_send(self, rest: str) -> str:
        reply = self._reply(bytes.fromhex(rest), HIGHEST_UDP)
        return "dropped" if reply is None else f"{show(reply)}\n{reply.hex(' ', -2)}"

    def do_tally(self, rest: str) -> str:
        times, name, rtype, *behind = rest.split(maxsplit=4)
        query = dns.message.make_query(name, rtype, use_edns=False, id=0, flags=0).to_wire()
        replies: Counter[bytes] = Counter()  # of many that are the same to the byte one is read
        client = behind[1] if behind[:1] == ["from"] else "192.0.2.1"
        self.publish()
        for _ in range(int(times)):
            reply = self._dispatch(query, 65_535, client)
            assert reply is not None
            replies[reply] += 1
        found: Counter[str] = Counter()
        for reply, n in replies.items():
            # dnspython folds equal owner and type into one RRset in the order of the wire.
            (rrset,) = dns.message.from_wire(reply).answer
            order = [item.to_text() for item in rrset]
            if behind[:1] != ["behind"]:
                found[order[0]] += n
            elif order[0] == behind[1]:
                found[order[1]] += n
        return "\n".join(f"{n} {text}" for text, n in sorted(found.items()))

    def do_states(self, rest: str) -> str:
        self.publish()
        service = self.pipeline.services.get(rest)
        if service is None:
            return "no such service"
        lines = [
            f"{i.id} {i.state}{' (' + i.reason + ')' if i.reason else ''}{'' if i.answered else ', out'}"
            for i in service.instances
        ]
        return "\n".join([*lines, *([service.note] if service.note else [])]) or "none"

    def do_problems(self, rest: str) -> str:
        self.publish()
        return "\n".join(f"{p.path}: {p.what}" for p in self.pipeline.problems) or "none"

    def do_firsts(self, rest: str) -> str:
        self.publish()
        return json.dumps(dict(sorted(self.pipeline.builder.given(rest).ever().items())))


def _registry(name: str) -> RegistryURL:
    return replace(parse_registry("zk://127.0.0.1:2181/services"), name=name)


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
            elif isinstance(option, dns.edns.ECSOption):
                lines.append(f"subnet {option.address}/{option.srclen} scope {option.scopelen}")
            else:
                lines.append(f"option {int(option.otype)} {option.to_wire()!r}")
        if message.ednsflags & dns.flags.DO:
            lines.append("do")
    return "\n".join(lines)


def _record(rrset: dns.rrset.RRset) -> str:
    rdclass = "" if rrset.rdclass == dns.rdataclass.IN else f" {dns.rdataclass.to_text(rrset.rdclass)}"
    rtype = dns.rdatatype.to_text(rrset.rdtype)
    return f"{rrset.name} {rrset.ttl}{rdclass} {rtype} {rrset[0].to_text()}"


def _tell(c: Change) -> str:
    return (
        f"{c.service}{'/' if c.service and c.id else ''}{c.id} {c.what}: {c.was or '-'} -> {c.now or '-'}"
        f"{' (' + c.why + ')' if c.why else ''}{' by ' + c.by if c.by else ''}"
    )
