"""The topics of dead letters: a compacted log of what is parked, held in memory. Never decides what to park or when.

A record's key is the letter's id, its value the letter as a line of JSON, a tombstone its end. A key `ask/<id>` in the
topic of dead letters asks for what its value says to be done with that letter; its tombstone says that it is done. The
first key `owner/<pipeline>` of a topic says whose it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from tailrace.dead_letters.header import Names, headers
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.order import place
from tailrace.dead_letters.pile import Entry, Pile
from tailrace.dead_letters.request import Action
from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.fault import error_of, explain, is_unknown
from tailrace.dialect.kafka.make import make_compacted, names
from tailrace.error import Fatal, Retryable, TailraceError

if TYPE_CHECKING:
    from tailrace.dead_letters.topic import Kafka

__all__ = ["TopicStore"]

_ASK_S, _STEP_S = 30.0, 1.0
_NEW_S, _LOOK_S = 15.0, 0.1
"""How long a topic may be unknown that was just made, and between two looks."""
_MANY = 1_000
_ASK, _OWNER = "ask/", "owner/"
_UNREADABLE = "source"
_OWN_TOPIC = "give the dead letters of each pipeline a topic of their own"
_Record = tuple[str, str, bytes | None, Sequence[tuple[str, bytes]]]


class TopicStore:
    """See `Store`. All letters are of `pipeline`, or of anyone when that is empty. What belongs to lineages of other
    members is kept apart: `letters`, `len` and `read` show ours."""

    def __init__(
        self,
        settings: Kafka,
        pipeline: str,
        *,
        nbytes_max: int,
        make: bool,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._nbytes_max = nbytes_max
        self._stopped = stopped
        self._pile = Pile()
        self._asked: dict[str, Action] = {}
        self._gone: list[str] = []
        """Letters of which something is asked, and that no topic held when all was read that was there then."""
        self._owned: set[str] | None = None
        self._owners: dict[tuple[str, str], int] = {}
        """By topic and pipeline, where in the log it says that the topic is its own."""
        self._told = client.Told()
        common = settings.settings()
        self._admin = client.admin(common, self._told)
        client.reach(self._admin, self._told, stopped=stopped)
        wanted = (settings.topic, settings.retry_topic)
        for topic in wanted if make else ():
            make_compacted(self._admin, topic, replication=settings.replication, stopped=stopped)
        there = wanted if make else names(self._admin, stopped=stopped)
        self._topics = [topic for topic in wanted if topic in there]
        self._names = Names(self._admin)
        self._producer = client.producer({**common, "acks": "all", "enable.idempotence": True}, self._told)
        # It joins no group: every member reads all of both topics, which hold only what is parked.
        own = {"group.id": "tailrace", "enable.auto.commit": False, "enable.partition.eof": True}
        self._consumer = client.consumer({**common, **own}, self._told)
        self._next = dict.fromkeys(self._topics, 0)
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in self._topics])
        self._behind = True
        self.refresh()
        if make and pipeline:
            self._claim()

    def __len__(self) -> int:
        return self._pile.count(self._owned)

    def __contains__(self, letter_id: object) -> bool:
        return letter_id in self._pile

    def read(self, letter_id: str) -> Letter:
        """See `Store.read`."""
        return self._pile[letter_id].letter

    def letters(self) -> Iterator[Letter]:
        """See `Store.letters`."""
        return (entry.letter for entry in self._pile if self._is_ours(entry.letter))

    def ours(self, letter_id: str) -> Entry | None:
        """What is parked under this id of our lineages."""
        entry = self._pile.get(letter_id)
        return entry if entry is not None and self._is_ours(entry.letter) else None

    def touch(self, letter_ids: Iterable[str]) -> None:
        """Let `touched` name these."""
        self._pile.touch(letter_ids)

    def touched(self) -> list[str]:
        """Letters that have come, gone or changed since the last time, by whomever, or may be ours or not since."""
        return self._pile.touched()

    def own(self, lineages: Collection[str], *, add: bool) -> None:
        """Lineages that are ours from now on, or no longer; before the first call everything is."""
        owned = self._owned or set()
        self._owned = owned | set(lineages) if add else owned - set(lineages)
        self._pile.touch(entry.letter.id for entry in self._pile)
        self._behind = True

    def asked(self) -> dict[Action, list[str]]:
        """What was asked of letters of ours; what is asked of those that have gone is done."""
        self.answer([each for each in self._gone if each not in self])
        found: dict[Action, list[str]] = {}
        for each, action in self._asked.items():
            if each in self and self._is_ours(self.read(each)):
                found.setdefault(action, []).append(each)
        return found

    def ask(self, action: Action, letter_ids: Iterable[str]) -> None:
        """Ask whoever has the lineage, durably on return. In stream order: who has read a part of it must not find a
        letter waiting for one that is asked for behind it."""
        value = json.dumps({"action": action}).encode()
        wanted = sorted(letter_ids, key=self._place)
        self._write([(self._settings.topic, _ASK + each, value, ()) for each in wanted])

    def answer(self, letter_ids: Iterable[str]) -> None:
        """What was asked of these is done."""
        done = [each for each in letter_ids if self._asked.pop(each, None) is not None]
        self._write([(self._settings.topic, _ASK + each, None, ()) for each in done])

    def open_asks(self) -> Collection[str]:
        """Letters of which something is asked that nobody has done yet."""
        return self._asked.keys()

    def park(self, letters: Iterable[Letter]) -> None:
        """See `Store.park`: first to the retry topic, if there are retries and it could be read."""
        entries = [self._entry(letter) for letter in letters]
        nbytes = self._pile.nbytes + sum(entry.nbytes for entry in entries)
        if nbytes > self._nbytes_max:
            raise Fatal(
                f"dead letters in {self._settings.topic} are full: {self._nbytes_max} bytes, {len(self)} change(s)",
                hint="`tailrace dead-letters replay` or `drop` them, or raise bytes_max",
            )
        self._put(entries)

    def fail(self, letter_id: str, reason: str) -> None:
        """See `Store.fail`: the next pause begins, or it is dead."""
        dead, letter = self._pile.holds(letter_id, dead=True), self.read(letter_id)
        letter = replace(letter, reason=reason, attempts=letter.attempts + 1)
        self._put([self._entry(letter, dead=dead)])

    def bury(self, letters: Iterable[Letter]) -> None:
        """These are dead: they wait behind one that is."""
        self._put([self._entry(letter, dead=True) for letter in letters])

    def remove(self, letter_ids: Iterable[str], why: str) -> None:
        """See `Store.remove`. In the order given, and what waits before what is dead, as in each key: of a replay that
        is cut short here the last changes of a key come again, and never an earlier one alone."""
        ids = list(dict.fromkeys(letter_ids))
        for dead, topic in ((False, self._settings.retry_topic), (True, self._settings.topic)):
            gone = [each for each in ids if self._pile.holds(each, dead=dead)]
            self._write([(topic, each, None, ()) for each in gone])
            for each in gone:
                self._pile.drop(each, dead=dead)

    def tidy(self) -> None:
        """End in the retry topic what is dead, of ours: whoever wrote that may have been killed before he did."""
        doubled = [each for each in self._pile.doubled if self._is_ours(self.read(each))]
        self._write([(self._settings.retry_topic, each, None, ()) for each in doubled])
        for each in doubled:
            self._pile.drop(each, dead=False)

    def refresh(self) -> None:
        """Read what others have written; all of it after we wrote ourselves, or got lineages."""
        self._read_on()
        self._gone = [each for each in self._asked if each not in self]
        if self._gone:  # or its letter stands in the other topic, and is not read yet
            self._behind = True
            self._read_on()

    def _read_on(self) -> None:
        ends = self._ends() if self._behind else {}
        self._take(0)
        deadline = time.monotonic() + _ASK_S
        while any(self._next[topic] < end for topic, end in ends.items()):
            self._take(_STEP_S)
            if time.monotonic() > deadline:
                raise self._told.fault(f"the topics {' and '.join(self._topics)} cannot be read to their ends")
            if any(self._next[topic] < end for topic, end in ends.items()):
                client.refuse_stopped(self._stopped)
        self._behind = False

    def close(self) -> None:
        """See `Store.close`."""
        self._consumer.close()

    def _explained(self, error: KafkaError, where: str) -> TailraceError:
        """See `explain`. Of what busy brokers have not told it of at once the client says, too, that it is not there:
        they are asked whether that is so."""
        if is_unknown(error) and names(self._admin, stopped=self._stopped).issuperset(self._topics):
            return Retryable(f"{where}: it is there, but the brokers do not tell of it in time")
        return explain(error, where)

    def _is_stopped(self) -> bool:
        return self._stopped is not None and self._stopped()

    def _place(self, letter_id: str) -> tuple[str, str]:
        """Where it stands in stream order; one that has gone meanwhile is in nobody's way."""
        entry = self._pile.get(letter_id)
        return ("", "") if entry is None else place(entry.letter.at)

    def _is_ours(self, letter: Letter) -> bool:
        return self._owned is None or letter.lineage in self._owned

    def _entry(self, letter: Letter, *, dead: bool = False) -> Entry:
        delays = self._settings.retry_delays_s
        last = dead or not delays or letter.attempts > len(delays) or letter.transform == _UNREADABLE
        pause_s = delays[letter.attempts - 1] if letter.attempts and not last else 0.0
        due = None if last else time.time() + pause_s
        return Entry(letter, len(letter.line()) - 1, due)

    def _put(self, entries: Sequence[Entry]) -> None:
        """Write entries where they belong; what was waiting and is dead now ends there, once it is dead here."""
        self._write([self._record(entry) for entry in entries])
        for entry in entries:
            self._pile.put(entry)
        self.tidy()

    def _record(self, entry: Entry) -> _Record:
        letter = entry.letter
        topic = self._settings.topic if entry.due is None else self._settings.retry_topic
        told = headers(letter, self._pipeline, due=entry.due, topic=self._names.of(letter.lineage))
        return topic, letter.id, letter.line().rstrip(b"\n"), told

    def _write(self, records: Iterable[_Record]) -> None:
        """Durable on return; a broker that is away makes it `Retryable`."""
        failed: list[KafkaError] = []
        wrote = False

        def note(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        for topic, key, value, told in records:
            self._produce(topic, key, value, told=told, note=note)
            wrote = True
        if not wrote:
            return
        self._behind = True
        deadline = time.monotonic() + _ASK_S
        while (left := self._producer.flush(_STEP_S)) and time.monotonic() < deadline and not self._is_stopped():
            continue
        if failed:
            raise self._explained(failed[0], f"topic {self._settings.topic}")
        if left:
            self._producer.purge()
            raise self._told.fault(f"the topic {self._settings.topic} did not take dead letters in {_ASK_S:g} s")

    def _produce(
        self,
        topic: str,
        key: str,
        value: bytes | None,
        *,
        told: Sequence[tuple[str, bytes]],
        note: Callable[[KafkaError | None, Message], None],
    ) -> None:
        deadline = time.monotonic() + _ASK_S
        while True:
            try:
                self._producer.produce(topic, value, key, partition=0, headers=list(told), on_delivery=note)
            except KafkaException as error:
                raise self._explained(error_of(error), f"topic {topic}") from error
            except BufferError:
                self._producer.poll(_LOOK_S)
                if time.monotonic() > deadline or self._is_stopped():
                    self._producer.purge()
                    raise self._told.fault(f"the topic {topic} did not take dead letters in {_ASK_S:g} s") from None
            else:
                return

    def _ends(self) -> Mapping[str, int]:
        deadline = time.monotonic() + _NEW_S
        while True:
            try:
                return {topic: self._end(topic) for topic in self._topics}
            except KafkaException as error:
                if not is_unknown(error_of(error)) or time.monotonic() > deadline:
                    raise self._explained(error_of(error), f"topic {self._settings.topic}") from error
            client.refuse_stopped(self._stopped)
            time.sleep(_LOOK_S)  # brokers hear of a new topic one after another, and tell nobody when they have

    def _end(self, topic: str) -> int:
        log = TopicPartition(topic, 0)
        return client.ask(
            lambda timeout_s: self._consumer.get_watermark_offsets(log, timeout=timeout_s)[1],
            timeout_s=_ASK_S,
            stopped=self._stopped,
        )

    def _take(self, timeout_s: float) -> None:
        try:
            messages = self._consumer.consume(_MANY, timeout_s) if timeout_s == 0 else self._first(timeout_s)
        except KafkaException as error:
            raise self._explained(error_of(error), "reading dead letters") from error
        for message in messages:
            topic, at, fault = str(message.topic()), message.offset() or 0, message.error()
            if fault is not None and fault.code() == KafkaError._PARTITION_EOF:
                self._next[topic] = at  # what lies before may have been compacted away
            elif fault is not None and fault.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # the client asks for the group that it must name; we join none
            elif fault is not None:
                raise self._explained(fault, f"topic {topic}")
            else:
                self._next[topic] = at + 1
                self._learn(message)

    def _claim(self) -> None:
        """Say in each topic that it is ours, unless another pipeline has before: of two that open at once the log knows
        which was first, before either parks."""
        key = _OWNER + self._pipeline
        for topic in self._topics:
            if (topic, self._pipeline) not in self._owners:
                self._write([(topic, key, b"{}", ())])
                self._read_on()
            _, first = min((at, name) for (of, name), at in self._owners.items() if of == topic)
            if first != self._pipeline:
                self._write([(each, key, None, ()) for each, name in self._owners if name == self._pipeline])
                raise Fatal(
                    f"topic {topic}: it holds the dead letters of the pipeline {first!r}, not of {self._pipeline!r}",
                    hint=_OWN_TOPIC,
                )

    def _first(self, timeout_s: float) -> list[Message]:
        first = self._consumer.poll(timeout_s)
        return [] if first is None else [first, *self._consumer.consume(_MANY, 0)]

    def _learn(self, message: Message) -> None:
        key, value = (message.key() or b"").decode(errors="replace"), message.value()
        try:
            if key.startswith(_ASK):
                self._learn_ask(key.removeprefix(_ASK), value)
                return
            if key.startswith(_OWNER):
                self._learn_owner((str(message.topic()), key.removeprefix(_OWNER)), message)
                return
            dead = message.topic() == self._settings.topic
            if value is None:
                self._pile.drop(key, dead=dead)
                return
            told = dict(message.headers() or ())
            self._refuse_foreign(message, told["tailrace.pipeline"])
            due = None if dead else float(told["tailrace.due"] or 0)
            self._pile.put(Entry(Letter.parse(json.loads(value)["letter"]), len(value), due))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Fatal(
                f"topic {message.topic()}, offset {message.offset()}: not a dead letter ({type(error).__name__})",
                hint="give dead letters a topic of their own",
            ) from error

    def _refuse_foreign(self, message: Message, pipeline: bytes | str | None) -> None:
        """The id of a letter is its change's, whoever parked it: another pipeline's would stand for ours."""
        name = pipeline.decode(errors="replace") if isinstance(pipeline, bytes) else pipeline
        if self._pipeline and name != self._pipeline:
            raise Fatal(
                f"topic {message.topic()}, offset {message.offset()}: a dead letter of the pipeline {name!r}, not of"
                f" {self._pipeline!r}",
                hint=_OWN_TOPIC,
            )

    def _learn_owner(self, owner: tuple[str, str], message: Message) -> None:
        if message.value() is None:
            self._owners.pop(owner, None)
        else:
            self._owners.setdefault(owner, message.offset() or 0)

    def _learn_ask(self, letter_id: str, value: bytes | None) -> None:
        if value is None:
            self._asked.pop(letter_id, None)
        else:
            self._asked[letter_id] = Action(json.loads(value)["action"])
