"""Rise, fall and damping as transcripts: `+` a good probe, `-` a bad one; below it, in or out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.health.thresholds import CAP, STEADY, CheckState, ProbeHistory, advance, needed


def play(
    probes: str, rise: int = 2, fall: int = 3, before: ProbeHistory | None = None
) -> tuple[str, ProbeHistory]:
    told = ""
    for probe in probes:
        before = advance(before, probe == "+", "refused", rise, fall)
        told += "I" if before.check_state.good else "."
    assert before is not None
    return told, before


TOLD = {
    "one good first probe puts it in": ("+", "I"),
    "one bad first probe leaves it out, and rise counts then": ("-++", "..I"),
    "it takes fall bad ones in a row to put it out": ("+--+---", "IIIIII."),
    "it takes rise good ones in a row to bring it back": ("+---+-++", "III....I"),
    "a second fall soon after doubles the rise": ("+---++---++++", "III..III....I"),
}


@pytest.mark.parametrize(("probes", "told"), TOLD.values(), ids=TOLD)
def test_probes_put_an_instance_in_and_out_as_told(probes: str, told: str) -> None:
    assert play(probes)[0] == told


def test_each_flap_asks_for_twice_as_many_good_probes_up_to_the_cap() -> None:
    _, state = play("+---")
    asked = []
    for _ in range(8):
        good = 0
        while not state.check_state.good:
            good += 1
            _, state = play("+", before=state)
        asked.append(good)
        _, state = play("---", before=state)
    assert asked == [2, 4, 8, 16, 20, 20, 20, 20]
    assert needed(99, 2) == 2 * CAP


def test_flapping_is_told_in_the_reason() -> None:
    _, state = play("+---++---")
    assert state.check_state == CheckState(False, "refused; flapping, so 4 good probes must follow")
    _, state = play("+---")
    assert state.check_state == CheckState(False, "refused")


def test_good_probes_on_the_way_back_leave_the_standing_as_it_is() -> None:
    _, out = play("+---++---")
    _, later = play("+++", before=out)
    assert later.check_state is out.check_state


def test_steady_good_probes_forget_the_flapping_one_doubling_at_a_time() -> None:
    _, state = play("+---++---++++")
    assert state.flaps == 1
    _, state = play("---" + "+" * 8, before=state)
    assert (state.flaps, state.check_state.good) == (2, True)
    _, state = play("+" * STEADY, before=state)
    assert state.flaps == 1
    _, state = play("+" * STEADY + "---", before=state)
    assert (state.flaps, state.check_state) == (0, CheckState(False, "refused"))


def test_one_that_flapped_all_day_is_forgiven_as_soon_as_one_that_reached_the_cap() -> None:
    _, state = play("+---" + ("+" * 2 * CAP + "---") * 50 + "+" * 2 * CAP)
    assert state.flaps == CAP.bit_length()
    _, state = play("+" * STEADY * CAP.bit_length() + "---", before=state)
    assert (state.flaps, state.check_state) == (0, CheckState(False, "refused"))


def test_a_fall_after_a_long_good_time_is_no_flapping() -> None:
    _, state = play("+---++" + "+" * STEADY + "---")
    assert state.flaps == 0


@given(st.text("+-", min_size=1, max_size=200), st.integers(1, 5), st.integers(1, 5))
def test_no_change_without_enough_probes_in_a_row_that_speak_for_it(
    probes: str, rise: int, fall: int
) -> None:
    told, _ = play(probes, rise, fall)
    for n in range(1, len(told)):
        if told[n - 1] + told[n] == "I.":
            assert n + 1 >= fall
            assert probes[n + 1 - fall : n + 1] == "-" * fall
        if told[n - 1] + told[n] == ".I":
            assert n + 1 >= rise
            assert probes[n + 1 - rise : n + 1] == "+" * rise


@given(st.text("+-", max_size=300), st.integers(1, 5), st.integers(1, 5))
def test_enough_good_probes_always_bring_an_instance_back(probes: str, rise: int, fall: int) -> None:
    told, _ = play(probes + "+" * (rise * CAP), rise, fall)
    assert told.endswith("I")
