"""Which letters may have their next try, in the order of their keys; and that this costs no look at all the others."""

from __future__ import annotations

import random

from tailrace.dead_letters.due import Due, Waiting
from tailrace.dead_letters.letter import Group, letter_id
from tailrace.dead_letters.order import Order
from tailrace.model import Position
from tests.counting import calls


def waiting(at: int, key: str | None, due: float | None, *, lineage: str = "kafka/c/t/0") -> Waiting:
    position = Position(lineage, f"{at:020d}")
    return Waiting(letter_id(position), position, frozenset({("public.orders", None if key is None else (key,))}), due)


def of(*letters: Waiting) -> Due:
    due = Due()
    for letter in letters:
        due.put(letter)
    return due


def test_what_is_due_goes_together_and_waits_for_what_is_before_it_in_its_key() -> None:
    first, second, other = waiting(1, "a", 10), waiting(2, "a", 5), waiting(3, "b", 5)
    due = of(second, first, other)
    assert due.take(4) == ([], [])
    assert due.take(6) == ([other.id], [])
    assert due.take(10) == ([first.id, second.id], [])


def test_what_waited_for_another_goes_as_soon_as_that_one_has_gone() -> None:
    first, second = waiting(1, "a", 100), waiting(2, "a", 5)
    due = of(first, second)
    assert due.take(6) == ([], [])
    due.pop(first.id)
    assert due.take(6) == ([second.id], [])


def test_behind_a_dead_letter_all_are_dead_at_once_and_before_it_none_is() -> None:
    before, dead, behind = waiting(1, "a", 100), waiting(2, "a", 1), waiting(3, "a", 100)
    due = of(before, dead, behind)
    due.put(waiting(2, "a", None))
    assert due.take(2) == ([], [behind.id])
    due.put(waiting(3, "a", None))
    assert due.take(100) == ([before.id], [])
    late = waiting(4, "a", 200)
    due.put(late)
    assert due.take(2) == ([], [late.id])


def test_a_truncate_waits_for_every_key_and_every_key_for_it() -> None:
    row, truncate, next_row = waiting(1, "a", 10), waiting(2, None, 5), waiting(3, "b", 5)
    due = of(row, truncate, next_row)
    assert due.take(6) == ([], [])
    assert due.take(10) == ([row.id, truncate.id, next_row.id], [])


def test_no_order_of_events_lets_a_letter_pass_another_or_forgets_one() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        due, held, now = Due(), dict[str, Waiting](), 0.0
        for at in range(12):
            held_one = waiting(at, chance.choice("ab"), chance.uniform(0, 10))
            held[held_one.id] = held_one
            due.put(held_one)
        while held:
            now += chance.uniform(0, 3)
            for each in due.take(now)[0]:
                letter = held[each]
                ahead = [one for one in held.values() if one.groups == letter.groups and one.at < letter.at]
                assert not ahead, seed
                if chance.random() < 0.3:
                    held[each] = waiting(int(letter.at.text), next(iter(letter.groups))[1][0], now + 1)  # type: ignore[index]
                    due.put(held[each])
                    break  # what was to follow stays: it is offered again
                del held[each]
                due.pop(each)
            for each in held:
                due.put(held[each])
            assert now < 500, f"one never came: {seed}"


def test_a_look_costs_what_is_due_and_not_what_waits() -> None:
    few, many = (of(*(waiting(at, str(at), 1_000) for at in range(count))) for count in (10, 1_000))
    for due in (few, many):
        due.put(waiting(5_000, "x", 1))
    assert calls(lambda: few.take(0)) == calls(lambda: many.take(0))
    assert calls(lambda: few.take(2)) == calls(lambda: many.take(2))


def test_an_order_forgets_what_is_removed() -> None:
    order, group = Order(), frozenset[Group]({("public.orders", ("a",))})
    early, late = Position("l", "1"), Position("l", "3")
    order.add(group, late)
    order.add(group, early)
    assert order.holds(group, Position("l", "2"))
    order.remove(group, early)
    assert not order.holds(group, Position("l", "2"))
    assert order.holds(group, Position("other", "2"))
    order.remove(group, late)
    assert order.tables() == set()
