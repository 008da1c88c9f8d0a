"""Records: what is packed by hand is what dnslib and dnspython pack; who stands in which RRset."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from sys import getrefcount

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dnslib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import tables
from support.examples import examples
from support.steps import steps
from zkdns.answers import members, ports, records, texts
from zkdns.answers.owners import owners
from zkdns.answers.records import OwnerName
from zkdns.answers.spelling import Spelling, spell
from zkdns.dns import ede, names
from zkdns.dns.records import OWNER, addresses, packed, srv, txt
from zkdns.dns.types import AAAA, SRV, TXT, A
from zkdns.model import Instance, Registration, Service, ServiceSettings, State

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)
APEX = names.wire("svc.local")

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63)
hosts = st.lists(words, min_size=1, max_size=4).map(".".join).filter(lambda t: len(t) < 250)
v4 = st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n)))
v6 = st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))
ttls = st.integers(0, 2**31 - 1)
shorts = st.integers(0, 65_535)


def by_dnslib(owner: str, rtype: int, ttl: int, rdata: dnslib.RD) -> bytes:
    buffer = dnslib.DNSBuffer()
    dnslib.RR(owner, rtype, 1, ttl, rdata).pack(buffer)
    return bytes(buffer.data)


def by_dnspython(owner: str, rtype: int, ttl: int, text: str) -> bytes:
    rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.RdataType(rtype), text).to_wire()
    assert rdata is not None
    head = rtype.to_bytes(2, "big") + b"\0\1" + ttl.to_bytes(4, "big") + len(rdata).to_bytes(2, "big")
    return dns.name.from_text(owner).to_wire() + head + rdata  # type: ignore[operator]


@given(hosts, ttls, st.one_of(v4, v6))
def test_addresses_are_packed_as_others_pack_them(owner: str, ttl: int, address: str) -> None:
    made, count = addresses(names.wire(owner), [address], ttl)
    assert count == 1
    if ":" in address:
        assert made == by_dnslib(owner, AAAA, ttl, dnslib.AAAA(address))
        assert made == by_dnspython(owner, AAAA, ttl, address)
    else:
        assert made == by_dnslib(owner, A, ttl, dnslib.A(address))
        assert made == by_dnspython(owner, A, ttl, address)


@given(st.one_of(v4, v6))
def test_an_address_packs_to_what_the_standard_library_says(address: str) -> None:
    assert packed(address) == ipaddress.ip_address(address).packed
    assert names.address_of(names.reverse(address)) == packed(address)


@given(shorts, shorts, shorts, hosts, ttls)
def test_srv_is_packed_as_others_pack_it(p: int, w: int, port: int, target: str, ttl: int) -> None:
    made = srv(p, w, port, names.wire(target), ttl)
    assert made[:2] == OWNER
    owner = "x.example"
    spelled = names.wire(owner) + made[2:]
    assert spelled == by_dnspython(owner, SRV, ttl, f"{p} {w} {port} {target}.")
    # dnslib compresses the target, which RFC 2782 forbids: a target of another zone has nothing to share.
    if not target.endswith("example"):
        assert spelled == by_dnslib(owner, SRV, ttl, dnslib.SRV(p, w, port, target))


@given(st.lists(st.text(max_size=300), max_size=5), ttls)
def test_txt_reads_back_and_no_string_passes_255_bytes(strings: list[str], ttl: int) -> None:
    made = txt(strings, ttl)
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, made, 12, len(made) - 12)
    assert [*rdata.strings] == [s.encode()[:255] for s in strings] or (
        not strings and rdata.strings == (b"",)
    )  # type: ignore[attr-defined]


@given(st.integers(0, 65_535), st.text(max_size=200))
def test_an_extended_error_reads_back_under_100_bytes(code: int, text: str) -> None:
    made = ede.option(code, text)
    assert made[:2] == b"\0\x0f"
    assert int.from_bytes(made[2:4], "big") == len(made) - 4
    assert int.from_bytes(made[4:6], "big") == code
    said = made[6:].decode()
    shown = "".join(c if c.isprintable() else "?" for c in text)
    assert shown.startswith(said)
    assert len(made[6:]) < 100
    assert len(shown.encode()) - len(made[6:]) <= max(0, len(shown.encode()) - 96), (
        "no more is cut than must be"
    )
    assert ede.each(made * 3) == [made] * 3
    assert ede.bare(made * 2) == ede.option(code) * 2


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=4))
def test_a_wire_name_reads_as_dnspython_reads_it(labels: list[bytes]) -> None:
    wire = b"".join(map(names.label, labels)) + b"\0"
    if len(wire) > 255:
        return
    assert names.labels(wire) == labels
    assert dns.name.from_text(names.text(wire)) == dns.name.Name([*labels, b""])
    found = [*names.suffixes(wire)]
    assert found == [b"".join(map(names.label, labels[k:])) + b"\0" for k in range(1, len(labels))]


@pytest.mark.parametrize("text", ["a..b", "x" * 64, ".".join(["x" * 63] * 4)])
def test_a_name_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"63 characters|255 bytes"):
        names.wire(text)


# --- who stands where -------------------------------------------------------------------------------------


def an_instance(id: str, *addresses: str, state: State = State.HEALTHY, **fields: object) -> Instance:
    registration = replace(Registration(addresses, port=80), **fields)  # type: ignore[arg-type]
    answered = state is State.HEALTHY
    weight = registration.weight
    return Instance(id, id, f"/s/web/{id}", registration, 0.0, state=state, weight=weight, answered=answered)


def a_service(*instances: Instance, **fields: object) -> Service:
    return Service("web", "web", "/s/web", replace(ServiceSettings(), **fields), instances)  # type: ignore[arg-type]


def about(service: Service) -> OwnerName:
    return next(owners(service, APEX))


@settings(max_examples=examples(100), deadline=None, suppress_health_check=QUIET)
@given(tables.services("web"))
def test_an_instance_gives_its_weight_and_no_more(service: Service) -> None:
    """However many addresses it has: what its records weigh together is in proportion to its weight."""
    spelled = spell(service, 5)
    given_out = records.answered(service.instances)
    for rtype in (A, AAAA):
        tiers = records.address_tiers(given_out, rtype, spelled, records.Shared())
        assert len(tiers) <= 1
        if not tiers:
            continue
        holders = [i for i in given_out[0] if any((":" in a) == (rtype == AAAA) for a in i.addresses)]
        assert len({m.record for m in tiers[0]}) == len(tiers[0]), "no record twice"
        whole = sum(m.weight for m in tiers[0])
        assert (whole > 0) == any(i.weight for i in holders)
        for m in tiers[0]:
            # An address's share is what its holders give it of their own weights.
            address = m.record[12:]
            fair = sum(
                (
                    Fraction(i.weight, len(own))
                    for i in holders
                    if address in (own := [p for a in i.addresses if len(p := packed(a)) == len(address)])
                ),
                Fraction(0),
            )
            if whole:
                assert Fraction(m.weight, whole) == fair / sum(i.weight for i in holders)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=QUIET)
@given(tables.services("web"))
def test_srv_has_each_priority_in_order_and_one_record_for_each_target_and_port(service: Service) -> None:
    spelled = spell(service, 5)
    tiers = records.srv_tiers(service, about(service), Spelling(APEX, 5, spelled), records.Shared())
    given_out = [i for i in service.instances if i.answered and i.registration.port]
    priorities = [int.from_bytes(m.record[12:14], "big") for tier in tiers for m in tier]
    assert priorities == sorted(priorities)
    assert set(priorities) == {i.registration.priority for i in given_out}
    for tier in tiers:
        assert len({(m.record[16:]) for m in tier}) == len(tier), "no target and port twice"
    assert sum(m.weight for tier in tiers for m in tier) == sum(i.weight for i in given_out)
    for tier in tiers:
        for m in tier:
            held = next(i for i in given_out if i.id == m.id)
            assert m.extra_count == len(held.addresses)
            assert all(packed(a) in m.extra for a in held.addresses)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=QUIET)
@given(tables.services("web"))
def test_names_that_share_what_they_are_spelled_of_give_what_each_would_alone(service: Service) -> None:
    spelling, shared = Spelling(APEX, 5, spell(service, 5)), records.Shared()
    for one in owners(service, APEX):
        alone = records.srv_tiers(service, one, spelling, records.Shared())
        together = records.srv_tiers(service, one, spelling, shared)
        assert [[*tier] for tier in together] == [[*tier] for tier in alone]


@settings(max_examples=examples(100), deadline=None, suppress_health_check=QUIET)
@given(tables.services("web"))
def test_members_are_the_same_row_by_row_and_column_by_column(service: Service) -> None:
    spelling = Spelling(APEX, 5, spell(service, 5))
    for tier in records.srv_tiers(service, about(service), spelling, records.Shared()):
        rows, columns = list(tier), members.Columns.of(tier)
        assert (
            list(members.Columns.of(rows)) == list(columns) == rows == [columns[n] for n in range(len(rows))]
        )
        assert columns.ids == tuple(m.id for m in rows)
        assert columns[1:] == tuple(rows[1:])


def test_to_look_one_member_up_costs_no_others() -> None:
    """What asks for each of thousands by its place would make all of them for each."""

    def cost(size: int) -> int:
        those = [an_instance(f"i{n}", f"10.0.{n >> 8}.{n & 255}") for n in range(size)]
        columns = members.Columns.of_addresses(those, [b""] * size)
        return steps(lambda: columns[2])

    assert cost(300) == cost(3)


def test_two_at_one_address_and_port_are_one_srv_with_the_weights_added() -> None:
    both = a_service(an_instance("a", "10.0.0.1", weight=2), an_instance("b", "10.0.0.1", weight=3))
    ((one,),) = records.srv_tiers(both, about(both), Spelling(APEX, 5, spell(both, 5)), records.Shared())
    assert (one.weight, one.record[14:16]) == (5, b"\0\5")


def test_srv_scale_stops_at_65535_and_leaves_the_deal_alone() -> None:
    service = a_service(an_instance("a", "10.0.0.1", weight=300), srv_scale=256.0)
    ((one,),) = records.srv_tiers(
        service, about(service), Spelling(APEX, 5, spell(service, 5)), records.Shared()
    )
    assert one.weight == 300
    assert one.record[14:16] == b"\xff\xff"


def test_a_small_scale_gives_no_srv_weight_below_0_and_keeps_a_whole_number() -> None:
    service = a_service(an_instance("a", "10.0.0.1", weight=3), srv_scale=0.5)
    ((one,),) = records.srv_tiers(
        service, about(service), Spelling(APEX, 5, spell(service, 5)), records.Shared()
    )
    assert one.record[14:16] == b"\0\1"


@settings(max_examples=examples(100), deadline=None, suppress_health_check=QUIET)
@given(tables.services("x" * 63))
def test_the_counts_stay_under_100_bytes_and_add_up(service: Service) -> None:
    for group in owners(service, APEX):
        said = texts.counts(group.about, group.group)
        assert len(said.encode()) < 100
        if "(" in said:
            inside = said[said.index("(") + 1 : -1]
            parts = [int(part.split()[0]) for part in inside.split(", ")]
            assert sum(parts) <= len(group.group)


def test_a_long_name_is_cut_before_the_counts() -> None:
    tag = "t" * 63
    service = a_service(an_instance("a", "10.0.0.1", tags=(tag,)))
    service = replace(service, name="s" * 63, label="s" * 63)
    group = next(g for g in owners(service, APEX) if g.about.startswith("t"))
    said = texts.counts(group.about, group.group)
    assert len(said) == 99
    assert said.startswith("ttt")
    assert said.endswith("..: 1 registered, 1 healthy, none for this type")


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ("ffd", "web: 3 registered, 0 healthy (2 failing, 1 draining)"),
        ("", "web: 0 registered, 0 healthy"),
        ("hf", "web: 2 registered, 1 healthy, none for this type"),
        ("hFF", "web: 3 registered, 1 healthy, none for this type"),
        ("FF", "web: 2 registered, 0 healthy, none for this type"),
    ],
)
def test_the_counts_read_as_promised(states: str, said: str) -> None:
    kinds = {"f": State.FAILING, "d": State.DRAINING, "h": State.HEALTHY}
    group = [an_instance(str(n), "10.0.0.1", state=kinds[s.lower()]) for n, s in enumerate(states)]
    group = [replace(i, answered=True) if s == "F" else i for i, s in zip(group, states, strict=True)]
    assert texts.counts("web", group) == said


@pytest.mark.parametrize("labels", [ports.port_labels, ports.tag_labels])
def test_a_name_of_a_megabyte_costs_what_a_label_has_room_for(
    labels: Callable[[str], tuple[str, ...]],
) -> None:
    name = "A_\N{LATIN SMALL LETTER E WITH ACUTE}" * 300_000
    held = getrefcount(name)
    assert steps(lambda: labels(name)) < 500
    assert getrefcount(name) == held, "and is not kept"
    (label,) = labels(name)
    assert label == ("a--" * 21)[: len(label)]


def test_what_a_person_reads_of_a_service_has_the_promised_keys() -> None:
    service = a_service(an_instance("a", "10.0.0.1"), an_instance("b", "10.0.0.2", state=State.DOWN))
    assert texts.about_service(service)[:3] == ["instances=2", "healthy=1", "policy=weighted"]
    piece = txt(texts.about_service(service), 5)
    assert int.from_bytes(piece[2:4], "big") == TXT
