"""`[source]`: the server, the tables, the slot, the snapshot. Never looks at what an event is shaped like."""

from __future__ import annotations

import re

from tailrace._native import Globs
from tailrace.debezium.document import Document, literal
from tailrace.debezium.values import Values

__all__ = ["fill", "trusts_slot"]

_SLOT, _PUBLICATION = "debezium", "dbz_publication"
_SSL = ("sslmode", "sslcert", "sslkey", "sslrootcert")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DER = (".pk8", ".der", ".p12", ".pfx")
_MODES = {
    "initial": "initial",
    "always": "always",
    "initial_only": "only",
    "no_data": "never",
    "never": "never",
    "when_needed": "when_needed",
    "configuration_based": "configuration_based",
}
_BASED = "snapshot.mode.configuration.based."
_READERS_MAX = 64
_BEAT_MS_MIN = 10


def fill(document: Document, values: Values, *, taking_over: bool) -> None:
    """Write the table `source`."""
    table = document.source
    table["kind"] = "postgres"
    table["url"] = _url(values, document.name)
    _fill_tables(document, values)
    _fill_slot(document, values, taking_over=taking_over)
    _fill_publication(document, values)
    _fill_heartbeat(document, values)
    mode = _snapshot(values, taking_over=taking_over)
    if table.get("slot_drop_on_stop") and mode not in ("always", "when_needed"):
        values.notes.append(
            "slot.drop.on.stop: what changes between a stop and the next start is in no slot, so that start ends with"
            " exit code 4 until `tailrace reset`; snapshot.mode always or when_needed makes a snapshot instead"
        )
    if mode != "initial":
        table["snapshot"] = mode
    threads = values.text("snapshot.max.threads", "1")
    if threads.isascii() and threads.isdigit() and int(threads) > 1:
        table["snapshot_readers"] = min(int(threads), _READERS_MAX)


def trusts_slot(values: Values) -> bool:
    """Whether the slot may rightly be further than the offset: the driver confirmed idle log, or a strategy says so."""
    strategy = values.text("offset.mismatch.strategy", "no_validation").lower()
    mode = values.text("lsn.flush.mode", "connector").lower()
    return strategy in ("trust_slot", "trust_greater_lsn") or mode == "connector_and_driver"


def _url(values: Values, name: str) -> str:
    """A conninfo string of libpq; secrets are references."""
    parts = {
        "host": values.text("database.hostname"),
        "port": values.text("database.port", "5432"),
        "dbname": values.text("database.dbname"),
        "user": values.text("database.user"),
    }
    for key in ("hostname", "dbname", "user"):
        if not values.text(f"database.{key}"):
            values.refuse(f"database.{key}", "it is missing", "add it")
    variable = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    conninfo = [f"{key}={_quoted(value)}" for key, value in parts.items()]
    password = values.reference("database.password", f"{variable}_DATABASE_PASSWORD")
    if password is not None:
        conninfo.append(f"password='{password}'")
    mode = values.one_of("database.sslmode", {word: word for word in ("", *_SSL_MODES)}, "")
    for key in _SSL:
        if value := mode if key == "sslmode" else values.text(f"database.{key}"):
            conninfo.append(f"{key}={_quoted(value)}")
    if values.text("database.sslkey").lower().endswith(_DER):
        values.refuse(
            "database.sslkey", "libpq wants PEM", "convert it: openssl pkcs8 -inform DER -in KEY -out KEY.pem"
        )
    sslpassword = values.reference("database.sslpassword", f"{variable}_DATABASE_SSLPASSWORD")
    if sslpassword is not None:
        conninfo.append(f"sslpassword='{sslpassword}'")
    if not values.flag("database.tcpKeepAlive", default=True):
        conninfo.append("keepalives=0")
    return " ".join(conninfo)


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./-]+", value):
        return value
    return literal("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'")


def _fill_tables(document: Document, values: Values) -> None:
    """Lists of schemas and of tables as patterns of `tables`, which takes Debezium's expressions as they are."""
    schemas, tables = (_expressions(values, f"{name}.include.list") for name in ("schema", "table"))
    # A schema's expression must match all before the dot; one name has to satisfy both lists.
    ahead = f"(?=(?:{'|'.join(schemas)})\\..*)" if schemas else ""
    chosen = [f"{ahead}(?:{table})" if ahead else table for table in tables] or ([ahead + ".*"] if ahead else [])
    left_out = [f"(?:{schema})\\..*" for schema in _expressions(values, "schema.exclude.list")]
    left_out += _expressions(values, "table.exclude.list")
    patterns = [*([f"/{each}/" for each in chosen] or ["*.*"]), *(f"!/{each}/" for each in left_out)]
    if patterns != ["*.*"]:
        document.source["tables"] = [literal(pattern) for pattern in patterns]


def _expressions(values: Values, name: str) -> list[str]:
    """The expressions of a list: between commas, a comma within one being written `\\,`."""
    parts = re.split(r"(?<!\\),", values.text(name))
    found = [part.strip().replace("\\,", ",") for part in parts if part.strip()]
    for expression in found:
        try:
            Globs([f"/{expression}/"])
        except ValueError as error:
            values.refuse(name, str(error), "write it without what only Java's expressions have")
    return found


def _fill_slot(document: Document, values: Values, *, taking_over: bool) -> None:
    table = document.source
    table["slot"] = values.text("slot.name", _SLOT)
    plugin = values.one_of("plugin.name", {"pgoutput": "pgoutput", "decoderbufs": "decoderbufs"}, "decoderbufs")
    if plugin != "pgoutput" and taking_over:
        values.refuse(
            "plugin.name",
            "a slot of decoderbufs cannot be read by pgoutput, so its position cannot be taken over",
            "import without --offsets, and give another slot: a snapshot begins",
        )
    elif plugin != "pgoutput":
        values.notes.append(
            "plugin.name: pgoutput is used in place of decoderbufs; if the slot exists, give another name"
        )
    if values.flag("slot.failover", default=False):
        table["failover"] = True
    if values.flag("slot.drop.on.stop", default=False):
        table["slot_drop_on_stop"] = True
    for parameter in filter(None, (part.strip() for part in values.text("slot.stream.params").split(";"))):
        key, _, value = parameter.partition("=")
        if key.strip() == "origin" and value.strip() in ("any", "none"):
            table["origin"] = value.strip()
        else:
            values.refuse("slot.stream.params", f"{parameter!r} is not asked of the server", "remove it")
    flush = values.one_of(
        "lsn.flush.mode", {"connector": "", "connector_and_driver": "", "manual": "manual"}, "connector"
    )
    name = "lsn.flush.mode" if flush else "flush.lsn.source"
    if flush or not values.flag("flush.lsn.source", default=True):
        values.refuse(name, "what is durable in the sink is always confirmed", "let Tailrace confirm it")
    words = dict.fromkeys(("no_validation", "trust_offset", "trust_slot", "trust_greater_lsn"), "")
    values.one_of("offset.mismatch.strategy", words, "no_validation")


def _fill_publication(document: Document, values: Values) -> None:
    table = document.source
    table["publication"] = values.text("publication.name", _PUBLICATION)
    words = {"all_tables": "all", "filtered": "create", "disabled": "", "no_tables": "none"}
    create = values.one_of("publication.autocreate.mode", words, "all_tables")
    if create == "none":
        table["no_tables"] = True
        if values.text("snapshot.mode", "initial").lower() not in ("no_data", "never"):
            values.notes.append(
                "publication.autocreate.mode no_tables: the snapshot has the tables that are in the publication, and no"
                " other, of which no change would come"
            )
    if create == "all":
        table["all_tables"] = True
    if not create:
        table["create"] = False
    table["publish_via_partition_root"] = values.flag("publish.via.partition.root", default=False)
    table["publish_generated_columns"] = False


def _fill_heartbeat(document: Document, values: Values) -> None:
    """The statement of each heartbeat; Debezium runs none while the interval is 0, its default."""
    statement, interval = values.text("heartbeat.action.query"), values.text("heartbeat.interval.ms", "0")
    if not statement or not (interval.isascii() and interval.isdigit()):
        return
    if int(interval) == 0:
        values.notes.append("heartbeat.action.query: not run, as by Debezium: heartbeat.interval.ms is 0")
        return
    document.source["heartbeat_action_query"] = literal(statement)
    document.source["heartbeat_action_interval_s"] = max(int(interval), _BEAT_MS_MIN) / 1000


def _snapshot(values: Values, *, taking_over: bool) -> str:
    mode = values.text("snapshot.mode", "initial").lower()
    if mode == "always" and taking_over:
        values.refuse(
            "snapshot.mode",
            "always begins with a snapshot, so that there is no position to take over",
            "import without --offsets, and give another slot; or choose initial",
        )
    if mode == "custom":
        values.refuse("snapshot.mode", "a custom mode is a Java class", "choose initial, no_data or when_needed")
        return "initial"
    meant = values.one_of("snapshot.mode", _MODES, "initial")
    if meant != "configuration_based":
        return meant
    data, stream, again = (
        values.flag(_BASED + name, default=False)
        for name in ("snapshot.data", "start.stream", "snapshot.on.data.error")
    )
    if not data and not stream:
        values.refuse("snapshot.mode", "it neither reads the tables nor streams", f"set {_BASED}start.stream to true")
    if again and not (data and stream):
        values.refuse(_BASED + "snapshot.on.data.error", "only initial can begin anew", "set it to false")
    return "when_needed" if again else "initial" if data and stream else "only" if data else "never"
