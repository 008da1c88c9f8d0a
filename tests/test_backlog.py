"""Backlogs: few keep their order, in a long one the newest waits for none of those that came before, what
came with thousands keeps nothing else waiting, and accounts take turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdns.backlog import FEW, Accounts, Backlog, Backlogs


def test_few_are_taken_in_the_order_in_which_they_came() -> None:
    backlog = Backlog[int].fromkeys(range(FEW))
    assert [backlog.take_next() for _ in range(FEW)] == list(range(FEW))
    with pytest.raises(KeyError):
        backlog.take_next()


def test_in_a_long_one_the_newest_and_the_oldest_have_their_turns() -> None:
    backlog = Backlog[int].fromkeys(range(10 * FEW))
    backlog[-1] = None
    taken = [backlog.take_next() for _ in range(4)]
    assert -1 in taken[:2]
    assert 0 in taken[:2]
    assert 1 in taken


@pytest.mark.parametrize("length", [FEW + 10, FEW + 11])
def test_the_oldest_go_on_though_one_comes_for_each_that_is_taken(length: int) -> None:
    backlog = Backlog[int].fromkeys(range(length))
    taken = []
    for item in range(length, length + 10):
        taken.append(backlog.take_next())
        backlog[item] = None
    assert [item for item in taken if item < 5] == [0, 1, 2, 3, 4]


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=600))
def test_each_is_taken_once_for_each_time_that_it_waits(steps: list[tuple[int, bool]]) -> None:
    backlog, waiting = Backlog[int](), set[int]()
    for item, takes in steps:
        if takes and waiting:
            waiting.remove(backlog.take_next())
        backlog[item] = None
        waiting.add(item)
    assert {*backlog} == waiting


def test_what_came_with_thousands_and_what_came_alone_have_their_turns() -> None:
    backlogs = Backlogs[int]()
    for item in range(1000):
        backlogs.put(item, True)
    for item in (-1, -2, -3):
        backlogs.put(item, False)
    taken = [backlogs.take_next() for _ in range(6)]
    assert [item for item, is_one_of_many in taken if not is_one_of_many] == [-1, -2, -3]
    assert len(backlogs) == 1000 - 3
    assert all(is_one_of_many for _, is_one_of_many in (backlogs.take_next() for _ in range(100)))


def test_few_of_either_are_taken_in_the_order_in_which_they_came() -> None:
    backlogs = Backlogs[int]()
    for item in range(FEW):
        backlogs.put(item, item % 3 == 0)
    assert [backlogs.take_next()[0] for _ in range(FEW)] == list(range(FEW))


def test_one_of_many_that_something_is_told_of_is_none_of_them_any_more() -> None:
    backlogs = Backlogs[int]()
    for item in range(1000):
        backlogs.put(item, True)
    backlogs.put(500, False)
    backlogs.put(500, True)
    assert 500 in backlogs
    assert len(backlogs) == 1000
    assert (500, False) in [backlogs.take_next() for _ in range(2)]
    assert 500 not in backlogs


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.booleans()), max_size=300))
def test_in_two_each_is_taken_once_for_each_time_that_it_waits(steps: list[tuple[int, bool, bool]]) -> None:
    backlogs, waiting = Backlogs[int](), set[int]()
    for item, is_one_of_many, takes in steps:
        if takes and waiting:
            waiting.remove(backlogs.take_next()[0])
        backlogs.put(item, is_one_of_many)
        waiting.add(item)
    assert {*backlogs} == waiting
    assert len(backlogs) == len(waiting)
    while waiting:
        waiting.remove(backlogs.take_next()[0])
    with pytest.raises(KeyError):
        backlogs.take_next()


def drain(accounts: Accounts[int]) -> list[int]:
    taken = []
    while accounts:
        taken.append(accounts.take_next()[1])
    return taken


def test_accounts_take_turns_and_in_each_what_came_first_is_first() -> None:
    accounts = Accounts[int]()
    for item in (1, 2, 3, 1):
        accounts.put("a", item)
    accounts.put("b", 10)
    accounts.put("b", 11)
    assert drain(accounts) == [1, 10, 2, 11, 3]


def test_who_comes_late_waits_for_one_turn_of_the_others() -> None:
    accounts = Accounts[int]()
    for item in range(100):
        accounts.put("a", item)
    assert accounts.take_next() == ("a", 0)
    accounts.put("b", 1000)
    assert [accounts.take_next() for _ in range(2)] == [("a", 1), ("b", 1000)]


def test_nothing_is_left_of_what_was_cleared() -> None:
    accounts = Accounts[int]()
    accounts.put("a", 1)
    accounts.put("b", 2)
    accounts.hold_back("b")
    accounts.clear()
    accounts.let_go_on("b")
    assert not accounts
    with pytest.raises(KeyError):
        accounts.take_next()


@pytest.mark.parametrize("favours_newest", [True, False])
def test_among_thousands_of_accounts_the_newest_waits_for_one_turn_and_the_oldest_go_on(
    favours_newest: bool,
) -> None:
    accounts = Accounts[int](favours_newest=favours_newest)
    for item in range(100 * FEW):
        accounts.put(f"a{item}", item)
    accounts.put("late", -1)
    taken = [accounts.take_next()[1] for _ in range(8)]
    assert (-1 in taken[:2]) is favours_newest
    assert {0, 1, 2} <= {*taken}


def test_who_had_a_turn_as_the_newest_waits_for_the_others() -> None:
    """Else who has thousands waiting, and came last, would have each second turn."""
    accounts = Accounts[int]()
    for item in range(4 * FEW):
        accounts.put(f"a{item}", item)
    for item in range(1000, 2000):
        accounts.put("late", item)
    taken = [accounts.take_next()[1] for _ in range(2 * FEW)]
    assert sum(item >= 1000 for item in taken) == 1


def test_who_is_held_back_has_no_turn_and_loses_nothing() -> None:
    accounts = Accounts[int]()
    for item in range(3):
        accounts.put("a", item)
        accounts.put("b", 10 + item)
    assert accounts.take_next() == ("a", 0)
    accounts.hold_back("a")
    accounts.put("a", 3)
    assert [*accounts.accounts()] == ["b"]
    assert accounts.take_next() == ("b", 10)
    accounts.let_go_on("a")
    assert drain(accounts) == [11, 1, 12, 2, 3]
    accounts.let_go_on("a")
    assert not accounts


def test_what_is_taken_out_of_an_account_waits_there_no_more() -> None:
    accounts = Accounts[int]()
    for item in range(3):
        accounts.put("a", item)
        accounts.put("b", 10 + item)
    assert [*accounts.take_out("a")] == [0, 1, 2]
    assert [*accounts.take_out("a")] == []
    assert drain(accounts) == [10, 11, 12]


@pytest.mark.parametrize("favours_newest", [True, False])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 9) | st.integers(0, 200), st.sampled_from(["put", "take", "hold", "go"])),
        max_size=400,
    )
)
def test_of_accounts_each_thing_is_taken_once_and_none_of_one_that_is_held_back(
    favours_newest: bool, steps: list[tuple[int, str]]
) -> None:
    accounts, waiting, held = Accounts[int](favours_newest=favours_newest), set[int](), set[str]()
    for item, what in steps:
        account = f"a{item // 2}"
        if what == "put":
            accounts.put(account, item)
            waiting.add(item)
        elif what == "hold":
            accounts.hold_back(account)
            held.add(account)
        elif what == "go":
            accounts.let_go_on(account)
            held.discard(account)
        elif accounts:
            whose, taken = accounts.take_next()
            assert whose == f"a{taken // 2}"
            assert whose not in held
            waiting.remove(taken)
        assert {*accounts.accounts()} == {f"a{item // 2}" for item in waiting} - held
    for account in held:
        accounts.let_go_on(account)
    assert sorted(drain(accounts)) == sorted(waiting)


def test_an_account_that_is_held_back_has_no_turn_as_the_newest_either() -> None:
    accounts: Accounts[int] = Accounts()
    names = [f"a{n}" for n in range(FEW + 8)]
    for name in names:
        accounts.put(name, 1)
    for name in names[-2:]:
        accounts.hold_back(name)
    taken = [accounts.take_next()[0] for _ in range(4)]
    assert taken == [names[-3], names[0], names[-4], names[1]]
    accounts.let_go_on(names[-1])
    assert {*accounts.accounts()} == {*names[2:-4], names[-1]}


def test_what_is_put_back_is_not_taken_for_new() -> None:
    """Else whoever has much waiting would have every second turn."""
    accounts: Accounts[int] = Accounts()
    for n in range(4 * FEW):
        accounts.put(f"a{n}", n)
    for _ in range(4):
        accounts.put_back(*accounts.take_next())
    taken = [accounts.take_next()[1] for _ in range(FEW)]
    assert not {0, 1, 4 * FEW - 1, 4 * FEW - 2} & {*taken}


def test_of_a_long_account_the_newest_is_not_the_last() -> None:
    accounts: Accounts[int] = Accounts(are_long=True)
    for n in range(4 * FEW):
        accounts.put("many", n)
    accounts.put_back("other", -1)
    accounts.put_back("other", -2)
    taken = [accounts.take_next()[1] for _ in range(6 * FEW // 2)]
    assert {0, -1, -2, 4 * FEW - 1} <= {*taken[:8]}
    assert len({*taken}) == len(taken)


def test_what_is_removed_has_no_turn_and_neither_has_an_account_of_which_it_was_all() -> None:
    accounts: Accounts[int] = Accounts()
    for account, item in (("a", 1), ("b", 2), ("b", 3)):
        accounts.put(account, item)
    accounts.remove("a", 1)
    accounts.remove("b", 2)
    assert drain(accounts) == [3]
    with pytest.raises(KeyError):
        accounts.remove("a", 1)


def test_among_few_accounts_the_newest_waits_for_few_where_fewer_are_to_keep_their_order() -> None:
    accounts = Accounts[int](few=2)
    for n in range(FEW):
        accounts.put(str(n), n)
    assert [accounts.take_next()[1] for _ in range(4)] == [FEW - 1, 0, FEW - 2, 1]
