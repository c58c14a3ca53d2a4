"""Of a batch that is written in pieces something is refused, with dead letters: what is committed is neither parked nor
replayed, and letters that are replayed are written in pieces too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from servers import kafka as server
from tailrace import Pipeline
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Reject
from tailrace.format import Format
from tailrace.model import Batch, Limits
from tailrace.sink.kafka import Kafka
from tailrace.sink.kafka.transaction import TransactionalWriter
from tests.server.sink.kafka.test_transactions import end
from tests.server.sink.kafka.topics import read
from tests.unit.pipeline.sharing import Group, GroupSource
from tests.unit.sink.feed import LINEAGE, Feed
from tests.waiting import until

PIECE, TAKEN = 5_000, 4_000
SMALL = Limits(batch_bytes_max=PIECE, backoff_s_max=0.01)


def sink_of(broker: server.Broker, topic: str) -> Kafka:
    """Pieces of `PIECE` bytes, into a topic that takes no record above `TAKEN`."""
    broker.create_topic(f"{topic}.public.orders", max_message_bytes=str(TAKEN))
    return Kafka(
        f"kafka://{broker.address}",
        format=Format(topic_prefix=topic),
        create_topics=True,
        transactions=True,
        positions_topic=f"{topic}.positions",
        transactional_id=topic,
        transaction_bytes_max=PIECE,
        options={"compression.type": "none"},
    )


def came(broker: server.Broker, topic: str) -> list[tuple[int, str]]:
    """Id and what its note begins with of each record that is committed, in order."""
    records = read(broker, f"{topic}.public.orders", isolation="read_committed", settled=True)
    return [(record.row["id"], record.row["note"].partition(":")[0]) for record in records]


def take_more(broker: server.Broker, topic: str) -> None:
    """As an operator would, for what was refused to be taken."""
    entry = ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, f"{topic}.public.orders", incremental_configs=[entry])
    admin = broker.admin()
    admin.incremental_alter_configs([resource])[resource].result(30)
    until(lambda: broker.topic_config(f"{topic}.public.orders")["max.message.bytes"] == "1000000", "for the limit")


@contextmanager
def running(pipeline: Pipeline) -> Iterator[None]:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run()
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        pipeline.stop()
        thread.join(60)
    assert not thread.is_alive() and not failed, failed


def test_what_a_piece_has_committed_is_not_parked_behind_what_is_refused_in_a_later_one(
    kafka: server.Broker, topic: str, tmp_path: Path
) -> None:
    """The same key in two lineages: which comes first nobody knows, so a letter of one blocks the key in the other."""
    group, letters = Group("test/a", "test/b"), tmp_path / "dead"
    group.commit(
        "test/a", {"id": "1", "note": "committed:" + "x" * 3_000}, {"id": "2", "note": "beside:" + "x" * 3_000}
    )
    group.commit("test/b", {"id": "1", "note": "refused:" + "x" * 4_500}, {"id": "3", "note": "behind"})
    group.commit("test/a", {"id": "1", "note": "waits"})
    wanted = [(1, "committed"), (2, "beside"), (3, "behind")]
    pipeline = Pipeline(
        GroupSource(group), sink_of(kafka, topic), name="p", dead_letters=File(letters), limits=SMALL, state_dir=None
    )
    with running(pipeline):
        until(lambda: group.confirmed == {"test/a": 5, "test/b": 4}, "for all of the batch")
        assert came(kafka, topic) == wanted
        notes = [str((letter.after or {})["note"]).partition(":")[0] for letter in read_all(letters)]
        assert sorted(notes) == ["refused", "waits"]
        take_more(kafka, topic)
        asked = submit(letters, Action.REPLAY, None)
        until(lambda: not asked.path.exists(), "for the replay")
    assert read_all(letters) == []
    assert came(kafka, topic) == [*wanted, (1, "waits"), (1, "refused")]


def test_letters_are_replayed_in_pieces_and_each_of_them_once_whatever_ends_the_replay(
    kafka: server.Broker, topic: str
) -> None:
    sink, feed = sink_of(kafka, topic), Feed()
    parked = [feed.insert(key, note="n:" + "x" * (4_500 if key == 6 else 1_500)) for key in range(1, 10)]
    last = feed.insert(0, note="n:")
    letters = Batch.progress(last.positions[0]).with_changes([change for batch in parked for change in batch])

    def opened() -> TransactionalWriter:
        writer = sink.open("p", SMALL)
        assert isinstance(writer, TransactionalWriter)
        writer.claim(LINEAGE)
        return writer

    before = opened()
    before.write(last)
    before.close()
    for _ in range(2):  # a process that dies before the letters are gone has them offered again
        writer = opened()
        with pytest.raises(Reject) as refused:
            writer.write(letters)
        assert (list(refused.value.reasons), refused.value.written) == ([5], frozenset(range(5)))
        assert [key for key, _ in came(kafka, topic)] == [0, 1, 2, 3, 4, 5]
        writer.close()
    take_more(kafka, topic)
    again = opened()
    again.write(letters)
    again.forget_replayed([change.position for change in letters])
    assert again.known() == {LINEAGE: last.positions[0]}
    again.close()
    assert [key for key, _ in came(kafka, topic)] == list(range(10))
    # A mark stands behind each transaction: the last change's, and those of three, two, one and three letters.
    assert end(kafka, f"{topic}.public.orders") == 10 + 5
