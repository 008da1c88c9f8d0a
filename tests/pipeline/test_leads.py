"""Host names that lead to services of ours: who has which, and nothing of those that nobody has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zkdns.pipeline.leads import Leads, key_of

LABEL = {"web.svc.local": "web", "a.web.svc.local": "web", "shop.svc.local": "shop"}


@given(st.lists(st.tuples(st.sampled_from([*LABEL]), st.frozensets(st.sampled_from("xyz")))))
def test_who_has_names_that_lead_somewhere_is_known_from_both_sides(
    story: list[tuple[str, frozenset[str]]],
) -> None:
    leads = Leads()
    users: dict[str, frozenset[str]] = {}
    for host, now in story:
        leads.put(host, LABEL[host], now, users.get(host, frozenset()) ^ now)
        users[host] = now
        assert leads.hosts == {one: key_of(LABEL[one]) for one, those in users.items() if those}
        for label in ("web", "shop"):
            hosts = [one for one in users if LABEL[one] == label]
            assert leads.to(key_of(label)) == {
                name: those for name in "xyz" if (those := {one for one in hosts if name in users[one]})
            }
        assert leads._led.keys() == {*leads.hosts.values()}
