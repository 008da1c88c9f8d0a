"""Who uses what: from both sides the same, and nothing that is used no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zkdns.pipeline.users import Users

few = st.sampled_from("abcd")


@given(st.lists(st.tuples(few, st.frozensets(few))))
def test_both_sides_say_what_was_put_last(steps: list[tuple[str, frozenset[str]]]) -> None:
    users = Users()
    put: dict[str, frozenset[str]] = {}
    for name, needs in steps:
        assert users.put(name, needs) == (put.get(name, frozenset()) != needs)
        put[name] = needs
    assert {name: users.needs(name) for name in "abcd"} == {name: put.get(name, set()) for name in "abcd"}
    assert set(users.names()) == {name for name in put if put[name]}
    assert set(users) == {key for needs in put.values() for key in needs}
    for key in "abcd":
        assert users.of(key) == {name for name in put if key in put[name]}
