"""Publishing by difference is compiling from nothing; and every first place that is dealt is counted once."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import dns.message
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import tables
from support.asking import respond
from support.examples import examples
from support.merging import merge
from support.stepping import in_steps
from support.tables import Answers
from zkdns.answers import first_places, policies
from zkdns.answers.builder import build_table
from zkdns.answers.on_demand import find, find_folded
from zkdns.answers.on_demand import reverse as reverse_of
from zkdns.answers.table import EVERY, Entry, InstanceAddresses, Name, Table
from zkdns.config import MAX_ZONE_CHARS, load
from zkdns.dns import names
from zkdns.health.health import Health
from zkdns.model import Catalog, Instance, Registration, Service, ServiceSettings
from zkdns.pipeline.changes import Causes, Moment
from zkdns.pipeline.compiler import Compiler
from zkdns.pipeline.followers import Followers
from zkdns.pipeline.judging import Judging
from zkdns.pipeline.latency import Latency
from zkdns.pipeline.publisher import Publisher
from zkdns.pipeline.routes import RouteBook
from zkdns.pipeline.sessions import Sessions
from zkdns.pipeline.telling import Telling
from zkdns.pipeline.views import Views
from zkdns.registry.labels import to_label
from zkdns.serve.respond import next_position
from zkdns.steps import finish
from zkdns.wall import Wall

EXAMPLES = int(os.environ.get("ZKDNS_EXAMPLES", "30"))
"""For each law; a few hundred find what a change to the compiler breaks."""

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)
NAMES = (
    "svc",  # the zone svc.local lies below its name in local
    "web",
    "Web",
    "WEB",
    "we_b",
    "we-b",
    "dns",
    "a.b",
    "a-b",
    "x" * 63,
    "x" * 62 + "y",
    "x" * 64,
    "x" * 62,
)
ZONES = ("svc.local", "local", "prod.example")


# --- the table as plain values ---------------------------------------------------------------------------


def plain_entry(entry: Entry) -> Any:
    tiers = [
        (t.rotation.orders, list(t.rotation.sequence), t.records, t.extras, t.extra_counts)
        for t in entry.tiers
    ]
    return tiers, entry.cut, entry.ede, entry.repeats, entry.origin


def plain_instance(instance: InstanceAddresses) -> Any:
    return instance.a, instance.aaaa


def plain_name(known: Name) -> Any:
    instances = {label: plain_instance(instance) for label, instance in (known.instances or {}).items()}
    spelled = {(k, t): known.spell(k, t) for k in instances for t in (33, 16, 99)} if known.spell else None
    return known.zone, known.origin, known.ede, instances, spelled, type(known.responder)


def table_of(publisher: Publisher) -> Table:
    assert isinstance(publisher.builder, Answers)
    return publisher.builder.table


def plain(table: Table) -> Any:
    """All that a reader can see."""
    return (
        {key: plain_entry(entry) for key, entry in table.entries.items()},
        {owner: plain_name(known) for owner, known in table.names.items()},
        {
            (owner, rtype): known.responder.answer(owner, rtype, table, next_position, 65_535)
            for owner, known in table.names.items()
            if known.responder is not None
            for rtype in (12, 16, 33)
        },
        {
            reverse: (sorted(found[0].answer), found[1])
            for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.7", "fd00::1", "2001:db8::7")
            if (found := reverse_of(table, reverse := names.reverse(address), 12)) is not None
        },
    )


some_names = st.sets(st.sampled_from(NAMES), max_size=5)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    held: dict[str, Service] = {}
    for name in draw(some_names):
        service = draw(tables.services(name))
        instances = tuple(
            replace(i, registration=replace(i.registration, tags=draw(tags))) for i in service.instances[:9]
        )
        held[name] = replace(service, label=to_label(name), instances=instances)
    return Catalog(held, (), draw(st.integers(0, 9)), True)


tags = st.sets(st.sampled_from(["canary", "blue", "ns", "i0", "a.b", "a-b"]), max_size=3).map(tuple)


class Following:
    """A Publisher whose services are all as they registered."""

    def __init__(self, zones: tuple[str, ...]) -> None:
        self.builder = Answers(zones, ("127.0.0.1", "::1"))
        self._catalog = Catalog()
        services: dict[str, Service] = {}
        sessions, wall = Sessions(), Wall()
        routes = RouteBook(services, Views(()), (), wall)
        compiler = Compiler(self.builder, routes, lambda registries: EVERY)
        self._publisher = Publisher(
            services,
            routes=routes,
            judging=Judging(
                lambda service, now, previous: in_steps((service, None)),
                Health("z1", probes=False),
                in_steps,
                compiler.attempt,
                wall,
                lambda service: service,
            ),
            compiler=compiler,
            sessions=sessions,
            telling=Telling(Causes(sessions.why_gone), wall),
            latency=Latency(lambda service: ()),
            moved=lambda before, after: None,
            followers=Followers(lambda key: (), lambda name: None, lambda name, key: None),
            wall=wall,
            tick=lambda: 0.0,
        )

    def take(self, catalog: Catalog) -> None:
        self._catalog = merge([catalog], self._catalog)
        finish(self._publisher.take(self._catalog.services, 0.0))
        self._publisher.work(Moment(0.0, 0), 1.0)


publisher = Following


@settings(max_examples=examples(EXAMPLES), deadline=None, suppress_health_check=QUIET)
@given(st.data(), st.sampled_from([ZONES[:1], ZONES[:2], ZONES]))
def test_publishing_by_difference_equals_compiling_from_nothing(
    data: st.DataObject, zones: tuple[str, ...]
) -> None:
    following = publisher(zones)
    former: list[Service] = []
    for _ in range(data.draw(st.integers(1, 5))):
        catalog = data.draw(catalogs())
        # Some services stay the same objects, as the registry's Tree keeps them.
        kept = {s.name: s for s in former if data.draw(st.booleans())}
        catalog = replace(catalog, services={**catalog.services, **kept})
        former = list(catalog.services.values())
        following.take(catalog)
    from_nothing = publisher(zones)
    from_nothing.take(catalog)
    assert plain(table_of(following)) == plain(table_of(from_nothing))
    following.take(Catalog(complete=True))
    assert plain(table_of(following)) == plain(table_of(publisher(zones))), "nothing is left of what is gone"


@settings(max_examples=examples(EXAMPLES // 2), deadline=None, suppress_health_check=QUIET)
@given(st.lists(catalogs(), min_size=1, max_size=4))
def test_an_engine_that_follows_the_changes_holds_the_same_table(steps: list[Catalog]) -> None:
    following, late = publisher(ZONES), publisher(ZONES)
    table = Table()
    for catalog in steps:
        following.take(catalog)
        table.apply(following.builder.take())
        assert not following.builder.take(), "what was handed out has moved no more"
        late.take(catalog)
    assert plain(table) == plain(Table(late.builder.take()))
    assert table.serial == following.builder.serial
    assert table.services == following.builder.services
    assert plain(table) == plain(
        build_table(following.builder.snapshot(), following.builder.services.values())
    )


def test_a_change_of_one_service_leaves_the_others_entries_as_they_are() -> None:
    ours = publisher(ZONES)
    one, other = a_service("one", {"a": 1}), a_service("other", {"a": 1})
    ours.take(Catalog({"one": one, "other": other}, complete=True))
    before = dict(table_of(ours).entries)
    ours.take(Catalog({"one": a_service("one", {"a": 2}), "other": other}, complete=True))
    moved = {key for key, entry in table_of(ours).entries.items() if before.get(key) is not entry}
    assert moved
    assert all(b"one" in key for key in moved)


def test_the_servers_own_address_comes_back_when_a_service_that_hid_it_goes() -> None:
    ours = publisher(("svc.local",))
    before = plain(table_of(ours))
    hides = a_service("dns", {"a": 1}, tags=("ns",))
    ours.take(Catalog({"dns": hides}, complete=True))
    ours.take(Catalog(complete=True))
    assert plain(table_of(ours)) == before


def test_one_instance_under_two_tags_that_fold_to_one_counts_once() -> None:
    answers = Answers(("svc.local",))
    service = a_service("web", {"a": 1, "b": 1}, tags=())
    a, b = service.instances
    tagged = replace(a, registration=replace(a.registration, tags=("v1.0", "v1-0")))
    other = replace(b, registration=replace(b.registration, tags=("v1.0",)))
    answers.replace("web", answers.compile(replace(service, instances=(tagged, other))))
    owner = names.wire("v1-0.web.svc.local")
    srv = answers.table.entries[owner + b"\0\x21"].tiers[0]
    assert sorted(piece[14:16] for piece in srv.records) == [b"\0\1", b"\0\1"], "each with its own weight"
    firsts = Counter(answers.table.entries[owner + b"\0\1"].tiers[0].rotation.orders[at][0]
                     for at in answers.table.entries[owner + b"\0\1"].tiers[0].rotation.sequence)  # fmt: skip
    assert firsts[0] == firsts[1]


def test_with_the_longest_labels_and_zone_every_name_fits_in_255_bytes() -> None:
    zone = ".".join(["z" * 59, "y" * (MAX_ZONE_CHARS - 60)])
    assert len(parse_zone(zone)) == MAX_ZONE_CHARS
    answers = Answers((zone,))
    name = "s" * 63
    registration = Registration(
        ("10.0.0.1", "fd00::1"), port=80, tags=("t" * 80,), ports=(("p" * 80, 81),), protocol="tcp"
    )
    instance = Instance("i" * 63, "i" * 63, f"/s/{name}/i", registration, 0.0)
    answers.replace(name, answers.compile(Service(name, name, f"/s/{name}", instances=(instance,))))
    assert max(map(len, answers.table.names)) <= 255
    asked = [
        *answers.table.names,
        *(names.label(b"i" * 63) + owner for owner in answers.table.names if len(owner) < 192),
    ]
    asked.append(names.reverse("10.0.0.1"))
    seen = set()
    for owner in asked:
        for rtype in (1, 28, 33, 12, 16, 6, 2):
            reply = respond(tables.query(owner, rtype), answers, 65_535, next_position)
            assert isinstance(reply, bytes)
            message = dns.message.from_wire(reply)  # which refuses names that are too long
            seen.update(rrset.rdtype for rrset in message.answer)
    assert seen == {1, 28, 33, 12, 16, 6, 2}


def parse_zone(zone: str) -> str:
    return load({"zone": (zone,)}, {}).zone[0]


def test_an_instance_whose_id_was_folded_is_found_by_its_label() -> None:
    ids = ["A:1", "B", "a-2", "b_3", "z", "Z/9"]
    instances = tuple(
        Instance(id, to_label(id), f"/s/web/{n}", Registration((f"10.0.0.{n}",), port=80), 0.0)
        for n, id in enumerate(sorted(ids))
    )
    service = Service("web", "web", "/s/web", instances=instances)
    for i in instances:
        assert find(service, i.label.encode(), find_folded(service)) is i
    for label in (b"nope", b"", b"A:1", b"\xff", b"zz"):
        assert find(service, label, find_folded(service)) is None


def test_a_megabyte_of_meta_is_cut_to_what_a_message_holds() -> None:
    answers = Answers(("svc.local",))
    meta = tuple((f"key{n}", "v" * 240) for n in range(4000))
    service = a_service("web", {"a": 1})
    big = replace(service.instances[0], registration=replace(service.instances[0].registration, meta=meta))
    answers.replace("web", answers.compile(replace(service, instances=(big,))))
    for owner in ("a.web.svc.local", "a._web._tcp.svc.local"):
        reply = respond(tables.query(names.wire(owner), 16, tables.opt()), answers, 65_535, next_position)
        assert isinstance(reply, bytes)
        ((txt,),) = dns.message.from_wire(reply).answer
        assert len(txt.strings) > 200
        assert any(s.startswith(b"key0=v") for s in txt.strings)
        over_udp = respond(tables.query(names.wire(owner), 16, tables.opt()), answers, 1232, next_position)
        assert isinstance(over_udp, bytes)
        assert over_udp[2] & 2, "the client asks again over TCP"


# --- accounting ---------------------------------------------------------------------------------------------


def a_service(
    name: str,
    weights: dict[str, int],
    policy: str = "weighted",
    cut: int = 8,
    tags: tuple[str, ...] = ("all",),
    priorities: dict[str, int] | None = None,
) -> Service:
    """An address and a port for each, so that an answer tells who stands first."""
    instances = tuple(
        Instance(
            id,
            id,
            f"/services/{name}/{id}",
            Registration(
                (f"10.0.0.{ord(id)}", f"fd00::{ord(id):x}"),
                port=8000 + ord(id),
                weight=weight,
                tags=tags,
                priority=(priorities or {}).get(id, 0),
            ),
            0.0,
            weight=weight,
        )
        for id, weight in sorted(weights.items())
    )
    chosen = ServiceSettings(policy=policy, answers=cut)  # type: ignore[arg-type]
    return Service(name, name, f"/services/{name}", chosen, instances)


def who_is_first(reply: bytes) -> str | None:
    answer = dns.message.from_wire(reply).answer
    if not answer:
        return None
    text = answer[0][0].to_text()
    if " " in text:
        return chr(int(text.split()[2]) - 8000)
    return chr(int(text.rpartition(":")[2], 16)) if ":" in text else chr(int(text.rpartition(".")[2]))


ids = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 5), max_size=5)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from([1, 28, 33]), st.integers(1, 30), st.booleans()),
        st.tuples(
            st.just("put"),
            ids,
            st.sampled_from(policies.names()),
            st.integers(1, 8),
        ),
        st.tuples(st.just("take out")),
    ),
    max_size=12,
)


@settings(max_examples=examples(EXAMPLES), deadline=None, suppress_health_check=QUIET)
@given(steps)
def test_every_first_place_that_was_given_is_counted_once_whatever_was_published_between(
    story: list[Any],
) -> None:
    answers = Answers(("svc.local", "other.example"))
    given_out: Counter[str] = Counter()
    answers.replace("web", answers.compile(a_service("web", {"a": 1, "b": 2})))
    for step in story:
        if step[0] == "put":
            answers.replace("web", answers.compile(a_service("web", *step[1:])))
        elif step[0] == "take out":
            answers.replace("web", None)
        else:
            _, rtype, times, second_zone = step
            zone = answers.zones[second_zone].apex
            owner = names.label("web") + zone
            for _ in range(times):
                reply = respond(tables.query(owner, rtype), answers, 65_535, next_position)
                assert isinstance(reply, bytes)
                first = who_is_first(reply)
                if first is not None:
                    given_out[first] += 1
                tagged = names.label("all") + owner
                respond(
                    tables.query(tagged, rtype), answers, 65_535, next_position
                )  # a tag's are not counted
    assert {id: n for id, n in answers.given("web").ever().items() if n} == dict(given_out)
    assert {id: n for (_, id), n in first_places.count(answers.walk_first_answers())[0].items() if n} == dict(
        given_out
    )


def test_ids_that_never_come_back_are_forgotten_the_longest_gone_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_places, "MAX_GONE", 3)
    answers = Answers(("svc.local",))
    for id in "abcdef":
        answers.replace("web", answers.compile(a_service("web", {id: 1})))
        respond(tables.query(names.wire("web.svc.local"), 1), answers, 512, next_position)
    assert answers.given("web").ever() == dict.fromkeys("cdef", 1)
    answers.replace("web", answers.compile(a_service("web", {"c": 1, "f": 1})))
    assert answers.given("web").ever() == dict.fromkeys("cdef", 1), "one that came back has its count still"
    answers.replace("web", None)
    assert answers.given("web").ever() == dict.fromkeys("cef", 1), "d is gone for longest"
    answers.replace("other", answers.compile(a_service("other", {"z": 1})))
    respond(tables.query(names.wire("other.svc.local"), 1), answers, 512, next_position)
    assert first_places.count(answers.walk_first_answers())[0]["other", "z"] == 1


def test_a_walk_that_pauses_counts_each_service_as_of_one_moment() -> None:
    answers = Answers(("svc.local",))

    def ask(name: str, times: int) -> None:
        for _ in range(times):
            respond(tables.query(names.wire(f"{name}.svc.local"), 1), answers, 512, next_position)

    for name in ("web", "db"):
        answers.replace(name, answers.compile(a_service(name, {"a": 1})))
        ask(name, 3)
    walk = answers.walk_first_answers()
    walked = [next(walk)]
    for name in ("web", "db"):
        answers.replace(name, answers.compile(a_service(name, {"a": 1, "b": 1})))
        ask(name, 10)
    walked += walk
    assert first_places.count(walked)[0] == {("web", "a"): 3, ("db", "a"): 8, ("db", "b"): 5}
    assert first_places.count(answers.walk_first_answers())[0]["web", "a"] == 8


def test_given_is_counted_anew_when_weights_change_and_goes_on_when_anything_else_does() -> None:
    answers = Answers(("svc.local",))

    def put(weights: dict[str, int] | None, cut: int = 8) -> None:
        service = a_service("web", weights, "weighted", cut) if weights is not None else None
        answers.replace("web", answers.compile(service) if service is not None else None)

    def ask(times: int) -> None:
        for _ in range(times):
            respond(tables.query(names.wire("web.svc.local"), 1), answers, 512, next_position)

    def recent() -> dict[str, int]:
        return {id: n for id, n in answers.given("web").recent().items() if n}

    put({"a": 1, "b": 1})
    ask(10)
    put({"a": 1, "b": 1}, 1)
    ask(10)
    assert recent() == {"a": 10, "b": 10}
    put({"a": 1, "b": 3})
    assert recent() == {}
    ask(8)
    assert recent() == {"a": 2, "b": 6}
    put({"a": 1})
    ask(1)
    assert recent() == {"a": 1}
    assert answers.given("web").ever() == {"a": 13, "b": 16}
    put(None)
    put({"a": 1, "b": 1})
    ask(2)
    assert recent() == {"a": 1, "b": 1}


def test_a_part_that_was_compiled_before_more_answers_were_dealt_counts_them_too() -> None:
    answers = Answers(("svc.local",))
    answers.replace("web", answers.compile(a_service("web", {"a": 1, "b": 1})))
    next_part = answers.compile(a_service("web", {"a": 3, "b": 1}))
    owner = names.label("web") + answers.zones[0].apex
    for _ in range(10):
        respond(tables.query(owner, 1), answers, 65_535, next_position)
    answers.replace("web", next_part)
    assert answers.given("web").ever() == {"a": 5, "b": 5}


@pytest.mark.parametrize("weights", [{"a": 1, "b": 2, "c": 3}, {"a": 0, "b": 7}, {"a": 0, "b": 0}])
def test_over_a_cycle_answers_give_first_places_in_exact_proportion(weights: dict[str, int]) -> None:
    answers = Answers(("svc.local",))
    answers.replace("web", answers.compile(a_service("web", weights)))
    in_force = weights if any(weights.values()) else dict.fromkeys(weights, 1)
    total = sum(in_force.values())
    for rtype in (1, 28, 33):
        key = names.wire("web.svc.local") + rtype.to_bytes(2, "big")
        cycle = len(answers.table.entries[key].tiers[0].rotation.sequence)
        found: Counter[str | None] = Counter()
        for _ in range(cycle):
            reply = respond(tables.query(key[:-2], rtype), answers, 65_535, next_position)
            assert isinstance(reply, bytes)
            found[who_is_first(reply)] += 1
        assert {id: n * total for id, n in found.items()} == {
            id: w * cycle for id, w in in_force.items() if w
        }


def test_two_services_asked_in_turn_do_not_resonate() -> None:
    answers = Answers(("svc.local",))
    for name in ("one", "two"):
        answers.replace(name, answers.compile(a_service(name, {"a": 1, "b": 1})))
    found: Counter[tuple[str, str | None]] = Counter()
    for _ in range(10):
        for name in ("one", "two"):
            reply = respond(tables.query(names.wire(f"{name}.svc.local"), 1), answers, 512, next_position)
            assert isinstance(reply, bytes)
            found[name, who_is_first(reply)] += 1
    assert set(found.values()) == {5}


def test_the_names_that_are_shown_are_for_asking_and_of_one_zone() -> None:
    answers = Answers(["svc.local", "eu.svc.local"])
    registered = Registration(("10.0.0.1",), port=80, ports=(("http", 8080),), tags=("canary",))
    held = Service("web", "web", "/s/web", instances=(Instance("a", "a", "/s/web/a", registered, 0.0),))
    part = answers.compile(held)
    wanted = ["_http._tcp.web", "_web._tcp", "canary.web", "web"]
    for zone, name in zip(answers.zones, answers.zone_names, strict=True):
        assert sorted(part.shown(zone)) == [f"{label}.{name}" for label in wanted]


def test_a_service_that_is_called_as_a_protocol_shows_its_srv_name() -> None:
    answers = Answers(["svc.local"])
    registered = Registration(("10.0.0.1",), port=53, protocol="udp", ports=(("http", 80),), zone="eu-1a")
    held = Service("udp", "udp", "/s/udp", instances=(Instance("a", "a", "/s/udp/a", registered, 0.0),))
    shown = answers.compile(held).shown(answers.zones[0])
    assert sorted(shown) == ["_http._udp.udp.svc.local", "_udp._udp.svc.local", "udp.svc.local"]


@pytest.mark.parametrize("size", [1_500, 3_000])
def test_who_asks_for_srv_over_tcp_has_the_whole_pool_or_what_a_message_holds(size: int) -> None:
    answers = Answers(["svc.local"])
    held = tuple(
        Instance(
            f"i{n:04}", f"i{n:04}", f"/s/web/{n}", Registration((f"10.0.{n >> 8}.{n & 255}",), port=80), 0.0
        )
        for n in range(size)
    )
    answers.put(Service("web", "web", "/s/web", instances=held))
    query = dns.message.make_query("_web._tcp.svc.local", "SRV").to_wire()
    seen: set[str] = set()
    for _ in range(2):
        reply = respond(query, answers.table, 65_535, next_position)
        (rrset,) = dns.message.from_wire(reply).answer
        assert len(rrset) == size or 65_535 - len(reply) < 40, "as many as there are, or as find room"
        seen |= {record.to_text() for record in rrset}
    assert len(seen) == size or len(seen) > len(rrset), "another position has others"
