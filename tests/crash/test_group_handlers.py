"""Three processes of one group whose functions are called at least once: killed, stopped and started under load. Each
version of each key is seen, the first time in its order; what a process that was told to stop has done is not done
again."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Literal

import pytest

from servers.kafka import Broker
from tests.crash.handling import Manner
from tests.crash.shop import KEYS, PATIENCE_S, Load, Shop, address, all_told, broker
from tests.crash.test_group import OPTIONS, PARTITIONS
from tests.waiting import until

__all__ = ["broker"]

Protocol = Literal["classic", "consumer"]


@pytest.mark.parametrize(("protocol", "lanes"), [("classic", 1), ("classic", 4), ("consumer", 4)])
def test_handlers_of_members_lose_nothing_and_keep_the_order_of_keys(
    broker: Broker, tmp_path: Path, seed: int, protocol: Protocol, lanes: int
) -> None:
    chance = random.Random(seed)
    topic = broker.create_topic(f"handlers_{protocol}_{lanes}", PARTITIONS)
    shop = Shop(address(broker, topic, protocol), tmp_path, Manner(protocol, lanes))
    load = Load(broker.address, topic)
    acts = ["kill", "leave", "kill", "leave", "kill", "leave"]
    chance.shuffle(acts)
    with shop.open():
        shop.suffer(acts, load, chance)
        shop.wait_all(load)
        # What a member that was killed had not told is done again, and may take another one longer than a stop does.
        until(lambda: all_told(broker, topic), "for all to be told to the group", timeout_s=PATIENCE_S)
        load.change_all()
        shop.wait_all(load)
        for process in list(shop.alive):
            shop.leave(process)
        done = len(shop.notes())
        shop.join()
        load.change_all()
        shop.wait_all(load)
        shop.leave(shop.alive[0])
    assert {key: list(range(1, version + 1)) for key, version in enumerate(load.versions)} == shop.seen()
    assert sorted(shop.notes()[done:]) == sorted(enumerate(load.versions))


@pytest.mark.parametrize("protocol", OPTIONS)
def test_handlers_of_members_that_join_and_leave_under_load_are_called_once_in_order(
    broker: Broker, tmp_path: Path, protocol: Protocol, seed: int
) -> None:
    chance = random.Random(seed)
    topic = broker.create_topic(f"moving_{protocol}", PARTITIONS)
    shop = Shop(address(broker, topic, protocol), tmp_path, Manner(protocol))
    load = Load(broker.address, topic)
    left = ["join"] * 5 + ["leave"] * 5
    chance.shuffle(left)
    with shop.open():
        for at in range(6_000):  # so that each partition has work in flight whenever it moves
            load.change(at % KEYS)
        with load.flowing(chance):
            for _ in range(2):
                shop.join()
            until(lambda: len(shop.notes()) > 100, "for changes to flow", timeout_s=PATIENCE_S)
            while left:
                alive = len(shop.alive)
                left.remove(act := next(act for act in left if (alive < 4 if act == "join" else alive > 1)))
                before = len(shop.notes())
                if act == "join":
                    shop.join()
                else:
                    shop.leave(chance.choice(shop.alive))
                shop.wait_more(before, act)
        shop.wait_all(load)
        for process in list(shop.alive):
            shop.leave(process)
    seen: dict[int, list[int]] = defaultdict(list)
    for key, version in shop.notes():
        seen[key].append(version)
    assert {key: list(range(1, version + 1)) for key, version in enumerate(load.versions)} == seen
