"""An open membership in a consumer group: records in, batches out. All of it runs on the reader thread, save `confirm`.

A partition is ours step by step: the group gives it (`NEW`); `read` returns `Assigned` (`OFFERED`); the pipeline claims
it, and it is sought where it ended in the sink (`SEEKING`) and read from there (`READING`). When the group takes it
back, what was read of it is written, or dropped, before it goes.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tailrace.dialect.kafka.client import Told
from tailrace.error import EndOfStream, Retryable, TailraceError
from tailrace.model import Assigned, Batch, Position, Revoked, Unreadable
from tailrace.registry import Client
from tailrace.source.kafka.fault import GONE, RANGE, error_of, explain, explained, unread
from tailrace.source.kafka.header import headed
from tailrace.source.kafka.lag import Lag
from tailrace.source.kafka.offsets import Offsets
from tailrace.source.kafka.part import Part, Place, Record, State, start
from tailrace.source.kafka.reading import learn, lineage_of, read_part
from tailrace.source.kafka.sharing import Sharing
from tailrace.source.kafka.topic import lineage
from tailrace.source.kafka.unreadable import reader
from tailrace.source.kafka.watch import Watch

if TYPE_CHECKING:
    from tailrace.source.kafka import Kafka

__all__ = ["KafkaStream"]

_RECORDS = 5_000
_RECORD_BYTES = 1 << 10
_COMMIT_S = 1.0
_PAUSE_S = 0.5
_PROGRESS_S = 10.0
_COMING_S = 0.02
_SOON = frozenset((KafkaError._STATE, KafkaError._PREV_IN_PROGRESS))
Key = tuple[str, int]

log = logging.getLogger("tailrace.source.kafka")


class KafkaStream:
    """A member of a consumer group. A `Stream`, `Shared`, `Dated`, `Partitioned` and `Unheard`."""

    def __init__(
        self,
        source: Kafka,
        consumer: Consumer,
        *,
        place: Place,
        sharing: Sharing,
        told: Told,
        registry: Client | None,
        nbytes_max: int,
    ) -> None:
        self._source = source
        self._nbytes_max = nbytes_max
        """Of values that are decoded together, and one value more."""
        self._record_nbytes = _RECORD_BYTES
        """Of a value, as they came last."""
        self._consumer = consumer
        self._topics = sharing.topics
        self._place = place
        self._sharing = sharing
        self._told = told
        self._registry = registry
        self._ids: dict[str, str] = {}
        self._there: Mapping[str, int] = {}
        """Topics that there were at the start, with their number of partitions."""
        self._known = frozenset[str]()
        """Lineages that this pipeline has claimed before."""
        self._parts: dict[Key, Part] = {}
        self.offsets = Offsets(consumer, self._parts)
        """What the group knows of how far we are."""
        self._ready: deque[Assigned] = deque()
        self._offered: Counter[str] = Counter()
        """How often each lineage was offered and not claimed since."""
        self._out: deque[Batch | Unreadable] = deque()
        """What was read and not returned yet, each of one partition."""
        self._held: list[Message] = []
        """What came while the shelf was full, or was too much for one batch."""
        self._fault: BaseException | None = None
        self._settle: Callable[[Revoked, float], bool] | None = None
        self._paused = self._closing = False
        self._full_since: float | None = None
        self._commit_at = self._progress_at = 0.0
        self._watch = Watch(sharing.topics)
        self._isolation = str(source.consuming("")["isolation.level"])
        self._lag = Lag(
            consumer,
            self._parts,
            sharing=sharing,
            watch=self._watch,
            told=told,
            servers=source.address.servers,
            isolation=self._isolation,
        )

    def subscribe(self, topics: list[str], ids: Mapping[str, str], *, known: Iterable[str]) -> None:
        """Ask the group for partitions; `known` are those that this pipeline has claimed before."""
        self._ids.update(ids)
        self._known = frozenset(known)
        self._there = dict(self._topics.existing)
        with explained("subscribing"):
            self._consumer.subscribe(
                topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )

    def attach(self, settle: Callable[[Revoked, float], bool]) -> None:
        """See `Shared.attach`."""
        self._settle = settle

    def begin(self, claimed: Mapping[str, Position | None]) -> None:
        """See `Shared.begin`."""
        self._offered.subtract(claimed.keys())
        self._offered = +self._offered
        # One that went and was offered again waits for its latest claim: others may have written it in between.
        due = claimed.keys() - self._offered.keys()
        parts = [part for part in self._parts.values() if part.lineage in due and part.state is State.OFFERED]
        if not parts:
            return
        places = [TopicPartition(part.topic, part.partition) for part in parts]
        try:
            asks = self._place.kept == "group" or self._place.first == "latest"
            committed = self.offsets.committed(places) if asks else {}
            asked_at = time.monotonic()
            ends = self._topics.ends(places, isolation=self._isolation)
            for part in parts:
                low, high = ends[part.topic, part.partition]
                saved, known = claimed[part.lineage], committed.get((part.topic, part.partition))
                at = start(part, self._place, saved=saved, committed=known, low=low, high=high)
                part.begin(at, low=low, high=high, bounded=self._place.until_current)
                part.asked_at = asked_at
        except KafkaException as error:
            raise explain(error_of(error), f"beginning to read {parts[0].topic}") from error
        for part in parts:
            part.state = State.SEEKING
            self.offsets.forget(part)  # of an earlier time that it was ours: others may have gone on from there since
            known = claimed[part.lineage] is not None or (part.topic, part.partition) in committed
            if self._place.first == "latest" and not known:
                self.offsets.begin(part)
        self.offsets.commit(parts, wait=False)
        self._seek()

    def read(self, timeout_s: float) -> Batch | Assigned | Unreadable | None:
        """See `Stream.read`."""
        if self._fault is not None:  # what lies behind it must not be read: it would be confirmed over a hole
            raise self._fault
        self._look()
        if self._paused:
            with explained("resuming"):
                self._consumer.resume(self._places(*State))
            self._paused = False
        self._full_since = None
        if self._ready:  # lineages have no order with one another, and those that come must not wait for a backlog
            return self._offer(self._ready.popleft())
        if self._out:
            return self._out.popleft()
        if (progress := self._progress()) is not None:  # before what is read: a busy partition must not keep it back
            return progress
        messages, self._held = self._held, []
        batch = self._decoded(messages or self._fetch(timeout_s))
        if batch is not None:
            self._told.answered()
            self._lag.heard()
            return batch
        if self._fault is not None:
            raise self._fault
        if (progress := self._progress()) is not None:
            return progress
        if self._place.until_current and not self._ready and self._done():
            self._tell_others()
            raise EndOfStream
        return None

    def tend(self) -> None:
        """See `Stream.tend`: the group wants to hear from us, and the broker must not send more. To wait a moment is
        cheaper than to pause, which throws away what was fetched ahead."""
        self._look()
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        if not self._paused and now - self._full_since > _PAUSE_S:
            with explained("pausing"):
                self._consumer.pause(self._places(State.READING))
            self._paused = True
        if self._paused:  # what is no record of the partitions that are read comes again, in its turn
            self._held += [message for message in self._consume(1) if self._reading(message)]

    def confirm(self, positions: Sequence[Position]) -> None:
        """See `Stream.confirm`: the group's offsets follow, within a second and before partitions are let go."""
        self.offsets.confirm(positions)

    def release(self, lineages: Sequence[str]) -> None:
        """See `Stream.release`; `attach` has its answer already."""

    def lag_bytes(self) -> int | None:
        """See `Measured`."""
        return self._lag.nbytes()

    def measured_at(self) -> float | None:
        """See `Dated`."""
        return self._lag.measured_at()

    def unheard(self) -> str | None:
        """See `Unheard`."""
        return self._lag.unheard

    def lags(self) -> Mapping[str, int]:
        """See `Partitioned`."""
        return {f"{topic}/{partition}": lag for (topic, partition), lag in sorted(self._lag.records.items())}

    def close(self) -> None:
        """See `Stream.close`: commits what was confirmed, and leaves the group (a static member stays in it)."""
        if self._closing:
            return
        self._closing = True
        self._sharing.group.close()
        self.offsets.commit_last(lambda: self._fetch(_COMING_S))
        if self._registry is not None:
            self._registry.close()
        try:
            self._consumer.close()
        except KafkaException as error:
            raise explain(error_of(error), "leaving the group") from error

    def _seek(self) -> None:
        """Begin to read what is claimed; librdkafka takes a moment until it can be told where."""
        for key, part in self._parts.items():
            if part.state is State.OVERTAKEN:
                self._jump(part)
            if part.state is not State.SEEKING:
                continue
            try:
                self._consumer.seek(TopicPartition(*key, part.look))
            except KafkaException as error:
                if error_of(error).code() in _SOON:
                    continue
                raise explain(error_of(error), f"topic {part.topic}, partition {part.partition}") from error
            self._held = [message for message in self._held if (message.topic(), message.partition()) != key]
            part.reader = reader(
                self._source,
                part.lineage,
                topic=part.topic,
                partition=part.partition,
                truncates=self._source.truncate == "apply",
            )
            part.is_alone = partial(self._topics.is_alone, part.topic)
            part.state = State.READING
            if self._paused:
                with explained("pausing"):
                    self._consumer.pause([TopicPartition(*key)])

    def _jump(self, part: Part) -> None:
        """What would come next is gone: go on where `out_of_range` says."""
        place = TopicPartition(part.topic, part.partition)
        where = f"topic {part.topic}, partition {part.partition}"
        with explained(where):
            low, high = self._topics.ends([place], isolation=self._isolation)[part.topic, part.partition]
            gone, lost = part.next, not part.looks_back()
            part.look = part.next = place.offset = self._place.beyond(low, high) if lost else gone
            # librdkafka has stopped to fetch it, and cannot seek before it is given to it again.
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])
            if self._paused:
                self._consumer.pause([place])
        if lost:
            log.warning("%s: offset %d comes next and is gone: going on at %d (out_of_range)", where, gone, part.next)
        part.ended = part.until is not None and part.next >= part.until
        part.state = State.READING

    def _offer(self, assigned: Assigned) -> Assigned:
        self._offered.update(assigned.lineages)
        for part in self._parts.values():
            if part.lineage in assigned.lineages and part.state is State.NEW:
                part.state = State.OFFERED
        return assigned

    def _fetch(self, timeout_s: float) -> list[Message]:
        """All that has come, or what comes first: `consume` waits until it has as many as it was asked for."""
        if messages := self._consume(self._plenty()):
            return messages
        # A partition that comes does not end the waiting, and is to be read soon.
        coming = not self._lag.joined or any(part.state is not State.READING for part in self._parts.values())
        first = self._poll(min(timeout_s, _COMING_S) if coming else timeout_s)
        return [] if first is None else [first, *self._consume(self._plenty())]

    def _plenty(self) -> int:
        """Records that fill a batch, if they are as large as the last ones were: more would only wait in memory."""
        return min(_RECORDS, self._nbytes_max // max(self._record_nbytes, 1) + 1)

    def _consume(self, count: int) -> list[Message]:
        try:
            return self._consumer.consume(count, 0)
        except KafkaException as error:
            raise unread(error_of(error), "reading") from error

    def _poll(self, timeout_s: float) -> Message | None:
        try:
            return self._consumer.poll(timeout_s)
        except KafkaException as error:
            raise unread(error_of(error), "reading") from error

    def _decoded(self, messages: list[Message]) -> Batch | Unreadable | None:
        """What the records of our partitions say; others are read by whoever owns their partition now."""
        runs: dict[Key, list[Record]] = {}
        claims, nbytes = self._source.claims(), 0
        for index, message in enumerate(messages):
            key = message.topic(), message.partition()
            if (error := message.error()) is not None:
                self._heard(error, key, message.offset())
                if self._fault is not None:  # the client goes on behind it
                    break
                continue
            part, run = self._parts.get(key), runs.get(key)  # type: ignore[arg-type]
            if part is None or part.reader is None or (run and message.offset() <= run[-1][3]):  # type: ignore[operator]
                continue
            if message.offset() < part.next:  # type: ignore[operator]
                learn(part, message, self._source)
                continue
            value, found = message.value(), headed(message, claims)
            if found is not None:
                part.headed[message.offset()] = found  # type: ignore[index]
                value = found.value
            record = message.key(), value, message.timestamp()[1], message.offset()
            runs.setdefault(key, []).append(record)  # type: ignore[arg-type]
            nbytes += len(value or b"")
            if nbytes >= self._nbytes_max:  # a slow sink is asked to stop, or to let go of a partition, between batches
                self._held = [*messages[index + 1 :], *self._held]
                break
        if count := sum(map(len, runs.values())):
            self._record_nbytes = nbytes // count
        clean: list[Batch] = []
        for key, records in runs.items():
            items = read_part(self._parts[key], records, registry=self._registry)
            if len(items) == 1 and isinstance(items[0], Batch):
                clean.append(items[0])
            else:
                self._out += items
        merged = Batch.merge(clean)
        if merged:
            return merged[0]
        return self._out.popleft() if self._out else None

    def _progress(self) -> Batch | None:
        """How far partitions are without a record: marks of transactions are deleted with the records before them, and
        a start that looked for them would take that for a hole."""
        moved = [part for part in self._parts.values() if part.state is State.READING and part.next > part.told]
        if not moved or not (self._place.until_current or time.monotonic() >= self._progress_at):
            return None
        self._progress_at = time.monotonic() + _PROGRESS_S
        return Batch.merge([Batch.progress(part.progress()) for part in moved])[0]

    def _heard(self, error: KafkaError, key: tuple[str | None, int | None], offset: int | None) -> None:
        """An error, or news, of one partition or of the client."""
        part = self._parts.get(key)  # type: ignore[arg-type]
        if error.code() == KafkaError._PARTITION_EOF:
            if part is not None and part.state is State.READING and offset is not None:
                part.reached(offset)
            return
        if error.code() in GONE and self._may_come(*key):
            return
        if part is not None and part.state is not State.READING:
            return  # not read yet: where it begins is asked when it is claimed
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            log.warning("the group has given this member up: it was silent for longer than max.poll.interval.ms")
            return
        if part is not None and error.code() in RANGE and (part.looks_back() or self._place.out_of_range != "stop"):
            part.state = State.OVERTAKEN
            return
        self._fault = self._fault or unread(
            error, "reading" if key[0] is None else f"topic {key[0]}, partition {key[1]}"
        )

    def _may_come(self, topic: str | None, partition: int | None) -> bool:
        """Whether that a broker does not know of it is no fault: nothing matches a glob yet (its regular expression
        stands for a name), or the broker has just started and does not know of all topics (`Watch` asks twice)."""
        return topic is not None and (topic.startswith("^") or (partition is None and topic in self._ids))

    def _look(self) -> None:
        """What has happened beside the records: refused logins, topics that were made anew, offsets to be committed."""
        if self._told.lasts:
            raise self._told.fault("no Kafka broker answered")
        self._watch.look(self._ids)
        self._sharing.group.tend()
        self._lag.look()
        self._seek()
        if time.monotonic() >= self._commit_at:
            self._commit_at = time.monotonic() + _COMMIT_S
            self.offsets.commit(list(self._parts.values()), wait=False)

    def _reading(self, message: Message) -> bool:
        part = self._parts.get((message.topic(), message.partition()))  # type: ignore[arg-type]
        return message.error() is not None if part is None else part.state is State.READING

    def _places(self, *states: State) -> list[TopicPartition]:
        return [TopicPartition(*key) for key, part in self._parts.items() if part.state in states]

    def _done(self) -> bool:
        """A bounded stream has all that it wanted of every partition that is ours, and no other is to come."""
        heard = self._lag.joined or self._source.group_protocol == "consumer"  # which may tell later that we have none
        ended = heard and all(part.ended for part in self._parts.values())
        return ended and self._sharing.complete(self._parts.keys())

    def _tell_others(self) -> None:
        """Whoever waits for the end of what there was must know when that was not all of it."""
        if (left := self._sharing.left_to_others(self._parts.keys())) is not None:
            log.warning("%s", left)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group gives us partitions: nothing of them is read until the pipeline has claimed them."""
        given, partitions = partitions, [place for place in partitions if self._topics.wants(place.topic)]
        for place in given:
            place.offset = OFFSET_END  # a broker may match more than is wanted, and that is never sought
        try:
            new = {place.topic for place in partitions} - self._ids.keys()
            self._ids.update(self._topics.ids(sorted(new)))
            if unknown := sorted(new - self._ids.keys()):
                # Under any other name than the one with its id its position would be lost, or another topic's.
                raise Retryable(f"the id of topic {unknown[0]} is not known yet")
            # Of those that are, the end is asked here: librdkafka asks again for what OFFSET_END is when the answer
            # comes behind a seek, and goes on from there, past all that lies in between.
            with explained("asking where partitions end"):
                ends = self._topics.ends(partitions, isolation=self._isolation) if partitions else {}
            for place in partitions:
                _, place.offset = ends[place.topic, place.partition]
        except TailraceError as error:
            self._fault = error
            return
        finally:
            consumer.incremental_assign(given)
        lineages = []
        for place in partitions:
            name = lineage(self._topics.cluster, self._ids[place.topic], place.partition)
            part = Part(place.topic, place.partition, name, young=self._is_young(place, name))
            self._parts[place.topic, place.partition] = part
            lineages.append(name)
        if lineages:
            self._ready.append(Assigned(tuple(lineages)))
        self._lag.joined = True

    def _is_young(self, place: TopicPartition, name: str) -> bool:
        """Whether it was made since others of its topic were first read, or since we are here."""
        topic = name.rpartition("/")[0]
        since = name not in self._known and any(other.rpartition("/")[0] == topic for other in self._known)
        return since or place.partition >= self._there.get(place.topic, 0)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group takes partitions back: what was read of them is written, or dropped, before another member has
        them."""
        parts = self._forget_new(partitions)
        if parts and self._settle is not None and not self._closing:
            lineages = tuple(part.lineage for part in parts)
            if not self._settle(Revoked(lineages), self._source.settle_s()):
                log.warning(
                    "not finished with %d partition(s) in %g s: giving them up", len(parts), self._source.settle_s()
                )
        self.offsets.commit(parts, wait=True)
        self._let_go(consumer, partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group has given us up: others may read these partitions already, and our claims keep order (I16)."""
        log.warning("the group has taken %d partition(s) away without asking", len(partitions))
        self._lag.joined = False
        parts = self._forget_new(partitions)
        if parts and self._settle is not None and not self._closing:
            self._settle(Revoked(tuple(part.lineage for part in parts)), 0)  # at once: the shelf may be full
        self._let_go(consumer, partitions)

    def _forget_new(self, partitions: list[TopicPartition]) -> list[Part]:
        """Those of the partitions that the pipeline knows of; it never hears of the others."""
        parts = [part for place in partitions if (part := self._parts.get((place.topic, place.partition))) is not None]
        new = {part.lineage for part in parts if part.state is State.NEW}
        marks, self._ready = self._ready, deque()
        for mark in marks:
            if left := tuple(name for name in mark.lineages if name not in new):
                self._ready.append(Assigned(left))
        return [part for part in parts if part.state is not State.NEW]

    def _let_go(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._paused:  # librdkafka remembers that while they are others', and would fetch nothing if they came back
            consumer.resume(partitions)
        for place in partitions:
            part = self._parts.pop((place.topic, place.partition), None)
            if part is not None:
                kept = (item for item in self._out if lineage_of(item) != part.lineage)
                self._out = deque(kept)
                self.offsets.forget(part)
        consumer.incremental_unassign(partitions)
