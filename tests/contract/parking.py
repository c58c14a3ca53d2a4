"""Dead letters wherever they may lie, and what an operator does with them. Never opens them as a pipeline does."""

from __future__ import annotations

import contextlib

from tailrace.dead_letters import File, Kafka
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action, submit
from tailrace.model import Limits

Dead = File | Kafka


def ask_for_all(dead: Dead, action: Action = Action.REPLAY) -> None:
    """Ask as an operator asks for every letter."""
    if isinstance(dead, File):
        submit(dead.path, action, None)
        return
    with contextlib.closing(dead.store("p", make=False)) as store:
        store.ask(action, [letter.id for letter in store.letters()])


def seen(dead: Dead) -> list[Letter]:
    """Every letter that is parked, as an operator sees it, while their owner has them open or not."""
    if isinstance(dead, File):
        return read_all(dead.path)
    with contextlib.closing(dead.store("p", make=False)) as store:
        return list(store.letters())


def left(dead: Dead) -> int:
    """Letters that are parked, as whoever opens them next finds them."""
    with contextlib.closing(dead.open("p", Limits())) as letters:
        return letters.count()
