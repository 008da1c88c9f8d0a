"""Names to labels: the laws of folding."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zkdns.registry.labels import assign_labels, colliding, to_label

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
texts = st.text(max_size=70) | st.text(alphabet="aB_-.1", max_size=70) | st.sampled_from(["a" * 63, "a" * 64])


@given(texts)
@example("___")
@example("İ" * 40)
@example("\ud800")
def test_every_name_folds_to_a_label(name: str) -> None:
    assert LABEL.fullmatch(to_label(name))
    assert LABEL.fullmatch(to_label(name, 8))
    assert to_label(to_label(name)) == to_label(name)


@given(st.from_regex(LABEL, fullmatch=True))
def test_a_label_stays_as_it_is(name: str) -> None:
    assert to_label(name) == name


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("My_Service", "my-service"),
        ("web.v2", "web-v2"),
        ("com.example.Greeter", "com-example-greeter"),
        ("member_0000000001", "member-0000000001"),
        ("10.0.0.5:8080", "10-0-0-5-8080"),
        ("_hidden_", "hidden"),
        ("grün", "gr-n"),
    ],
)
def test_folding(name: str, label: str) -> None:
    assert to_label(name) == label


def test_a_long_name_is_cut_to_63_with_a_hash_of_the_whole() -> None:
    one, two = to_label("x" * 70 + "1"), to_label("x" * 70 + "2")
    assert one != two
    assert len(one) == len(two) == 63
    assert re.fullmatch("x{54}-[0-9a-f]{8}", one)


def test_names_of_nothing_but_other_characters_differ() -> None:
    assert to_label("___") != to_label("...")


@given(st.lists(texts, max_size=12), st.randoms(use_true_random=False))
def test_settled_labels_are_distinct_whatever_the_order(names: list[str], random) -> None:
    labels = assign_labels(names)
    assert set(labels) == set(names)
    assert len(set(labels.values())) == len(labels)
    assert all(LABEL.fullmatch(label) for label in labels.values())
    random.shuffle(names)
    assert assign_labels(names) == labels


@given(st.lists(texts, max_size=12))
def test_a_name_that_collides_with_none_keeps_its_own_label(names: list[str]) -> None:
    labels = assign_labels(names)
    taken = [to_label(name) for name in set(names)]
    for name in names:
        if taken.count(to_label(name)) == 1 and to_label(name) not in {
            v for k, v in labels.items() if k != name
        }:
            assert labels[name] == to_label(name)


def test_names_that_fold_to_the_same_get_a_hash_each() -> None:
    labels = assign_labels(["Web", "web", "other"])
    assert labels["other"] == "other"
    assert {labels["Web"][:4], labels["web"][:4]} == {"web-"}
    assert labels["Web"] != labels["web"]
    assert assign_labels(["web", "WEB"])["web"] == labels["web"]
    assert colliding(["Web", "web", "other"]) == {"web": ["Web", "web"]}


def test_a_name_that_looks_like_anothers_hash_gets_a_longer_one() -> None:
    taken = assign_labels(["Web", "web"])["web"]
    labels = assign_labels(["Web", "web", taken])
    assert len(set(labels.values())) == 3
