"""The closed table of options of Debezium's PostgreSQL connector: what becomes of each. Never reads a value.

Every option that the connector itself has is here; those of what surrounds it are in `surrounding`. A test asks the
real JARs whether one is missing, and an option that is in no line is unknown.
"""

from __future__ import annotations

import difflib

from tailrace.debezium.rule import Rule, dropped, refused, shape, taken
from tailrace.debezium.surrounding import SURROUNDING

__all__ = ["CONNECTOR", "RULES", "find", "nearest"]

_QUEUE = "batches grow by themselves when the sink is slow, within `[limits]`"
_RETRY = "a fault that passes is retried forever, with growing pauses"
_SIGNAL = "signals are not read"
_NO_SIGNAL = "remove it; a new snapshot is made by `tailrace reset`"
_JAVA = "it names a Java class"
_METRIC = "metrics are Prometheus' and need no setting"
_LINEAGE = "nothing is told to OpenLineage"
_DRAWN = "a snapshot reads each table with COPY, whole"

_CONNECTION = (
    taken("database.hostname", "`[source]` `url`"),
    taken("database.port", "`[source]` `url`"),
    taken("database.user", "`[source]` `url`"),
    taken("database.password", "`[source]` `url`, as a reference to an environment variable, never in clear"),
    taken("database.dbname", "`[source]` `url`"),
    taken("database.sslmode", "`[source]` `url`"),
    taken("database.sslcert", "`[source]` `url`"),
    taken("database.sslkey", "`[source]` `url`: in PEM, as libpq wants it, not in DER"),
    taken("database.sslpassword", "`[source]` `url`, as a reference to an environment variable"),
    taken("database.sslrootcert", "`[source]` `url`"),
    taken("database.tcpKeepAlive", "`[source]` `url`: `keepalives`"),
    refused("database.sslfactory", _JAVA, "say sslmode, sslrootcert, sslcert and sslkey in `url`"),
    refused(
        "database.connection.factory.class", _JAVA, "a program may print the password: `password_command` of the source"
    ),
    refused(
        "database.initial.statements", "statements are not run at every connection", "set them with ALTER ROLE … SET …"
    ),
    dropped("database.query.timeout.ms", "only the catalog is queried, and a stop interrupts it"),
    dropped("database.connection.timeout.ms", "`connect_timeout` in `url` bounds a connection, 10 s if not set"),
    dropped("connection.validation.timeout.ms", "`connect_timeout` in `url` bounds a connection, 10 s if not set"),
    refused("driver.<name>", "it is one of the JDBC driver", "say what libpq calls it in `url`"),
)

_REPLICATION = (
    taken("plugin.name", "`pgoutput`. A slot of `decoderbufs` cannot be taken over"),
    taken("slot.name", "`[source]` `slot`"),
    taken("slot.failover", "`[source]` `failover`"),
    taken("slot.stream.params", "`[source]` `origin`, for `origin=…`; others are refused"),
    taken("slot.drop.on.stop", "`[source]` `slot_drop_on_stop`"),
    dropped("slot.max.retries", _RETRY),
    dropped("slot.retry.delay.ms", _RETRY),
    taken("publication.name", "`[source]` `publication`"),
    taken(
        "publication.autocreate.mode",
        "`[source]` `all_tables` and `no_tables`; `filtered` is a publication of the pipeline's tables; `disabled` is"
        " `create = false`",
    ),
    taken("publish.via.partition.root", "`[source]` `publish_via_partition_root`"),
    taken("lsn.flush.mode", "what is durable in the sink is confirmed, idle log too; `manual` is refused"),
    taken("flush.lsn.source", "as `lsn.flush.mode`; `false` is refused"),
    dropped("lsn.flush.timeout.ms", "confirming does not wait"),
    dropped("lsn.flush.timeout.action", "confirming does not wait"),
    taken("offset.mismatch.strategy", "`[source.takeover]` `trust_slot`"),
    dropped("status.update.interval.ms", "the server is told within a third of its wal_sender_timeout"),
    refused("xmin.fetch.interval.ms", "`source.xmin` is not filled", "set it to 0", "0"),
    refused(
        "replica.identity.autoset.values",
        "tables are not altered",
        "run ALTER TABLE … REPLICA IDENTITY … once; `tailrace check` names the tables that need it",
    ),
)

_TABLES = (
    taken("schema.include.list", "`[source]` `tables`"),
    taken("schema.exclude.list", "`[source]` `tables`"),
    taken("table.include.list", "`[source]` `tables`"),
    taken("table.exclude.list", "`[source]` `tables`"),
    refused("table.ignore.builtin", "system tables are never read", "set it to true", "true"),
    dropped("database.include.list", "a PostgreSQL connector reads one database"),
    dropped("database.exclude.list", "a PostgreSQL connector reads one database"),
    shape("column.include.list"),
    shape("column.exclude.list"),
    shape("column.mask.hash.<algorithm>.with.salt.<salt>"),
    shape("column.mask.hash.v2.<algorithm>.with.salt.<salt>"),
    shape("column.mask.with.<length>.chars"),
    shape("column.truncate.to.<length>.chars"),
    shape("column.propagate.source.type"),
    shape("datatype.propagate.source.type"),
    shape("message.key.columns"),
    shape("message.prefix.include.list"),
    shape("message.prefix.exclude.list"),
)

_SNAPSHOT = (
    taken(
        "snapshot.mode",
        "`[source]` `snapshot`: `initial`, `always`, `when_needed`; `initial_only` is `only`, `no_data` and `never` are"
        " `never`; `configuration_based` is what its three flags say; `custom`, a Java class, is refused",
    ),
    taken("snapshot.mode.configuration.based.snapshot.data", "`[source]` `snapshot`"),
    taken("snapshot.mode.configuration.based.snapshot.schema", "`[source]` `snapshot`"),
    taken("snapshot.mode.configuration.based.start.stream", "`[source]` `snapshot`"),
    taken("snapshot.mode.configuration.based.snapshot.on.data.error", "`[source]` `snapshot`"),
    taken("snapshot.mode.configuration.based.snapshot.on.schema.error", "`[source]` `snapshot`"),
    refused("snapshot.mode.custom.name", _JAVA, "choose another snapshot.mode"),
    dropped("snapshot.isolation.mode", "all tables are read at the one point where the stream begins"),
    refused(
        "snapshot.locking.mode",
        "only ACCESS SHARE is taken, while the snapshot begins",
        "choose none or shared",
        "none",
        "shared",
    ),
    refused("snapshot.locking.mode.custom.name", _JAVA, "choose snapshot.locking.mode none or shared"),
    dropped("snapshot.lock.timeout.ms", "ACCESS SHARE waits for nothing but changes of a table's definition"),
    dropped("snapshot.fetch.size", _DRAWN),
    dropped("query.fetch.size", _DRAWN),
    dropped("snapshot.delay.ms", "a pipeline starts when it is started"),
    dropped("streaming.delay.ms", "a pipeline starts when it is started"),
    taken("snapshot.max.threads", "`[source]` `snapshot_readers`"),
    dropped("snapshot.max.threads.multiplier", "tables are not cut in chunks"),
    dropped("legacy.snapshot.max.threads", "tables are not cut in chunks"),
    refused(
        "snapshot.include.collection.list", "a snapshot has every table", "make a pipeline of its own for the others"
    ),
    refused("snapshot.select.statement.overrides", _DRAWN, "put a row filter into the publication"),
    refused("snapshot.select.statement.overrides.<table>", _DRAWN, "put a row filter into the publication"),
    refused("snapshot.query.mode", _DRAWN, "choose select_all", "select_all"),
    refused("snapshot.query.mode.custom.name", _JAVA, "choose snapshot.query.mode select_all"),
    dropped("snapshot.tables.order.by.row.count", "tables come by name"),
    dropped("incremental.snapshot.chunk.size", _SIGNAL),
    dropped("incremental.snapshot.watermarking.strategy", _SIGNAL),
    dropped("incremental.snapshot.allow.schema.changes", _SIGNAL),
    dropped("read.only", "nothing is written to the source"),
    refused("signal.data.collection", _SIGNAL, _NO_SIGNAL),
    refused("signal.enabled.channels", _SIGNAL, _NO_SIGNAL, "source", ""),
    dropped("signal.poll.interval.ms", _SIGNAL),
    refused("signal.file", _SIGNAL, _NO_SIGNAL),
    refused("signal.kafka.topic", _SIGNAL, _NO_SIGNAL),
    refused("signal.kafka.bootstrap.servers", _SIGNAL, _NO_SIGNAL),
    dropped("signal.kafka.poll.timeout.ms", _SIGNAL),
    dropped("signal.kafka.groupId", _SIGNAL),
    dropped("signal.consumer.<name>", _SIGNAL),
    refused(
        "notification.enabled.channels",
        "no notifications are sent",
        "remove it; what they tell is in the log and in `tailrace status`",
        "",
        "log",
        "jmx",
        "log,jmx",
        "jmx,log",
    ),
    dropped("notification.sink.topic.name", "no notifications are sent"),
)

_EVENTS = (
    shape("topic.prefix"),
    shape("topic.naming.strategy"),
    shape("topic.regex"),
    shape("topic.replacement"),
    shape("topic.key.enforce.uniqueness"),
    shape("topic.key.field.name"),
    shape("topic.key.field.regex"),
    shape("topic.key.field.replacement"),
    shape("topic.delimiter", "."),
    dropped("topic.cache.size", "topic names are made once for a table version"),
    shape("topic.transaction", "transaction"),
    shape("topic.heartbeat.prefix", "__debezium-heartbeat"),
    shape("topic.heartbeat.name"),
    shape("heartbeat.topics.prefix", "__debezium-heartbeat", hint="it is the old name of topic.heartbeat.prefix"),
    shape("heartbeat.interval.ms", "0", hint="set it to 0: an idle slot moves without heartbeats"),
    taken("heartbeat.action.query", "`[source]` `heartbeat_action_query`, each `heartbeat.interval.ms`"),
    shape("decimal.handling.mode", "precise"),
    shape("time.precision.mode", "adaptive"),
    shape("interval.handling.mode", "numeric"),
    shape("binary.handling.mode", "bytes"),
    shape("hstore.handling.mode", "json"),
    shape("money.fraction.digits", "2"),
    shape("include.unknown.datatypes", "false"),
    shape("unavailable.value.placeholder", "__debezium_unavailable_value"),
    shape("tombstones.on.delete", "true"),
    shape("skipped.operations", "t"),
    shape("skip.messages.without.change", "false"),
    shape("provide.transaction.metadata", "false"),
    refused(
        "transaction.metadata.factory",
        _JAVA,
        "remove it",
        "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory",
    ),
    shape("extended.headers.enabled"),
    shape("schema.name.adjustment.mode", "none"),
    shape("field.name.adjustment.mode", "none"),
    dropped("schema.refresh.mode", "the catalog is asked at every change of a table, TOAST columns included"),
    dropped("include.schema.changes", "PostgreSQL's log tells no DDL"),
    shape("include.schema.comments", "false"),
    refused(
        "sourceinfo.struct.maker",
        _JAVA,
        "remove it",
        "io.debezium.connector.postgresql.PostgresSourceInfoStructMaker",
    ),
    taken(
        "event.processing.failure.handling.mode",
        "`[dead_letters]`: `warn`, `skip` and `ignore` park a change that cannot be written, with a warning; bytes that"
        " cannot be read stop the pipeline in every mode",
    ),
    shape("event.converting.failure.handling.mode", "warn", "fail", hint="set it to fail"),
    refused("converters", _JAVA, "a `map_changes` transform converts values in Python", ""),
    refused("post.processors", _JAVA, "give the table REPLICA IDENTITY FULL, or convert in a `map_changes` transform"),
    dropped("reselect.error.handling.mode", "there are no post-processors"),
)

_RUNNING = (
    dropped("max.batch.size", _QUEUE),
    dropped("max.queue.size", _QUEUE),
    dropped("max.queue.size.in.bytes", _QUEUE),
    dropped("queue.provider.type", _QUEUE),
    dropped("queue.provider.<name>", _QUEUE),
    dropped("poll.interval.ms", "changes come when they are committed, without polling"),
    dropped("poll.dispatch.interval.ms", "changes come when they are committed, without polling"),
    dropped("errors.max.retries", _RETRY),
    dropped("retriable.restart.connector.wait.ms", _RETRY),
    dropped("executor.shutdown.timeout.ms", "`[limits]` `stop_timeout_s` bounds a stop"),
    dropped("guardrail.collections.max", "memory does not grow with the number of tables"),
    dropped("guardrail.collections.limit.action", "memory does not grow with the number of tables"),
    dropped("memory.management.tables.class", "there is no JVM"),
    dropped("memory.management.schemas.class", "there is no JVM"),
    dropped("custom.metric.tags", _METRIC),
    dropped("statistics.metrics.enabled", _METRIC),
    dropped("custom.sanitize.pattern", "no value of the configuration is ever logged"),
    refused("openlineage.integration.enabled", _LINEAGE, "set it to false", "false"),
    dropped("openlineage.integration.<name>", _LINEAGE),
    dropped("internal.<name>", "it is internal to Debezium"),
)

CONNECTOR: tuple[Rule, ...] = (*_CONNECTION, *_REPLICATION, *_TABLES, *_SNAPSHOT, *_EVENTS, *_RUNNING)
RULES: tuple[Rule, ...] = (*CONNECTOR, *SURROUNDING)


def find(name: str) -> Rule | None:
    """The line of an option; None when it is unknown. A line of just that name comes before one with a part to fill."""
    exact = (rule for rule in RULES if rule.name == name)
    return next(exact, None) or next((rule for rule in RULES if rule.matches(name)), None)


def nearest(name: str) -> str | None:
    """The known option whose name is most like an unknown one."""
    near = difflib.get_close_matches(name, [rule.name for rule in RULES], 1)
    return near[0] if near else None
