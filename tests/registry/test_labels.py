"""Names to labels: the laws of folding."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.folding import ALIKE, Folded, labels_of
from zkdns.registry.labels import Labels, find_name, is_label, to_label

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
def test_a_name_becomes_a_label_of_letters_digits_and_hyphens(name: str, label: str) -> None:
    assert to_label(name) == label


def test_each_character_that_no_label_has_becomes_a_hyphen() -> None:
    for character in map(chr, [*range(0x80), 0xE9, 0xDC80, 0xFFEE, 0x1F600]):
        plain = character.lower()
        assert to_label(f"a{character}b") == f"a{plain if plain.isascii() and plain.isalnum() else '-'}b"


def test_a_long_name_is_cut_to_63_with_a_hash_of_the_whole() -> None:
    one, two = to_label("x" * 70 + "1"), to_label("x" * 70 + "2")
    assert one != two
    assert len(one) == len(two) == 63
    assert re.fullmatch("x{54}-[0-9a-f]{8}", one)


def test_names_of_nothing_but_other_characters_differ() -> None:
    assert to_label("___") != to_label("...")


@given(st.lists(texts, max_size=12), st.randoms(use_true_random=False))
def test_settled_labels_are_distinct_whatever_the_order(names: list[str], random) -> None:
    labels = labels_of(names)
    assert set(labels) == set(names)
    assert len(set(labels.values())) == len(labels)
    assert all(LABEL.fullmatch(label) for label in labels.values())
    random.shuffle(names)
    assert labels_of(names) == labels


@given(st.lists(texts, max_size=12))
def test_a_name_that_collides_with_none_keeps_its_own_label(names: list[str]) -> None:
    labels = labels_of(names)
    taken = [to_label(name) for name in set(names)]
    for name in names:
        if taken.count(to_label(name)) == 1 and to_label(name) not in {
            v for k, v in labels.items() if k != name
        }:
            assert labels[name] == to_label(name)


def test_a_name_that_is_a_label_keeps_it_and_one_that_folds_to_it_gets_a_hash() -> None:
    labels = labels_of(["Web", "web", "other"])
    assert labels["other"] == "other"
    assert labels["web"] == "web"
    assert labels["Web"].startswith("web-")
    assert labels_of(["web", "WEB", "Web"])["Web"] == labels["Web"]


def test_of_names_that_all_have_to_be_folded_each_gets_a_hash() -> None:
    labels = labels_of(["My_Web", "my.web"])
    assert all(label.startswith("my-web-") for label in labels.values())
    assert len(set(labels.values())) == 2


def test_a_name_that_looks_like_anothers_hash_takes_it_and_the_other_gets_a_longer_one() -> None:
    names = ["Web", "web"]
    for _ in range(9):  # longer than the longest hash, too
        labels = labels_of(names)
        assert len(set(labels.values())) == len(names)
        assert all(labels[name] == name for name in names if name != "Web")
        names.append(labels["Web"])
    assert LABEL.fullmatch(labels["Web"])


def in_a_row(first: str, length: int) -> list[str]:
    """Names of which each folds to the short hash of the one before."""
    names = [first]
    while len(names) < length:
        names.append(to_label(names[-1], 1).upper())
    return names


ONE_HASH = ("abCDEfgHIJKLMNopqrst", "ABcdEfghijKlMnoPQrsT")
"""Two names of one short hash."""

PLAIN = ("web", "Web", "WEB", "wEb", "weB", "WEb", "wEB", "my-web", "My_Web", "my.web", "db", "___", "...")
HASHED = [to_label(name, attempt) for name in ("Web", "WEB", "My_Web", *ONE_HASH) for attempt in (1, 2, 3)]
UPPER = [label.upper() for label in HASHED]
NAMES = st.sampled_from([*PLAIN, *HASHED, *UPPER, *in_a_row("Web", 5), *ONE_HASH, ONE_HASH[0].lower()])


def assigned(names: set[str]) -> dict[str, str]:
    """The same, of all of them at once."""
    folded = {name for name in names if not is_label(name)}
    plain = names - folded
    folds = Counter(map(to_label, names))
    hashes = Counter(to_label(name, 1) for name in folded)

    def label_of(name: str) -> str:
        label, short = to_label(name), to_label(name, 1)
        if folds[label] == 1 and not hashes[label] - (short == label):
            return label
        if hashes[short] == 1 and short not in plain:
            return short
        return next(label for n in count(2) if (label := to_label(name, n)) not in plain)

    return {name: label_of(name) if name in folded else name for name in names}


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.sets(NAMES, max_size=6), st.sets(NAMES, max_size=4)), max_size=8))
def test_labels_by_change_are_those_from_nothing(steps: list[tuple[set[str], set[str]]]) -> None:
    """And what is told, and of whom there is something else to tell."""
    labels, there = Labels(), set[str]()

    def told(name: str, kept: Labels) -> object:
        return kept[name], kept.tell(name, "/p", "name")

    for added, removed in steps:
        before = {name: told(name, labels) for name in there}
        removed = removed & there - added
        affected = labels.change(added, removed)
        there = (there | added) - removed
        fresh = Labels()
        fresh.change(there, ())
        assert {name: labels[name] for name in there} == assigned(there)
        assert len({labels[name] for name in there}) == len(there)
        after = {name: told(name, labels) for name in there}
        assert after == {name: told(name, fresh) for name in there}
        assert {name for name in before.keys() & there if before[name] != after[name]} <= affected
        assert affected <= there


def test_a_name_that_is_like_no_other_may_yet_be_anothers_hash() -> None:
    labels = Labels()
    names = ["Web", "web"]
    names.append(to_label("Web", 1).upper())
    labels.change(names, ())
    assert (problem := labels.tell(names[2], "/services/x", "name")) is not None
    assert "which another has as its hash" in problem.what


def test_two_names_of_one_hash_get_longer_ones() -> None:
    labels = labels_of([*ONE_HASH, "other"])
    assert to_label(ONE_HASH[0], 1) == to_label(ONE_HASH[1], 1)
    assert all(re.fullmatch("abcdefghijklmn-[0-9a-f]{48}", labels[name]) for name in ONE_HASH)
    assert len(set(labels.values())) == 3


@pytest.mark.parametrize("length", [500, 2_000])
def test_of_names_each_of_which_is_the_hash_of_the_one_before_none_moves_for_more_than_the_next(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever registers thousands of them pays for one more what anybody pays."""
    row = in_a_row("Stem", length)
    labels = Labels()
    labels.change(row, ())
    folded = Folded(monkeypatch)
    for names in (["STEM"], [to_label(row[0], 1)], [to_label(row[7], 1)]):
        for added, removed in ((names, []), ([], names)):
            assert len(labels.change(added, removed)) < 5
    assert folded.count < 30
    assert {name: labels[name] for name in row} == assigned({*row})


def test_of_many_alike_each_is_told_of_those_beside_it() -> None:
    names = ["web", "weB", "wEb", "wEB", "Web", "WeB", "WEB"]
    labels = Labels()
    labels.change(names, ())
    told = {name: labels.tell(name, "/p", "name") for name in sorted(names)}
    assert {
        name: problem.what.split(", as ")[1].split(";")[0] for name, problem in told.items() if problem
    } == {
        "WEB": "WeB, Web, wEB and others do",
        "WeB": "WEB, Web, wEB and others do",
        "Web": "WeB, wEB, wEb and others do",
        "wEB": "Web, wEb, weB and others do",
        "wEb": "web, wEB, weB and others do",
        "weB": "web, wEB, wEb and others do",
    }


def test_a_change_among_many_costs_those_that_it_has_to_do_with(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Labels()
    labels.change([f"Service_{n}" for n in range(5_000)], ())
    labels.change(["pair-x", "PAIR-X"], ())
    labels.change(ALIKE[::2], ())
    folded = Folded(monkeypatch)
    labels.change(["new", "Pair-X"], ["Service_7"])
    assert folded.count < 100
    affected = labels.change([ALIKE[1], ALIKE[777]], [ALIKE[1234]])  # and beside 2,048 that fold to the same
    assert folded.count < 200
    assert len(affected) < 40


def test_a_name_is_found_as_registered_or_by_the_label_that_it_has_beside_the_others() -> None:
    alike = ["Web_App", "web.app", "Lone_App"]
    assert find_name(alike, "Web_App") == "Web_App"
    assert find_name(alike, "web-app") is None  # neither has it
    assert [find_name(alike, to_label(name, 1).upper()) for name in alike[:2]] == alike[:2]
    assert find_name(alike, "LONE-app") == "Lone_App"
    assert find_name([*alike, "web-app"], "WEB-APP") == "web-app"
