"""Names of tags and ports that are too many to keep ready: they say what they would have said at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.tables import Answers, everything, instance, opt, query, services
from zkdns.answers import late_names, records
from zkdns.answers.late_names import MAX_NAMES, MAX_PLACES, find_late
from zkdns.answers.routed import NOTHING
from zkdns.answers.table import Table, Unready
from zkdns.answers.zonefiles.services import Asked, find_service
from zkdns.dns import names
from zkdns.dns.types import AAAA, ANY, SRV, TXT, A
from zkdns.model import DEFAULTS, Registration, Service, State
from zkdns.pipeline.compiler import LARGE, Compiler
from zkdns.pipeline.inputs import Compilation, Compiled
from zkdns.serve import native
from zkdns.serve.request import Request
from zkdns.serve.respond import next_position, respond_whole
from zkdns.topology import NOWHERE, parse_topology

ZONES = ("svc.local", "Prod.example")
TAGS = ("canary", "blue", "nope", "i0", "a-b")


def compiled(service: Service, limit: int, zones: tuple[str, ...] = ZONES) -> Answers:
    """With so many names of tags and of ports ready."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_names, "MAX_NAMES", limit)
        answers = Answers(zones)
        answers.put(service)
    return answers


def asked(service: str, zone: str) -> list[bytes]:
    """Names of one tag, of several, of ports, and some that are none."""
    own = names.label(service) + names.wire(zone.lower())
    below = [names.label(tag) + own for tag in TAGS]
    several = [names.label(tag) + owner for tag in TAGS for owner in below]
    ports = [
        names.label(port) + names.label(protocol) + own
        for port in ("_http", "_admin", "http", "_nope")
        for protocol in ("_tcp", "_udp")
    ]
    return [*below, *several, *ports, *(names.label("_x") + port for port in ports[:2])]


def say(table: Table, name: bytes, rtype: int) -> object:
    return respond_whole(Request(query(name, rtype, opt())), table, next_position)


def tagged(count: int, *each: str) -> Service:
    """Instances with a tag and a port of their own, and all with `each`."""

    def read(n: int) -> Registration:
        ports = ((f"p{n}", 81),)
        return Registration((f"10.0.{n >> 8}.{n & 255}",), port=80, tags=(f"t{n}", *each), ports=ports)

    held = sorted((instance(n, State.HEALTHY, read(n)) for n in range(count)), key=lambda i: i.id)
    return Service("web", "web", "/services/web", DEFAULTS, tuple(held))


@given(services("web"), st.sampled_from([0, 1, 2]))
def test_what_is_compiled_when_it_is_asked_for_says_what_it_would_have_said_at_once(
    service: Service, limit: int
) -> None:
    service = replace(service, settings=replace(service.settings, near="off"))
    early, late = compiled(service, 10**6), compiled(service, limit)
    for zone in ZONES:
        for name in asked("web", zone):
            for rtype in (A, AAAA, SRV, TXT, ANY):
                # Twice, since a rotation moves on.
                for _ in range(2):
                    assert say(late.table, name, rtype) == say(early.table, name, rtype), (name, rtype)


@given(services("web"))
def test_what_an_alias_leads_to_is_said_alike_too(service: Service) -> None:
    service = replace(service, settings=replace(service.settings, near="off"))
    early, late = compiled(service, 10**6), compiled(service, 0)
    for name in asked("web", "svc.local"):
        for rtype in (A, SRV):
            assert found(early, name, rtype) == found(late, name, rtype), name


def found(answers: Answers, name: bytes, rtype: int) -> object:
    """What an alias leads to, once it is compiled."""
    while True:
        try:
            return find_service(Asked(name, rtype, answers.table, next_position, 65_535))
        except Unready as unready:
            unready.work()


@pytest.mark.skipif(native._native is None, reason="the native engine is not built")
def test_the_native_engine_answers_for_instances_and_leaves_what_is_late_to_the_other() -> None:
    answers = compiled(tagged(40, "all"), 0)
    engine = native.Native()
    engine.apply(everything(answers.table))
    own = names.wire("web.svc.local")
    for label, is_late in (("i7", False), ("t7", True), ("all", True), ("nope", True)):
        packet = query(names.label(label) + own, A)
        plain = engine.respond(packet, 1232)
        assert (plain is None) is is_late, label
        assert is_late or plain == say_plain(answers.table, packet)
    assert engine.respond(query(names.label("_p1") + names.label("_tcp") + own, SRV), 1232) is None


def say_plain(table: Table, packet: bytes) -> object:
    return respond_whole(Request(packet), table, next_position)


def test_what_stands_ready_of_tags_and_ports_is_bounded_however_many_a_service_has() -> None:
    few, many = (compiled(tagged(count), MAX_NAMES).services["web"] for count in (MAX_NAMES // 2, 3000))
    for answers in (few, many):
        assert len(answers.names) <= 2 * MAX_NAMES + 20
    assert len(few.names) > MAX_NAMES, "few are all ready"


def test_the_names_of_the_smallest_groups_are_ready_as_far_as_the_instances_behind_them_are_few() -> None:
    everyone, some = tagged(MAX_PLACES // 2 + 1).instances, tagged(10).instances
    groups = {"all": everyone, "some": some, "most": everyone[1:]}
    assert find_late(groups, 1) == {"all": everyone}
    assert find_late(groups, 2) == {"all": everyone, "most": everyone[1:]}
    assert find_late({"all": everyone, "some": some}, 1) == {}


def test_names_are_shown_whether_they_are_ready_or_not() -> None:
    early, late = compiled(tagged(9, "all"), 10**6), compiled(tagged(9, "all"), 0)
    shown = [one.services["web"].shown(one.zones[0]) for one in (early, late)]
    assert sorted(shown[0]) == sorted(shown[1])
    assert {"t3.web.svc.local", "_p3._tcp.web.svc.local"} <= set(shown[0])


def test_all_are_ready_where_a_zone_begins_below_the_service() -> None:
    answers = compiled(tagged(9), 0, ("svc.local", "web.svc.local"))
    assert names.wire("t3.web.svc.local") in answers.table.names


def test_names_that_give_all_clients_the_same_are_told() -> None:
    service = tagged(9)
    near = replace(service, settings=replace(service.settings, near="prefer"))
    answers = Answers(("svc.local",))
    answers.set_topology(parse_topology("map", {"10.0.0.0/8": "eu/a"}, own=NOWHERE)[0])
    answers.put(near)
    assert answers.services["web"].not_near == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_names, "MAX_NAMES", 0)
        answers.put(near)
    assert answers.services["web"].not_near == 18


class Alone:
    """Stands for the routes where there are none."""

    in_force: Mapping[str, object] = {}

    def beyond(self, name: str, routed: object) -> object:
        return NOTHING

    def registries(self, service: Service) -> tuple[str, ...]:
        return ()


@pytest.mark.parametrize(("each", "is_aside"), [(1, False), (64, True)])
def test_what_few_instances_say_much_of_is_compiled_aside(each: int, is_aside: bool) -> None:
    tags = tuple(f"x{n}" for n in range(each))
    service = tagged(LARGE // 20, *tags)
    compiler = Compiler(Answers(ZONES), Alone(), lambda names: 0, threads=True)  # type: ignore[arg-type]
    assert isinstance(compiler.compile(service, 1), Compilation) is is_aside
    assert compiler.is_large(service) is is_aside


def test_what_a_large_service_loses_is_told_by_what_compiles_it() -> None:
    service = tagged(LARGE + 1, "i7")
    compiler = Compiler(Answers(ZONES), Alone(), lambda names: 0, threads=True)  # type: ignore[arg-type]
    work = compiler.compile(service, 1)
    assert isinstance(work, Compilation)
    done = work.work()
    assert isinstance(done, Compiled)
    assert [problem.path for problem in done.lost] == ["/services/web"]
    assert "i7.web" in done.lost[0].what


def test_who_is_in_a_name_is_looked_through_where_it_is_compiled_and_not_for_each_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a tag of seven thousand it took a millisecond, beside an answer of a datagram's length."""
    answers = compiled(tagged(200, "canary"), 0)
    walked: list[object] = []
    answered = records.answered
    monkeypatch.setattr(records, "answered", lambda group: walked.append(group) or answered(group))
    own = names.label("web") + names.wire(ZONES[0])
    for name, rtype in ((names.label("canary") + own, SRV), (names.label("canary") + own, A),
                        (names.label("_p7") + names.label("_tcp") + own, SRV)):  # fmt: skip
        for _ in range(3):
            say(answers.table, name, rtype)
        assert len(walked) == 1
        walked.clear()
