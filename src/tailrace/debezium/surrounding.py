"""What becomes of the options around a connector: Kafka Connect's, Debezium Server's and the embedded engine's.

Never those of the connector itself, which are in `option`, and none of a transform, which has a table of its own.
"""

from __future__ import annotations

from tailrace.debezium.rule import Rule, dropped, refused, taken

__all__ = ["SURROUNDING"]

_POSITION = "the sink or the checkpoint keeps the position"
_ONE = "a pipeline is one task"
_THREADS = "events keep their order"
_PROCESS = "it is about the process of Debezium"
_RULES = "say them in `[[sink.topics]]`"
_RETRY = "a fault that passes is retried forever, with growing pauses"
_HISTORY = "PostgreSQL's connector has no schema history"
_CONVERTER = "what `[format]` says of converters; others are refused"

_CONNECT = (
    taken("name", "the pipeline's name, unless --name gives one"),
    taken("connector.class", "must be PostgreSQL's"),
    dropped("connector.plugin.version", "there is no plugin"),
    dropped("tasks.max", _ONE),
    dropped("tasks.max.enforce", _ONE),
    taken("key.converter", _CONVERTER),
    taken("value.converter", _CONVERTER),
    taken("header.converter", _CONVERTER),
    taken("key.converter.<name>", _CONVERTER),
    taken("value.converter.<name>", _CONVERTER),
    taken("header.converter.<name>", _CONVERTER),
    taken("transforms", "see [transforms](#transforms)"),
    taken("transforms.<name>", "see [transforms](#transforms)"),
    taken("predicates", "see [transforms](#transforms)"),
    taken("predicates.<name>", "see [transforms](#transforms)"),
    dropped("config.action.reload", "a pipeline reads its configuration when it starts"),
    dropped("errors.retry.timeout", _RETRY),
    dropped("errors.retry.delay.max.ms", _RETRY),
    refused(
        "errors.tolerance", "nothing is skipped", "set it to none: `[dead_letters]` parks what a sink refuses", "none"
    ),
    dropped("errors.log.enable", "an error that ends a pipeline is always logged"),
    dropped("errors.log.include.messages", "no row value is ever logged"),
    taken("topic.creation.default.partitions", "`[sink]` `partitions`, with `create_topics`"),
    taken("topic.creation.default.replication.factor", "`[sink]` `replication`, with `create_topics`"),
    taken("topic.creation.default.cleanup.policy", "`[sink]` `cleanup_policy`, with `create_topics`"),
    refused("topic.creation.groups", "rules for some topics are not imported", _RULES),
    dropped("topic.creation.enable", "it is the worker's"),
    refused("topic.creation.<name>", "rules for some topics are not imported", _RULES),
    taken("exactly.once.support", "`[sink]` `transactions`, for `required`"),
    dropped("transaction.boundary", "a batch ends where a transaction ends"),
    dropped("transaction.boundary.interval.ms", "a batch ends where a transaction ends"),
    dropped("offsets.storage.topic", _POSITION),
    taken("producer.override.bootstrap.servers", "`[sink]` `url`"),
    refused("producer.override.<name>", "it is one of the Java producer", "say it in `[sink]`, as librdkafka has it"),
    refused("consumer.override.<name>", "nothing is read from Kafka", "remove it"),
    refused("admin.override.<name>", "it is one of the Java client", "say it in `[sink]`, as librdkafka has it"),
)

_ENGINE = (
    dropped("offset.storage", _POSITION),
    dropped("offset.storage.<name>", _POSITION),
    dropped("bootstrap.servers", f"it is where an engine stores its offsets, and {_POSITION}"),
    dropped("offset.flush.interval.ms", _POSITION),
    dropped("offset.flush.timeout.ms", _POSITION),
    dropped("offset.commit.policy", _POSITION),
    dropped("errors.retry.delay.initial.ms", _RETRY),
    taken("converter.schemas.enable", "`[format]` `schemas_enable`"),
    dropped("record.processing.threads", _THREADS),
    dropped("record.processing.order", _THREADS),
    dropped("record.processing.shutdown.timeout.ms", "`[limits]` `stop_timeout_s` bounds a stop"),
    dropped("record.processing.with.serial.consumer", _THREADS),
    dropped("debezium.embedded.shutdown.pause.before.interrupt.ms", "`[limits]` `stop_timeout_s` bounds a stop"),
    dropped("task.management.timeout.ms", _ONE),
    dropped("schema.history.internal", _HISTORY),
    dropped("schema.history.internal.<name>", _HISTORY),
)

_SERVER = (
    taken("debezium.sink.type", "`[sink]` `kind`: kafka; others are refused unless --sink gives one"),
    taken("debezium.sink.kafka.producer.bootstrap.servers", "`[sink]` `url`"),
    dropped("debezium.sink.kafka.producer.key.serializer", "keys are written as bytes"),
    dropped("debezium.sink.kafka.producer.value.serializer", "values are written as bytes"),
    refused(
        "debezium.sink.kafka.producer.<name>",
        "it is one of the Java producer",
        "say it in `[sink]`, as librdkafka has it",
    ),
    refused("debezium.sink.<name>", "it is of that sink of Debezium Server", "choose a sink of Tailrace with --sink"),
    taken("debezium.format.key", _CONVERTER),
    taken("debezium.format.value", _CONVERTER),
    taken("debezium.format.header", _CONVERTER),
    taken("debezium.format.key.<name>", _CONVERTER),
    taken("debezium.format.value.<name>", _CONVERTER),
    taken("debezium.format.header.<name>", _CONVERTER),
    taken("debezium.format.schemas.enable", "`[format]` `schemas_enable`"),
    dropped("debezium.engine.factory", _PROCESS),
    dropped("debezium.api.<name>", "`[http]` serves health and metrics"),
    dropped("quarkus.<name>", _PROCESS),
    dropped("mp.<name>", _PROCESS),
    dropped("kafka.<name>", _PROCESS),
)

SURROUNDING: tuple[Rule, ...] = (*_CONNECT, *_ENGINE, *_SERVER)
