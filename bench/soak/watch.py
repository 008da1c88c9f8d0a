"""Questions all the while, and what no answer may hold.

  1. An address, a target or an id name that was never registered there.
  2. Without EDE 3: an instance that went, or was put out of service, longer than its bound ago.
  3. SERVFAIL, or any other sign of distress; NXDOMAIN for a service that is there from first to last.
  4. No EDE 3, though an ensemble that the answer comes from has been out of the server's reach for long
     enough to know it; or EDE 3, though nothing befell any of those that it may come from.
  5. Anything but NXDOMAIN for names that never were; a cut reply with nothing in it.

Rules: one thread for all servers. Without EDNS a reply can't say that it is stale: such questions stand
between two with EDNS, and are held to the bounds where both of these were fresh.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.soak.asking import ZONE, Reply, ask, describe
from bench.soak.cast import Replica
from bench.soak.hostile import is_hers
from bench.soak.model import Made, Model
from bench.soak.plan import chance
from bench.soak.services import BOTH, LEADS_TO, STAYING, leads_to, needs, rests_on

BETWEEN = 8
"""Questions between two that tell whether the server is fresh."""

PAUSE = 0.002
"""Seconds between two questions: the machine has others to serve."""

LATE = 1.0
"""Seconds above which an answer is late, on a machine that does much else."""

DESCRIBED = 3

RECENT = 8
"""Services that came and maybe went, of which is asked beside those that stay."""

TAGS = ("blue", "canary")
NEVER = ("nope", "a.nope", "nope.s0", "_nope._tcp.s0", "_nope._tcp", "a.b.s0")
"""Names below the zone that nobody ever registers."""


@dataclass(frozen=True, slots=True)
class Question:
    """`about`: the service it is about, if any."""

    name: str
    type: str
    judge: Callable[[Reply, str, bool], Iterator[str]]
    about: str = ""

    def needs(self, rcode: str = "NOERROR") -> frozenset[str]:
        """The ensembles without which its answer must be stale."""
        if not self.about:
            return BOTH if self.name.endswith(ZONE) else frozenset()
        if rcode == "NXDOMAIN":
            return BOTH
        if self.name == f"{self.about}.{ZONE}":
            return needs(self.about, self.type)
        alone = rests_on(self.about)
        return alone if len(alone) == 1 else frozenset()

    def rests_on(self, rcode: str) -> frozenset[str]:
        """The ensembles that its answer may come from: who says that a name is not there speaks for all."""
        return BOTH if rcode == "NXDOMAIN" or not self.about else rests_on(self.about)


class Watch:
    """`answered`, `lost` and `late`: replies that came, did not, and came late, by server."""

    def __init__(self, replicas: Sequence[Replica], model: Model, seed: int) -> None:
        self.answered: Counter[int] = Counter()
        self.lost: Counter[int] = Counter()
        self.late: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self._replicas = replicas
        self._model = model
        self._chance = chance(seed, "questions")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn(self._replicas[self._chance.randrange(len(self._replicas))])
        except Exception as error:
            self._model.blame(f"the watch itself broke: {error!r}")
            raise

    def _turn(self, replica: Replica) -> None:
        fresh = self._is_fresh(replica)
        asked = []
        for _ in range(BETWEEN):
            question = self._draw()
            tcp, edns = self._chance.random() < 0.25, self._chance.random() < 0.7
            reply = ask(replica, question.name, question.type, tcp=tcp, edns=edns)
            self._count(replica, reply, f"{'tcp' if tcp else 'udp'}{'+edns' if edns else ''}")
            if reply is not None:
                asked.append((question, reply))
                for what in self._judge_age(question, reply, replica.number):
                    self._blame(replica, question, f"{replica}: {reply}: {what}")
            self._stopping.wait(PAUSE)
        fresh = self._is_fresh(replica) and fresh
        for question, reply in asked:
            held_to_bounds = fresh if reply.stale is None else not reply.stale
            for what in self._judge(question, reply, held_to_bounds):
                self._blame(replica, question, f"{replica}: {reply}: {what}")

    def _blame(self, replica: Replica, question: Question, what: str) -> None:
        """With what the server itself says of it, the first times."""
        if len(self._model.broken) < DESCRIBED:
            what = "\n    ".join([what, *describe(replica, question.about)])
        self._model.blame(what)

    def _is_fresh(self, replica: Replica) -> bool:
        reply = ask(replica, ZONE, "SOA")
        self._count(replica, reply, "udp+edns")
        return reply is not None and not reply.stale

    def _count(self, replica: Replica, reply: Reply | None, how: str) -> None:
        counted = self.lost if reply is None else self.answered
        counted[replica.number] += 1
        if reply is not None:
            self.late[replica.number] += reply.told - reply.asked > LATE
            self.kinds[how] += 1
            self.kinds["stale"] += bool(reply.stale)

    # --- what is asked ---------------------------------------------------------------------------------

    def _draw(self) -> Question:
        draw = self._chance
        with self._model.lock:
            services = list(self._model.services)
            made = list(self._model.recent)
        service = draw.choice(services[: len(STAYING)] + services[len(STAYING) :][-RECENT:])
        name = f"{service}.{ZONE}"
        kind = draw.choice(
            ("A", "A", "AAAA", "SRV", "SRV", "TXT", "tag", "id", "PTR", "list", "reverse", "never")
        )
        if not made and kind in ("id", "reverse"):
            kind = "A"
        if kind in ("A", "AAAA"):
            return Question(name, kind, self._addresses, service)
        if kind == "SRV":
            owner = draw.choice((name, f"_{service}._tcp.{ZONE}", f"_http._tcp.{name}"))
            return Question(owner, "SRV", self._targets, service)
        if service in LEADS_TO and kind in ("TXT", "tag", "PTR"):
            kind = "A"
            return Question(name, kind, self._addresses, service)
        if kind == "TXT":
            return Question(name, "TXT", self._text, service)
        if kind == "tag":
            tag = draw.choice(TAGS)
            types = {"A": self._addresses, "AAAA": self._addresses, "SRV": self._targets}
            type = draw.choice(list(types))
            return Question(f"{tag}.{name}", type, types[type], service)
        if kind == "PTR":
            return Question(f"_{service}._tcp.{ZONE}", "PTR", self._browsed, service)
        if kind == "list":
            return Question(f"_services._dns-sd._udp.{ZONE}", "PTR", self._listed)
        if kind == "never":
            type = draw.choice(("A", "SRV", "TXT", "SOA", "NS"))
            return Question(f"{draw.choice(NEVER)}.{ZONE}", type, self._never)
        one = draw.choice(made)
        if kind == "id":
            types = {"A": self._one, "AAAA": self._one, "SRV": self._one_target}
            type = draw.choice(list(types))
            return Question(f"{one.id}.{one.service}.{ZONE}", type, types[type], one.service)
        return Question(spell_reverse(draw.choice(one.addresses)), "PTR", self._reversed)

    # --- what is judged --------------------------------------------------------------------------------

    def _judge(self, question: Question, reply: Reply, fresh: bool) -> Iterator[str]:
        if reply.rcode not in ("NOERROR", "NXDOMAIN"):
            yield "a sign of distress"
        if reply.cut and not reply.message.answer:
            yield "cut, and nothing is left"
        late = self._model.late_service(question.about, reply.asked)
        if late and fresh and reply.rcode == "NOERROR":
            yield f"the service was {late}"
        stays = question.about in STAYING and reply.name == f"{question.about}.{ZONE}"
        if stays and reply.rcode == "NXDOMAIN":
            yield "a service that never went is unknown"
        yield from question.judge(reply, question.about, fresh)

    def _judge_age(self, question: Question, reply: Reply, server: int) -> Iterator[str]:
        if reply.stale is False and self._model.must_be_stale(
            server, reply.asked, question.needs(reply.rcode)
        ):
            yield "not told that it is stale"
        if reply.stale and self._model.must_be_fresh(question.rests_on(reply.rcode)):
            yield "told that it is stale, and nothing befell what it comes from"

    def _late(self, made: Made, reply: Reply, fresh: bool, registered: bool = False) -> Iterator[str]:
        if fresh and (why := self._model.late(made.key, reply.asked, reply.told, registered=registered)):
            yield f"{made.service}/{made.id} {made.v4} {why}"

    def _known(self, service: str, id: str) -> Made | None:
        with self._model.lock:
            return self._model.made.get((service, id))

    def _addresses(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        for _, rdata in reply.records():
            address = rdata.to_text()
            made = self._model.by_address.get(address)
            if made is None or made.service not in leads_to(service):
                yield f"{address} was never registered"
            elif reply.name.startswith(TAGS) and not reply.name.startswith(f"{made.tag}."):
                yield f"{address} never had this tag"
            else:
                yield from self._late(made, reply, fresh)

    def _targets(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        targets = set()
        for _, rdata in reply.records():
            target = rdata.target.to_text()
            targets.add(target)
            id, of = target.split(".")[:2]
            made = self._known(of, id) if of in leads_to(service) else None
            if made is None or target != f"{made.id}.{made.service}.{ZONE}.":
                yield f"the target {target} is no instance of {service}"
            elif rdata.port != (made.http if reply.name.startswith("_http.") else made.port):
                yield f"{target} never had the port {rdata.port}"
            else:
                yield from self._late(made, reply, fresh)
        for owner, address in reply.extras():
            made = self._model.by_address.get(address)
            if owner not in targets or made is None or owner != f"{made.id}.{made.service}.{ZONE}.":
                yield f"the additional address {address} is not {owner}'s"

    def _text(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        if reply.rcode == "NOERROR":
            said = read_txt([rdata for _, rdata in reply.records()])
            if not 0 <= int(said.get("healthy", -1)) <= int(said.get("instances", -1)):
                yield "the counts are no counts"

    def _one(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        for _, rdata in reply.records():
            made = self._model.by_address.get(rdata.to_text())
            if made is None or reply.name != f"{made.id}.{made.service}.{ZONE}":
                yield f"{rdata.to_text()} was never its address"
            else:
                yield from self._late(made, reply, fresh, registered=True)

    def _one_target(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        for _, rdata in reply.records():
            made = self._known(service, reply.name.split(".")[0])
            if made is None or rdata.target.to_text() != f"{reply.name}." or rdata.port != made.port:
                yield f"{rdata.to_text()} was never its target"
            else:
                yield from self._late(made, reply, fresh, registered=True)

    def _browsed(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        for _, rdata in reply.records():
            target = rdata.to_text()
            made = self._known(service, target.split(".")[0])
            if made is None or target != f"{made.id}._{service}._tcp.{ZONE}.":
                yield f"{target} is no instance of {service}"
            else:
                yield from self._late(made, reply, fresh)

    def _listed(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        for _, rdata in reply.records():
            listed, rest = rdata.to_text().lstrip("_").split(".", 1)
            if is_hers(listed):
                continue
            if listed not in self._model.services or rest != f"_tcp.{ZONE}.":
                yield f"{rdata.to_text()} was never a service"
            elif fresh and (late := self._model.late_service(listed, reply.asked)):
                yield f"{listed} was {late}"

    def _reversed(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        for _, rdata in reply.records():
            id, service, *_ = rdata.to_text().split(".")
            made = self._known(service, id)
            if made is None or reply.name not in map(spell_reverse, made.addresses):
                yield f"{rdata.to_text()} never had this address"
            else:
                yield from self._late(made, reply, fresh, registered=True)

    def _never(self, reply: Reply, service: str, fresh: bool) -> Iterator[str]:
        if reply.rcode != "NXDOMAIN":
            yield "this name never was"


def spell_reverse(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer


def read_txt(records: Sequence[Any]) -> dict[str, str]:
    """The `key=value` strings of TXT records."""
    strings = [string.decode() for rdata in records for string in rdata.strings]
    return dict(string.split("=", 1) for string in strings if "=" in string)
