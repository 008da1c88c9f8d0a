"""Layouts: which paths fit, what their holes take, what can be watched, and what is no layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.registry.layout import layout, name_service, parse_layout

NAME = st.text("abcxyz-_.:019", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))


def test_a_path_fits_with_all_of_its_segments_or_not_at_all() -> None:
    members = parse_layout("/{service}/members/{id}")
    assert members.match(("pg1", "members", "a")) == {"service": "pg1", "id": "a"}
    for path in (("pg1", "members"), ("pg1", "leader", "a"), ("pg1", "members", "a", "b"), ()):
        assert members.match(path) is None


def test_the_longest_literal_prefix_ends_at_the_first_hole() -> None:
    assert parse_layout("/{service}/{id}").prefix == ()
    assert parse_layout("/a/b/{id}/c").prefix == ("a", "b")
    assert layout("/controller").prefix == ("controller",)


def test_a_hole_of_ours_may_have_a_literal_in_front() -> None:
    masters = layout("/mesos/json.info_{id}")
    assert masters.match(("mesos", "json.info_0000000001")) == {"id": "json.info_0000000001"}
    for name in ("info_0000000001", "json.info_", "log_replicas"):
        assert masters.match(("mesos", name)) is None


def test_the_folder_of_a_layout_holds_its_nodes() -> None:
    assert parse_layout("/{service}/members/{id}").folder.text == "/{service}/members"
    assert layout("/controller").folder.segments == ()
    assert parse_layout("/nodes/{id}/info").folder.text == "/nodes"
    assert parse_layout("/{service}/{id}/a/b").folder.text == "/{service}"


@given(st.lists(NAME, min_size=3, max_size=3))
def test_what_fits_has_a_folder_that_fits_above_it(names: list[str]) -> None:
    plain = parse_layout("/{service}/members/{id}")
    path = (names[0], "members", names[1])
    assert plain.match(path) == {"service": names[0], "id": names[1]}
    assert plain.folder.match(path[:-1]) == {"service": names[0]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{service}/{id}", "must start with /"),
        ("/{service}", "no {id}"),
        ("/{service}//{id}", "empty segment"),
        ("/{id}/", "empty segment"),
        ("/{id}/{id}", "more than once"),
        ("/{service}/{service}/{id}", "more than once"),
        ("/{name}/{id}", "no {name}"),
        ("/x-{id}", "must be a whole segment"),
        ("/{id", "is no segment"),
        ("/{id}x", "is no segment"),
        ("/../{id}", "no path of ZooKeeper's"),
        ("/a\n/{id}", "no path of ZooKeeper's"),
        ("/" + "a/" * 20 + "{id}", "more than 16 segments"),
        ("", "must start with /"),
    ],
)
def test_what_is_no_layout_is_told_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="layout") as error:
        parse_layout(text)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_the_name_of_a_service_is_spelled_as_its_node_except_of_roles() -> None:
    assert name_service("druid-{role}", {"service": "COORDINATOR"}) == "druid-coordinator"
    assert name_service("prod-{service}", {"service": "Web"}) == "prod-Web"
    assert name_service("{service}", {"service": "Web"}) == "Web"
    assert name_service("kafka", {}) == "kafka"
