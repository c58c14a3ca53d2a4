"""A connector's options as a configuration: honoured, dropped or refused, and never forgotten."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tailrace.config import load
from tailrace.dead_letters import File
from tailrace.debezium import RULES, Choices, Fate, Translated, translate
from tailrace.debezium.connector import Connector, Form
from tailrace.error import ConfigError
from tailrace.pipeline import Pipeline
from tailrace.source import Postgres
from tailrace.source.postgres import pattern

CLASS = "io.debezium.connector.postgresql.PostgresConnector"
OPTIONS = {
    "connector.class": CLASS,
    "name": "shop",
    "topic.prefix": "store",
    "database.hostname": "db",
    "database.user": "cdc",
    "database.dbname": "shop",
    "plugin.name": "pgoutput",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
}
FILE = Choices(sink="file:out.jsonl")


def made(choices: Choices = FILE, *, form: Form = Form.CONNECT, without: str = "", **options: str) -> Translated:
    """Options with underscores for dots, over the usual ones."""
    given = {**OPTIONS, **{name.replace("_", "."): value for name, value in options.items()}}
    return translate(Connector(form, {name: value for name, value in given.items() if name != without}), choices)


def pipeline(translated: Translated, folder: Path, **environ: str) -> Pipeline:
    """What Tailrace makes of it: that it can be loaded is a part of every promise."""
    (folder / "shop.toml").write_text(translated.toml)
    return load(folder / "shop.toml", environ=environ).pipelines[translated.name]


def source(folder: Path, **options: str) -> Postgres:
    found = pipeline(made(**options), folder).source
    assert isinstance(found, Postgres)
    return found


def refusal(**options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        made(**options)
    return str(caught.value)


def test_what_debezium_does_without_being_told_is_written_out(tmp_path: Path) -> None:
    found = source(tmp_path)
    assert found.url == "host=db port=5432 dbname=shop user=cdc"
    assert (found.slot, found.publication, found.create, found.snapshot) == (
        "debezium", "dbz_publication", True, "initial",
    )  # fmt: skip
    assert not found.publish_via_partition_root and not found.publish_generated_columns
    assert found.tables == ("*.*",) and found.takeover is None
    format = pipeline(made(), tmp_path).sink.format  # type: ignore[attr-defined]
    assert (format["topic_prefix"], format["extended_headers_enabled"], format["schemas_enable"]) == (
        "store", "true", "false",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "field", "wanted"),
    [
        ({"slot_name": "s"}, "slot", "s"),
        ({"publication_name": "p"}, "publication", "p"),
        ({"publication_autocreate_mode": "disabled"}, "create", False),
        ({"publication_autocreate_mode": "FILTERED"}, "create", True),
        ({"publication_autocreate_mode": "filtered"}, "all_tables", False),
        ({"publication_autocreate_mode": "all_tables"}, "all_tables", True),
        ({}, "all_tables", True),
        ({"publish_via_partition_root": "true"}, "publish_via_partition_root", True),
        ({"slot_failover": "true"}, "failover", True),
        ({"slot_stream_params": "origin=none"}, "origin", "none"),
        ({"snapshot_mode": "initial"}, "snapshot", "initial"),
        ({"snapshot_mode": "no_data"}, "snapshot", "never"),
        ({"snapshot_mode": "never"}, "snapshot", "never"),
        ({"snapshot_mode": "initial_only"}, "snapshot", "only"),
        ({"snapshot_mode": "when_needed"}, "snapshot", "when_needed"),
        ({"snapshot_mode": "always"}, "snapshot", "always"),
        ({"slot_drop_on_stop": "true"}, "slot_drop_on_stop", True),
        ({"publication_autocreate_mode": "no_tables"}, "no_tables", True),
        ({"heartbeat_action_query": "SELECT 'x'", "heartbeat_interval_ms": "1500"}, "heartbeat_action_query",
         "SELECT 'x'"),
        ({"heartbeat_action_query": "SELECT 1", "heartbeat_interval_ms": "1500"}, "heartbeat_action_interval_s", 1.5),
        ({"heartbeat_action_query": "SELECT 1"}, "heartbeat_action_query", None),
        ({"snapshot_max_threads": "4"}, "snapshot_readers", 4),
    ],
)  # fmt: skip
def test_each_option_of_the_source_is_honoured(
    options: dict[str, str], field: str, wanted: Any, tmp_path: Path
) -> None:
    assert getattr(source(tmp_path, **options), field) == wanted


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [("data stream", "initial"), ("stream", "never"), ("data", "only"), ("data stream error", "when_needed")],
)
def test_a_snapshot_that_is_composed_is_one_of_ours(flags: str, wanted: str, tmp_path: Path) -> None:
    names = {"data": "snapshot_data", "stream": "start_stream", "error": "snapshot_on_data_error"}
    options = {f"snapshot_mode_configuration_based_{names[flag]}": "true" for flag in flags.split()}
    assert source(tmp_path, snapshot_mode="configuration_based", **options).snapshot == wanted


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "public.orders other.Orders public.log_1 audit.orders"),
        ({"table_include_list": r"public\.orders,OTHER\..*"}, "public.orders other.Orders"),
        ({"table_include_list": r"public\.log_\d+,x\,y.z"}, "public.log_1"),
        ({"schema_include_list": "public,o.*"}, "public.orders other.Orders public.log_1"),
        (
            {"schema_include_list": "public|audit", "table_include_list": r".*\.orders,other.*"},
            "public.orders audit.orders",
        ),
        ({"table_exclude_list": "public.log_.*", "schema_exclude_list": "audit"}, "public.orders other.Orders"),
        ({"schema_include_list": "public", "table_exclude_list": "public.orders"}, "public.log_1"),
    ],
)
def test_lists_of_tables_choose_what_they_chose(options: dict[str, str], names: str, tmp_path: Path) -> None:
    tables = source(tmp_path, **options).tables
    known = ("public.orders", "other.Orders", "public.log_1", "audit.orders")
    assert [name for name in known if pattern.matches(name, tables)] == names.split()


def test_the_connection_is_a_conninfo_string_with_quotes_where_needed(tmp_path: Path) -> None:
    found = source(
        tmp_path, database_hostname="h.example", database_port="6000", database_user="o'neill x",
        database_sslmode="verify-ca", database_sslrootcert="/etc/ca.pem", database_tcpKeepAlive="false",
    )  # fmt: skip
    assert found.url == (
        r"host=h.example port=6000 dbname=shop user='o\'neill x' sslmode=verify-ca sslrootcert=/etc/ca.pem keepalives=0"
    )


@pytest.mark.parametrize(
    ("password", "wanted", "environ"),
    [
        ("s3cret", "${SHOP_DATABASE_PASSWORD}", {"SHOP_DATABASE_PASSWORD": "p"}),
        ("${env:PGPASS}", "${PGPASS}", {"PGPASS": "p"}),
        ("${PGPASS}", "${PGPASS}", {"PGPASS": "p"}),
        ("${dir:/run/secrets:pg}", "${file:/run/secrets/pg}", None),
        ("${file:/opt/secrets.properties:pw}", "${SHOP_DATABASE_PASSWORD}", {"SHOP_DATABASE_PASSWORD": "p"}),
    ],
)
def test_a_password_is_never_written_in_clear(
    password: str, wanted: str, environ: dict[str, str] | None, tmp_path: Path
) -> None:
    translated = made(database_password=password)
    assert f"password='{wanted}'" in translated.toml
    assert "s3cret" not in translated.toml + str(translated.notes)
    assert (wanted == "${SHOP_DATABASE_PASSWORD}") == any("SHOP_DATABASE_PASSWORD" in note for note in translated.notes)
    if environ is not None:
        found = pipeline(translated, tmp_path, **environ).source
        assert isinstance(found, Postgres) and found.url.endswith("password='p'")


def test_what_has_no_meaning_here_is_listed_with_the_reason() -> None:
    translated = made(max_batch_size="1", poll_interval_ms="1", snapshot_locking_mode="none", tasks_max="1")
    assert dict(translated.dropped) == {
        "max.batch.size": "batches grow by themselves when the sink is slow, within `[limits]`",
        "poll.interval.ms": "changes come when they are committed, without polling",
        "snapshot.locking.mode": "it is as it is here anyway",
        "tasks.max": "a pipeline is one task",
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"snapshot_mode": "custom"}, "snapshot.mode: a custom mode is a Java class"),
        ({"snapshot_mode": "sometimes"}, "'sometimes' is not one of initial"),
        ({"event_processing_failure_handling_mode": "stop"}, "'stop' is not one of fail, warn, skip, ignore"),
        ({"plugin_name": "wal2json"}, "'wal2json' is not one of pgoutput"),
        ({"publication_autocreate_mode": "some"}, "'some' is not one of all_tables"),
        ({"slot_failover": "maybe"}, "slot.failover: 'maybe' is not one of true, false"),
        ({"snapshot_mode": "configuration_based"}, "it neither reads the tables nor streams"),
        ({"lsn_flush_mode": "manual"}, "lsn.flush.mode: what is durable in the sink is always confirmed"),
        ({"flush_lsn_source": "false"}, "flush.lsn.source: what is durable in the sink is always confirmed"),
        ({"slot_stream_params": "binary=true"}, "'binary=true' is not asked of the server"),
        ({"table_include_list": r"public\.(a"}, 'table.include.list: "public'),
        ({"database_sslkey": "k.pk8"}, "libpq wants PEM"),
        ({"database_initial_statements": "SET x"}, "ALTER ROLE"),
        ({"signal_data_collection": "public.signals"}, "signals are not read"),
        ({"converters": "isbn"}, "converters: it names a Java class"),
        ({"slot_nam": "s"}, "slot.nam: no option of Debezium has this name; did you mean slot.name"),
        ({"without": "database.user"}, "database.user: it is missing"),
        ({"snapshot_mode": "${env:MODE}"}, "snapshot.mode: its value is a reference"),
        ({"key_converter_schemas_enable": "true"}, "keys and values have schemas, or both have none"),
        ({"value_converter": "org.example.Mine"}, "value.converter: org.example.Mine is not known"),
        ({"value_converter_decimal_format": "NUMERIC"}, "it is as if it were 'base64' here"),
        ({"transforms": "a", "transforms_a_type": "org.example.Mine"}, "org.example.Mine is no transform"),
        ({"decimal_handling_mode": "exact"}, "decimal_handling_mode: this must be precise"),
    ],
)
def test_what_cannot_be_honoured_is_named_with_the_reason(options: dict[str, str], reason: str) -> None:
    assert reason in refusal(**options)


def test_cloud_events_are_a_profile(tmp_path: Path) -> None:
    converter = {
        "value_converter": "io.debezium.converters.CloudEventsConverter",
        "value_converter_json_schemas_enable": "false",
        "value_converter_serializer_type": "JSON",
    }
    translated = made(**converter)
    pipeline(translated, tmp_path)
    shaped = tomllib.loads(translated.toml)["pipeline"]["shop"]["format"]
    assert (shaped["profile"], shaped["schemas_enable"]) == ("cloudevents", False)
    assert (shaped["decimal_handling_mode"], shaped["time_precision_mode"]) == ("precise", "adaptive")
    by_default = {**converter, "without": "value.converter.json.schemas.enable"}
    assert "keys and values have schemas, or both have none" in refusal(**by_default)
    both = tomllib.loads(made(**by_default, key_converter_schemas_enable="true").toml)["pipeline"]["shop"]["format"]
    assert (both["profile"], both["schemas_enable"]) == ("cloudevents", True)
    assert "as if it were 'json'" in refusal(**converter, value_converter_data_serializer_type="avro")


@pytest.mark.parametrize("mode", ["warn", "skip", "IGNORE"])
def test_what_debezium_would_pass_over_is_parked(mode: str, tmp_path: Path) -> None:
    translated = made(event_processing_failure_handling_mode=mode)
    letters = pipeline(translated, tmp_path).dead_letters
    assert isinstance(letters, File)
    assert Path(letters.path) == tmp_path / "shop.dead.jsonl"
    assert any("parked in shop.dead.jsonl" in note for note in translated.notes)


def test_a_failure_stops_where_debezium_would_stop(tmp_path: Path) -> None:
    assert pipeline(made(event_processing_failure_handling_mode="fail"), tmp_path).dead_letters is None


def test_what_a_start_and_a_stop_cannot_keep_is_told() -> None:
    assert "exit code 4" in " ".join(made(slot_drop_on_stop="true").notes)
    assert not made(slot_drop_on_stop="true", snapshot_mode="always").notes
    assert "heartbeat.interval.ms is 0" in " ".join(made(heartbeat_action_query="SELECT 1").notes)
    with pytest.raises(ConfigError, match="always begins with a snapshot"):
        made(Choices(sink="file:x", from_slot=True), snapshot_mode="always")


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = refusal(snapshot_mode="custom", slot_nam="s", converters="x")
    assert said.startswith("3 options cannot be honoured:") and said.count("\n  ") == 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("io.debezium.connector.mysql.MySqlConnector", "the connector is Debezium's for mysql"),
        ("io.debezium.connector.mongodb.MongoDbConnector", "the connector is Debezium's for mongodb"),
        ("org.example.Mine", "'org.example.Mine' is no connector of Debezium's"),
    ],
)
def test_another_connector_is_refused_by_its_name(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"connector.class: {reason}"):
        made(connector_class=name)


def test_a_slot_of_decoderbufs_can_be_replaced_but_not_taken_over(tmp_path: Path) -> None:
    assert any("pgoutput is used in place of decoderbufs" in note for note in made(without="plugin.name").notes)
    (tmp_path / "offsets").write_text(json.dumps({"lsn": 1}))
    with pytest.raises(ConfigError, match="a slot of decoderbufs cannot be read by pgoutput"):
        made(Choices(sink="stdout:", offsets=tmp_path / "offsets"), plugin_name="decoderbufs")


def test_with_offsets_the_position_stands_in_the_configuration(tmp_path: Path) -> None:
    offset = {"lsn": 33, "lsn_proc": 33, "lsn_commit": 17, "txId": 9, "messageType": "INSERT"}
    (tmp_path / "offsets").write_text(f'["shop",{{"server":"store"}}] {json.dumps(offset)}')
    choices = Choices(sink="stdout:", offsets=tmp_path / "offsets")
    found = pipeline(made(choices, offset_mismatch_strategy="trust_slot"), tmp_path).source
    assert isinstance(found, Postgres) and found.takeover is not None
    assert (found.takeover.committed_lsn, found.takeover.xid, found.takeover.row_lsn) == ("0/11", 9, "0/21")
    assert found.takeover.trust_slot
    with pytest.raises(ConfigError, match=r"no offset of connector shop with topic\.prefix other"):
        made(choices, topic_prefix="other")
    with pytest.raises(ConfigError, match="two positions"):
        made(Choices(sink="stdout:", offsets=tmp_path / "offsets", from_slot=True))


def test_from_slot_means_where_the_slot_stands(tmp_path: Path) -> None:
    found = pipeline(made(Choices(sink="stdout:", from_slot=True)), tmp_path).source
    assert isinstance(found, Postgres) and found.takeover is not None
    assert found.takeover.begin(4711) == 4711


def test_events_go_where_they_went() -> None:
    worker = {"bootstrap.servers": "k:9092", "value.converter": "JsonConverter"}
    assert 'url = "kafka://k:9092"' in made(Choices(worker=worker)).toml
    bare = made(Choices())
    assert 'kind = "kafka"' in bare.toml and "kafka://${KAFKA_BOOTSTRAP_SERVERS}" in bare.toml
    server = {"debezium.sink.type": "kafka", "debezium.sink.kafka.producer.bootstrap.servers": "s:9092"}
    given = {**OPTIONS, **server, "debezium.format.schemas.enable": "false"}
    plain = {name: value for name, value in given.items() if "converter" not in name}
    assert 'url = "kafka://s:9092"' in translate(Connector(Form.SERVER, plain), Choices()).toml
    with pytest.raises(ConfigError, match="there is no sink redis"):
        translate(Connector(Form.SERVER, {**plain, "debezium.sink.type": "redis"}), Choices())
    assert 'sink = "stdout:"' in made(Choices(), form=Form.ENGINE).toml


def test_topics_are_made_as_they_were() -> None:
    options = {"topic_creation_default_partitions": "4", "topic_creation_default_replication_factor": "-1"}
    sink = tomllib.loads(made(Choices(), **options).toml)["pipeline"]["shop"]["sink"]
    assert (sink["create_topics"], sink["partitions"], "replication" in sink) == (True, 4, False)
    assert "create_topics" not in made(Choices()).toml + made(**options).toml
    with pytest.raises(ConfigError, match=r"say them in `\[\[sink\.topics\]\]`"):
        made(Choices(), topic_creation_groups="a")


def test_converters_of_the_worker_count_when_the_connector_has_none() -> None:
    bare = {name: value for name, value in OPTIONS.items() if "converter" not in name}
    worker = {"bootstrap.servers": "k:9092", "key.converter": "JsonConverter", "value.converter": "JsonConverter"}
    off = {"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"}
    assert "schemas_enable = false" in translate(Connector(Form.CONNECT, bare), Choices(worker={**worker, **off})).toml


def test_a_salt_keeps_its_dots_and_is_told_of() -> None:
    found = made(**{"column.mask.hash.v2.SHA-256.with.salt.a.b-c": "public.orders.note"})
    assert '"column_mask_hash_v2_SHA-256_with_salt_a.b-c" = "public.orders.note"' in found.toml
    assert any("salt" in note for note in found.notes)


def test_options_of_events_keep_their_names_and_values() -> None:
    options = {
        "topic_naming_strategy": "io.debezium.schema.DefaultTopicNamingStrategy", "decimal_handling_mode": "STRING",
        "tombstones_on_delete": "FALSE", "heartbeat_interval_ms": "500", "skipped_operations": "t,d",
        "column_exclude_list": r"public\.orders\.(a|b)",
    }  # fmt: skip
    assert tomllib.loads(made(**options).toml)["pipeline"]["shop"]["format"] == {
        "extended_headers_enabled": True,
        "topic_prefix": "store",
        "topic_naming_strategy": "io.debezium.schema.DefaultTopicNamingStrategy",
        "decimal_handling_mode": "string",
        "tombstones_on_delete": False,
        "heartbeat_interval_ms": 500,
        "skipped_operations": "t,d",
        "column_exclude_list": r"public\.orders\.(a|b)",
        "schemas_enable": False,
    }


AVRO = {
    "value_converter": "io.confluent.connect.avro.AvroConverter",
    "key_converter": "io.confluent.connect.avro.AvroConverter",
    "key_converter_schemas_enable": "true",
    "value_converter_schema_registry_url": "http://registry:8081",
    "key_converter_schema_registry_url": "http://registry:8081",
}


def test_avro_goes_on_under_the_same_subjects(tmp_path: Path) -> None:
    options = {
        "value_converter_basic_auth_credentials_source": "USER_INFO", "value_converter_basic_auth_user_info": "u:hush",
        "value_converter_value_subject_name_strategy": "io.confluent.kafka.serializers.subject.RecordNameStrategy",
        "value_converter_auto_register_schemas": "false",
    }  # fmt: skip
    found = made(**AVRO, **options)
    assert tomllib.loads(found.toml)["pipeline"]["shop"]["format"] == {
        "extended_headers_enabled": True,
        "topic_prefix": "store",
        "key_converter": "avro",
        "value_converter": "avro",
        "schema_registry_url": "http://registry:8081",
        "value_converter_basic_auth_user_info": "${SHOP_VALUE_BASIC_AUTH_USER_INFO}",
        "value_converter_value_subject_name_strategy": "RecordNameStrategy",
        "value_converter_auto_register_schemas": False,
    }
    assert "hush" not in found.toml + str(found.notes)
    pipeline(found, tmp_path, SHOP_VALUE_BASIC_AUTH_USER_INFO="u:p")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"value_converter_schema_registry_ssl_truststore_location": "x"}, "are PEM files"),
        ({"value_converter_schema_registry_ulr": "x"}, "is schema_registry_url meant?"),
        ({"value_converter_basic_auth_credentials_source": "SASL_INHERIT"}, "as if it were 'user_info' here"),
        ({"value_converter": "io.apicurio.registry.utils.converter.AvroConverter"}, "choose Confluent's converter"),
    ],
)
def test_what_a_registry_cannot_be_told_is_named(options: dict[str, str], reason: str) -> None:
    assert reason in refusal(**{**AVRO, **options})


def test_json_schema_goes_on_with_its_own_options(tmp_path: Path) -> None:
    name = "io.confluent.connect.json.JsonSchemaConverter"
    options = {**AVRO, "key_converter": name, "value_converter": name}
    own = {"value_converter_object_additional_properties": "false", "key_converter_decimal_format": "BASE64"}
    found = made(**options, **own)
    assert tomllib.loads(found.toml)["pipeline"]["shop"]["format"] == {
        "extended_headers_enabled": True,
        "topic_prefix": "store",
        "key_converter": "json_schema",
        "value_converter": "json_schema",
        "schema_registry_url": "http://registry:8081",
        "value_converter_object_additional_properties": False,
    }
    pipeline(found, tmp_path)
    assert "as if it were 'base64' here" in refusal(**options, value_converter_decimal_format="NUMERIC")


def test_protobuf_goes_on_with_its_own_options(tmp_path: Path) -> None:
    name = "io.confluent.connect.protobuf.ProtobufConverter"
    options = {**AVRO, "key_converter": name, "value_converter": name, "value_converter_skip_known_types": "true"}
    own = {"value_converter_optional_for_nullables": "true", "key_converter_wrapper_for_raw_primitives": "false"}
    own |= {"value_converter_enhanced_protobuf_schema_support": "true", "key_converter_scrub_invalid_names": "true"}
    found = made(**options, **own)
    assert tomllib.loads(found.toml)["pipeline"]["shop"]["format"] == {
        "extended_headers_enabled": True,
        "topic_prefix": "store",
        "key_converter": "protobuf",
        "value_converter": "protobuf",
        "schema_registry_url": "http://registry:8081",
        "key_converter_scrub_invalid_names": True,
        "value_converter_optional_for_nullables": True,
        "value_converter_enhanced_protobuf_schema_support": True,
    }
    pipeline(found, tmp_path)
    assert "as if it were 'true' here" in refusal(**{**options, "value_converter_skip_known_types": "false"})
    assert "is optional_for_nullables meant?" in refusal(**options, value_converter_optional_for_nullable="true")
    assert "is not known" in refusal(
        **{**AVRO, "value_converter": "io.apicurio.registry.utils.converter.ExtJsonConverter"}
    )


def test_keys_may_be_json_and_values_avro() -> None:
    options = {**AVRO, "key_converter": "org.apache.kafka.connect.json.JsonConverter"}
    del options["key_converter_schema_registry_url"]
    found = tomllib.loads(made(**{**options, "key_converter_schemas_enable": "false"}).toml)["pipeline"]["shop"][
        "format"
    ]
    assert (found["schemas_enable"], found["value_converter"], "key_converter" in found) == (False, "avro", False)
    assert found["value_converter_schema_registry_url"] == "http://registry:8081"


def test_every_line_of_the_table_is_met_by_its_own_name() -> None:
    for rule in RULES:
        assert (rule.to, rule.why).count("") == 1, rule.name
        assert rule.hint or rule.fate is not Fate.REFUSED or rule.why, rule.name
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("name", "value"), [("errors.tolerance", "NONE"), ("snapshot.locking.mode", "None"), ("converters", "")]
)
def test_what_is_as_it_is_here_is_dropped_in_any_case_of_its_letters(name: str, value: str) -> None:
    assert name in {dropped for dropped, _ in made(**{name: value}).dropped}


@pytest.mark.parametrize(
    ("value", "wanted"), [("required", True), ("REQUIRED", True), ("requested", None), (None, None)]
)
def test_exactly_once_is_demanded_of_the_kafka_sink(value: str | None, wanted: bool | None) -> None:
    options = {} if value is None else {"exactly_once_support": value}
    sink = tomllib.loads(made(Choices(), **options).toml)["pipeline"]["shop"]["sink"]
    assert sink.get("transactions") is wanted


def test_exactly_once_that_another_sink_may_not_give_is_told() -> None:
    assert any("exactly.once.support" in note for note in made(exactly_once_support="required").notes)
