"""Three processes of one group whose functions refuse some changes, with topics of dead letters: killed, stopped and
started under load. Each change is handled or lies in a letter, those of a key in their order (I14)."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from servers.kafka import Broker
from tests.cli.conftest import TIMEOUT_S, Cli
from tests.crash.handling import Manner
from tests.crash.shop import KEYS, PATIENCE_S, Load, Shop, address, all_told, broker
from tests.crash.test_group import PARTITIONS
from tests.server.kafka.test_dead_letters import held
from tests.waiting import until

__all__ = ["broker"]

ACTS = ["kill", "leave", "kill", "leave"]
LAST = 120
"""What is refused is of versions below: at the end every key has them."""
DELAYS = (0.05,) * (2 * (3 + len(ACTS)) + 2)
"""More than a change can need that fails in two rounds of each process that offers it."""


def letters(broker: Broker, topic: str) -> dict[int, list[int]]:
    """The versions of each key that lie in a topic of letters."""
    found: dict[int, list[int]] = defaultdict(list)
    for each, (value, _) in held(broker, topic).items():
        if each.startswith("ask/"):
            continue
        row = value["letter"]["after"]
        found[int(row["id"])].append(int(row["version"]))
    return {key: sorted(versions) for key, versions in found.items()}


@pytest.mark.parametrize(("protocol", "lanes"), [("classic", 4), ("consumer", 1)])
def test_i14_what_members_refuse_lies_in_letters_and_is_never_passed_by_its_key(
    broker: Broker, tmp_path: Path, seed: int, protocol: Literal["classic", "consumer"], lanes: int
) -> None:
    chance = random.Random(seed)
    topic = broker.create_topic(f"letters_{protocol}_{lanes}", PARTITIONS)
    dead = f"{topic}_dead"
    keys = chance.sample(range(KEYS), 12)
    never = {key: chance.randrange(20, LAST) for key in keys[:4]}
    late = [(key, version, 5) for key in keys[4:] for version in chance.sample(range(10, LAST), 4)]
    refused = [*((key, version, None) for key, version in never.items()), *late]
    manner = Manner(protocol, lanes, f"kafka://{broker.address}/{dead}", DELAYS, refused)
    shop = Shop(address(broker, topic, protocol), tmp_path, manner)
    load = Load(broker.address, topic)
    acts = chance.sample(ACTS, len(ACTS))
    with shop.open(lambda: f"dead: {letters(broker, dead)}\nwaiting: {letters(broker, f'{dead}.retry')}"):
        shop.suffer(acts, load, chance)
        while min(load.versions) < LAST:
            load.change_all()
        shop.wait_all(load, but=never)
        until(lambda: all_told(broker, topic), "for all to be told to the group", timeout_s=PATIENCE_S)
        until(lambda: not held(broker, f"{dead}.retry"), "for nothing to wait for its next try", timeout_s=PATIENCE_S)
        for process in list(shop.alive):
            shop.leave(process)
        every = {key: list(range(1, version + 1)) for key, version in enumerate(load.versions)}
        assert shop.seen() == {
            key: versions[: never.get(key, len(versions) + 1) - 1] for key, versions in every.items()
        }
        assert letters(broker, dead) == {key: every[key][version - 1 :] for key, version in never.items()}

        shop.manner = replace(manner, refused=[])
        shop.join()
        shop.join()
        done = len(shop.notes())
        asking = Cli(tmp_path, os.environ).start("dead-letters", "replay", manner.letters)
        until(lambda: len(shop.notes()) > done, "for the replay to begin", timeout_s=PATIENCE_S)
        shop.kill(chance.choice(shop.alive))
        shop.join()
        _, said = asking.communicate(timeout=TIMEOUT_S)
        assert asking.returncode in (0, 75), said  # 75: it is not done yet, and stays to be done
        until(lambda: not held(broker, dead), "for the replay's end", timeout_s=PATIENCE_S)
        for process in list(shop.alive):
            shop.leave(process)
        assert shop.seen() == every
