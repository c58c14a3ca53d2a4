"""How the members of a group share its partitions. Asked at the end of a bounded stream, and by who has none."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet

from confluent_kafka import Consumer, ConsumerGroupState
from confluent_kafka.admin import ConsumerGroupDescription, MemberDescription

from tailrace.source.kafka.group import Group
from tailrace.source.kafka.topic import Topics

__all__ = ["Sharing"]

_ROUND_S = 20.0
_LOOK_S = 0.2
_NAMED = 3
Key = tuple[str, int]


class Sharing:
    """Whether a group has dealt out all its partitions, and a member has got its share. Used on the reader thread."""

    def __init__(self, consumer: Consumer, group: Group, topics: Topics, *, settle_s: float) -> None:
        self._consumer = consumer
        self.group = group
        self.topics = topics
        """Of its cluster."""
        self._patience_s = settle_s + _ROUND_S
        """What others may take to let go, and the group to deal out what they let go of."""
        self._ours: AbstractSet[Key] | None = None
        self._until: float | None = None
        """How long to be patient; None until the group is known to have us."""
        self._dealt_out = False

    def has_dealt_out(self, found: ConsumerGroupDescription, ours: AbstractSet[Key]) -> bool:
        """Whether the group has come to rest, each partition has an owner, and of us it knows just `ours`."""
        shares = self._shares(found)
        dealt_out = len(set().union(*shares.values())) >= self.existing
        return found.state is ConsumerGroupState.STABLE and dealt_out and shares.get(self._consumer.memberid()) == ours

    @property
    def existing(self) -> int:
        """Partitions of all topics that are wanted."""
        return sum(count for name, count in self.topics.existing.items() if self.topics.wants(name))

    def complete(self, ours: AbstractSet[Key]) -> bool:
        """Whether nothing more comes to a member that has `ours`: the group has come to rest, each partition has an
        owner, and of us it knows just these; or nobody gets the rest in time.

        A member that joins others is given none at first, and its own once they have let go of them (KIP-429). The
        group knows what it has dealt out before its members do: a share of ours that is still on its way to us must
        not pass for another member's.
        """
        now = time.monotonic()
        if len(ours) >= self.existing:
            return True
        if ours != self._ours:
            self._ours, self._until = frozenset(ours), None
        if (found := self.group.found(every_s=_LOOK_S)) is None:
            return False
        if self._consumer.memberid() not in self._shares(found):  # not in it yet
            return False
        if self._until is None:
            self._until = now + self._patience_s
        self._dealt_out = self.has_dealt_out(found, ours)
        return self._dealt_out or now >= self._until

    def left_to_others(self, ours: AbstractSet[Key]) -> str | None:
        """What a bounded stream that is complete with `ours` has not read, in words and with what to do about it."""
        places = ((name, at) for name, count in self.topics.existing.items() for at in range(count))
        others = sorted(place for place in places if self.topics.wants(place[0]) and place not in ours)
        if not others:
            return None
        named = ", ".join(f"{name}/{at}" for name, at in others[:_NAMED])
        which = f"{len(others)} of {self.existing} partition(s) ({named}{', …' if len(others) > _NAMED else ''})"
        group = self.group.name
        if self._dealt_out:
            return f"{which} are read by other members of the group {group}, and not waited for"
        return (
            f"the group {group} has not dealt out its partitions within {self._patience_s:g} s: {which} were not read"
            " here, and may be in nobody's hands; see who has them (kafka-consumer-groups --describe --members"
            f" --verbose --group {group}), stop a member that does not let go, and run again"
        )

    def _shares(self, found: ConsumerGroupDescription) -> dict[str, set[Key]]:
        """What each member has, by its id."""
        return {member.member_id: self._wanted(member) for member in found.members}

    def _wanted(self, member: MemberDescription) -> set[Key]:
        """What a member has of the topics that are wanted."""
        places = member.assignment.topic_partitions if member.assignment else ()
        return {(place.topic, place.partition) for place in places if self.topics.wants(place.topic)}
