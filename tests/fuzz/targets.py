"""What strangers can put before zkdns, one function a door: bytes in, and out only what the door allows.

Rules: a target returns where all is well, whatever the bytes are. Whatever it raises is a finding, and
becomes a named test in `test_findings.py`. Bytes are made up by `mutate.py`, and atheris in `bench/fuzz.py`.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path

from fuzz import seeds
from fuzz.mutate import NAMES
from registry.ensemble import Ensemble
from support import tables, wire
from support.asking import respond
from support.tables import Answers
from support.trees import open_root
from zkdns import config
from zkdns.answers.table import Entry
from zkdns.answers.zonefiles.overlay import Overlay
from zkdns.answers.zonefiles.reader import ZoneFolder
from zkdns.dns import ede, message
from zkdns.dns.packet import HIGHEST_UDP
from zkdns.explain.explain import explain
from zkdns.forward import resolvconf
from zkdns.forward.stored import Stored
from zkdns.health import consensus
from zkdns.model import Catalog, ConfigError, Instance, Problem, Registration, Service, ServiceSettings, State
from zkdns.registry import file, formats, overrides, presets, state, state_items
from zkdns.registry import settings as service_settings
from zkdns.registry.addresses import canonical, is_host
from zkdns.registry.arrange import Found, arrange
from zkdns.registry.fields import BadData
from zkdns.registry.formats import Node
from zkdns.registry.json_fields import JSONFields
from zkdns.serve import native
from zkdns.serve.dispatch import Dispatcher
from zkdns.serve.respond import FORWARD
from zkdns.steps import finish

REPOSITORY = Path(__file__).parents[2]
LIMITS = (HIGHEST_UDP, 65_535)

# Dispatcher tells of its own errors in the log, and the targets count them.
logging.getLogger("zkdns").addHandler(logging.NullHandler())
logging.getLogger("zkdns").propagate = False


@dataclass(frozen=True, slots=True)
class Target:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


# --- packets in ---------------------------------------------------------------------------------------


def _service(name: str, count: int) -> Service:
    held = []
    for n in range(count):
        registration = Registration(
            (f"10.0.{count}.{n}", f"fd00::{n + 1:x}"), port=80, tags=("canary",), ports=(("http", 80),)
        )
        held.append(Instance(f"i{n}", f"i{n}", f"/services/{name}/i{n}", registration, 0.0))
    return Service(name, name, f"/services/{name}", ServiceSettings(), tuple(held))


@cache
def _services() -> dict[str, Service]:
    return {name: _service(name, n) for name, n in (("web", 3), ("db", 1), ("big", 70), ("none", 0))}


@cache
def _answers() -> tuple[Answers, Dispatcher, native.Native | None]:
    """A table with services and zone files, in both engines where both are there."""
    answers = Answers(("svc.local", "prod.example"), ("127.0.0.1", "::1"))
    for name, service in _services().items():
        answers.replace(name, answers.compile(service))
    answers.bear(ede.option(3, "out of reach"))
    Overlay(answers).put(ZoneFolder(REPOSITORY / "zones", [z.apex for z in answers.zones]).load().zones)
    engine = None
    if not native.WHY_NOT:
        engine = native.Native()
        engine.apply(tables.everything(answers.table))
    return answers, Dispatcher(answers.table), engine


def query(data: bytes) -> None:
    """Any packet: a whole reply that is its own, FORWARD, or nothing; and both engines say the same."""
    answers, dispatcher, engine = _answers()
    for limit in LIMITS:
        said = respond(data, answers, limit, lambda entry: 0)
        if isinstance(said, bytes):
            _check_reply(data, said, limit)
        else:
            assert said is FORWARD or (said is None and (len(data) < 12 or data[2] & 0x80))
        if engine is not None and (other := engine.respond(data, limit)) is not None:

            def at(entry: Entry, engine: native.Native = engine) -> int:
                return engine.position_of(entry) - 1

            assert other == respond(data, answers, limit, at), "the engines differ"
    dispatcher.dispatch_all([data] * 3, ["127.0.0.1"] * 3)
    assert not dispatcher.errors


def _check_reply(asked: bytes, said: bytes, limit: int) -> None:
    assert said[:2] == asked[:2]
    assert said[2] & 0x80
    assert len(said) <= limit
    whole = wire.take_apart(said)
    assert asked[12:].startswith(whole.question)
    assert len(whole.opts) <= 1
    if limit == HIGHEST_UDP and not whole.opts:
        assert len(said) <= 512
    assert message.read_reply(said) is not None or not whole.question


def reply(data: bytes) -> None:
    """Any reply of an upstream: unreadable, or kept and given again whole, in every size, at every age."""
    found = message.read_reply(data)
    if found is None:
        return
    question = found.question
    asked = data[:2] + b"\1\0\0\1\0\0\0\0\0\0" + question
    for flags in (b"\0", b"\1"):
        stored = Stored(found, question[:-4].lower() + question[-4:] + flags, 1000.0)
        for now in (1000.0, 1001.5, 1_000_000.0):
            for size, limit in ((0, HIGHEST_UDP), (512, HIGHEST_UDP), (1232, HIGHEST_UDP), (1232, 65_535)):
                made = stored.reply(asked, 12 + len(question), size, limit, now)
                assert len(made) <= limit
                again = message.read_reply(made)
                assert again is not None, "what was made of it can't be read"
                assert again.question == question
                if limit == 65_535 and not made[2] & 2:
                    for before, after in zip(found[3:6], again[3:6], strict=True):
                        assert [(r[:3], r.parts) for r in _low(before)] == [
                            (r[:3], r.parts) for r in _low(after)
                        ]


def _low(records: tuple[message.Record, ...]) -> list[message.Record]:
    """A name that is compressed again may take another's case (RFC 4343, section 4.1)."""
    return [
        r._replace(
            owner=r.owner.lower(), parts=tuple(p.lower() if i & 1 else p for i, p in enumerate(r.parts))
        )
        for r in records
    ]


def why(data: bytes) -> None:
    """What anyone may ask /api/v1/explain (name, type, client, changes: a line each): JSON, or ValueError."""
    name, rtype, client, *changes = [*data.decode("utf-8", "replace").split("\n"), "", "", ""][:6]
    try:
        said = explain(
            _answers()[0].snapshot(), name, rtype, client=client, changes=[c for c in changes if c],
            forwards=lambda client: client == "127.0.0.1",
        )  # fmt: skip
    except ValueError:
        return
    json.dumps(said, ensure_ascii=False).encode()


# --- what stands in the registry ----------------------------------------------------------------------


def payload(data: bytes) -> None:
    """A node's name and data (a line each), as each format reads it: a valid Registration, or BadData.
    The same as a service's own data: settings, and what is wrong in them."""
    first, _, rest = data.partition(b"\n")
    name = first.decode("utf-8", "replace").replace("/", "%2F") or "a"
    for format in formats.names():
        module = formats.named(format)
        node = Node(name, rest)
        claimed = module.claims(node)
        try:
            parsed = module.parse(node)
            if isinstance(parsed, formats.Parsed):
                for error in parsed.left_out:
                    _check_words(error.what, error.cure)
                parsed = parsed.registration
            if parsed is not None:
                _check_registration(parsed)
        except BadData as error:
            _check_words(error.what, error.cure)
        settings, wrong, inherits = service_settings.read(format, rest)
        _check_settings(settings)
        for error in wrong:
            _check_words(error.what, error.cure)
        if inherits is not None:
            _check_registration(inherits.complete(Registration(("10.0.0.1",), format="registrar")))
        assert claimed in (True, False)
    _check_catalog(_grow(name, rest))


def _grow(name: str, data: bytes) -> Catalog:
    """The node as an instance, and its data as a service's."""
    ensemble = Ensemble(zxid=5 << 32)
    ensemble.create("web", data)
    ensemble.create(f"web/{name}", data)
    tree = open_root("/services")
    for event in ensemble.reading():
        tree.apply(event)
    return tree.catalog()


def _check_words(*words: str) -> None:
    for text in words:
        assert text
        assert text.isprintable()
        assert len(text) < 1000


def _check_registration(found: Registration) -> None:
    hash(found)
    assert bool(found.addresses) != (found.host is not None)
    for address in found.addresses:
        assert canonical(address) == address == str(ip_address(address))
    assert found.host is None or is_host(found.host)
    for number in (found.port, found.weight, found.priority, *dict(found.ports).values()):
        assert type(number) is int
        assert 0 <= number <= 65_535
    assert found.protocol in ("tcp", "udp")
    assert found.status in ("up", "starting", "draining", "down")
    for text in (found.zone, *found.tags, *(t for pair in found.meta for t in pair), *dict(found.ports)):
        assert isinstance(text, str)
        text.encode("utf-8")


def _check_settings(found: ServiceSettings) -> None:
    hash(found)
    assert found.ttl is None or 0 <= found.ttl < 2**31
    assert 1 <= found.answers <= 65_535
    assert 0 <= found.fail_open <= 1
    assert 0 <= found.warm <= 86_400
    assert 0 <= found.hold <= 86_400
    assert 0 < found.srv_scale <= 65_535


def _check_catalog(catalog: Catalog) -> None:
    """It is answered, and its problems can be shown."""
    answers = Answers(("svc.local",))
    for service in catalog.services.values():
        _check_settings(service.settings)
        for instance in service.instances:
            if instance.state is State.UNREADABLE:
                assert instance.reason
            else:
                _check_registration(instance.registration)
        answers.replace(service.name, answers.compile(service))
    for key in answers.table.entries:
        asked = b"\0\1\1\0\0\1\0\0\0\0\0\0" + key + b"\0\1"
        said = respond(asked, answers, 65_535, lambda entry: 0)
        assert isinstance(said, bytes)
        _check_reply(asked, said, 65_535)
    for problem in catalog.problems:
        _check_problem(problem)


def _check_problem(problem: Problem) -> None:
    _check_words(problem.what, problem.cure)
    f"{problem.path}".encode()


_FIELDS = JSONFields("address", "port", "a.weight", "status")


def znode(data: bytes) -> None:
    """A node's name and data (a line each), as each preset reads it wherever it may stand: valid
    registrations, and one problem at most; then all of a service that consists of it and a good member."""
    first, _, rest = data.partition(b"\n")
    name = first.decode("utf-8", "replace").replace("/", "%2F") or "a"
    node = Node(name, rest)
    for preset in map(presets.named, presets.names()):
        found = []
        for at, place in enumerate(preset.places):
            holes = {"service": "pg1", "id": name, "role": "Cluster Coordinator"}
            parts, error = place.parts(node, holes)
            if error is not None:
                _check_words(error.what, error.cure)
            found.append(Found(f"/{at}/{name}", name, place, parts))
        found.append(Found("/good", "good", preset.places[0], (Registration(("10.0.0.9",), port=9),)))
        arranged = finish(arrange(preset, "pg1", found))
        assert "good" in {instance.id for instance in arranged.instances}
        for instance in arranged.instances:
            if instance.state is not State.UNREADABLE:
                _check_registration(instance.registration)
        for problem in arranged.problems:
            _check_problem(problem)
        for office in arranged.offices:
            assert sum(office in i.registration.tags for i in arranged.instances) <= 1
    for parse in (*(partial(presets.parse, presets.named(name)) for name in presets.names()), _FIELDS.parse):
        try:
            _check_registration(parse(node))
        except BadData as error:
            _check_words(error.what, error.cure)


def override(data: bytes) -> None:
    """An operator's order: what it says, or ValueError."""
    try:
        found = overrides.parse(data)
    except ValueError:
        return
    assert found.drain or 0 <= (found.weight or 0) <= 65_535
    assert overrides.parse(overrides.spell(found)) == found


def ballot(data: bytes) -> None:
    """Another replica's verdicts: never raises, and what was read can be written."""
    votes = consensus.read_ballot(data)
    again = consensus.read_ballot(consensus.write_ballot(votes))
    assert again == votes or len(votes) > 1000


# --- files --------------------------------------------------------------------------------------------


@cache
def _folder() -> Path:
    """A place for one file after the other; in memory where there is such a place."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="zkdns-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _write(data: bytes, name: str) -> Path:
    path = _folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def zone(data: bytes) -> None:
    """A zone file: served, or a problem; and whatever is served is answered whole."""
    path = _write(data, "zones/lab.example.zone")
    answers = Answers(("svc.local",))
    loaded = ZoneFolder(path.parent, [z.apex for z in answers.zones]).load()
    assert bool(loaded.zones) != bool(loaded.problems)
    for problem in loaded.problems:
        assert problem.what
        assert problem.cure
    mount = Overlay(answers)
    mount.put(loaded.zones)
    mount.problems()
    for found in loaded.zones.values():
        for owner, node in list(found.nodes.items())[:20]:
            for name in (owner, b"\1x" + owner, b"\4_tcp" + owner):
                if len(name) <= 255:
                    for rtype in {1, 16, 255, *list(node or ())[:5]}:
                        _ask(answers, name, rtype)


def _ask(answers: Answers, name: bytes, rtype: int) -> None:
    asked = b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + struct.pack("!HH", rtype, 1)
    for limit in LIMITS:
        said = respond(asked, answers, limit, lambda entry: 0)
        if isinstance(said, bytes):
            _check_reply(asked, said, limit)
        else:
            assert said is FORWARD


def settings(data: bytes) -> None:
    """A settings file, and its text as a flag's value: Settings, or ConfigError."""
    path = str(_write(data, "settings.toml"))
    _load({"config": path}, {})
    text = data[:200].decode("utf-8", "replace")
    for name in ("registry", "listen", "zone", "forward", "forward_allow", "http"):
        _load({name: text if name == "http" else (text,)}, {})
    _load({}, {"ZKDNS_REGISTRY": text, "ZKDNS_ZOOKEEPER_AUTH": text})


def _load(flags: dict[str, object], environ: dict[str, str]) -> None:
    try:
        found = config.load(flags, environ)
    except ConfigError:
        return
    hash(found)
    assert all(url.scheme in ("zk", "file") for url in found.registry)
    resolvconf.nameservers("\n".join(found.forward))
    for text in found.forward:
        with suppress(ConfigError):
            assert 0 < resolvconf.parse_upstream(text).port < 65_536


def registry_file(data: bytes) -> None:
    """A file registry: a Catalog whose services are answered, or ConfigError."""
    try:
        found = file.parse(data, 1.0, "registry.toml")
    except ConfigError:
        return
    _check_catalog(found)
    assert file.parse(data, 2.0, "registry.toml", found).services == found.services


SEALED = len(state.MAGIC) + 10


def state_file(data: bytes) -> None:
    """A state file, as it stands and with a checksum that fits: a Catalog or a Problem."""
    body = data[:-32]
    for text in (data, body + hashlib.sha256(body).digest(), _seal(data)):
        folder = _write(text, f"state/{state.NAME}").parent
        found = state.load(folder)
        assert (found.catalog is None) != (found.problem is None)
        if found.catalog is not None:
            catalog = found.catalog
            for problem in catalog.problems:
                str(problem)
            for service in catalog.services.values():
                hash(service)


def _seal(data: bytes) -> bytes:
    body = state.MAGIC + struct.pack("!H", state.VERSION) + state_items.FINGERPRINT + data[SEALED:-32]
    return body + hashlib.sha256(body).digest()


def _saved_example() -> bytes:
    problems = (Problem("/services/web/x", "its data is empty", "write JSON"),)
    services = {name: _service(name, count) for name, count in (("web", 3), ("none", 0))}
    folder = _folder() / "state"
    state.save(folder, Catalog(services, problems, 7, complete=True))
    return (folder / state.NAME).read_bytes()


@cache
def targets() -> dict[str, Target]:
    """All of them by name."""
    made = (
        Target(query, seeds.QUERIES, seeds.PACKET_WORDS),
        Target(reply, seeds.replies(_say), seeds.PACKET_WORDS),
        Target(payload, seeds.PAYLOADS, seeds.JSON_WORDS),
        Target(override, seeds.ORDERS, seeds.ORDER_WORDS),
        Target(ballot, seeds.BALLOTS, seeds.BALLOT_WORDS),
        Target(zone, seeds.ZONES, seeds.ZONE_WORDS),
        Target(settings, seeds.SETTINGS, seeds.TOML_WORDS),
        Target(registry_file, seeds.REGISTRIES, (*seeds.TOML_WORDS, *seeds.JSON_WORDS)),
        Target(state_file, (_saved_example(),), seeds.STATE_WORDS),
        Target(why, seeds.EXPLAINED, seeds.EXPLAIN_WORDS),
        Target(znode, seeds.ZNODES, seeds.ZNODE_WORDS),
    )
    return dict(zip(NAMES, made, strict=True))


def _say(asked: bytes) -> object:
    return respond(asked, _answers()[0], 65_535, lambda entry: 0)
